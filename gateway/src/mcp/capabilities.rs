//! What a client can be asked in the midst of a call.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::version::Version;

/// A set of abilities, out of a client's `capabilities` (MCP 2025-11-25,
/// "Lifecycle"; 2026-07-28, `_meta`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capabilities(u8);

/// What a server asks of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `sampling/createMessage`.
    Sampling,
    /// `elicitation/create` with a form.
    Form,
    /// `elicitation/create` with a URL to visit.
    Url,
    /// `roots/list`.
    Roots,
}

const SAMPLING: u8 = 1;
const SAMPLING_TOOLS: u8 = 1 << 1;
const SAMPLING_CONTEXT: u8 = 1 << 2;
const FORM: u8 = 1 << 3;
const URL: u8 = 1 << 4;
const ROOTS: u8 = 1 << 5;

// === impl Capabilities ===

impl Capabilities {
    /// A client that can be asked nothing.
    pub const NONE: Self = Self(0);

    /// Reads a `capabilities` object; what is malformed counts as absent.
    #[must_use]
    pub fn read(text: &str) -> Self {
        if text.len() <= 2 {
            return Self::NONE;
        }
        let Ok(Value::Object(capabilities)) = serde_json::from_str(text) else { return Self::NONE };
        let object = |name: &str| capabilities.get(name).and_then(Value::as_object);
        let mut set = 0;
        if let Some(sampling) = object("sampling") {
            set |= SAMPLING;
            set |= if has(sampling, "tools") { SAMPLING_TOOLS } else { 0 };
            set |= if has(sampling, "context") { SAMPLING_CONTEXT } else { 0 };
        }
        if let Some(elicitation) = object("elicitation") {
            // Nothing said means forms: URLs came later.
            let url = has(elicitation, "url");
            set |= if has(elicitation, "form") || !url { FORM } else { 0 };
            set |= if url { URL } else { 0 };
        }
        set |= if object("roots").is_some() { ROOTS } else { 0 };
        Self(set)
    }

    /// What a client of this revision can mean by them: it knows no questions
    /// that came later.
    #[must_use]
    pub fn known_to(self, version: Version) -> Self {
        let later = if version < Version::V2025_06_18 {
            FORM | URL
        } else if version < Version::V2025_11_25 {
            URL
        } else {
            0
        };
        Self(self.0 & !later)
    }

    /// Whether the client can be asked nothing.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same, and sampling.
    #[must_use]
    pub const fn with_sampling(self) -> Self {
        Self(self.0 | SAMPLING)
    }

    /// Whether the client can be asked this.
    #[must_use]
    pub const fn can(self, question: Question) -> bool {
        let needed = match question {
            Question::Sampling => SAMPLING,
            Question::Form => FORM,
            Question::Url => URL,
            Question::Roots => ROOTS,
        };
        self.0 & needed != 0
    }

    /// The same as a `capabilities` object.
    #[must_use]
    pub fn to_value(self) -> Value {
        let mut capabilities = Map::new();
        let members = |members: &[(&str, u8)]| {
            let held = members.iter().filter(|(_, bit)| self.0 & bit != 0);
            Value::Object(held.map(|(name, _)| ((*name).to_owned(), json!({}))).collect())
        };
        if self.0 & SAMPLING != 0 {
            let sampling = members(&[("tools", SAMPLING_TOOLS), ("context", SAMPLING_CONTEXT)]);
            capabilities.insert("sampling".to_owned(), sampling);
        }
        if self.0 & (FORM | URL) != 0 {
            // Forms alone are said as earlier revisions say them.
            let elicitation = if self.0 & URL == 0 { json!({}) } else { members(&[("form", FORM), ("url", URL)]) };
            capabilities.insert("elicitation".to_owned(), elicitation);
        }
        if self.0 & ROOTS != 0 {
            capabilities.insert("roots".to_owned(), json!({}));
        }
        Value::Object(capabilities)
    }
}

/// Whether a `capabilities` object names an extension.
#[must_use]
pub fn declares(capabilities: &str, extension: &str) -> bool {
    let Ok(Value::Object(capabilities)) = serde_json::from_str(capabilities) else { return false };
    capabilities.get("extensions").and_then(Value::as_object).is_some_and(|extensions| has(extensions, extension))
}

fn has(object: &Map<String, Value>, member: &str) -> bool {
    object.get(member).is_some_and(Value::is_object)
}

// === impl Question ===

impl Question {
    /// The question of a server's request; `None` where it is none.
    #[must_use]
    pub fn of(method: &str, params: Option<&str>) -> Option<Self> {
        match method {
            "sampling/createMessage" => Some(Self::Sampling),
            "roots/list" => Some(Self::Roots),
            "elicitation/create" => {
                let params: Value = serde_json::from_str(params?).ok()?;
                Some(if params["mode"] == "url" { Self::Url } else { Self::Form })
            }
            _ => None,
        }
    }

    /// The capability that a client lacks who cannot be asked, as a
    /// `capabilities` object.
    #[must_use]
    pub fn required(self) -> Value {
        match self {
            Self::Sampling => json!({"sampling": {}}),
            Self::Form => json!({"elicitation": {}}),
            Self::Url => json!({"elicitation": {"url": {}}}),
            Self::Roots => json!({"roots": {}}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abilities_are_read_and_said_again() {
        for (text, said, able) in [
            ("{}", "{}", &[][..]),
            (r#"{"sampling":{},"x":1}"#, r#"{"sampling":{}}"#, &[Question::Sampling]),
            (r#"{"sampling":{"tools":{},"y":{}}}"#, r#"{"sampling":{"tools":{}}}"#, &[Question::Sampling]),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{}}"#, &[Question::Form]),
            (r#"{"elicitation":{"form":{}}}"#, r#"{"elicitation":{}}"#, &[Question::Form]),
            (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#, &[Question::Url]),
            (
                r#"{"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}}"#,
                r#"{"elicitation":{"form":{},"url":{}},"roots":{}}"#,
                &[Question::Form, Question::Url, Question::Roots],
            ),
            (r#"{"sampling":true,"roots":[]}"#, "{}", &[]),
            ("[]", "{}", &[]),
        ] {
            let capabilities = Capabilities::read(text);
            assert_eq!(capabilities.to_value().to_string(), said, "{text}");
            assert_eq!(Capabilities::read(said), capabilities);
            for question in [Question::Sampling, Question::Form, Question::Url, Question::Roots] {
                assert_eq!(capabilities.can(question), able.contains(&question), "{text} {question:?}");
            }
        }
    }

    #[test]
    fn nobody_is_asked_what_came_after_their_revision() {
        let all = Capabilities::read(r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{}}"#);
        for (version, form, url) in [
            (Version::V2025_03_26, false, false),
            (Version::V2025_06_18, true, false),
            (Version::V2025_11_25, true, true),
            (Version::MODERN, true, true),
        ] {
            let known = all.known_to(version);
            assert_eq!((known.can(Question::Form), known.can(Question::Url)), (form, url), "{version:?}");
            assert!(known.can(Question::Sampling) && known.can(Question::Roots));
        }
    }

    #[test]
    fn questions_are_told_by_method_and_mode() {
        for (method, params, question) in [
            ("sampling/createMessage", None, Some(Question::Sampling)),
            ("elicitation/create", Some(r#"{"message":"m"}"#), Some(Question::Form)),
            ("elicitation/create", Some(r#"{"mode":"url"}"#), Some(Question::Url)),
            ("elicitation/create", None, None),
            ("roots/list", None, Some(Question::Roots)),
            ("ping", None, None),
        ] {
            assert_eq!(Question::of(method, params), question, "{method}");
        }
    }
}
