//! JSON of strangers: what its objects and strings hold.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;
use smallvec::SmallVec;

use super::scanner::{Fault, Scanner, is_plain};
use super::splice::Span;

/// The deepest nesting a client's message may have.
///
/// Scanning does not recurse, so it could take more; but what stands behind
/// us may recurse, and must not be handed what would overflow its stack.
pub const MAX_DEPTH: usize = 128;

/// What to cut out of an object so that some of its members are gone and
/// everything else keeps its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// In order.
    pub spans: SmallVec<[Range<usize>; 2]>,
    /// Whether a member is left.
    pub keeps_members: bool,
}

/// Finds the cuts while the object's members are read one by one.
#[derive(Debug)]
pub struct Cutter<'a> {
    text: &'a str,
    cuts: Cuts,
    /// Where the object's members begin.
    start: usize,
    /// Where the last member ended.
    end: usize,
    /// Where the last of the dropped ones ended that come before the first kept.
    leading: Option<usize>,
}

/// The members of an object, each visited once and borrowed.
#[derive(Debug)]
pub struct Members;

// === impl Cutter ===

impl<'a> Cutter<'a> {
    /// Cuts in an object whose opening brace is at `start` of `text`.
    #[must_use]
    pub fn new(text: &'a str, start: usize) -> Self {
        Self { text, cuts: Cuts::default(), start: start + 1, end: start + 1, leading: None }
    }

    /// Takes in the next member, by its value.
    ///
    /// # Panics
    ///
    /// If the value is not borrowed from the text.
    pub fn member(&mut self, value: &str, dropped: bool) {
        let end = Span::of(value, self.text).end();
        match (dropped, self.cuts.keeps_members) {
            (true, true) => self.cuts.spans.push(self.end..end),
            (true, false) => self.leading = Some(end),
            (false, _) => {
                self.cuts.keeps_members = true;
                if let Some(dropped) = self.leading.take() {
                    let comma = self.text[dropped..].find(',').map_or(dropped, |comma| dropped + comma + 1);
                    self.cuts.spans.push(self.start..comma);
                }
            }
        }
        self.end = end;
    }

    /// The cuts, as places in the text.
    #[must_use]
    pub fn finish(mut self) -> Cuts {
        self.cuts.spans.extend(self.leading.map(|dropped| self.start..dropped));
        self.cuts
    }
}

// === impl Members ===

impl Members {
    /// Calls `visit` with each key and value of the object `text`, in order.
    ///
    /// # Errors
    ///
    /// If the text is no object.
    pub fn for_each<'a>(text: &'a str, mut visit: impl FnMut(Cow<'a, str>, &'a str)) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text);
        scanner.object(|scanner, key| {
            visit(key, scanner.value()?);
            Ok(())
        })?;
        scanner.end()
    }

    /// A member of the object `text`; the last, where it is given twice. `None`
    /// also where there is no object.
    #[must_use]
    pub fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let mut found = None;
        let read = Self::for_each(text, |key, value| {
            if key == name {
                found = Some(value);
            }
        });
        read.ok().and(found)
    }

    /// What to cut out of the object `text` so that the members whose key
    /// `drop` names are gone.
    ///
    /// # Errors
    ///
    /// If the text is no object, or does not begin with its brace.
    pub fn cut(text: &str, drop: impl Fn(&str) -> bool) -> Result<Cuts, Fault> {
        let mut cutter = Cutter::new(text, 0);
        Self::for_each(text, |key, value| cutter.member(value, drop(&key)))?;
        Ok(cutter.finish())
    }

    /// The object `text` without those members.
    ///
    /// # Errors
    ///
    /// If the text is no object, or does not begin with its brace.
    pub fn without(text: &str, drop: impl Fn(&str) -> bool) -> Result<String, Fault> {
        let cuts = Self::cut(text, drop)?;
        let mut left = text.to_owned();
        cuts.spans.iter().rev().for_each(|span| left.replace_range(span.clone(), ""));
        Ok(left)
    }
}

/// Appends `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// `text` as a JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    out
}

/// JSON without the characters that some readers of events take for the end of
/// a line though the format does not: U+0085, U+2028 and U+2029 (Unicode
/// Standard, §5.8). They stand in strings alone, so escapes say the same.
#[must_use]
pub fn on_one_line(json: String) -> String {
    let ends = |c: char| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    if !json.contains(ends) {
        return json;
    }
    let mut line = String::with_capacity(json.len() + 16);
    let mut rest = json.as_str();
    while let Some((index, c)) = rest.char_indices().find(|(_, c)| ends(*c)) {
        line.push_str(&rest[..index]);
        line.push_str(match c {
            '\u{85}' => "\\u0085",
            '\u{2028}' => "\\u2028",
            _ => "\\u2029",
        });
        rest = &rest[index + c.len_utf8()..];
    }
    line.push_str(rest);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_for_some_is_escaped() {
        let text = "a\u{2028}\u{2029}b\u{85}é\n";
        let line = on_one_line(Value::from(text).to_string());
        assert_eq!(line, r#""a\u2028\u2029b\u0085é\n""#);
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn cutting_keeps_the_bytes_of_what_stays() {
        for (object, left) in [
            (r#"{ "x" : 1.0e2, "b":[1 ,2], "\u0063":"\u00e9" }"#, r#"{ "b":[1 ,2], "\u0063":"\u00e9" }"#),
            (r#"{"b":0 , "x":1,"y" :2, "c":3,"x":4 }"#, r#"{"b":0, "c":3 }"#),
            (r#"{"x":1,"y":"a,b" ,"b":0}"#, r#"{"b":0}"#),
            (r#"{"\u0078":1}"#, "{}"),
            (r#"{ "b":0 }"#, r#"{ "b":0 }"#),
            ("{}", "{}"),
        ] {
            let cuts = Members::cut(object, |key| matches!(key, "x" | "y")).unwrap();
            let text = Members::without(object, |key| matches!(key, "x" | "y")).unwrap();
            assert_eq!((text.as_str(), cuts.keeps_members), (left, left.contains("b")), "{object}");
        }
    }
}
