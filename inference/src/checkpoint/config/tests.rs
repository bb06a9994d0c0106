use super::*;

/// A small decoder.
pub(crate) fn tiny() -> ModelConfig {
    ModelConfig::parse(
        br#"{"model_type": "llama", "vocab_size": 32, "hidden_size": 8, "intermediate_size": 12,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}"#,
    )
    .unwrap()
}
