use serde_json::{Map, json};

use super::*;

/// A small decoder.
pub(crate) fn tiny() -> ModelConfig {
    with("{}").unwrap()
}

/// A small decoder whose file also has these keys.
pub(crate) fn with(keys: &str) -> Result<ModelConfig, CheckpointError> {
    let mut config = small("llama");
    config.extend(serde_json::from_str::<Map<_, _>>(keys).unwrap());
    ModelConfig::parse(&serde_json::to_vec(&config).unwrap())
}

fn small(family: &str) -> Map<String, serde_json::Value> {
    let config = json!({"model_type": family, "vocab_size": 32, "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1});
    config.as_object().unwrap().clone()
}

fn of(family: &str, keys: &str) -> ModelConfig {
    with(&keys.replacen('{', &format!(r#"{{"model_type": "{family}", "#), 1)).unwrap()
}

fn refusal(keys: &str) -> String {
    with(keys).unwrap_err().to_string()
}

#[test]
fn a_published_llama_is_read() {
    let json = br#"{"architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0,
        "low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
        "vocab_size": 128256}"#;
    let config = ModelConfig::parse(json).unwrap();
    assert_eq!(config.family, Family::Llama);
    assert_eq!((config.layers, config.heads, config.kv_heads, config.head_dim), (16, 32, 8, 64));
    assert_eq!(config.norm_eps, 1e-5);
    assert_eq!(config.end_tokens, [128_001, 128_008, 128_009]);
    assert_eq!(config.dtype, Some(Dtype::BF16));
    assert!(config.tied_embeddings);
    assert_eq!(config.parameters(), 1_235_814_400);
}

#[test]
fn a_published_qwen3_is_read() {
    let json = br#"{"model_type": "qwen3", "attention_bias": false, "dtype": "bfloat16", "eos_token_id": 151645,
        "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
        "layer_types": null, "max_position_embeddings": 40960, "max_window_layers": 28, "num_attention_heads": 16,
        "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}, "sliding_window": null,
        "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}"#;
    let config = ModelConfig::parse(json).unwrap();
    assert_eq!((config.head_dim, config.rope.theta), (128, 1e6));
    assert!(config.qk_norm && !config.qkv_bias);
    assert_eq!(config.windows, vec![None; 28]);
    assert_eq!(config.parameters(), 596_049_920);
}

#[test]
fn an_unknown_family_is_refused_with_those_that_are_known() {
    let expected = r#"config.json: model_type "gemma3" is not supported; supported are llama, mistral, qwen2, qwen3"#;
    assert_eq!(refusal(r#"{"model_type": "gemma3"}"#), expected);
    assert_eq!(refusal(r#"{"model_type": null}"#), "config.json: model_type is missing");
}

#[test]
fn biases_are_as_each_family_has_them() {
    let biases = |family, keys| {
        let config = of(family, keys);
        (config.qkv_bias, config.output_bias, config.mlp_bias)
    };
    let all = r#"{"attention_bias": true, "mlp_bias": true}"#;
    assert_eq!(biases("llama", "{\"x\": 1}"), (false, false, false));
    assert_eq!(biases("llama", all), (true, true, true));
    assert_eq!(biases("mistral", all), (false, false, false));
    assert_eq!(biases("qwen2", all), (true, false, false));
    assert_eq!(biases("qwen2", "{\"x\": 1}"), (true, false, false));
    assert_eq!(biases("qwen3", all), (true, true, false));
    assert_eq!(biases("qwen3", "{\"x\": 1}"), (false, false, false));
}

#[test]
fn heads_left_out_are_as_each_family_has_them() {
    let without = |family: &str| {
        let mut config = small(family);
        config.remove("num_key_value_heads");
        config.insert("num_attention_heads".to_owned(), json!(32));
        config.insert("hidden_size".to_owned(), json!(512));
        ModelConfig::parse(&serde_json::to_vec(&config).unwrap()).unwrap()
    };
    assert_eq!((without("llama").kv_heads, without("llama").head_dim), (32, 16));
    assert_eq!((without("mistral").kv_heads, without("mistral").head_dim), (8, 16));
    assert_eq!((without("qwen2").kv_heads, without("qwen2").head_dim), (32, 16));
    assert_eq!((without("qwen3").kv_heads, without("qwen3").head_dim), (32, 128));
    assert_eq!(of("mistral", r#"{"num_key_value_heads": null}"#).kv_heads, 2);
}

#[test]
fn windows_are_as_each_family_has_them() {
    let windows = |family, keys| of(family, keys).windows;
    assert_eq!(windows("llama", r#"{"sliding_window": 4}"#), [None, None]);
    assert_eq!(windows("mistral", r#"{"sliding_window": 4}"#), [Some(4), Some(4)]);
    assert_eq!(windows("mistral", r#"{"sliding_window": null}"#), [None, None]);
    assert_eq!(windows("mistral", r#"{"max_position_embeddings": 8192}"#), [Some(4096), Some(4096)]);
    assert_eq!(windows("mistral", r#"{"max_position_embeddings": 4096}"#), [None, None]);
    assert_eq!(windows("qwen2", r#"{"sliding_window": 4, "max_window_layers": 0}"#), [None, None]);
    let used = r#"{"use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1}"#;
    assert_eq!(windows("qwen2", used), [None, Some(4)]);
    let typed = r#"{"use_sliding_window": true, "sliding_window": 4,
        "layer_types": ["sliding_attention", "full_attention"]}"#;
    assert_eq!(windows("qwen3", typed), [Some(4), None]);
    assert_eq!(windows("mistral", &typed.replace("\"use_sliding_window\": true, ", "")), [Some(4), None]);
    assert_eq!(of("qwen3", used).window(1), Some(4));
    assert_eq!(of("qwen3", used).window(2), None);
}

#[test]
fn layer_types_that_do_not_fit_are_refused() {
    let qwen = |keys: &str| refusal(&keys.replacen('{', r#"{"model_type": "qwen3", "#, 1));
    let expected = "config.json: layer_types has 1 entries where num_hidden_layers is 2";
    assert_eq!(qwen(r#"{"layer_types": ["full_attention"]}"#), expected);
    let expected = "config.json: layer_types asks for a window, and sliding_window gives none";
    assert_eq!(qwen(r#"{"layer_types": ["sliding_attention", "sliding_attention"]}"#), expected);
    assert!(qwen(r#"{"layer_types": ["linear_attention", "full_attention"]}"#).contains("full_attention"));
}

#[test]
fn end_tokens_are_one_or_a_list_or_the_familys() {
    assert_eq!(with(r#"{"eos_token_id": 5}"#).unwrap().end_tokens, [5]);
    assert_eq!(with(r#"{"eos_token_id": [5, 6, 99, -1]}"#).unwrap().end_tokens, [5, 6]);
    assert!(with(r#"{"eos_token_id": null}"#).unwrap().end_tokens.is_empty());
    assert_eq!(tiny().end_tokens, [2]);
    assert!(of("qwen2", r#"{"x": 1}"#).end_tokens.is_empty());
}

#[test]
fn either_name_of_the_precision_is_read() {
    assert_eq!(with(r#"{"torch_dtype": "float16"}"#).unwrap().dtype, Some(Dtype::F16));
    assert_eq!(with(r#"{"dtype": "float32"}"#).unwrap().dtype, Some(Dtype::F32));
    assert_eq!(with(r#"{"dtype": "int4"}"#).unwrap().dtype, None);
}

#[test]
fn numbers_that_no_decoder_has_are_refused_by_key() {
    for (keys, expected) in [
        (r#"{"vocab_size": 0}"#, "vocab_size must be a whole number from 1 to 4194304"),
        (r#"{"vocab_size": 18446744073709551615}"#, "vocab_size must be"),
        (r#"{"hidden_size": 4096.0}"#, "hidden_size must be"),
        (r#"{"hidden_size": null}"#, "hidden_size is missing"),
        (r#"{"num_hidden_layers": -1}"#, "num_hidden_layers must be"),
        (r#"{"num_key_value_heads": 0}"#, "num_key_value_heads must be"),
        (r#"{"num_attention_heads": 3}"#, "num_attention_heads is 3, which does not divide hidden_size, 8"),
        (r#"{"num_attention_heads": 4, "num_key_value_heads": 3}"#, "num_key_value_heads is 3, which does not divide"),
        (r#"{"head_dim": 3}"#, "head_dim is 3; it must be even"),
        (r#"{"rms_norm_eps": 0}"#, "rms_norm_eps must be a number"),
        (r#"{"hidden_act": "gelu"}"#, r#"hidden_act is "gelu"; supported is silu"#),
        (r#"{"tie_word_embeddings": "yes"}"#, "tie_word_embeddings must be true or false"),
        (r#"{"quantization_config": {"quant_method": "gptq"}}"#, "quantization_config says"),
        (r#"{"eos_token_id": "</s>"}"#, "eos_token_id must be a token"),
    ] {
        let refused = refusal(keys);
        assert!(refused.starts_with(&format!("config.json: {expected}")), "{refused}");
    }
    assert_eq!(ModelConfig::parse(b"[]").unwrap_err().to_string(), "config.json is malformed");
    assert_eq!(ModelConfig::parse(b"").unwrap_err().to_string(), "config.json is malformed");
}

proptest::proptest! {
    #[test]
    fn no_configuration_panics(bytes in "\\PC{0,200}", number in proptest::num::i64::ANY, key in 0..8_usize) {
        let _ = ModelConfig::parse(bytes.as_bytes());
        let keys = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "head_dim",
            "num_key_value_heads", "max_position_embeddings", "intermediate_size"];
        if let Ok(config) = with(&format!(r#"{{"{}": {number}}}"#, keys[key])) {
            let _ = config.parameters();
            let _ = config.rope.inverse_frequencies(config.head_dim);
        }
    }
}
