//! Where each part of a file was written.

use super::path;
use saphyr_parser::Marker;
use std::collections::HashMap;

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Where each part of a file stands, by JSON pointer.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(HashMap<String, Place>);

// === impl Places ===

impl Places {
    /// Notes where the part at `pointer` stands, unless that is known: in a
    /// mapping the key was there before the value, and it is what people look
    /// for.
    pub(super) fn note(&mut self, pointer: &str, place: Place) {
        if !self.0.contains_key(pointer) {
            self.0.insert(pointer.to_owned(), place);
        }
    }

    /// The place of the part at `pointer`, or of the nearest part around it.
    pub(super) fn nearest(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            match self.0.get(pointer) {
                Some(place) => return *place,
                None if pointer.is_empty() => return Place { line: 1, column: 1 },
                None => pointer = path::parent(pointer),
            }
        }
    }
}

// === impl Place ===

impl From<Marker> for Place {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}
