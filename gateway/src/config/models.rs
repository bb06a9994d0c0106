//! The models in this process.

use std::path::Path;
use std::sync::Arc;

use portcullis_policies::yaml::closest;

use super::check::Check;
use super::file::ConfigFile;
use super::file::model::{ModelFile, QuantizeFile};
use super::place::Place;
use crate::backends::settings::{ModelDevice, ModelSettings, ModelSource, Quantization};

/// Longest name of a model, in characters: that of a tool.
const MAX_NAME: usize = 64;
/// The `path` of the model inside the program.
const BUILT_IN: &str = "builtin";
/// The words that `device` has beside names of adapters.
const DEVICES: [&str; 3] = ["auto", "gpu", "cpu"];

/// `models`
pub(super) fn models(check: &mut Check<'_>, file: &ConfigFile) -> Vec<ModelSettings> {
    let section = Place::root("models");
    if !cfg!(feature = "chat") && !file.models.is_empty() {
        check.fault(&section, "this program was built without models: build it with the feature `chat`");
    }
    let mut settings = Vec::new();
    for (name, entry) in file.models.iter() {
        let place = section.key(name);
        check_name(check, &place, name, file);
        settings.extend(model(check, &place, name, entry));
    }
    settings
}

fn check_name(check: &mut Check<'_>, place: &Place, name: &str, file: &ConfigFile) {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let separator = &file.naming.separator;
    if !plain || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.len() > MAX_NAME {
        let message = format!(
            "`{name}` is not a name for a model, which is its tool's: begin with a letter and go on with letters, \
             digits, `_`, `-` and `.`, {MAX_NAME} at most"
        );
        check.fault(place, message);
    } else if !separator.is_empty() && name.contains(separator) {
        check.fault(place, format!("`{name}` reads as a tool of an upstream: it must not hold `{separator}`"));
    }
    for (section, upstreams) in [("upstreams", &file.upstreams), ("mcpServers", &file.mcp_servers)] {
        if upstreams.iter().any(|(upstream, _)| upstream == name) {
            check.fault(place, format!("`{name}` stands under `{section}` already"));
        }
    }
}

fn model(check: &mut Check<'_>, place: &Place, name: &str, file: &ModelFile) -> Option<ModelSettings> {
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let device = device(check, &place.key("device"), &file.device);
    Some(ModelSettings {
        name: Arc::from(name),
        source: source(check, &place.key("path"), &file.path)?,
        device,
        quantization: match file.quantize {
            QuantizeFile::None => Quantization::None,
            QuantizeFile::Q8 => Quantization::Q8,
            QuantizeFile::Q4 => Quantization::Q4,
        },
        context_length: count(file.context_length),
        max_concurrent: count(file.max_concurrent),
        max_queue: count(file.max_queue),
    })
}

fn source(check: &mut Check<'_>, place: &Place, path: &str) -> Option<ModelSource> {
    if path == BUILT_IN {
        return Some(ModelSource::BuiltIn);
    }
    let folder = check.path(path);
    match missing(&folder) {
        Some(wrong) => {
            check.fault(place, format!("`{}` {wrong}", folder.display()));
            None
        }
        None => Some(ModelSource::Folder(folder)),
    }
}

/// What a folder lacks to be a checkpoint, as far as a look at it tells.
fn missing(folder: &Path) -> Option<&'static str> {
    if !folder.is_dir() {
        return Some("is not a folder: write `builtin`, or the folder of a checkpoint as published on Hugging Face");
    }
    for (file, wrong) in [
        ("config.json", "has no config.json: a checkpoint as published on Hugging Face has one"),
        ("tokenizer.json", "has no tokenizer.json: a checkpoint as published on Hugging Face has one"),
    ] {
        if !folder.join(file).is_file() {
            return Some(wrong);
        }
    }
    let is_weights = |name: &Path| name.extension().is_some_and(|extension| extension == "safetensors");
    let weights = folder.read_dir().is_ok_and(|mut files| files.any(|file| file.is_ok_and(|f| is_weights(&f.path()))));
    (!weights).then_some("has no weights: they are in files that end with .safetensors")
}

fn device(check: &mut Check<'_>, place: &Place, text: &str) -> ModelDevice {
    match text {
        "auto" => ModelDevice::Auto,
        "gpu" => ModelDevice::Gpu,
        "cpu" => ModelDevice::Cpu,
        name => {
            if let Some(meant) = closest(name, DEVICES) {
                check.warn(place, format!("`{name}` is taken for part of an adapter's name; `{meant}` is another"));
            }
            ModelDevice::Named(name.to_owned())
        }
    }
}
