//! The public SDK clients, each driven by a small script in its own language.

mod rust;

use serde_json::{Value, json};

use crate::peer::{node, python};

/// A public client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sdk {
    /// The Python SDK's 1.x line: handshake revisions.
    Python1,
    /// The Python SDK's 2.x line: 2026-07-28 where the server has it.
    Python2,
    /// `@modelcontextprotocol/sdk`: handshake revisions.
    TypeScript1,
    /// `@modelcontextprotocol/client`: 2026-07-28 where the server has it.
    TypeScript2,
    /// `rmcp`, opening with `server/discover`: 2026-07-28 where the server has it.
    Rust,
    /// `rmcp`, opening with `initialize`: handshake revisions.
    RustHandshake,
}

// === impl Sdk ===

impl Sdk {
    /// Every client there is.
    pub const ALL: [Self; 6] =
        [Self::Python1, Self::Python2, Self::TypeScript1, Self::TypeScript2, Self::Rust, Self::RustHandshake];

    /// The revision this client settles on with a server of every revision.
    pub fn newest_revision(self) -> &'static str {
        match self {
            Self::Python1 | Self::TypeScript1 | Self::RustHandshake => "2025-11-25",
            Self::Python2 | Self::TypeScript2 | Self::Rust => "2026-07-28",
        }
    }

    /// Connects, lists the tools, makes the calls (`[{name, arguments, after}]`, each
    /// once the file `after` exists, where it names one) and reports
    /// `{protocolVersion, tools, calls: [{result, progress} or {error}]}`.
    ///
    /// # Panics
    ///
    /// When the client gives up, with what it said.
    pub fn run(self, url: &str, key: &str, calls: &Value) -> Value {
        self.try_run(url, key, calls).unwrap_or_else(|said| panic!("{self:?} gave up: {said}"))
    }

    /// As [`Sdk::run`], but a client that gives up is an answer.
    ///
    /// # Errors
    ///
    /// What the client wrote to standard error.
    ///
    /// # Panics
    ///
    /// When the client cannot be started or prints no report.
    pub fn try_run(self, url: &str, key: &str, calls: &Value) -> Result<Value, String> {
        self.perform(&json!({"url": url, "headers": {"X-API-Key": key}, "calls": calls}))
    }

    /// As [`Sdk::run`], with a client that can answer what it is asked: `answers` has
    /// `elicitation` (the result), `sampling` (a text) and `roots` (URIs), as far as it can.
    ///
    /// # Panics
    ///
    /// When the client gives up, with what it said.
    pub fn run_with(self, url: &str, key: &str, calls: &Value, answers: &Value) -> Value {
        let script = json!({"url": url, "headers": {"X-API-Key": key}, "calls": calls, "answers": answers});
        self.perform(&script).unwrap_or_else(|said| panic!("{self:?} gave up: {said}"))
    }

    /// Performs a whole script, whose shape is in `peers/python/client_2.py`.
    ///
    /// # Errors
    ///
    /// What the client wrote to standard error, when it gives up.
    ///
    /// # Panics
    ///
    /// When the client cannot be started or prints no report.
    pub fn perform(self, script: &Value) -> Result<Value, String> {
        let (mut command, file) = match self {
            Self::Rust | Self::RustHandshake => return rust::perform(script, self == Self::RustHandshake),
            Self::Python1 => (python("mcp-1"), "client_1.py"),
            Self::Python2 => (python("mcp-2"), "client_2.py"),
            Self::TypeScript1 => (node(), "client-1.mjs"),
            Self::TypeScript2 => (node(), "client-2.mjs"),
        };
        let output = command.arg(file).arg(script.to_string()).output().expect("the client starts");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).expect("a report"))
    }
}
