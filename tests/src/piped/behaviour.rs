//! What the server does with what it hears: each tool is one way to behave.

use std::io;

use serde_json::{Value, json};

use super::State;

/// The tools' names, as listed.
const TOOLS: [&str; 8] = ["echo", "progress", "ask", "hang", "garbage", "oversized", "die", "babble"];

/// Larger than any message that is taken.
const OVERSIZED: usize = (16 << 20) + 1;

/// Hears a message and answers it, or not.
pub(super) fn answer(message: &Value, state: &State) -> io::Result<()> {
    let id = &message["id"];
    let respond =
        |result: Value| state.say(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().as_bytes());
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => respond(json!({
            "protocolVersion": "2024-11-05", "capabilities": {"tools": {"listChanged": true}},
            "serverInfo": {"name": "piped", "version": "1"}
        })),
        "tools/list" => {
            let tools = TOOLS.map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
            respond(json!({"tools": tools}))
        }
        "tools/call" => call(message, state),
        // Answers and notifications.
        _ if id.is_null() || message["method"].is_null() => Ok(()),
        _ => {
            let error = json!({"code": -32601, "message": "method not found"});
            state.say(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string().as_bytes())
        }
    }
}

fn call(message: &Value, state: &State) -> io::Result<()> {
    let params = &message["params"];
    let respond = |text: &str| {
        let result = json!({"content": [{"type": "text", "text": text}]});
        state.say(json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string().as_bytes())
    };
    match params["name"].as_str().unwrap_or_default() {
        "echo" => respond(&params["arguments"].to_string()),
        "progress" => {
            for step in 1..=2 {
                let params = json!({"progressToken": params["_meta"]["progressToken"], "progress": step});
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
                state.say(progress.to_string().as_bytes())?;
            }
            respond("done")
        }
        // Asks first; what it hears is in `seen`.
        "ask" => {
            for (id, method) in [("ping", "ping"), ("roots", "roots/list")] {
                state.say(json!({"jsonrpc": "2.0", "id": id, "method": method}).to_string().as_bytes())?;
            }
            respond("asked")
        }
        "hang" => Ok(()),
        "garbage" => {
            for garbage in
                ["", "{", "[]", "\"text\"", r#"{"jsonrpc":"2.0"}"#, r#"{"jsonrpc":"2.0","id":{},"result":1}"#]
            {
                state.say(garbage.as_bytes())?;
            }
            respond("after garbage")
        }
        "oversized" => state.say(&vec![b' '; OVERSIZED]),
        "babble" => (0..2000).try_for_each(|_| state.say(b"babble")),
        _ => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
