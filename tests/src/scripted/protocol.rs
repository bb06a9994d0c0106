//! The part of the scripted server that behaves: handshake, sessions, lists.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::tools::{self, TOOLS};
use super::{Era, LAST_EVENT_ID, Seen, State, lock, outage, verbatim};

const MODERN: &str = "2026-07-28";
const NEWEST_LEGACY: &str = "2025-11-25";

/// Answers one HTTP request; false when the connection is to be closed.
pub(super) fn answer(method: &str, seen: &Seen, mut socket: &TcpStream, state: &State) -> io::Result<bool> {
    if let Some(goes_on) = outage::answer(socket, state)? {
        return Ok(goes_on);
    }
    if state.take_refusal() {
        return status(socket, 503, &[], b"").map(|()| true);
    }
    match method {
        "POST" => {}
        "GET" if state.era == Era::Legacy && seen.headers.get(LAST_EVENT_ID).is_some() => {
            return tools::resume(seen.headers.get(LAST_EVENT_ID).unwrap_or_default(), socket);
        }
        "DELETE" => return status(socket, 200, &[], b"").map(|()| true),
        "GET" => {
            if let Some(listeners) = &mut *lock(&state.listeners) {
                tools::open_stream(socket)?;
                listeners.push(socket.try_clone()?);
                return Ok(true);
            }
            return status(socket, 405, &[], b"").map(|()| true);
        }
        _ => return status(socket, 405, &[], b"").map(|()| true),
    }
    let id = &seen.body["id"];
    if state.era == Era::Legacy && seen.method() != "initialize" {
        match seen.headers.get("Mcp-Session-Id") {
            None => return error(socket, 400, id, -32600, "not initialized").map(|()| true),
            Some(session) if !lock(&state.sessions).contains(session) => {
                return status(socket, 404, &[], b"").map(|()| true);
            }
            Some(_) => {}
        }
    }
    if let Some(said) = verbatim::of(seen, state) {
        return said.say(seen, socket);
    }
    match seen.method() {
        "initialize" if state.era == Era::Legacy => initialize(socket, seen, state)?,
        "server/discover" if state.era == Era::Modern => result(
            socket,
            id,
            &json!({
                "supportedVersions": [MODERN], "capabilities": capabilities(state), "resultType": "complete",
                "ttlMs": 0, "cacheScope": "public",
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}}
            }),
        )?,
        "tools/list" => result(socket, id, &tool_list(state.era))?,
        "tools/call" => {
            lock(&state.executed).push(seen.clone());
            return tools::perform(seen, socket, state);
        }
        "ping" => result(socket, id, &json!({}))?,
        "" if !id.is_null() => {
            lock(&state.replies).push(seen.clone());
            state.replied.notify_all();
            status(socket, 202, &[], b"")?;
        }
        method if method.starts_with("notifications/") => status(socket, 202, &[], b"")?,
        _ if state.era == Era::Modern => error(socket, 404, id, -32601, "method not found")?,
        _ => error(socket, 200, id, -32601, "method not found")?,
    }
    socket.flush()?;
    Ok(true)
}

fn initialize(socket: &TcpStream, seen: &Seen, state: &State) -> io::Result<()> {
    let asked = seen.body["params"]["protocolVersion"].as_str().unwrap_or_default();
    let version = if ["2025-03-26", "2025-06-18", NEWEST_LEGACY].contains(&asked) { asked } else { NEWEST_LEGACY };
    let session = {
        let mut sessions = lock(&state.sessions);
        let session = format!("scripted-{}-{}", sessions.len(), lock(&state.seen).len());
        sessions.insert(session.clone());
        session
    };
    let body = json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": {
        "protocolVersion": version, "capabilities": capabilities(state),
        "serverInfo": {"name": "scripted", "version": "1"}
    }});
    let headers = [("Content-Type", "application/json"), ("Mcp-Session-Id", session.as_str())];
    status(socket, 200, &headers, body.to_string().as_bytes())
}

/// What it offers: tools, and what it was told to say something to.
fn capabilities(state: &State) -> Value {
    let mut capabilities = json!({"tools": {}});
    for method in lock(&state.verbatim).keys() {
        match method.split('/').next() {
            Some("completion") => capabilities["completions"] = json!({}),
            Some(feature) => capabilities[feature] = json!({}),
            None => {}
        }
    }
    capabilities
}

fn tool_list(era: Era) -> Value {
    let tools: Vec<Value> = TOOLS
        .iter()
        .map(|name| json!({"name": name, "description": format!("scripted: {name}"), "inputSchema": schema(name)}))
        .collect();
    match era {
        Era::Legacy => json!({"tools": tools}),
        Era::Modern => {
            json!({"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "public"})
        }
    }
}

fn schema(tool: &str) -> Value {
    let region = |kind: &str| {
        let region = json!({"type": kind, "x-mcp-header": "Region"});
        json!({"type": "object", "properties": {"region": region}})
    };
    match tool {
        "strict" => {
            let count = json!({"type": "integer"});
            json!({"type": "object", "properties": {"count": count}, "required": ["count"]})
        }
        "mirrored" => region("string"),
        // Numbers cannot be mirrored in a header.
        "mirrored_badly" => region("number"),
        _ => json!({"type": "object"}),
    }
}

/// Answers with a JSON-RPC result.
pub(super) fn result(socket: &TcpStream, id: &Value, result: &Value) -> io::Result<()> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result});
    status(socket, 200, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

/// Answers with a JSON-RPC error.
pub(super) fn error(socket: &TcpStream, http: u16, id: &Value, code: i64, message: &str) -> io::Result<()> {
    let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    status(socket, http, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

/// Answers with a status, headers and a body.
pub(super) fn status(mut socket: &TcpStream, code: u16, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    let mut wire = format!("HTTP/1.1 {code} Scripted\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        wire.push_str(&format!("{name}: {value}\r\n"));
    }
    wire.push_str("\r\n");
    let mut wire = wire.into_bytes();
    wire.extend_from_slice(body);
    socket.write_all(&wire)
}
