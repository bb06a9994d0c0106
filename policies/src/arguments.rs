//! A call's arguments as conditions see them.
//!
//! JSON with a name given twice is read differently by different parsers
//! (RFC 8259 §4): a condition could approve the last `limit` while the upstream
//! obeys the first. Such arguments are refused before any condition sees them.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Why arguments cannot be judged. Tells the kind and place, never the content.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentsError {
    /// Not JSON, deeper than 128 levels, or with a name given twice.
    #[error("the arguments are not JSON, nest too deep or give a name twice, at byte {column} of line {line}")]
    Unreadable {
        /// Line, counted from 1.
        line: usize,
        /// Byte within the line.
        column: usize,
    },
    /// Some other JSON than the object that the protocol prescribes.
    #[error("the arguments are not an object")]
    NotAnObject,
}

/// Reads the `arguments` of a call for [`CallFacts::args`](crate::CallFacts).
///
/// # Errors
///
/// See [`ArgumentsError`].
pub fn parse_arguments(json: &[u8]) -> Result<Value, ArgumentsError> {
    let unreadable =
        |error: serde_json::Error| ArgumentsError::Unreadable { line: error.line(), column: error.column() };
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = Unambiguous.deserialize(&mut deserializer).map_err(unreadable)?;
    deserializer.end().map_err(unreadable)?;
    if value.is_object() { Ok(value) } else { Err(ArgumentsError::NotAnObject) }
}

/// Any JSON value without repeated names.
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Unambiguous)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Unambiguous)?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is given twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn object_is_read_as_it_is() {
        let text = r#"{"a": [1, -2, 2.5, 18446744073709551615, null, true, "x\n"], "b": {"c": {}}}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_arguments(text.as_bytes()).unwrap(), plain);
        assert_eq!(parse_arguments(b" {} ").unwrap(), json!({}));
    }

    #[test]
    fn name_given_twice_is_refused_at_any_depth() {
        for text in
            [r#"{"limit": 1, "limit": 1000}"#, r#"{"limit": 1, "l\u0069mit": 1000}"#, r#"{"a": [{"b": 1, "b": 1}]}"#]
        {
            let error = parse_arguments(text.as_bytes()).unwrap_err();
            assert!(matches!(error, ArgumentsError::Unreadable { .. }), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(matches!(parse_arguments(b"[1]"), Err(ArgumentsError::NotAnObject)));
        for bytes in [&b""[..], b"{", b"{} {}", b"{\"a\": \xff}"] {
            assert!(parse_arguments(bytes).is_err());
        }
        assert!(parse_arguments("[".repeat(100_000).as_bytes()).is_err());
    }
}
