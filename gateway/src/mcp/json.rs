//! JSON of strangers: how deep it may nest, and what its objects hold.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

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

    /// Writes the object `text` anew without the members whose key `drop`
    /// names, and with `add` (key, value as JSON) at its end.
    ///
    /// # Errors
    ///
    /// If the text is no object.
    pub fn rewrite(text: &str, drop: impl Fn(&str) -> bool, add: &[(&str, &str)]) -> Result<String, serde_json::Error> {
        let added: usize = add.iter().map(|(key, value)| key.len() + value.len() + 4).sum();
        let mut out = String::with_capacity(text.len() + added);
        out.push('{');
        Self::for_each(text, |key, value| {
            if !drop(&key) {
                push_member(&mut out, &key, value.get());
            }
            true
        })?;
        for (key, value) in add {
            push_member(&mut out, key, value);
        }
        out.push('}');
        Ok(out)
    }
}

fn push_member(out: &mut String, key: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    push_string(out, key);
    out.push(':');
    out.push_str(value);
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
    fn rewriting_keeps_the_text_of_what_stays() {
        let object = r#"{ "a" : 1.0e2, "b":[1 ,2], "c":"\u00e9" }"#;
        assert_eq!(
            Members::rewrite(object, |key| key == "b", &[("d", "null")]).unwrap(),
            r#"{"a":1.0e2,"c":"\u00e9","d":null}"#
        );
        assert_eq!(Members::rewrite("{}", |_| false, &[]).unwrap(), "{}");
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
