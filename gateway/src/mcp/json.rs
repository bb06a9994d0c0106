//! JSON of strangers: what its objects and strings hold.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;
use smallvec::SmallVec;

use super::scanner::{Fault, Scanner};
use super::splice::Span;

/// The deepest nesting a client's message may have.
///
/// Scanning does not recurse, so it could take more; but what stands behind
/// us may recurse, and must not be handed what would overflow its stack.
pub const MAX_DEPTH: usize = 128;

/// What to cut out of an object, see [`Members::cut`].
#[derive(Debug, Default)]
pub struct Cuts {
    /// In order, relative to the object's first byte.
    pub spans: SmallVec<[Range<usize>; 4]>,
    /// Whether a member is left.
    pub keeps_members: bool,
}

/// The members of an object, each visited once and borrowed.
#[derive(Debug)]
pub struct Members;

// === impl Members ===

impl Members {
    /// Calls `visit` with each key and value of the object `text`, in order.
    ///
    /// # Errors
    ///
    /// If the text is no object.
    pub fn for_each<'a>(text: &'a str, mut visit: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text);
        scanner.object(|scanner, key| {
            visit(key, scanner.value()?);
            Ok(())
        })?;
        scanner.end()
    }

    /// What to cut out of the object `text` so that the members whose key
    /// `drop` names are gone and everything else keeps its bytes.
    ///
    /// # Errors
    ///
    /// If the text is no object.
    pub fn cut(text: &str, drop: impl Fn(&str) -> bool) -> Result<Cuts, Fault> {
        let mut cuts = Cuts::default();
        // Where the last member ended, and the dropped ones before the first kept.
        let (mut end, mut leading) = (1, None);
        Self::for_each(text, |key, value| {
            let value_end = Span::of(value, text).end();
            match (drop(&key), cuts.keeps_members) {
                (true, true) => cuts.spans.push(end..value_end),
                (true, false) => leading = Some(value_end),
                (false, _) => {
                    cuts.keeps_members = true;
                    if let Some(dropped) = leading.take() {
                        let comma = text[dropped..].find(',').map_or(dropped, |comma| dropped + comma + 1);
                        cuts.spans.push(1..comma);
                    }
                }
            }
            end = value_end;
        })?;
        cuts.spans.extend(leading.map(|dropped| 1..dropped));
        Ok(cuts)
    }
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_keeps_the_bytes_of_what_stays() {
        for (object, left) in [
            (r#"{ "x" : 1.0e2, "b":[1 ,2], "\u0063":"\u00e9" }"#, r#"{ "b":[1 ,2], "\u0063":"\u00e9" }"#),
            (r#"{"b":0 , "x":1,"y" :2, "c":3,"x":4 }"#, r#"{"b":0, "c":3 }"#),
            (r#"{"x":1,"y":"a,b" ,"b":0}"#, r#"{"b":0}"#),
            (r#"{"\u0078":1}"#, "{}"),
            (r#"{ "b":0 }"#, r#"{ "b":0 }"#),
            ("{}", "{}"),
        ] {
            let cuts = Members::cut(object, |key| matches!(key, "x" | "y")).unwrap();
            let mut text = object.to_owned();
            cuts.spans.iter().rev().for_each(|span| text.replace_range(span.clone(), ""));
            assert_eq!((text.as_str(), cuts.keeps_members), (left, left.contains("b")), "{object}");
        }
    }
}
