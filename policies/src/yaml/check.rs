//! Holds a document against a schema and says in plain words what does not fit.

use super::{Document, Fault, Formats, StandIns, path, suggestion::closest, union};
use jsonschema::{
    Draft, ValidationError,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::Value;

/// Longest piece of the file quoted in a message, in characters.
const MAX_QUOTED: usize = 60;

/// All that keeps `document` from being valid, in the order of lines, and its
/// content with stand-ins for that.
pub(super) fn check(document: &Document, schema: &Value, formats: &Formats) -> (Vec<Fault>, Value, StandIns) {
    let mut options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true).offline();
    for (name, check) in formats.iter() {
        options = options.with_format(name, check);
    }
    let validator = options.build(schema).expect("a schema derived from a type is a valid schema");
    let mut checker = Checker { document, schema, formats, faults: Vec::new() };
    let errors: Vec<_> = validator.iter_errors(document.value()).collect();
    errors.iter().for_each(|error| checker.explain(error));
    let mut faults = checker.faults;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.dedup();
    let mut value = document.value().clone();
    let stand_ins = StandIns::put(&mut value, schema, &errors);
    (faults, value, stand_ins)
}

/// Turns the validator's errors into faults.
pub(super) struct Checker<'a> {
    document: &'a Document,
    pub(super) schema: &'a Value,
    formats: &'a Formats,
    faults: Vec<Fault>,
}

// === impl Checker ===

impl<'a> Checker<'a> {
    pub(super) fn explain(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str();
        let value = error.instance().as_ref();
        if value.is_null() {
            // A value that is not there was noticed when the text was read.
            return;
        }
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = self.properties(path::parent(error.schema_path().as_str()));
                for key in unexpected {
                    self.unknown_key(at, key, &known);
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                self.fault(at, format!("the key `{key}` is missing"));
            }
            ValidationErrorKind::Type { kind } => match self.misformed(error) {
                Some(complaint) => self.fault(at, complaint),
                None => self.wrong_type(at, &expected_types(kind), value),
            },
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
                self.no_choice(at, value, &options.iter().collect::<Vec<_>>());
            }
            ValidationErrorKind::Constant { expected_value } => {
                self.no_choice(at, value, &[expected_value]);
            }
            ValidationErrorKind::Format { format } => {
                let text = value.as_str().unwrap_or_default();
                let complaint =
                    self.formats.complaint(format, text).unwrap_or_else(|| format!("is not a valid {format}"));
                self.fault(at, complaint);
            }
            ValidationErrorKind::MinItems { limit: 1 }
            | ValidationErrorKind::MinLength { limit: 1 }
            | ValidationErrorKind::MinProperties { limit: 1 } => {
                self.fault(at, "must not be empty: fill it or leave the key out".into());
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                union::explain(self, error, context)
            }
            // The value itself stays out of the message: it may be a secret.
            _ => self.fault(at, error.masked_with("the value").to_string()),
        }
    }

    /// What is wrong with a number or the like where text of a form of its own
    /// belongs, if quotes would not mend it.
    fn misformed(&self, error: &ValidationError<'_>) -> Option<String> {
        let value = error.instance().as_ref();
        let schema = self.schema.pointer(path::parent(error.schema_path().as_str()))?;
        let format = schema.get("format")?.as_str()?;
        let is_one_word = value.is_number() || value.is_boolean();
        is_one_word.then(|| self.formats.complaint(format, &plain(value)))?
    }

    pub(super) fn fault(&mut self, pointer: &str, message: String) {
        self.faults.push(self.document.fault_at(pointer, message));
    }

    pub(super) fn wrong_type(&mut self, pointer: &str, expected: &str, found: &Value) {
        let mut message = format!("must be {expected}, not {}", kind_of(found));
        if expected.contains("text") && !found.is_array() && !found.is_object() {
            message.push_str(": put it in quotes");
        }
        self.fault(pointer, message);
    }

    pub(super) fn unknown_key(&mut self, pointer: &str, key: &str, known: &[&str]) {
        let suggestion = closest(key, known.iter().copied());
        let message = match suggestion {
            Some(_) => "unknown key".to_owned(),
            None if known.is_empty() => "unknown key: there is none here".to_owned(),
            None => format!("unknown key: there are {}", list(known)),
        };
        let pointer = path::member(pointer, key);
        self.faults.push(self.document.fault_at(&pointer, message).suggesting(suggestion));
    }

    pub(super) fn no_choice(&mut self, pointer: &str, value: &Value, options: &[&Value]) {
        let options: Vec<_> = options.iter().map(|option| plain(option)).collect();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let suggestion = value.as_str().and_then(|text| closest(text, options.iter().copied()));
        let message = format!("{} is not one of {}", quoted(value), list(&options));
        self.faults.push(self.document.fault_at(pointer, message).suggesting(suggestion));
    }

    /// The keys that the schema at `pointer` knows.
    pub(super) fn properties(&self, pointer: &str) -> Vec<&'a str> {
        self.schema
            .pointer(pointer)
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }
}

fn expected_types(kind: &TypeKind) -> String {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect(),
    };
    let names: Vec<_> = names.iter().map(|name| type_in_words(name)).collect();
    join(&names, "or")
}

/// A JSON Schema type as an operator would call it.
pub(super) fn type_in_words(name: &str) -> &'static str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number with a fraction or exponent",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// `a, b or c`.
pub(super) fn join(words: &[impl AsRef<str>], last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., end] => {
            let first: Vec<_> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {last} {}", first.join(", "), end.as_ref())
        }
    }
}

fn list(words: &[&str]) -> String {
    let ticked: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    join(&ticked, "and")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
        scalar => format!("`{}`", plain(scalar).chars().take(MAX_QUOTED).collect::<String>()),
    }
}
