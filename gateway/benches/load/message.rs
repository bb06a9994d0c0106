//! The requests that are sent, and what a right answer to them is.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::client::{Answer, Connection};

/// The revision with handshake and session, and the stateless one.
pub(crate) const LEGACY: &str = "2025-11-25";
pub(crate) const MODERN: &str = "2026-07-28";
/// Names the session.
pub(crate) const SESSION_ID: &str = "mcp-session-id";

/// Sessions opened at each process; connections share them in turn.
const SESSIONS: usize = 16;
/// The id of the first connection's calls.
const FIRST_ID: usize = 100_000;

/// Which way a client talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// [`LEGACY`]
    Legacy,
    /// [`MODERN`]
    Modern,
}

/// One tool of one endpoint, and the sessions to call it in.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'static str,
    pub(crate) key: Option<&'static str>,
    pub(crate) era: Era,
    pub(crate) tool: String,
    /// What the call sends.
    pub(crate) message: String,
    /// What it gets back.
    pub(crate) expected: String,
    /// None where the client needs none.
    pub(crate) sessions: Vec<String>,
}

/// One connection's call: the same bytes each time.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) request: Vec<u8>,
    id: usize,
    expected: String,
}

// === impl Target ===

impl Target {
    /// Makes the handshakes, where the client's era has them.
    pub(crate) async fn open_sessions(&mut self) -> anyhow::Result<()> {
        if self.era == Era::Modern {
            return Ok(());
        }
        let mut connection = Connection::open(self.address).await?;
        for _ in 0..SESSIONS {
            let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": client_info()});
            let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
            let answer = connection.exchange(&self.post(&initialize, None, "")).await?;
            ensure!(answer.status == 200, "initialize was answered with {}", answer.status);
            let session = answer.session.context("initialize opens a session")?;
            let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
            let answer = connection.exchange(&self.post(&initialized, Some(&session), "")).await?;
            ensure!(answer.status == 202, "a notification was answered with {}", answer.status);
            self.sessions.push(session);
        }
        Ok(())
    }

    /// The call that this connection makes over and over.
    pub(crate) fn call(&self, connection: usize) -> Call {
        let id = FIRST_ID + connection;
        let mut params = json!({"name": self.tool, "arguments": {"message": self.message}});
        let mut headers = String::new();
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientInfo": client_info(),
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            headers = format!("mcp-method: tools/call\r\nmcp-name: {}\r\n", self.tool);
        }
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        let session = connection.checked_rem(self.sessions.len()).map(|turn| self.sessions[turn].as_str());
        Call { request: self.post(&message, session, &headers), id, expected: self.expected.clone() }
    }

    fn post(&self, message: &Value, session: Option<&str>, headers: &str) -> Vec<u8> {
        let body = message.to_string();
        let version = if self.era == Era::Modern { MODERN } else { LEGACY };
        let (path, address, length) = (self.path, self.address, body.len());
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\ncontent-length: {length}\r\n\
             mcp-protocol-version: {version}\r\n{headers}"
        );
        if let Some(session) = session {
            let _ = write!(head, "{SESSION_ID}: {session}\r\n");
        }
        if let Some(key) = self.key {
            let _ = write!(head, "authorization: Bearer {key}\r\n");
        }
        format!("{head}\r\n{body}").into_bytes()
    }
}

fn client_info() -> Value {
    json!({"name": "load", "version": "1"})
}

// === impl Call ===

impl Call {
    /// Whether the answer may be right, as far as can be told at no cost.
    pub(crate) fn may_be_answered_by(&self, answer: &Answer<'_>) -> bool {
        answer.status == 200 && answer.body.len() > self.expected.len()
    }

    /// Whether the answer is the right one.
    pub(crate) fn is_answered_by(&self, answer: &Answer<'_>) -> bool {
        let Ok(body) = std::str::from_utf8(answer.body) else { return false };
        let message = match answer.is_event_stream {
            true => body.lines().rev().find_map(|line| line.strip_prefix("data:")).unwrap_or_default(),
            false => body,
        };
        let Ok(message) = serde_json::from_str::<Value>(message) else { return false };
        answer.status == 200
            && message["id"] == self.id
            && message["result"]["isError"] == false
            && message["result"]["content"][0]["text"] == self.expected.as_str()
    }
}
