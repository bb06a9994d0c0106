//! From parser events to a value that knows where it was written.
//!
//! Events are pulled one at a time and never recursively, so the bounds below
//! hold before anything is built, whatever the text.

use super::{
    path,
    places::{Place, Places},
    scalar,
};
use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::HashMap};

/// Longest text, in bytes: room for tens of thousands of keys or policies.
const MAX_BYTES: usize = 8 << 20;
/// Deepest nesting of lists and mappings.
const MAX_DEPTH: usize = 64;
/// Most that all aliases together may copy: each value counts one, each byte
/// of text another.
const MAX_ALIASED: usize = 1 << 20;
/// Most faults reported for one file; more help nobody.
const MAX_FAULTS: usize = 100;

/// A file read: as far as it could be, with all that was wrong on the way.
pub(super) struct Tree {
    pub(super) value: Value,
    pub(super) places: Places,
    pub(super) faults: Vec<Misread>,
    /// Whether `value` is all of the text, but for what the faults are about.
    pub(super) is_whole: bool,
}

/// Something wrong with the text itself.
pub(super) struct Misread {
    pub(super) place: Place,
    pub(super) pointer: String,
    pub(super) message: String,
}

/// Reads `text`.
pub(super) fn read(text: &str) -> Tree {
    let mut reader = Reader::default();
    if text.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB", MAX_BYTES >> 20);
        reader.complain(Place { line: 1, column: 1 }, message);
        return reader.finish(false);
    }
    // A byte order mark is no part of the text (YAML 1.2.2 §5.2).
    let mut parser = Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if reader.take(event, span).is_err() || reader.faults.len() >= MAX_FAULTS {
                    return reader.finish(false);
                }
            }
            Err(error) => {
                let message = format!("not readable as YAML: {}", error.info());
                reader.complain(Place::from(*error.marker()), message);
                return reader.finish(false);
            }
        }
    }
    reader.finish(true)
}

/// The rest of the file cannot be made sense of.
struct Unreadable;

#[derive(Default)]
struct Reader {
    root: Option<Value>,
    open: Vec<Open>,
    /// Between two events, the pointer to the innermost open collection.
    pointer: String,
    anchors: HashMap<usize, Value>,
    aliased: usize,
    documents: usize,
    places: Places,
    faults: Vec<Misread>,
}

/// A list or mapping whose end has not come yet.
struct Open {
    content: Content,
    anchor: usize,
    /// Length of the pointer to this very collection.
    pointer_len: usize,
}

enum Content {
    List(Vec<Value>),
    /// The key is there from when it is read until its value is.
    Mapping(Map<String, Value>, Option<String>),
}

// === impl Reader ===

impl Reader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let place = Place::from(span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.complain(place, "a second document: one file holds one".into());
                    return Err(Unreadable);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                if self.awaits_key() {
                    return self.key(&text, style, place);
                }
                self.enter(place);
                let value = self.scalar(text, style, tag.as_deref(), place);
                if value.is_null() && !self.open.is_empty() {
                    self.complain(place, "has no value: write one or leave the key out".into());
                }
                self.put(value, anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::SequenceStart(anchor, tag) => self.begin(Content::List(Vec::new()), anchor, tag.as_deref(), place),
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping(Map::new(), None);
                self.begin(content, anchor, tag.as_deref(), place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Err(Unreadable);
                };
                let value = match open.content {
                    Content::List(items) => Value::Array(items),
                    Content::Mapping(members, _) => Value::Object(members),
                };
                self.put(value, open.anchor)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Mapping(_, None), .. }))
    }

    fn key(&mut self, text: &str, style: ScalarStyle, place: Place) -> Result<(), Unreadable> {
        let is_text = style != ScalarStyle::Plain || scalar::resolve(text).is_string();
        let mut pointer = self.pointer.clone();
        path::push(&mut pointer, text);
        let Some(Open { content: Content::Mapping(members, key), .. }) = self.open.last_mut() else {
            return Err(Unreadable);
        };
        *key = Some(text.to_owned());
        let twice = members.contains_key(text);
        if twice {
            let before = self.places.nearest(&pointer).line;
            self.misread(place, pointer, format!("given twice, first in line {before}"));
        } else {
            self.places.note(&pointer, place);
            if !is_text {
                let message = "a key is text: put it in quotes".to_owned();
                self.misread(place, pointer, message);
            }
        }
        Ok(())
    }

    fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Value {
        match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(&text),
            None => Value::String(text.into_owned()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Value::String(text.into_owned()),
            Some(tag) => {
                self.complain(place, format!("the tag {tag} has no meaning here"));
                Value::String(text.into_owned())
            }
        }
    }

    fn begin(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, place: Place) -> Result<(), Unreadable> {
        if self.awaits_key() {
            self.complain(place, "a key is text, not a list or mapping".into());
            return Err(Unreadable);
        }
        if self.open.len() >= MAX_DEPTH {
            self.complain(place, format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(Unreadable);
        }
        self.enter(place);
        let pointer_len = self.pointer.len();
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.complain(place, format!("the tag {tag} has no meaning here"));
        }
        self.open.push(Open { content, anchor, pointer_len });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Unreadable> {
        if self.awaits_key() {
            self.complain(place, "a key is text, not an alias".into());
            return Err(Unreadable);
        }
        let Some(value) = self.anchors.get(&anchor).cloned() else {
            self.complain(place, "an alias inside of what it stands for".into());
            return Err(Unreadable);
        };
        // What is copied brings its depth along.
        if self.open.len() + depth(&value) > MAX_DEPTH {
            self.complain(place, format!("nested deeper than {MAX_DEPTH} levels"));
            return Err(Unreadable);
        }
        self.enter(place);
        self.copied(&value)?;
        self.put(value, 0)
    }

    /// Counts a copy made for an anchor or an alias.
    fn copied(&mut self, value: &Value) -> Result<(), Unreadable> {
        self.aliased = self.aliased.saturating_add(weight(value));
        if self.aliased <= MAX_ALIASED {
            return Ok(());
        }
        let place = self.places.nearest(&self.pointer);
        self.complain(place, "aliases make the file too large".into());
        Err(Unreadable)
    }

    /// Points at the value that starts here.
    fn enter(&mut self, place: Place) {
        match self.open.last() {
            Some(Open { content: Content::List(items), .. }) => path::push(&mut self.pointer, &items.len().to_string()),
            Some(Open { content: Content::Mapping(_, Some(key)), .. }) => path::push(&mut self.pointer, key),
            _ => {}
        }
        self.places.note(&self.pointer, place);
    }

    /// Puts a finished value where it belongs.
    fn put(&mut self, value: Value, anchor: usize) -> Result<(), Unreadable> {
        if anchor != 0 {
            self.copied(&value)?;
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            Some(Content::List(items)) => items.push(value),
            Some(Content::Mapping(members, key)) => {
                if let Some(key) = key.take() {
                    members.entry(key).or_insert(value);
                }
            }
            None => self.root = Some(value),
        }
        let container = self.open.last().map_or(0, |open| open.pointer_len);
        self.pointer.truncate(container);
        Ok(())
    }

    fn complain(&mut self, place: Place, message: String) {
        let pointer = self.pointer.clone();
        self.misread(place, pointer, message);
    }

    fn misread(&mut self, place: Place, pointer: String, message: String) {
        self.faults.push(Misread { place, pointer, message });
    }

    fn finish(self, is_whole: bool) -> Tree {
        let value = match self.root {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(value) => value,
        };
        Tree { value, places: self.places, faults: self.faults, is_whole }
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>(),
        Value::String(text) => 1 + text.len(),
        _ => 1,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
