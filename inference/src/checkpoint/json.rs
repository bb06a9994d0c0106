//! JSON objects whose faults are told by file and key.

use std::{fmt::Display, ops::RangeInclusive};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::CheckpointError;

/// A JSON object together with where it stands.
pub(super) struct Object<'a> {
    file: &'a str,
    /// `rope_scaling.` inside of that key.
    path: String,
    entries: &'a Map<String, Value>,
}

/// Parses a whole file.
pub(super) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, CheckpointError> {
    serde_json::from_slice(bytes).map_err(|source| CheckpointError::Json { file: file.to_owned(), source })
}

// === impl Object ===

impl<'a> Object<'a> {
    pub(super) fn new(file: &'a str, entries: &'a Map<String, Value>) -> Self {
        Self { file, path: String::new(), entries }
    }

    /// Whether the key is there, be its value null.
    pub(super) fn mentions(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The value, where there is one other than null.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// A whole number within a range.
    pub(super) fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, CheckpointError> {
        self.typed(key, |value| {
            let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
            let number = number.filter(|number| range.contains(number));
            number.ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// A whole number within a range that the file must state.
    pub(super) fn require_count(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, CheckpointError> {
        self.count(key, range)?.ok_or_else(|| self.fault(key, "is missing"))
    }

    /// A number within a range.
    pub(super) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, CheckpointError> {
        self.typed(key, |value| {
            let number = value.as_f64().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("must be a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A number within a range that the file must state.
    pub(super) fn require_number(&self, key: &str, range: RangeInclusive<f64>) -> Result<f64, CheckpointError> {
        self.number(key, range)?.ok_or_else(|| self.fault(key, "is missing"))
    }

    /// True or false.
    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.typed(key, |value| value.as_bool().ok_or_else(|| "must be true or false".to_owned()))
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, CheckpointError> {
        self.typed(key, |value| value.as_str().ok_or_else(|| "must be a text".to_owned()))
    }

    /// An object.
    pub(super) fn object(&self, key: &str) -> Result<Option<Object<'a>>, CheckpointError> {
        let entries = self.typed(key, |value| value.as_object().ok_or_else(|| "must be an object".to_owned()))?;
        let path = format!("{}{key}.", self.path);
        Ok(entries.map(|entries| Object { file: self.file, path, entries }))
    }

    /// A list.
    pub(super) fn list(&self, key: &str) -> Result<Option<&'a [Value]>, CheckpointError> {
        self.typed(key, |value| value.as_array().map(Vec::as_slice).ok_or_else(|| "must be a list".to_owned()))
    }

    /// What is wrong with a key.
    pub(super) fn fault(&self, key: &str, problem: impl Display) -> CheckpointError {
        CheckpointError::Key {
            file: self.file.to_owned(),
            key: format!("{}{key}", self.path),
            problem: problem.to_string(),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        convert: impl FnOnce(&'a Value) -> Result<T, String>,
    ) -> Result<Option<T>, CheckpointError> {
        self.value(key).map(|value| convert(value).map_err(|problem| self.fault(key, problem))).transpose()
    }
}
