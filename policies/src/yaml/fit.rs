//! A first look whether a value fits a schema, for files without faults.
//!
//! A validator is large: compiling one for the configuration takes more memory
//! than all that the gateway keeps of it. So it is made only for files that do
//! not obviously fit; it alone finds faults and says where they are.

use super::Formats;
use serde_json::{Map, Value};

/// The part of a schema's keywords that is known here says no more than what
/// it is for.
const ANNOTATIONS: [&str; 7] = ["$schema", "$defs", "title", "description", "default", "examples", "deprecated"];
/// Formats of numbers, which restate what type and bounds say.
const NUMBER_FORMATS: [&str; 8] = ["uint", "uint8", "uint16", "uint32", "uint64", "int32", "int64", "double"];

/// A schema and the checks behind its formats.
pub(super) struct Fit<'a> {
    pub(super) root: &'a Value,
    pub(super) formats: &'a Formats,
}

// === impl Fit ===

impl Fit<'_> {
    /// Whether `value` surely fits the whole schema. `false` says nothing: a
    /// keyword may be unknown here.
    pub(super) fn is_sure(&self, value: &Value) -> bool {
        self.fits(value, self.root)
    }

    fn fits(&self, value: &Value, schema: &Value) -> bool {
        match schema {
            Value::Bool(anything) => *anything,
            Value::Object(rules) => rules.iter().all(|(keyword, rule)| self.obeys(value, keyword, rule, rules)),
            _ => false,
        }
    }

    /// Whether `value` obeys one rule, of all those that stand together.
    fn obeys(&self, value: &Value, keyword: &str, rule: &Value, rules: &Map<String, Value>) -> bool {
        let (members, entries) = (value.as_object(), value.as_array());
        let chars = || value.as_str().map(|text| text.chars().count() as u64);
        let count = || entries.map(|entries| entries.len() as u64);
        match keyword {
            "$ref" => {
                let target = rule.as_str().and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
                target.is_some_and(|target| self.fits(value, target))
            }
            "type" => match rule {
                Value::Array(names) => names.iter().any(|name| is_of_type(value, name)),
                name => is_of_type(value, name),
            },
            "const" => value == rule,
            "enum" => rule.as_array().is_some_and(|values| values.contains(value)),
            // The branches of a type's schema exclude each other.
            "anyOf" | "oneOf" => {
                rule.as_array().is_some_and(|branches| branches.iter().any(|branch| self.fits(value, branch)))
            }
            "properties" => rule.as_object().is_some_and(|known| {
                let known = known.iter().filter_map(|(key, schema)| Some((members?.get(key)?, schema)));
                known.into_iter().all(|(member, schema)| self.fits(member, schema))
            }),
            "additionalProperties" => members.is_none_or(|members| {
                let known = rules.get("properties").and_then(Value::as_object);
                let others = members.iter().filter(|(key, _)| !known.is_some_and(|known| known.contains_key(*key)));
                others.into_iter().all(|(_, member)| self.fits(member, rule))
            }),
            "required" => rule.as_array().is_some_and(|keys| {
                let has = |key: &Value| {
                    key.as_str().is_some_and(|key| members.is_none_or(|members| members.contains_key(key)))
                };
                keys.iter().all(has)
            }),
            "items" => entries.is_none_or(|entries| entries.iter().all(|entry| self.fits(entry, rule))),
            "minItems" => at_least(count(), rule),
            "maxItems" => at_most(count(), rule),
            "minLength" => at_least(chars(), rule),
            "maxLength" => at_most(chars(), rule),
            "minimum" => value.as_u64().zip(rule.as_u64()).is_some_and(|(value, least)| value >= least),
            "maximum" => value.as_u64().zip(rule.as_u64()).is_some_and(|(value, most)| value <= most),
            "format" => rule.as_str().is_some_and(|format| match value {
                Value::String(text) => self.formats.knows(format) && self.formats.complaint(format, text).is_none(),
                _ => self.formats.knows(format) || NUMBER_FORMATS.contains(&format),
            }),
            _ => ANNOTATIONS.contains(&keyword),
        }
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    match (name.as_str(), value) {
        (Some("object"), Value::Object(_))
        | (Some("array"), Value::Array(_))
        | (Some("string"), Value::String(_))
        | (Some("boolean"), Value::Bool(_))
        | (Some("number"), Value::Number(_)) => true,
        (Some("integer"), Value::Number(number)) => !number.is_f64(),
        _ => false,
    }
}

/// Of what has no such measure, the rule does not speak.
fn at_least(measure: Option<u64>, rule: &Value) -> bool {
    measure.is_none_or(|measure| rule.as_u64().is_some_and(|least| measure >= least))
}

fn at_most(measure: Option<u64>, rule: &Value) -> bool {
    measure.is_none_or(|measure| rule.as_u64().is_some_and(|most| measure <= most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "title": "t",
            "required": ["name"],
            "additionalProperties": false,
            "properties": {
                "name": {"type": "string", "minLength": 1, "maxLength": 3},
                "count": {"type": "integer", "format": "uint32", "minimum": 1, "maximum": 9},
                "rate": {"type": ["string", "integer"], "format": "rate"},
                "list": {"type": "array", "items": {"$ref": "#/$defs/Choice"}, "minItems": 1, "maxItems": 2},
                "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
            },
            "$defs": {"Choice": {"anyOf": [{"const": "a"}, {"enum": ["b", "c"]}]}},
        })
    }

    fn formats() -> Formats {
        Formats::new().with("rate", |text| if text == "1/s" { Ok(()) } else { Err("no".to_owned()) })
    }

    fn is_sure(value: &Value, schema: &Value) -> bool {
        Fit { root: schema, formats: &formats() }.is_sure(value)
    }

    #[test]
    fn what_fits_is_seen_to() {
        for value in [
            json!({"name": "a"}),
            json!({"name": "äöü", "count": 9, "rate": "1/s", "list": ["a", "c"], "map": {"x": true}}),
            json!({"name": "a", "count": 1, "rate": 5, "list": ["b"], "map": {}}),
        ] {
            assert!(is_sure(&value, &schema()), "{value}");
        }
    }

    #[test]
    fn what_a_validator_refuses_is_never_taken_to_fit() {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .with_format("rate", |text: &str| text == "1/s")
            .build(&schema())
            .unwrap();
        for value in [
            json!({}),
            json!([]),
            json!({"name": ""}),
            json!({"name": "abcd"}),
            json!({"name": null}),
            json!({"name": "a", "other": 1}),
            json!({"name": "a", "count": 0}),
            json!({"name": "a", "count": 10}),
            json!({"name": "a", "count": -1}),
            json!({"name": "a", "count": 1.5}),
            json!({"name": "a", "count": "1"}),
            json!({"name": "a", "rate": "2/s"}),
            json!({"name": "a", "rate": true}),
            json!({"name": "a", "list": []}),
            json!({"name": "a", "list": ["a", "a", "a"]}),
            json!({"name": "a", "list": ["d"]}),
            json!({"name": "a", "map": {"x": 1}}),
            json!({"name": "a", "map": []}),
        ] {
            assert!(!validator.is_valid(&value), "{value}");
            assert!(!is_sure(&value, &schema()), "{value}");
        }
    }

    #[test]
    fn a_keyword_or_format_that_is_not_known_leaves_it_open() {
        assert!(!is_sure(&json!("a"), &json!({"type": "string", "pattern": "a"})));
        assert!(!is_sure(&json!("a"), &json!({"type": "string", "format": "uuid"})));
        assert!(!is_sure(&json!("a"), &json!({"$ref": "#/$defs/Missing"})));
    }
}
