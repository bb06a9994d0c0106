//! What a server says of itself when it is agreed with.

use serde_json::{Map, Value};

/// What `initialize` and `server/discover` tell of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its `capabilities`.
    pub capabilities: Map<String, Value>,
    /// Its `instructions` for the model.
    pub instructions: Option<Box<str>>,
}

// === impl Offer ===

impl Offer {
    /// Reads the result of either method; what is malformed counts as absent.
    #[must_use]
    pub fn read(mut result: Value) -> Self {
        let capabilities = match result["capabilities"].take() {
            Value::Object(capabilities) => capabilities,
            _ => Map::new(),
        };
        let instructions = result["instructions"].as_str().filter(|text| !text.is_empty()).map(Box::from);
        Self { capabilities, instructions }
    }

    /// The offer of what has tools and nothing else.
    #[must_use]
    pub fn tools() -> Self {
        let capabilities = Map::from_iter([("tools".to_owned(), Value::Object(Map::new()))]);
        Self { capabilities, instructions: None }
    }

    /// Whether the server has this capability.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(Value::is_object)
    }
}
