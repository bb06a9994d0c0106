//! Reads YAML so that every fault can say where it stands.
//!
//! Policy files and the gateway's configuration file are both read here. A
//! [`Document`] is the file as a JSON value together with the line and column
//! of each of its parts. [`Document::decode`] checks it against the JSON Schema
//! of the type it is to become and so reports *all* faults of a file at once,
//! where plain serde would stop at the first and know no line.
//!
//! Stricter than YAML on purpose, because these files decide who may do what:
//! a key given twice, a key without a value, tags and several documents in one
//! file are faults. Size, depth and alias expansion are bounded.

mod fault;
mod fit;
mod formats;
mod path;
mod places;
mod schema;
mod stand_in;
mod suggestion;
mod tree;

mod check;
mod scalar;
mod union;

#[cfg(test)]
mod tests;

pub use self::{
    fault::{Fault, Severity},
    formats::Formats,
    path::member,
    schema::schema_of,
    stand_in::StandIns,
    suggestion::closest,
};

use self::{fit::Fit, places::Places, tree::Tree};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// One YAML file: its content, and where each part of it was written.
#[derive(Clone, Debug)]
pub struct Document {
    file: Arc<str>,
    value: Value,
    places: Places,
    /// What is wrong with the text itself; `value` leaves it out.
    misread: Vec<Fault>,
}

/// What a document came to, be it right or wrong.
#[derive(Debug)]
pub struct Salvage<T> {
    /// To be used only where there are no faults; else it is there, if at all,
    /// to find more of them.
    pub value: Option<T>,
    /// Every fault in the file, in the order of their lines.
    pub faults: Vec<Fault>,
    /// What in `value` is not from the file.
    pub stand_ins: StandIns,
}

// === impl Document ===

impl Document {
    /// Reads `text`; `file` is the name that faults will bear.
    ///
    /// An empty text is an empty mapping.
    ///
    /// # Errors
    ///
    /// Every fault up to the first that leaves the rest unreadable: bad syntax,
    /// a key given twice, a key without a value, a tag, a second document, or
    /// more text, depth or alias expansion than a file of settings needs.
    pub fn parse(text: &str, file: impl Into<Arc<str>>) -> Result<Self, Vec<Fault>> {
        let document = Self::parse_leniently(text, file)?;
        if document.misread.is_empty() { Ok(document) } else { Err(document.misread) }
    }

    /// Like [`Document::parse`], for those who look for further faults: a key
    /// given twice or without a value, or a tag, is reported when the document
    /// is [decoded](Document::salvage), together with what else is wrong.
    ///
    /// # Errors
    ///
    /// Every fault up to the first that leaves the rest unreadable, if there is
    /// such a one.
    pub fn parse_leniently(text: &str, file: impl Into<Arc<str>>) -> Result<Self, Vec<Fault>> {
        let file = file.into();
        let Tree { value, places, faults, is_whole } = tree::read(text);
        let misread = faults
            .into_iter()
            .map(|fault| Fault::error(&file, fault.place, path::from_pointer(&fault.pointer), fault.message))
            .collect();
        if is_whole { Ok(Self { file, value, places, misread }) } else { Err(misread) }
    }

    /// The name the document was read under.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The content.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Turns the document into a `T`.
    ///
    /// `formats` holds the checks behind the `format` keywords in `T`'s schema.
    ///
    /// # Errors
    ///
    /// Every fault in the file, in the order of their lines.
    pub fn decode<T>(&self, formats: &Formats) -> Result<T, Vec<Fault>>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let Salvage { value, faults, .. } = self.salvage(formats);
        value.filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// Like [`Document::decode`], for those who look for further faults: what
    /// does not fit is replaced by something that does.
    pub fn salvage<T>(&self, formats: &Formats) -> Salvage<T>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let schema = schema_of::<T>();
        if self.misread.is_empty()
            && (Fit { root: &schema, formats }).is_sure(&self.value)
            && let Ok(value) = T::deserialize(&self.value)
        {
            return Salvage { value: Some(value), faults: Vec::new(), stand_ins: StandIns::default() };
        }
        let (mut faults, value, stand_ins) = check::check(self, &schema, formats);
        faults.extend(self.misread.iter().cloned());
        faults.sort_by_key(|fault| (fault.line, fault.column));
        // The schema says the same as serde does; what slips through all the
        // same is reported for the whole file.
        let value = T::deserialize(value);
        if let (Err(error), true) = (&value, faults.is_empty()) {
            faults.push(self.fault_at("", error.to_string()));
        }
        Salvage { value: value.ok(), faults, stand_ins }
    }

    /// A fault at the part that `pointer` (RFC 6901) names, or at the nearest
    /// part around it that exists.
    pub fn fault_at(&self, pointer: &str, message: impl Into<String>) -> Fault {
        Fault::error(&self.file, self.places.nearest(pointer), path::from_pointer(pointer), message.into())
    }

    /// Like [`Document::fault_at`], for what is allowed but surely not meant.
    pub fn warning_at(&self, pointer: &str, message: impl Into<String>) -> Fault {
        Fault { severity: Severity::Warning, ..self.fault_at(pointer, message) }
    }
}
