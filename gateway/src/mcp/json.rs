//! JSON of strangers: how deep it may nest, and what its objects hold.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::splice::Span;

/// The deepest nesting a client's message may have.
///
/// Scanning does not recurse, so it could take more; but what stands behind
/// us may recurse, and must not be handed what would overflow its stack.
pub const MAX_DEPTH: usize = 128;

/// Whether the text nests no deeper than [`MAX_DEPTH`].
#[must_use]
pub fn depth_is_bounded(text: &[u8]) -> bool {
    // Fewer openings than levels: no need to look where they stand.
    let openings = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    openings <= MAX_DEPTH || depth_within(text, MAX_DEPTH)
}

fn depth_within(text: &[u8], max: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in text {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return false;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

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
    /// Calls `visit` with each key and value of the object `text`, in order,
    /// until it returns `false`.
    ///
    /// # Errors
    ///
    /// If the text is no object, or `visit` returned `false`.
    pub fn for_each<'a>(
        text: &'a str,
        visit: impl FnMut(Cow<'a, str>, &'a RawValue) -> bool,
    ) -> Result<(), serde_json::Error> {
        struct Each<F>(F);

        impl<'de, F: FnMut(Cow<'de, str>, &'de RawValue) -> bool> Visitor<'de> for Each<F> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
                while let Some(Key(key)) = map.next_key()? {
                    let value = map.next_value()?;
                    if !(self.0)(key, value) {
                        return Err(de::Error::custom("an object has the same key twice"));
                    }
                }
                Ok(())
            }
        }

        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(Each(visit))?;
        deserializer.end()
    }

    /// What to cut out of the object `text` so that the members whose key
    /// `drop` names are gone and everything else keeps its bytes.
    ///
    /// # Errors
    ///
    /// If the text is no object.
    pub fn cut(text: &str, drop: impl Fn(&str) -> bool) -> Result<Cuts, serde_json::Error> {
        let mut cuts = Cuts::default();
        // Where the last member ended, and the dropped ones before the first kept.
        let (mut end, mut leading) = (1, None);
        Self::for_each(text, |key, value| {
            let value_end = Span::of(value.get(), text).end();
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
            true
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

/// A key, borrowed where it has no escapes.
pub(crate) struct Key<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
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

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        assert!(!depth_is_bounded(deep.as_bytes()));
        let quoted = format!("[\"\\\"{}\"]", "[".repeat(100_000));
        assert!(depth_is_bounded(quoted.as_bytes()));
        let wide = format!("[{}]", vec!["[]"; 1000].join(","));
        assert!(depth_is_bounded(wide.as_bytes()));
    }
}
