//! A quick answer for arguments that obviously fit.
//!
//! Most calls pass a few strings and numbers that the schema knows by name
//! and type. That can be told from the arguments' text, without the tree that
//! a validator needs. Whatever is less obvious is left to the validator: it
//! alone refuses, and says why.

use serde_json::{Map, Value};

use crate::mcp::scanner::{Scanner, string};

/// What of a schema can be told from the text. Only arguments that are named
/// here can fit, so rules for others do not matter.
#[derive(Debug)]
pub(super) struct PlainSchema {
    properties: Vec<Property>,
    /// A bit for each property that must be there.
    required: u64,
}

#[derive(Debug)]
struct Property {
    name: String,
    /// Which values surely fit, as bits; none where the property has other
    /// rules than a type.
    kinds: u8,
}

const STRING: u8 = 1;
const BOOLEAN: u8 = 2;
const NULL: u8 = 4;
const INTEGER: u8 = 8;
const FRACTION: u8 = 16;

/// Keywords that only describe.
const ANNOTATIONS: [&str; 8] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];

/// Keywords of the whole that have no say over arguments known by name.
const OF_OTHERS: [&str; 3] = ["additionalProperties", "$defs", "definitions"];

/// The dialects in which the rules read here mean the same.
const DIALECTS: [&str; 4] = [
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
];

// === impl PlainSchema ===

impl PlainSchema {
    /// What can be told of a valid schema; `None` where it has rules for the
    /// whole that are not read here.
    pub(super) fn read(schema: &Value) -> Option<Self> {
        let schema = schema.as_object()?;
        let none = Map::new();
        let properties = schema.get("properties").map_or(Some(&none), Value::as_object)?;
        if properties.len() > u64::BITS as usize || !schema.iter().all(|(keyword, rule)| is_read(keyword, rule)) {
            return None;
        }
        let properties: Vec<Property> =
            properties.iter().map(|(name, rules)| Property { name: name.clone(), kinds: kinds(rules) }).collect();
        let mut required = 0;
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str()?;
            required |= 1 << properties.iter().position(|property| property.name == name)?;
        }
        Some(Self { properties, required })
    }

    /// Whether these arguments surely fit, no name among them twice.
    pub(super) fn surely_takes(&self, arguments: &str) -> bool {
        let mut scanner = Scanner::new(arguments);
        let (mut seen, mut fit) = (0, true);
        let read = scanner.object(|scanner, name| {
            let value = scanner.value()?;
            let known = self.properties.iter().position(|property| property.name == name);
            let bit = known.map_or(0, |index| 1_u64 << index);
            fit &= seen & bit == 0 && known.is_some_and(|index| self.properties[index].kinds & kind(value) != 0);
            seen |= bit;
            Ok(())
        });
        read.is_ok() && fit && seen & self.required == self.required && scanner.end().is_ok()
    }
}

fn is_read(keyword: &str, rule: &Value) -> bool {
    match keyword {
        "properties" | "required" => true,
        "type" => rule == "object",
        "$schema" => rule.as_str().is_some_and(|dialect| DIALECTS.contains(&dialect.trim_end_matches('#'))),
        _ => OF_OTHERS.contains(&keyword) || only_describes(keyword),
    }
}

fn only_describes(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword) || keyword.starts_with("x-")
}

/// Which values surely fit a property.
fn kinds(rules: &Value) -> u8 {
    let Some(rules) = rules.as_object() else { return 0 };
    if !rules.keys().all(|keyword| keyword == "type" || only_describes(keyword)) {
        return 0;
    }
    match rules.get("type") {
        None => u8::MAX,
        Some(Value::Array(names)) => names.iter().map(kinds_of_type).fold(0, |kinds, kind| kinds | kind),
        Some(name) => kinds_of_type(name),
    }
}

fn kinds_of_type(name: &Value) -> u8 {
    match name.as_str() {
        Some("string") => STRING,
        Some("boolean") => BOOLEAN,
        Some("null") => NULL,
        Some("integer") => INTEGER,
        Some("number") => INTEGER | FRACTION,
        _ => 0,
    }
}

/// Which kind a value surely is; none where it takes more to tell, as for
/// objects, in which a name may come twice, and for numbers that are large,
/// have an exponent, or may be whole in spite of their point.
fn kind(value: &str) -> u8 {
    match value.as_bytes() {
        [b'"', ..] => STRING * u8::from(string(value).is_some()),
        b"true" | b"false" => BOOLEAN,
        b"null" => NULL,
        [b'-' | b'0'..=b'9', rest @ ..] if rest.len() < 16 => {
            if rest.iter().all(u8::is_ascii_digit) {
                INTEGER
            } else if rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.') {
                FRACTION
            } else {
                0
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
