//! How the gateway introduces itself in a handshake: as the client for whom it
//! calls, so that the server asks what that client can answer.

use std::sync::Arc;

use serde_json::{Value, json};

use super::handshake::client_info;
use crate::mcp::capabilities::{Capabilities, Question};
use crate::mcp::request::McpRequest;
use crate::mcp::session::Session;
use crate::mcp::version::Version;

/// The capabilities by which a client says that it can be asked something.
const QUESTIONS: &[(&str, &[Question])] = &[
    ("sampling", &[Question::Sampling]),
    ("elicitation", &[Question::Form, Question::Url]),
    ("roots", &[Question::Roots]),
];

/// For whom a session is opened.
#[derive(Clone, Debug)]
pub(super) struct Introduction {
    abilities: Capabilities,
    /// The client's own, where it has one.
    session: Option<Arc<Session>>,
}

// === impl Introduction ===

impl Introduction {
    /// For any client of these abilities.
    pub(super) const fn pooled(abilities: Capabilities) -> Self {
        Self { abilities, session: None }
    }

    /// For the client of a request that can be asked what `abilities` say.
    pub(super) fn of(request: &McpRequest, abilities: Capabilities) -> Self {
        Self { abilities, session: request.session.clone() }
    }

    /// For the client of a session that can be asked what `abilities` say.
    pub(super) const fn of_session(session: Arc<Session>, abilities: Capabilities) -> Self {
        Self { abilities, session: Some(session) }
    }

    /// What can be asked.
    pub(super) const fn abilities(&self) -> Capabilities {
        self.abilities
    }

    /// The parameters of `initialize`. What a client says of itself is passed
    /// on as it said it, save what the gateway does not carry.
    pub(super) fn params(&self) -> Value {
        let said = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object);
        let session = self.session.as_ref();
        let mut capabilities = match session {
            Some(session) => said(&session.capabilities).unwrap_or_else(|| json!({})),
            None => self.abilities.to_value(),
        };
        if let Some(capabilities) = capabilities.as_object_mut() {
            // Of tasks in which clients answer: nobody could ask the client for
            // what became of one. Tasks of servers need no capability of clients.
            capabilities.remove("tasks");
            for (name, questions) in QUESTIONS {
                if !questions.iter().any(|question| self.abilities.can(*question)) {
                    capabilities.remove(*name);
                }
            }
            if !self.abilities.can(Question::Url)
                && let Some(elicitation) = capabilities.get_mut("elicitation").and_then(Value::as_object_mut)
            {
                elicitation.remove("url");
            }
            if self.abilities.can(Question::Sampling) {
                // Where the client cannot, the gateway does.
                capabilities.entry("sampling").or_insert_with(|| json!({}));
            }
        }
        let info = session.and_then(|session| said(session.client_info.as_ref()?));
        json!({
            "protocolVersion": session.map_or(Version::NEWEST_LEGACY, |session| session.version).as_str(),
            "capabilities": capabilities,
            "clientInfo": info.unwrap_or_else(client_info),
        })
    }
}
