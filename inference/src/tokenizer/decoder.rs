//! What a token's text in the vocabulary stands for.

use serde_json::Value;

use super::TokenizerError;

/// How the vocabulary spells bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Decoder {
    byte_level: bool,
    byte_fallback: bool,
    replacements: Vec<(String, String)>,
    strips_first_space: bool,
}

// === impl Decoder ===

impl Decoder {
    /// Reads the `decoder` of `tokenizer.json`.
    pub(super) fn new(json: &Value) -> Result<Self, TokenizerError> {
        let mut decoder = Self::default();
        let steps = match json["type"].as_str() {
            Some("Sequence") => json["decoders"].as_array().map(Vec::as_slice).unwrap_or_default(),
            _ => std::slice::from_ref(json),
        };
        let mut fused = false;
        for step in steps {
            match step["type"].as_str() {
                Some("ByteLevel") => decoder.byte_level = true,
                Some("ByteFallback") => decoder.byte_fallback = true,
                Some("Fuse") => fused = true,
                Some("Metaspace") => {
                    let marker = step["replacement"].as_str().unwrap_or("▁").to_owned();
                    decoder.replacements.push((marker, " ".to_owned()));
                    let prepends = step["prepend_scheme"].as_str() != Some("never");
                    decoder.strips_first_space |= prepends && step["add_prefix_space"].as_bool() != Some(false);
                }
                Some("Replace") => {
                    let (Some(from), Some(to)) = (step["pattern"]["String"].as_str(), step["content"].as_str()) else {
                        return Err(unknown(step));
                    };
                    decoder.replacements.push((from.to_owned(), to.to_owned()));
                }
                // Before the tokens are fused it would strip each of them.
                Some("Strip") if fused && step["content"] == " " && step["start"] == 1 && step["stop"] == 0 => {
                    decoder.strips_first_space = true;
                }
                _ => return Err(unknown(step)),
            }
        }
        let both_or_neither = decoder.byte_level != decoder.replacements.is_empty();
        if both_or_neither {
            return Err(unknown(json));
        }
        Ok(decoder)
    }

    /// Whether the text as a whole loses the blank it begins with.
    pub(super) fn strips_first_space(&self) -> bool {
        self.strips_first_space
    }

    /// The bytes that a token of this text stands for.
    pub(super) fn bytes(&self, token: &str) -> Vec<u8> {
        if self.byte_level {
            // Added tokens are spelt as they are.
            let bytes: Option<Vec<u8>> = token.chars().map(byte_level).collect();
            return bytes.unwrap_or_else(|| token.as_bytes().to_vec());
        }
        if self.byte_fallback
            && let Some(byte) = fallback_byte(token)
        {
            return vec![byte];
        }
        let mut text = token.to_owned();
        for (from, to) in &self.replacements {
            text = text.replace(from, to);
        }
        text.into_bytes()
    }
}

fn unknown(json: &Value) -> TokenizerError {
    // A name, not a whole structure: it goes into one line of a log.
    let name: String = json["type"].as_str().unwrap_or("that is missing").chars().take(40).collect();
    TokenizerError::Decoder(name)
}

/// GPT-2's alphabet: printable bytes are themselves, the others follow from
/// U+0100 on.
fn byte_level(character: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(character);
    match u8::try_from(code) {
        Ok(byte) => printable(byte).then_some(byte),
        Err(_) => {
            let index = usize::try_from(code.checked_sub(0x100)?).ok()?;
            (0..=u8::MAX).filter(|byte| !printable(*byte)).nth(index)
        }
    }
}

/// The byte that `<0x0A>` stands for.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn byte_level_spells_every_byte_once() {
        let mut spelt: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_level).collect();
        spelt.sort_unstable();
        assert_eq!(spelt, (0..=u8::MAX).collect::<Vec<_>>());
        assert_eq!(byte_level('Ġ'), Some(b' '));
        assert_eq!(byte_level('Ċ'), Some(b'\n'));
        assert_eq!(byte_level(' '), None);
    }

    #[test]
    fn sentence_piece_spells_blanks_and_bytes() {
        let decoder = Decoder::new(&json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}));
        let decoder = decoder.unwrap();
        assert_eq!(decoder.bytes("▁a▁"), b" a ");
        assert_eq!(decoder.bytes("<0x0A>"), b"\n");
        assert_eq!(decoder.bytes("<0xA>"), b"<0xA>");
        assert!(decoder.strips_first_space());
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (json, name) in [
            (json!(null), "that is missing"),
            (json!({"type": "WordPiece"}), "WordPiece"),
            (json!({"type": "Sequence", "decoders": []}), "Sequence"),
            (
                json!({"type": "Sequence", "decoders": [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]}),
                "Strip",
            ),
            (json!({"type": "Fuse"}), "Fuse"),
        ] {
            let TokenizerError::Decoder(refused) = Decoder::new(&json).unwrap_err() else { panic!("{json}") };
            assert_eq!(refused, name, "{json}");
        }
    }
}
