//! What is called, and the patterns that name it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 512;

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    /// A tool, by the name clients see (`crm__search`).
    Tool(&'a str),
    /// A resource, by its URI.
    Resource(&'a str),
    /// A prompt, by the name clients see.
    Prompt(&'a str),
}

/// A pattern over names: `*` stands for any run of characters, `?` for any one,
/// everything else for itself, case included.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(Arc<str>);

/// Several patterns, in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Globs(Arc<[Glob]>);

/// Why a text is no [`Glob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// Nothing is there.
    #[error("an empty pattern matches nothing: write `*` for everything")]
    Empty,
    /// More than anybody writes by hand.
    #[error("a pattern has at most {MAX_PATTERN} bytes")]
    TooLong,
    /// White space that no name has, or a control character.
    #[error("no name begins or ends with white space or holds a control character")]
    Unprintable,
}

// === impl Target ===

impl<'a> Target<'a> {
    /// The name or URI asked for.
    pub fn name(self) -> &'a str {
        match self {
            Self::Tool(name) | Self::Resource(name) | Self::Prompt(name) => name,
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Tool(_) => "tool",
            Self::Resource(_) => "resource",
            Self::Prompt(_) => "prompt",
        };
        write!(f, "{kind} {}", self.name())
    }
}

// === impl Glob ===

impl Glob {
    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name, |_| true, |expected, character, _| expected == character)
    }

    /// Whether the pattern stands for what is asked for. Schemes of URIs know
    /// no case (RFC 3986 §3.1).
    pub(crate) fn fits(&self, target: Target<'_>) -> bool {
        let (Target::Resource(uri), Some(scheme)) = (target, target.name().find(':')) else {
            return self.matches(target.name());
        };
        let behind_scheme = uri.len() - scheme;
        matches(
            &self.0,
            uri,
            |_| true,
            |expected, character, left| {
                expected == character || (left >= behind_scheme && expected.eq_ignore_ascii_case(&character))
            },
        )
    }

    /// Whether this pattern surely stands for every name that `other` does.
    pub(crate) fn covers(&self, other: &Glob) -> bool {
        // In `other` a `*` is many names, which only a `*` can stand for.
        matches(&self.0, &other.0, |c| c != '*', |expected, character, _| expected == character)
    }

    /// Whether some name fits both patterns.
    pub(crate) fn meets(&self, other: &Glob) -> bool {
        let (a, b): (Vec<_>, Vec<_>) = (self.0.chars().collect(), other.0.chars().collect());
        // reach[j]: a[..i] and b[..j] can stand for the same text.
        let mut reach = vec![false; b.len() + 1];
        reach[0] = true;
        for j in 0..b.len() {
            reach[j + 1] = reach[j] && b[j] == '*';
        }
        for &x in &a {
            let before = reach.clone();
            reach[0] = before[0] && x == '*';
            for (j, &y) in b.iter().enumerate() {
                reach[j + 1] = match (x, y) {
                    ('*', _) | (_, '*') => before[j + 1] || reach[j] || before[j],
                    _ => before[j] && (x == y || x == '?' || y == '?'),
                };
            }
        }
        reach[b.len()]
    }

    /// Whether the pattern stands for one name only.
    pub(crate) fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }
}

/// Greedy with one step back to the last `*`: at worst the product of both
/// lengths, never exponential.
/// `one` says what a `?` stands for, `same` whether a character does for one
/// with so many bytes behind it.
fn matches(pattern: &str, name: &str, one: impl Fn(char) -> bool, same: impl Fn(char, char, usize) -> bool) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let text = name.clone();
        let fits = match (pattern.next(), name.next()) {
            (Some('*'), _) => {
                retry = Some((pattern.clone(), text.clone()));
                name = text;
                continue;
            }
            (None, None) => return true,
            (Some('?'), Some(character)) => one(character),
            (Some(expected), Some(character)) => same(expected, character, name.as_str().len()),
            (Some(_), None) => return false,
            (None, Some(_)) => false,
        };
        if fits {
            continue;
        }
        match &mut retry {
            None => return false,
            Some((after_star, from)) => {
                // The `*` takes one character more.
                from.next();
                pattern = after_star.clone();
                name = from.clone();
            }
        }
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(GlobError::TooLong);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(GlobError::Unprintable);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Glob {
    fn schema_name() -> Cow<'static, str> {
        "Glob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "glob",
            "examples": ["crm__*"],
            "description": "A pattern: `*` stands for any run of characters, `?` for any one.",
        })
    }
}

// === impl Globs ===

impl Globs {
    /// The patterns in the order given.
    pub fn new(globs: impl IntoIterator<Item = Glob>) -> Self {
        Self(globs.into_iter().collect())
    }

    /// The first pattern that stands for what is asked for.
    pub(crate) fn first_fit(&self, target: Target<'_>) -> Option<&Glob> {
        self.0.iter().find(|glob| glob.fits(target))
    }

    /// The first pattern that stands for `name`.
    pub fn first_match(&self, name: &str) -> Option<&Glob> {
        self.0.iter().find(|glob| glob.matches(name))
    }

    /// Whether any pattern stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        self.first_match(name).is_some()
    }

    /// The patterns.
    pub fn as_slice(&self) -> &[Glob] {
        &self.0
    }
}

impl FromIterator<Glob> for Globs {
    fn from_iter<I: IntoIterator<Item = Glob>>(globs: I) -> Self {
        Self::new(globs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().unwrap()
    }

    #[test]
    fn patterns_match_as_written() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "anything at all/é", true),
            ("crm__*", "crm__search", true),
            ("crm__*", "crm__", true),
            ("crm__*", "CRM__search", false),
            ("crm__*", "crm_search", false),
            ("chat", "chat", true),
            ("chat", "chats", false),
            ("chats", "chat", false),
            ("c?t", "cat", true),
            ("c?t", "cét", true),
            ("c?t", "ct", false),
            ("*_delete_*", "crm__delete_account", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbxc", false),
            ("a**b", "ab", true),
            ("[a-z]{1}\\", "[a-z]{1}\\", true),
            ("[a-z]", "b", false),
            ("crm://*", "crm://accounts/1", true),
        ] {
            assert_eq!(glob(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hostile_pattern_costs_no_more_than_the_product_of_lengths() {
        let pattern = glob(&"*a".repeat(250));
        assert!(!pattern.matches(&("a".repeat(20_000) + "b")));
    }

    #[test]
    fn wider_pattern_covers_the_narrower_one() {
        for (wide, narrow, expected) in [
            ("*", "crm__*", true),
            ("crm__*", "crm__get_?", true),
            ("crm__?", "crm__*", false),
            ("crm__*", "*", false),
            ("crm__get", "crm__get", true),
            ("c?", "c?", true),
        ] {
            assert_eq!(glob(wide).covers(&glob(narrow)), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn patterns_meet_where_some_name_fits_both() {
        for (a, b, expected) in [
            ("crm__*", "*__search", true),
            ("crm__*", "files__*", false),
            ("*", "a", true),
            ("a?c", "ab*", true),
            ("a?c", "ab", false),
            ("**", "x", true),
            ("a*", "*b", true),
            ("a*", "b*", false),
        ] {
            assert_eq!(glob(a).meets(&glob(b)), expected, "{a} {b}");
            assert_eq!(glob(b).meets(&glob(a)), expected, "{b} {a}");
        }
    }

    #[test]
    fn text_that_no_name_can_match_is_no_glob() {
        assert_eq!("".parse::<Glob>(), Err(GlobError::Empty));
        assert_eq!(" a".parse::<Glob>(), Err(GlobError::Unprintable));
        assert_eq!("a\nb".parse::<Glob>(), Err(GlobError::Unprintable));
        assert_eq!("a".repeat(513).parse::<Glob>(), Err(GlobError::TooLong));
    }
}
