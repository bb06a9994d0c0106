//! What a server says of itself when it is agreed with.

use serde_json::{Map, Value};

use crate::mcp::task::EXTENSION;
use crate::mcp::version::Era;

/// What `initialize` and `server/discover` tell of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether it said so of itself in a handshake.
    pub era: Era,
    /// Its `capabilities`.
    pub capabilities: Map<String, Value>,
    /// Its `instructions` for the model.
    pub instructions: Option<Box<str>>,
}

// === impl Offer ===

impl Offer {
    /// A server that says nothing of itself.
    #[must_use]
    pub fn none(era: Era) -> Self {
        Self { era, capabilities: Map::new(), instructions: None }
    }

    /// Reads the result of either method; what is malformed counts as absent.
    #[must_use]
    pub fn read(era: Era, mut result: Value) -> Self {
        let capabilities = match result["capabilities"].take() {
            Value::Object(capabilities) => capabilities,
            _ => Map::new(),
        };
        let instructions = result["instructions"].as_str().filter(|text| !text.is_empty()).map(Box::from);
        Self { era, capabilities, instructions }
    }

    /// The offer of what has tools and nothing else.
    #[must_use]
    pub fn tools() -> Self {
        let capabilities = Map::from_iter([("tools".to_owned(), Value::Object(Map::new()))]);
        Self { era: Era::Modern, capabilities, instructions: None }
    }

    /// The extensions that the server has.
    pub fn extensions(&self) -> impl Iterator<Item = (&String, &Value)> {
        let extensions = self.capabilities.get("extensions").and_then(Value::as_object);
        extensions.into_iter().flatten().filter(|(_, settings)| settings.is_object())
    }

    /// Those of them that the gateway knows nothing of.
    pub fn own_extensions(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.extensions().filter(|(name, _)| *name != EXTENSION)
    }

    /// Whether the server has tasks as clients of its era know them.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        match self.era {
            Era::Legacy => {
                self.capabilities.get("tasks").is_some_and(|tasks| tasks["requests"]["tools"]["call"].is_object())
            }
            Era::Modern => self.extensions().any(|(name, _)| name == EXTENSION),
        }
    }

    /// Whether the server tells of changes of single resources.
    #[must_use]
    pub fn takes_subscriptions(&self) -> bool {
        self.capabilities.get("resources").is_some_and(|resources| resources["subscribe"] == true)
    }

    /// Whether the server has this capability.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(Value::is_object)
    }
}
