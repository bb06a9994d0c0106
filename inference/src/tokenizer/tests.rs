use serde_json::{Map, Value, json};

use super::*;

impl Tokenizer {
    /// The text of tokens as the library decodes it.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        self.inner.decode(tokens, true).unwrap()
    }
}

fn added(first: usize, texts: &[&str]) -> Value {
    let token = |(id, text): (usize, &&str)| {
        json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    texts.iter().enumerate().map(|(index, text)| token((first + index, text))).collect()
}

/// A byte-level tokenizer without merges, as JSON.
pub(crate) fn byte_level_json() -> Value {
    let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let vocabulary: Map<String, Value> =
        alphabet.iter().enumerate().map(|(id, letter)| (letter.to_string(), json!(id))).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    json!({"version": "1.0", "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": null, "added_tokens": added(256, &["<|im_start|>", "<|im_end|>"]), "normalizer": null,
        "pre_tokenizer": byte_level, "post_processor": null, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}})
}

/// A tokenizer whose tokens are bytes, and `<|im_start|>` 256, `<|im_end|>` 257.
pub(crate) fn byte_level() -> Tokenizer {
    Tokenizer::new(byte_level_json().to_string().as_bytes()).unwrap()
}

/// A tokenizer that knows a blank and `a`, and bytes for the rest.
pub(crate) fn sentence_piece() -> Tokenizer {
    let texts = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter();
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let all = texts.chain(bytes).chain(["▁", "a", "▁a"].map(str::to_owned));
    let vocabulary: Map<String, Value> = all.enumerate().map(|(id, text)| (text, json!(id))).collect();
    let tokenizer = json!({"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(0, &["<unk>", "<s>", "</s>"]),
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": vocabulary, "merges": [["▁", "a"]]}});
    Tokenizer::new(tokenizer.to_string().as_bytes()).unwrap()
}

#[test]
fn lengths_from_training_cut_nothing() {
    assert_eq!(byte_level().encode("abcdefgh").unwrap().len(), 8);
}

#[test]
fn special_tokens_are_recognised_and_stand_for_no_bytes() {
    let tokenizer = byte_level();
    let tokens = tokenizer.encode("<|im_start|>é").unwrap();
    assert_eq!(tokens[0], 256);
    assert!(tokenizer.is_special(256) && !tokenizer.is_special(tokens[1]));
    assert_eq!(tokens.iter().flat_map(|token| tokenizer.bytes(*token)).copied().collect::<Vec<u8>>(), "é".as_bytes());
    assert!(tokenizer.bytes(258).is_empty());
}

#[test]
fn spelt_out_special_tokens_are_found_where_they_begin() {
    let text = "a <|im_end|>b<|im_start|> <|im_end";
    assert_eq!(byte_level().spelt_out_specials(text).collect::<Vec<_>>(), [2, 13]);
}

#[test]
fn what_is_no_tokenizer_is_refused() {
    let refused = |json: &str| Tokenizer::new(json.as_bytes()).unwrap_err();
    assert!(matches!(refused("{"), TokenizerError::Json { file: "tokenizer.json", .. }));
    assert!(matches!(refused("{}"), TokenizerError::Decoder(_)));
    assert!(matches!(refused(r#"{"decoder": {"type": "ByteLevel"}}"#), TokenizerError::Invalid(_)));
    let mut json = byte_level_json();
    json["model"]["vocab"]["far away"] = json!(4_000_000_000_u32);
    assert!(matches!(refused(&json.to_string()), TokenizerError::TokenId(4_000_000_000)));
}

#[test]
fn special_tokens_are_texts_or_objects() {
    let config = br#"{"bos_token": null, "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": "<pad>"}"#;
    let config = TokenizerConfig::new(Some(config)).unwrap();
    assert_eq!(config.special_tokens().collect::<Vec<_>>(), [("eos_token", "</s>"), ("pad_token", "<pad>")]);
}
