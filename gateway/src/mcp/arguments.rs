//! A tool's arguments against its schema.
//!
//! Schemas come from upstreams, so validating is bounded: a schema that does
//! not compile, or refers to something outside itself, checks nothing (the
//! upstream will), and large arguments are left to the upstream too.

mod plain;

use std::sync::OnceLock;

use serde_json::Value;

use self::plain::PlainSchema;

/// Larger arguments are passed on unchecked.
pub const MAX_CHECKED_BYTES: usize = 64 * 1024;
/// Larger schemas check nothing.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// An `inputSchema`, made ready for checking when it is first needed: a
/// validator is large, and seldom asked where the schema is plain.
#[derive(Debug)]
pub struct ArgumentsSchema {
    schema: Box<str>,
    plain: OnceLock<Option<PlainSchema>>,
    validator: OnceLock<Option<jsonschema::Validator>>,
}

// === impl ArgumentsSchema ===

impl ArgumentsSchema {
    /// A schema as its server wrote it.
    #[must_use]
    pub fn new(schema: impl Into<Box<str>>) -> Self {
        Self { schema: schema.into(), plain: OnceLock::new(), validator: OnceLock::new() }
    }

    /// Whether there is anything to check.
    #[must_use]
    pub fn checks(&self) -> bool {
        self.validator().is_some()
    }

    /// Whether these arguments, as text, need no check because they obviously
    /// fit and have no name twice.
    #[must_use]
    pub fn surely_takes(&self, arguments: &str) -> bool {
        let plain = self.plain.get_or_init(|| PlainSchema::read(&self.parsed()?));
        plain.as_ref().is_some_and(|plain| plain.surely_takes(arguments))
    }

    /// Checks arguments.
    ///
    /// # Errors
    ///
    /// Which argument is wrong and why, without its value.
    pub fn check(&self, arguments: &Value) -> Result<(), String> {
        let Some(validator) = self.validator() else { return Ok(()) };
        match validator.iter_errors(arguments).next() {
            None => Ok(()),
            Some(error) => Err(describe(&error)),
        }
    }

    fn validator(&self) -> Option<&jsonschema::Validator> {
        self.validator.get_or_init(|| jsonschema::options().build(&self.parsed()?).ok()).as_ref()
    }

    fn parsed(&self) -> Option<Value> {
        (self.schema.len() <= MAX_SCHEMA_BYTES).then(|| serde_json::from_str(&self.schema).ok()).flatten()
    }
}

fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    // `masked` keeps the caller's value out of the message.
    let reason = error.masked_with("the value").to_string();
    let path = error.instance_path().to_string();
    match path.strip_prefix('/') {
        Some(path) => format!("argument `{}`: {reason}", path.replace('/', ".")),
        None => format!("arguments: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> ArgumentsSchema {
        ArgumentsSchema::new(
            r#"{"type":"object","properties":{"a":{"type":"number"},"o":{"type":"object","properties":{"b":{"type":"string"}}}},"required":["a"]}"#,
        )
    }

    #[test]
    fn the_wrong_argument_is_named_and_its_value_is_not_shown() {
        let error = schema().check(&json!({"a": "s3cret"})).unwrap_err();
        assert!(error.contains("`a`") && !error.contains("s3cret"), "{error}");
        let error = schema().check(&json!({"a": 1, "o": {"b": 42}})).unwrap_err();
        assert!(error.contains("`o.b`") && !error.contains("42"), "{error}");
    }

    #[test]
    fn a_missing_argument_is_named() {
        let error = schema().check(&json!({})).unwrap_err();
        assert!(error.contains("\"a\""), "{error}");
    }

    #[test]
    fn a_schema_that_refers_elsewhere_checks_nothing() {
        let schema = ArgumentsSchema::new(r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#);
        assert!(!schema.checks());
        assert_eq!(schema.check(&json!({"x": 1})), Ok(()));
    }
}
