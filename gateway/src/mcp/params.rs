//! What is read of the `params` of a client's request: strict where two readers
//! could disagree.

use std::borrow::Cow;
use std::sync::Arc;

use super::meta::Meta;
use super::reference::{Doubtful, Reference};
use super::scanner::{Fault, Scanner, string};
use super::splice::Span;

/// What the gateway reads of a request's `params`, whatever the method.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    /// Where `params` stands, where it is an object.
    pub span: Option<Span>,
    /// `name`: the tool or prompt. Decoded.
    pub name: Option<Named>,
    /// `arguments`, where it is an object.
    pub arguments: Option<Span>,
    /// Whether `arguments` is there and something else.
    pub arguments_malformed: bool,
    /// `_meta`.
    pub meta: Meta,
    /// Whether `_meta` is there and neither an object nor null.
    pub meta_malformed: bool,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<String>,
    /// `capabilities` of `initialize`.
    pub capabilities: Option<Span>,
    /// `clientInfo` of `initialize`.
    pub client_info: Option<Span>,
    /// `cursor` of the list methods.
    pub cursor: Option<Span>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Span>,
    /// What few requests have.
    pub rare: Option<Box<Rare>>,
}

/// The members of `params` that tool calls do not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rare {
    /// `uri`: the resource. Decoded.
    pub uri: Option<Named>,
    /// `ref` of `completion/complete`.
    pub reference: Option<Reference>,
    /// `inputResponses` of a request that is made again (MCP 2026-07-28,
    /// "Multi round-trip requests"), where it is an object.
    pub input_responses: Option<Span>,
    /// `requestState` of the same. Decoded.
    pub request_state: Option<Named>,
    /// Whether it is no string.
    pub request_state_malformed: bool,
    /// `taskId` of the methods of tasks. Decoded.
    pub task_id: Option<Named>,
    /// `task` of a call that is to become one (MCP 2025-11-25, "Tasks").
    pub task: Option<Span>,
    /// `level` of `logging/setLevel`. Decoded.
    pub level: Option<Named>,
    /// `notifications` of `subscriptions/listen`, where it is an object.
    pub notifications: Option<Span>,
}

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The decoded string.
    pub text: Arc<str>,
    /// The JSON string, quotes included.
    pub span: Span,
}

/// The members of `params` that are read.
pub(super) const KNOWN: [&str; 16] = [
    "name",
    "arguments",
    "_meta",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "cursor",
    "requestId",
    "uri",
    "ref",
    "inputResponses",
    "requestState",
    "taskId",
    "task",
    "level",
    "notifications",
];

/// `params` while they are read, and what two readers of them could understand
/// differently.
#[derive(Default)]
pub(super) struct RawParams {
    pub(super) params: Params,
    /// An array or a scalar.
    pub(super) is_malformed: bool,
    /// Which of [`KNOWN`] came.
    seen: [bool; KNOWN.len()],
    pub(super) repeated: bool,
    pub(super) repeated_in_meta: bool,
    pub(super) misspelt: bool,
}

// === impl Params ===

impl Params {
    /// `uri`: the resource.
    #[must_use]
    pub fn uri(&self) -> Option<&Named> {
        self.rare.as_ref()?.uri.as_ref()
    }

    /// `ref` of `completion/complete`.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        self.rare.as_ref()?.reference.as_ref()
    }

    /// `inputResponses` of a request that is made again.
    #[must_use]
    pub fn input_responses(&self) -> Option<Span> {
        self.rare.as_ref()?.input_responses
    }

    /// Whether there is a `requestState` that is no string.
    #[must_use]
    pub fn has_malformed_state(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.request_state_malformed)
    }

    /// `requestState` of a request that is made again.
    #[must_use]
    pub fn request_state(&self) -> Option<&Named> {
        self.rare.as_ref()?.request_state.as_ref()
    }

    /// `taskId` of the methods of tasks.
    #[must_use]
    pub fn task_id(&self) -> Option<&Named> {
        self.rare.as_ref()?.task_id.as_ref()
    }

    /// `task` of a call that is to become one.
    #[must_use]
    pub fn task(&self) -> Option<Span> {
        self.rare.as_ref()?.task
    }

    /// `level` of `logging/setLevel`.
    #[must_use]
    pub fn level(&self) -> Option<&Named> {
        self.rare.as_ref()?.level.as_ref()
    }

    /// `notifications` of `subscriptions/listen`.
    #[must_use]
    pub fn notifications(&self) -> Option<Span> {
        self.rare.as_ref()?.notifications
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

// === impl Named ===

impl Named {
    /// The string `value` of `message`; `None` where it is none.
    pub(super) fn read(value: &str, message: &str) -> Option<Self> {
        string(value).map(|text| Self { text: text.into(), span: Span::of(value, message) })
    }
}

// === impl RawParams ===

impl RawParams {
    pub(super) fn read(&mut self, scanner: &mut Scanner<'_>, text: &str) -> Result<(), Fault> {
        if scanner.peek() != b'{' {
            // `params: null` is what some clients write for none.
            self.is_malformed = scanner.value()? != "null";
            return Ok(());
        }
        let object = scanner.object(|scanner, key| self.member(&key, scanner, text))?;
        self.params.span = Some(Span::of(object, text));
        Ok(())
    }

    fn member(&mut self, key: &str, scanner: &mut Scanner<'_>, text: &str) -> Result<(), Fault> {
        let span = |value: &str| Span::of(value, text);
        let object = |value: &str| value.starts_with('{').then(|| span(value));
        let params = &mut self.params;
        match key {
            "name" => {
                params.name = Named::read(scanner.value()?, text);
            }
            "arguments" => {
                let value = scanner.value()?;
                params.arguments = object(value);
                params.arguments_malformed = params.arguments.is_none() && value != "null";
            }
            "_meta" => {
                params.meta_malformed = !matches!(scanner.peek(), b'{' | b'n');
                (params.meta, self.repeated_in_meta) = Meta::read(scanner, text)?;
            }
            "protocolVersion" => {
                params.protocol_version = string(scanner.value()?).map(Cow::into_owned);
            }
            "capabilities" => {
                params.capabilities = object(scanner.value()?);
            }
            "clientInfo" => {
                params.client_info = object(scanner.value()?);
            }
            "cursor" => {
                params.cursor = Some(span(scanner.value()?));
            }
            "requestId" => {
                params.request_id = Some(span(scanner.value()?));
            }
            "uri" => {
                params.rare().uri = Named::read(scanner.value()?, text);
            }
            "ref" => {
                let (reference, fault) = Reference::read(scanner, text)?;
                params.rare().reference = reference;
                self.repeated |= fault == Some(Doubtful::Repeated);
                self.misspelt |= fault == Some(Doubtful::Misspelt);
            }
            "inputResponses" => {
                params.rare().input_responses = object(scanner.value()?);
            }
            "requestState" => {
                let value = scanner.value()?;
                let state = Named::read(value, text);
                let rare = params.rare();
                // `null` is what some clients write for none.
                rare.request_state_malformed = state.is_none() && value != "null";
                rare.request_state = state;
            }
            "taskId" => {
                params.rare().task_id = Named::read(scanner.value()?, text);
            }
            "task" => {
                params.rare().task = object(scanner.value()?);
            }
            "level" => {
                params.rare().level = Named::read(scanner.value()?, text);
            }
            "notifications" => {
                params.rare().notifications = object(scanner.value()?);
            }
            other => {
                self.misspelt |= KNOWN.iter().any(|known| differs_in_case(other, known));
                return scanner.value().map(drop);
            }
        }
        let index = KNOWN.iter().position(|known| *known == key).expect("what is read is known");
        self.repeated |= std::mem::replace(&mut self.seen[index], true);
        Ok(())
    }
}

/// Whether two names are the same but for case, as servers compare them that
/// read JSON regardless of it: by Unicode's simple folding, so that `ſ` is `s`.
pub(super) fn differs_in_case(name: &str, known: &str) -> bool {
    let folded = name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    name.len() <= 2 * known.len() && folded.eq(known.chars().flat_map(char::to_lowercase))
}
