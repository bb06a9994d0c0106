//! Puts something valid where a document does not fit its type, so that the
//! rest of it can be looked at too.
//!
//! A part is replaced, not taken out: the others keep their numbers, and
//! nobody misses what is there, only wrong. What is then found at fault in a
//! replaced part says nothing about the file, see [`StandIns::explain`].

use super::{Fault, path, schema::follow, suggestion::closest};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Deeper a stand-in is not made: a schema may contain itself.
const MAX_DEPTH: usize = 16;
/// What stands for any text.
const TEXT: &str = "(stand-in)";

/// Where a document was replaced by something that fits.
#[derive(Clone, Debug, Default)]
pub struct StandIns {
    /// As YAML paths, which faults bear.
    paths: HashSet<String>,
}

// === impl StandIns ===

impl StandIns {
    /// Replaces every part of `value` that `errors` complain of.
    pub(super) fn put(value: &mut Value, schema: &Value, errors: &[ValidationError<'_>]) -> Self {
        let mut mending = Mending { value, schema, replaced: Self::default() };
        errors.iter().for_each(|error| mending.mend(error));
        mending.replaced
    }

    /// Whether `fault` lies in a stand-in, and so is none of the file's own.
    #[must_use]
    pub fn explain(&self, fault: &Fault) -> bool {
        let path = fault.path.as_str();
        let ends = path.match_indices(['.', '[']).map(|(end, _)| end).chain([0, path.len()]);
        ends.into_iter().any(|end| self.paths.contains(&path[..end]))
    }
}

struct Mending<'a> {
    value: &'a mut Value,
    schema: &'a Value,
    replaced: StandIns,
}

// === impl Mending ===

impl Mending<'_> {
    fn mend(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str();
        let schema = self.schema;
        let Some(violated) = schema.pointer(path::parent(error.schema_path().as_str())) else { return };
        let property = |key: &str| violated.get("properties").and_then(|known| known.get(key));
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let known = violated.get("properties").and_then(Value::as_object);
                for key in unexpected {
                    let meant = closest(key, known.into_iter().flat_map(Map::keys).map(String::as_str));
                    let members = self.value.pointer_mut(at).and_then(Value::as_object_mut);
                    members.and_then(|members| members.shift_remove(key));
                    if let Some((meant, schema)) = meant.and_then(|meant| Some((meant, property(meant)?))) {
                        self.insert(at, meant, schema);
                    }
                }
            }
            ValidationErrorKind::Required { property: key } => {
                let key = key.as_str().unwrap_or_default();
                if let Some(schema) = property(key) {
                    self.insert(at, key, schema);
                }
            }
            _ => {
                if let Some(value) = self.value.pointer_mut(at) {
                    *value = stand_in(schema, violated, 0);
                    self.replaced.paths.insert(path::from_pointer(at));
                }
            }
        }
    }

    /// Adds a member that was missing.
    fn insert(&mut self, at: &str, key: &str, schema: &Value) {
        let Some(members) = self.value.pointer_mut(at).and_then(Value::as_object_mut) else { return };
        if !members.contains_key(key) {
            members.insert(key.to_owned(), stand_in(self.schema, schema, 0));
            self.replaced.paths.insert(path::from_pointer(&path::member(at, key)));
        }
    }
}

/// Something that fits `schema`, a part of `root`, with every key it may have:
/// what could be there is not to be missed.
fn stand_in(root: &Value, schema: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let schema = follow(root, schema);
    let first = |key: &str| schema.get(key).and_then(|values| values.get(0));
    if let Some(value) = first("examples").or(schema.get("const")).or(first("enum")) {
        return value.clone();
    }
    if let Some(branch) = first("anyOf").or(first("oneOf")) {
        return stand_in(root, branch, depth + 1);
    }
    match schema.get("type").and_then(|name| name.as_str().or_else(|| name.get(0)?.as_str())) {
        Some("string") => TEXT.into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("boolean") => false.into(),
        Some("array") => schema.get("items").map(|items| stand_in(root, items, depth + 1)).into_iter().collect(),
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
            properties.map(|(key, schema)| (key.clone(), stand_in(root, schema, depth + 1))).collect()
        }
        _ => Value::Null,
    }
}
