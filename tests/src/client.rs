//! An MCP client of plain HTTP that sends exactly what a test says.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::http::{Answer, Headers, Reply, Request};

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";

/// The revisions that open with `initialize`, over Streamable HTTP.
pub const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// Who calls, and where. Clones are cheap; every request is a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    path: String,
    headers: Headers,
}

// === impl Client ===

impl Client {
    /// A client without a credential at `/mcp`.
    pub fn new(address: SocketAddr) -> Self {
        let mut headers = Headers::default();
        headers.push("Content-Type", "application/json");
        headers.push("Accept", "application/json, text/event-stream");
        Self { address, path: "/mcp".to_owned(), headers }
    }

    /// The same client with this API key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.with("X-API-Key", key)
    }

    /// The same client with this bearer token and no API key.
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        self.headers.remove("X-API-Key");
        self.with("Authorization", &format!("Bearer {token}"))
    }

    /// The same client with this header instead of any of that name.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.set(name, value);
        self
    }

    /// The same client without that header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The same client at another path.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// A POST of a body, not sent yet.
    pub fn prepare(&self, body: impl Into<Vec<u8>>) -> Request {
        Request { headers: self.headers.clone(), ..Request::new("POST", &self.path) }.body(body)
    }

    /// Posts a body as it is.
    pub fn post(&self, body: impl Into<Vec<u8>>) -> Reply {
        self.prepare(body).send(self.address)
    }

    /// Sends a GET.
    pub fn get(&self) -> Reply {
        Request { headers: self.headers.clone(), ..Request::new("GET", &self.path) }.send(self.address)
    }

    /// Ends the session.
    ///
    /// # Panics
    ///
    /// When it is not ended.
    pub fn end_session(&self) {
        let request = Request { headers: self.headers.clone(), ..Request::new("DELETE", &self.path) };
        assert_eq!(request.send(self.address).status, 204);
    }

    /// Opens the stream of a session, or has the rest of the one that broke off
    /// after the event of this id.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn open_stream(&self, last_event_id: Option<&str>) -> Answer {
        let mut headers = self.headers.clone();
        headers.set("Accept", "text/event-stream");
        if let Some(id) = last_event_id {
            headers.set("Last-Event-ID", id);
        }
        Request { headers, ..Request::new("GET", &self.path) }.open(self.address).expect("an answer")
    }

    /// Posts a request of a handshake revision, without a session unless one was opened.
    pub fn request(&self, method: &str, params: &Value) -> Reply {
        self.post(message(method, params).to_string())
    }

    /// Calls a tool; the reply may be a refusal.
    pub fn call(&self, tool: &str, arguments: &Value) -> Reply {
        self.request("tools/call", &json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool and returns as soon as the answer begins.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn open_call(&self, tool: &str, arguments: &Value, progress_token: &Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": progress_token}});
        self.prepare(message("tools/call", &params).to_string()).open(self.address).expect("an answer")
    }

    /// Posts a request of a handshake revision and returns as soon as the answer begins.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn open(&self, method: &str, params: &Value) -> Answer {
        self.prepare(message(method, params).to_string()).open(self.address).expect("an answer")
    }

    /// Calls a tool that must succeed, and returns its first text.
    ///
    /// # Panics
    ///
    /// When the call is refused or fails.
    pub fn text_of(&self, tool: &str, arguments: &Value) -> String {
        let reply = self.call(tool, arguments);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let message = reply.json();
        let result = &message["result"];
        assert_ne!(result["isError"], true, "{message}");
        result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {message}")).to_owned()
    }

    /// The names in `tools/list`, in order.
    ///
    /// # Panics
    ///
    /// When the list is refused.
    pub fn tools(&self) -> Vec<String> {
        names(&self.request("tools/list", &json!({})))
    }

    /// Opens a session at a handshake revision: the answer, and the client within the session.
    pub fn initialize(&self, revision: &str) -> (Reply, Self) {
        self.initialize_able(revision, &json!({}))
    }

    /// As [`Client::initialize`], with these capabilities.
    pub fn initialize_able(&self, revision: &str, capabilities: &Value) -> (Reply, Self) {
        let info = json!({"name": "tests", "version": "1"});
        let params = json!({"protocolVersion": revision, "capabilities": capabilities, "clientInfo": info});
        let reply = self.request("initialize", &params);
        let mut client = self.clone().with("MCP-Protocol-Version", revision);
        if let Some(session) = reply.headers.get("Mcp-Session-Id") {
            client = client.with("Mcp-Session-Id", session);
        }
        (reply, client)
    }

    /// A request of 2026-07-28 with everything it needs, not sent yet.
    pub fn prepare_modern(&self, method: &str, params: &Value) -> Request {
        self.prepare_modern_body(&modern(method, params))
    }

    /// A POST with the headers that mirror this body, not sent yet.
    pub fn prepare_modern_body(&self, body: &Value) -> Request {
        let mut request = self.prepare(body.to_string());
        request.headers.set("MCP-Protocol-Version", MODERN);
        if let Some(method) = body["method"].as_str() {
            request.headers.set("Mcp-Method", method);
        }
        if let Some(name) =
            body["params"]["name"].as_str().or(body["params"]["uri"].as_str()).or(body["params"]["taskId"].as_str())
        {
            request.headers.set("Mcp-Name", name);
        }
        request
    }

    /// Posts a request of 2026-07-28.
    pub fn modern(&self, method: &str, params: &Value) -> Reply {
        self.prepare_modern(method, params).send(self.address)
    }

    /// Sends a prepared request and returns as soon as the answer begins.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn open_prepared(&self, request: &Request) -> Answer {
        request.open(self.address).expect("an answer")
    }

    /// Sends a prepared request.
    pub fn send(&self, request: &Request) -> Reply {
        request.send(self.address)
    }
}

/// A request of a handshake revision.
pub fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// A request of 2026-07-28, with its metadata.
///
/// # Panics
///
/// When `params` is no object.
pub fn modern(method: &str, params: &Value) -> Value {
    let mut message = message(method, params);
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({"name": "tests", "version": "1"});
    message
}

/// The tool names of a `tools/list` answer.
///
/// # Panics
///
/// When it is another answer.
pub fn names(reply: &Reply) -> Vec<String> {
    let message = reply.json();
    let tools = message["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools in {message}"));
    tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned).collect()
}
