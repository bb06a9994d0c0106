//! Changing a message without writing it anew: the bytes stay, some spans are
//! replaced.

use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

/// Where a value stands in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: usize,
    end: usize,
}

// === impl Span ===

impl Span {
    /// The span of `part`, which must be a slice of `whole`.
    ///
    /// # Panics
    ///
    /// If it is not, which is a mistake of the caller.
    #[must_use]
    pub fn of(part: &str, whole: &str) -> Self {
        let start = part
            .as_ptr()
            .addr()
            .checked_sub(whole.as_ptr().addr())
            .filter(|start| start + part.len() <= whole.len())
            .expect("the part is borrowed from the whole");
        Self { start, end: start + part.len() }
    }

    /// The same span in a text in which this one's text begins at `offset`.
    #[must_use]
    pub const fn offset(self, offset: usize) -> Self {
        Self { start: self.start + offset, end: self.end + offset }
    }

    /// Its first byte's index.
    #[must_use]
    pub const fn start(self) -> usize {
        self.start
    }

    /// The index behind its last byte.
    #[must_use]
    pub const fn end(self) -> usize {
        self.end
    }

    /// As an index range.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// Changes to a message that were found apart: each a place in it and what
/// belongs there.
pub type Edits = Vec<(Span, String)>;

/// The edits of one message, applied together.
#[derive(Debug, Default)]
pub struct Splice<'a> {
    edits: SmallVec<[(Range<usize>, &'a [u8]); 8]>,
}

// === impl Splice ===

impl<'a> Splice<'a> {
    /// Replaces a span.
    pub fn replace(&mut self, span: Span, with: &'a [u8]) {
        self.edits.push((span.range(), with));
    }

    /// Inserts before the byte at `at`.
    pub fn insert(&mut self, at: usize, text: &'a [u8]) {
        self.edits.push((at..at, text));
    }

    /// Removes a span.
    pub fn remove(&mut self, span: Range<usize>) {
        self.edits.push((span, b""));
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The message with all edits made. Without edits it is the same bytes.
    ///
    /// # Panics
    ///
    /// If edits overlap, which is a mistake of the caller.
    #[must_use]
    pub fn apply(mut self, message: &Bytes) -> Bytes {
        if self.edits.is_empty() {
            return message.clone();
        }
        // Stable: insertions at one place keep their order, and come before what is
        // taken out there.
        self.edits.sort_by_key(|(range, _)| (range.start, range.end));
        let added: usize = self.edits.iter().map(|(_, with)| with.len()).sum();
        let removed: usize = self.edits.iter().map(|(range, _)| range.len()).sum();
        // No more room than needed: then it becomes `Bytes` as it is.
        let mut out = Vec::with_capacity(message.len() + added - removed);
        let mut done = 0;
        for (range, with) in &self.edits {
            assert!(range.start >= done, "edits do not overlap");
            out.extend_from_slice(&message[done..range.start]);
            out.extend_from_slice(with);
            done = range.end;
        }
        out.extend_from_slice(&message[done..]);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_applied_wherever_they_were_made_first() {
        let text = r#"{"id":7,"name":"a__b"}"#;
        let message = Bytes::from(text);
        let mut splice = Splice::default();
        splice.replace(Span::of(&text[15..21], text), b"\"b\"");
        splice.replace(Span::of(&text[6..7], text), b"1234");
        splice.insert(1, b"\"x\":0,");
        assert_eq!(splice.apply(&message), r#"{"x":0,"id":1234,"name":"b"}"#);
    }

    #[test]
    fn what_is_inserted_comes_before_what_is_taken_out_there() {
        let mut splice = Splice::default();
        splice.remove(1..8);
        splice.insert(1, b"\"a\":1,");
        splice.insert(1, b"\"b\":2,");
        let message = Bytes::from_static(br#"{"id":7,"c":3}"#);
        assert_eq!(splice.apply(&message), r#"{"a":1,"b":2,"c":3}"#);
    }

    #[test]
    fn no_edit_copies_nothing() {
        let message = Bytes::from("{}");
        assert_eq!(Splice::default().apply(&message).as_ptr(), message.as_ptr());
    }
}
