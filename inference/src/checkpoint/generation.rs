//! `generation_config.json`: how a checkpoint's makers sample from it.

use serde_json::Value;

use crate::chat::Sampling;

use super::{
    CheckpointError, Files, ModelConfig,
    config::token_ids,
    json::{self, Object},
};

const FILE: &str = "generation_config.json";
/// Bytes it may have.
const MAX_BYTES: u64 = 1 << 20;

/// What a request that says nothing gets.
///
/// As transformers' `generate` does: without `do_sample: true` the likeliest
/// token is taken, whatever temperature the file names, and `top_k` is 50
/// unless stated, because transformers leaves that value out when it writes
/// the file. Lengths are not taken over: those are the caller's.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Every field but the seed has a value.
    pub sampling: Sampling,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
}

// === impl Generation ===

impl Generation {
    /// Reads `generation_config.json`, where there is one; `config.json` says
    /// the rest.
    ///
    /// # Errors
    ///
    /// If a value in it is out of range; by key.
    pub fn read(files: &Files, config: &ModelConfig) -> Result<Self, CheckpointError> {
        match files.read(FILE, MAX_BYTES)? {
            Some(bytes) => Self::parse(&bytes, config),
            None => Self::parse(b"{}", config),
        }
    }

    /// Parses the contents of `generation_config.json`.
    ///
    /// # Errors
    ///
    /// If a value in it is out of range; by key.
    pub fn parse(bytes: &[u8], config: &ModelConfig) -> Result<Self, CheckpointError> {
        let entries = json::parse(FILE, bytes)?;
        let file = Object::new(FILE, &entries);
        let temperature = file.number("temperature", 0.0..=1e4)?.unwrap_or(1.0);
        let samples = file.flag("do_sample")?.unwrap_or(false);
        let sampling = Sampling {
            temperature: Some(if samples { temperature as f32 } else { 0.0 }),
            top_k: Some(top_k(&file)?),
            top_p: Some(file.number("top_p", 0.0..=1.0)?.unwrap_or(1.0) as f32),
            min_p: Some(file.number("min_p", 0.0..=1.0)?.unwrap_or(0.0) as f32),
            repetition_penalty: Some(file.number("repetition_penalty", 1e-3..=1e3)?.unwrap_or(1.0) as f32),
            seed: None,
        };
        let end_tokens = token_ids(&file, "eos_token_id", config.vocab_size)?;
        let end_tokens = if end_tokens.is_empty() { config.end_tokens.clone() } else { end_tokens };
        Ok(Self { sampling, end_tokens })
    }
}

/// 0 means all, and some files say -1 for that.
fn top_k(file: &Object<'_>) -> Result<usize, CheckpointError> {
    match file.value("top_k").and_then(Value::as_i64) {
        Some(-1) => Ok(0),
        _ => Ok(file.count("top_k", 0..=usize::MAX)?.unwrap_or(50)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::config::tests::tiny;

    fn parse(json: &str) -> Result<Generation, CheckpointError> {
        Generation::parse(json.as_bytes(), &ModelConfig { end_tokens: vec![7], ..tiny() })
    }

    #[test]
    fn without_do_sample_the_likeliest_token_is_taken() {
        for json in ["{}", r#"{"temperature": 0.6, "top_p": 0.9}"#, r#"{"do_sample": false, "temperature": 0.6}"#] {
            assert_eq!(parse(json).unwrap().sampling.temperature, Some(0.0), "{json}");
        }
    }

    #[test]
    fn sampling_is_as_the_file_says() {
        let json = r#"{"do_sample": true, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05}"#;
        let sampling = parse(json).unwrap().sampling;
        assert_eq!(sampling.temperature, Some(0.7));
        assert_eq!(sampling.top_k, Some(20));
        assert_eq!(sampling.top_p, Some(0.8));
        assert_eq!(sampling.min_p, Some(0.0));
        assert_eq!(sampling.repetition_penalty, Some(1.05));
    }

    #[test]
    fn what_is_left_out_is_as_in_transformers() {
        let sampling = parse(r#"{"do_sample": true, "top_p": null}"#).unwrap().sampling;
        assert_eq!(sampling.temperature, Some(1.0));
        assert_eq!(sampling.top_k, Some(50));
        assert_eq!(sampling.top_p, Some(1.0));
    }

    #[test]
    fn all_tokens_count_where_top_k_is_none_or_minus_one() {
        for (json, top_k) in [(r#"{"top_k": -1}"#, 0), (r#"{"top_k": 0}"#, 0), (r#"{"top_k": 20}"#, 20), ("{}", 50)] {
            assert_eq!(parse(json).unwrap().sampling.top_k, Some(top_k), "{json}");
        }
        assert!(parse(r#"{"top_k": -2}"#).is_err());
        assert!(parse(r#"{"top_k": 1.5}"#).is_err());
    }

    #[test]
    fn end_tokens_are_one_or_several_or_those_of_the_config() {
        assert_eq!(parse(r#"{"eos_token_id": 3}"#).unwrap().end_tokens, [3]);
        assert_eq!(parse(r#"{"eos_token_id": [3, 5, 100000]}"#).unwrap().end_tokens, [3, 5]);
        assert_eq!(parse("{}").unwrap().end_tokens, [7]);
        assert_eq!(parse(r#"{"eos_token_id": null}"#).unwrap().end_tokens, [7]);
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_key() {
        let refused = parse(r#"{"top_p": 1.5}"#).unwrap_err().to_string();
        assert_eq!(refused, "generation_config.json: top_p must be a number from 0 to 1");
        let refused = parse(r#"{"eos_token_id": "</s>"}"#).unwrap_err().to_string();
        assert_eq!(refused, "generation_config.json: eos_token_id must be a token or a list of tokens");
        assert!(parse(r#"{"temperature": -1}"#).is_err());
    }
}
