//! `models`
#![cfg(feature = "chat")]

use super::*;
use crate::backends::settings::{ModelDevice, ModelSettings, ModelSource, Quantization};

/// A folder that looks like a checkpoint.
fn checkpoint(folder: &Folder, name: &str) {
    let path = folder.path().join(name);
    fs::create_dir(&path).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::write(path.join(file), "{}").unwrap();
    }
}

/// What is said of a configuration with a checkpoint in `qwen`.
fn told(text: &str) -> Vec<String> {
    let folder = Folder::new();
    checkpoint(&folder, "qwen");
    let told = match folder.load(text, false).outcome {
        Ok(config) => config.warnings,
        Err(faults) => faults,
    };
    let of_models = told.iter().filter(|fault| fault.path.contains("models"));
    of_models.map(|fault| said(&folder, fault)).collect()
}

#[test]
fn models_arrive_in_the_order_of_the_file() {
    let folder = Folder::new();
    checkpoint(&folder, "qwen");
    let text = "models:\n  qwen-0.5b: {path: qwen, device: llvmpipe, quantize: q8, contextLength: 512, maxConcurrent: 2, maxQueue: 0}\n  chat: {path: builtin}\n";
    let config = folder.config(text);
    let [qwen, chat] = config.models.as_slice() else { panic!("{:?}", config.models) };
    assert_eq!(
        *qwen,
        ModelSettings {
            name: "qwen-0.5b".into(),
            source: ModelSource::Folder(folder.path().join("qwen")),
            device: ModelDevice::Named("llvmpipe".to_owned()),
            quantization: Quantization::Q8,
            context_length: 512,
            max_concurrent: 2,
            max_queue: 0,
        }
    );
    assert_eq!((&chat.source, &chat.device), (&ModelSource::BuiltIn, &ModelDevice::Auto));
    assert_eq!((chat.context_length, chat.max_concurrent, chat.max_queue), (4096, 8, 64));
}

#[test]
fn what_is_wrong_with_a_model_is_told_at_its_place() {
    for (entry, beginning) in [
        ("m: {}", "1:models.m"),
        ("m: {path: qwn}", "1:models.m.path: `qwn` is not a folder"),
        ("m: {path: policies}", "1:models.m.path: `policies` has no config.json"),
        ("m: {path: builtin, quantise: q8}", "1:models.m.quantise: unknown key"),
        ("m: {path: builtin, quantize: q5}", "1:models.m.quantize: "),
        ("m: {path: builtin, contextLength: 63}", "1:models.m.contextLength: "),
        ("m: {path: builtin, maxConcurrent: 0}", "1:models.m.maxConcurrent: "),
        ("m: {path: builtin, maxQueue: 10001}", "1:models.m.maxQueue: "),
        ("m: {path: builtin, device: \"\"}", "1:models.m.device: "),
        ("m: {path: builtin, device: gpi}", "1:models.m.device: `gpi` is taken for part of an adapter's name; `gpu`"),
        ("1m: {path: builtin}", "1:models.1m: `1m` is not a name for a model"),
        ("a__b: {path: builtin}", "1:models.a__b: `a__b` reads as a tool of an upstream"),
    ] {
        let told = told(&format!("models: {{{entry}}}"));
        assert!(matches!(told.as_slice(), [one] if one.starts_with(beginning)), "{entry}: {told:#?}");
    }
    let twice = told("models: {m: {path: builtin}}\nmcpServers: {m: {builtin: demo}}");
    assert_eq!(twice, ["1:models.m: `m` stands under `mcpServers` already"]);
    let folder = Folder::new();
    checkpoint(&folder, "bare");
    fs::remove_file(folder.path().join("bare/model.safetensors")).unwrap();
    let faults = folder.load("models: {m: {path: bare}}", false).outcome.unwrap_err();
    assert!(faults.iter().any(|fault| fault.message.contains("has no weights")), "{faults:?}");
}

#[test]
fn a_model_that_no_policy_allows_is_warned_of_and_one_that_is_not_there_too() {
    let folder = Folder::new();
    let policy = "policies:\n  - name: p\n    subjects: {roles: [guest]}\n    tools: {allow: [chatt, \"chat?\"]}\n";
    fs::write(folder.path().join("policies/all.yaml"), policy).unwrap();
    let text = "policies: [policies/all.yaml]\nauth: {anonymous: {roles: [guest]}}\nmodels: {chat: {path: builtin}}\n";
    let warnings = folder.load(text, true).outcome.unwrap().warnings;
    let told: Vec<_> = warnings.iter().map(|fault| (fault.path.as_str(), fault.suggestion.as_deref())).collect();
    assert_eq!(told, [("models.chat", None), ("policies[0].tools.allow[0]", Some("chat"))], "{warnings:#?}");
}

#[test]
fn the_built_in_default_has_the_built_in_model() {
    let config = Config::built_in([0; 32]);
    assert_eq!((&*config.models[0].name, &config.models[0].source), ("chat", &ModelSource::BuiltIn));
    use portcullis_policies::{CallFacts, Principal, Target};
    let principal = Principal::new("apiKey:demo").with_roles(["demo".to_owned()]);
    let access = config.policies.access(&principal, Target::Tool("chat"));
    assert!(access.decide(&CallFacts::default()).is_allowed());
}
