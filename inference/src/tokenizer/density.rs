//! How much text one token can stand for at most.
//!
//! A prompt that cannot fit is refused before it is encoded, as encoding a
//! megabyte takes a while. That needs a proof: no part of the text may vanish
//! on its way to tokens. Where a tokenizer has a step for which that is not
//! known, nothing is claimed.

use serde_json::Value;

/// Unicode composition at most thirds a text: a Hangul syllable of three
/// letters takes nine bytes before and three after; the Kelvin sign three and one.
const COMPOSITION: usize = 3;

/// How many times shorter than a text what is tokenised of it can be; `None`
/// where text may vanish altogether.
pub(super) fn shrinkage(tokenizer: &Value) -> Option<usize> {
    let strips = |token: &Value| token["lstrip"] == true || token["rstrip"] == true;
    let added = tokenizer["added_tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    let complete = keeps_every_byte(tokenizer) && cuts_only(&tokenizer["pre_tokenizer"]) && !added.iter().any(strips);
    if complete { normalizer(&tokenizer["normalizer"]) } else { None }
}

fn normalizer(json: &Value) -> Option<usize> {
    match json["type"].as_str() {
        None if json.is_null() => Some(1),
        Some("NFC") => Some(COMPOSITION),
        Some("Prepend") => Some(1),
        Some("Replace") => {
            let (from, to) = (json["pattern"]["String"].as_str()?, json["content"].as_str()?);
            (to.len() >= from.len()).then_some(1)
        }
        Some("Sequence") => {
            let steps = json["normalizers"].as_array()?;
            steps.iter().try_fold(1_usize, |times, step| times.checked_mul(normalizer(step)?))
        }
        _ => None,
    }
}

/// Whether the text is only cut into pieces before it is tokenised.
fn cuts_only(json: &Value) -> bool {
    match json["type"].as_str() {
        None => json.is_null(),
        Some("ByteLevel" | "Metaspace" | "Digits") => true,
        Some("Split") => json["behavior"].as_str().is_some_and(|behavior| behavior != "Removed"),
        Some("Sequence") => json["pretokenizers"].as_array().is_some_and(|steps| steps.iter().all(cuts_only)),
        _ => false,
    }
}

/// Whether each byte has a token of its own, so that none is left out.
fn keeps_every_byte(tokenizer: &Value) -> bool {
    let vocabulary = &tokenizer["model"]["vocab"];
    if tokenizer["model"]["byte_fallback"] == true {
        return (0..=u8::MAX).all(|byte| vocabulary.get(format!("<0x{byte:02X}>")).is_some());
    }
    let byte_level = |json: &Value| json["type"] == "ByteLevel";
    let pre_tokenizer = &tokenizer["pre_tokenizer"];
    let steps = pre_tokenizer["pretokenizers"].as_array();
    let spells_bytes = byte_level(pre_tokenizer) || steps.is_some_and(|steps| steps.iter().any(byte_level));
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    spells_bytes && alphabet.iter().all(|letter| vocabulary.get(letter.to_string()).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn composition_counts_and_growth_does_not() {
        assert_eq!(normalizer(&json!(null)), Some(1));
        assert_eq!(normalizer(&json!({"type": "NFC"})), Some(3));
        let grows = json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]});
        assert_eq!(normalizer(&grows), Some(1));
    }

    #[test]
    fn what_may_lose_text_proves_nothing() {
        for json in [
            json!({"type": "Strip", "strip_left": true, "strip_right": true}),
            json!({"type": "Replace", "pattern": {"String": "  "}, "content": " "}),
            json!({"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}),
            json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFKC"}]}),
        ] {
            assert_eq!(normalizer(&json), None, "{json}");
        }
        assert!(!cuts_only(&json!({"type": "Whitespace"})));
        assert!(!cuts_only(
            &json!({"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": false})
        ));
    }
}
