//! What is wrong with a file, and where.

use super::places::Place;
use serde::Serialize;
use std::fmt;

/// One thing wrong in a file, with its place and, where one offers itself, the
/// word that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The file as the operator named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The part of the file, such as `policies[0].tools.allow[1]`; empty for
    /// the whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Whether the file can be used all the same.
    pub severity: Severity,
}

/// Whether a fault stops the file from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used, but says something that was hardly meant.
    Warning,
}

// === impl Fault ===

impl Fault {
    pub(super) fn error(file: &str, place: Place, path: String, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            path,
            message,
            suggestion: None,
            severity: Severity::Error,
        }
    }

    /// Adds what was probably meant, if that is known.
    #[must_use]
    pub fn suggesting(mut self, suggestion: Option<impl Into<String>>) -> Self {
        self.suggestion = suggestion.map(Into::into);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}
