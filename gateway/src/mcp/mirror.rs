//! The headers in which a stateless request repeats parts of its body
//! (MCP 2026-07-28, "Streamable HTTP", request metadata headers).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// `MCP-Protocol-Version`.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`, of the revisions with a handshake.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Mcp-Method`, which repeats `method`.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`, which repeats the name of what is called.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// Headers of this prefix repeat arguments that the tool's schema marks.
pub const PARAM_PREFIX: &str = "mcp-param-";

const ENCODED_PREFIX: &str = "=?base64?";
const ENCODED_SUFFIX: &str = "?=";

/// Reads a mirroring header that must be there once.
///
/// # Errors
///
/// What is wrong with it, for the caller.
pub fn read<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Cow<'h, str>, String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| format!("the header {name} is missing"))?;
    if values.next().is_some() {
        return Err(format!("the header {name} is given more than once"));
    }
    let text = value.to_str().map_err(|_| format!("the header {name} holds characters it may not"))?.trim();
    decode(text).ok_or_else(|| format!("the header {name} is badly encoded"))
}

/// Undoes `=?base64?…?=`. `None` where that is malformed.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    let Some(encoded) = text.strip_prefix(ENCODED_PREFIX).and_then(|rest| rest.strip_suffix(ENCODED_SUFFIX)) else {
        return Some(Cow::Borrowed(text));
    };
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned)
}

/// Writes a value so that any header can carry it: plain where it is visible
/// ASCII without spaces at its ends, else as `=?base64?…?=`.
#[must_use]
pub fn encode(value: &str) -> HeaderValue {
    let plain = value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && value.trim() == value
        && !value.is_empty()
        && !value.starts_with(ENCODED_PREFIX);
    let text = if plain {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{ENCODED_PREFIX}{}{ENCODED_SUFFIX}", STANDARD.encode(value)))
    };
    HeaderValue::from_str(&text).expect("visible ASCII is a header value")
}

/// A parameter that the tool's schema marks with `x-mcp-header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredParameter {
    /// The header, `mcp-param-…`.
    pub header: HeaderName,
    /// The way to the argument, by property names.
    pub path: Vec<String>,
    /// Whether its type is `integer`, so that `7` and `7.0` are the same.
    pub is_integer: bool,
}

// === impl MirroredParameter ===

impl MirroredParameter {
    /// The parameters that an `inputSchema` marks.
    ///
    /// # Errors
    ///
    /// Why an annotation is invalid; such a tool must not be shown.
    pub fn of_schema(schema: &Value) -> Result<Vec<Self>, &'static str> {
        let mut found = Vec::new();
        collect(schema, &mut Vec::new(), &mut found)?;
        let mut headers: Vec<&str> = found.iter().map(|parameter: &Self| parameter.header.as_str()).collect();
        headers.sort_unstable();
        headers.dedup();
        if headers.len() < found.len() {
            return Err("two parameters name the same header");
        }
        Ok(found)
    }

    /// The header's value for these arguments; `None` where the argument is
    /// absent or null, so that no header is sent.
    #[must_use]
    pub fn value(&self, arguments: &Value) -> Option<HeaderValue> {
        match self.argument(arguments)? {
            Value::String(text) => Some(encode(text)),
            Value::Number(number) => Some(encode(&number.to_string())),
            Value::Bool(flag) => Some(HeaderValue::from_static(if *flag { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Checks a client's header against its arguments.
    ///
    /// # Errors
    ///
    /// What differs, for the caller.
    pub fn check(&self, headers: &HeaderMap, arguments: &Value) -> Result<(), String> {
        let Some(expected) = self.value(arguments) else {
            return match headers.contains_key(&self.header) {
                true => Err(format!("the header {} repeats an argument that is not there", self.header)),
                false => Ok(()),
            };
        };
        let given = read(headers, &self.header)?;
        let expected = decode(expected.to_str().unwrap_or_default()).unwrap_or_default();
        let equal = given == expected || self.is_integer && same_integer(&given, &expected);
        if equal { Ok(()) } else { Err(format!("the header {} differs from the argument", self.header)) }
    }

    fn argument<'v>(&self, arguments: &'v Value) -> Option<&'v Value> {
        self.path.iter().try_fold(arguments, |value, key| value.get(key))
    }
}

/// Compares numbers by value: `7` and `7.0` are the same, and large integers
/// that no float tells apart are not.
fn same_integer(given: &str, expected: &str) -> bool {
    match (given.parse::<i128>(), expected.parse::<i128>()) {
        (Ok(given), Ok(expected)) => given == expected,
        _ => matches!((given.parse::<f64>(), expected.parse::<f64>()), (Ok(given), Ok(expected)) if given == expected),
    }
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<MirroredParameter>) -> Result<(), &'static str> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (key, property) in properties {
        path.push(key.clone());
        if let Some(annotation) = property.get("x-mcp-header") {
            let name = annotation.as_str().filter(|name| !name.is_empty()).ok_or("x-mcp-header is no name")?;
            let header = HeaderName::from_bytes(format!("{PARAM_PREFIX}{name}").as_bytes())
                .map_err(|_| "x-mcp-header is no header name")?;
            let kind = property.get("type").and_then(Value::as_str);
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err("x-mcp-header marks a parameter that is no string, integer or boolean");
            }
            found.push(MirroredParameter { header, path: path.clone(), is_integer: kind == Some("integer") });
        }
        if path.len() < super::json::MAX_DEPTH {
            collect(property, path, found)?;
        }
        path.pop();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_survive_the_way_through_a_header() {
        for text in ["plain", "two words", " edge", "grün", "", "=?base64?x", "line\nbreak"] {
            let mut headers = HeaderMap::new();
            headers.insert(NAME, encode(text));
            assert_eq!(read(&headers, &NAME).unwrap(), text);
        }
    }

    #[test]
    fn a_header_given_twice_or_badly_encoded_is_refused() {
        let mut headers = HeaderMap::new();
        assert!(read(&headers, &NAME).unwrap_err().contains("missing"));
        headers.append(NAME, HeaderValue::from_static("=?base64?YQ?="));
        assert!(read(&headers, &NAME).unwrap_err().contains("encoded"));
        headers.append(NAME, HeaderValue::from_static("a"));
        assert!(read(&headers, &NAME).unwrap_err().contains("more than once"));
    }

    #[test]
    fn marked_parameters_are_found_and_compared() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "page": {"type": "object", "properties": {"size": {"type": "integer", "x-mcp-header": "Size"}}},
        }});
        let found = MirroredParameter::of_schema(&schema).unwrap();
        let arguments = json!({"region": "eu", "page": {"size": 7}});
        let mut headers = HeaderMap::new();
        headers.insert("mcp-param-region", HeaderValue::from_static("eu"));
        headers.insert("mcp-param-size", HeaderValue::from_static("7.0"));
        assert!(found.iter().all(|parameter| parameter.check(&headers, &arguments).is_ok()));
        headers.insert("mcp-param-region", HeaderValue::from_static("us"));
        assert!(found.iter().any(|parameter| parameter.check(&headers, &arguments).is_err()));
        assert!(found.iter().all(|parameter| parameter.check(&HeaderMap::new(), &json!({})).is_ok()));
        assert!(found.iter().all(|parameter| parameter.check(&HeaderMap::new(), &arguments).is_err()));
    }

    #[test]
    fn large_integers_are_compared_exactly() {
        assert!(same_integer("7.0", "7"));
        assert!(same_integer("1e2", "100"));
        assert!(!same_integer("9007199254740992", "9007199254740993"));
        assert!(!same_integer("inf", "1"));
    }

    #[test]
    fn an_invalid_annotation_is_reported() {
        for property in [
            json!({"type": "number", "x-mcp-header": "N"}),
            json!({"type": "string", "x-mcp-header": "no spaces"}),
            json!({"type": "string", "x-mcp-header": 1}),
        ] {
            assert!(MirroredParameter::of_schema(&json!({"properties": {"a": property}})).is_err());
        }
        let twice = json!({"properties": {
            "a": {"type": "string", "x-mcp-header": "N"}, "b": {"type": "string", "x-mcp-header": "n"},
        }});
        assert!(MirroredParameter::of_schema(&twice).is_err());
    }
}
