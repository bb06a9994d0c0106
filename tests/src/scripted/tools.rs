//! The scripted server's tools: each is one way an upstream can behave.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::protocol::{error, result, status};
use super::{Era, Seen, State, asking};

/// The tools' names, as listed.
pub(super) const TOOLS: [&str; 26] = [
    "echo",
    "strict",
    "mirrored",
    "mirrored_badly",
    "large",
    "fail",
    "crash",
    "reject",
    "die",
    "die_in_stream",
    "cut_stream",
    "garbage",
    "html",
    "wrong_id",
    "hang",
    "silent_stream",
    "progress",
    "wait",
    "unavailable",
    "resumed",
    "unresumed",
    "verbatim",
    "misdelivered",
    "ask",
    "ask_then_wait",
    "ask_and_die",
];

/// Executes a tool; false when the connection is to be closed.
pub(super) fn perform(seen: &Seen, mut socket: &TcpStream, state: &State) -> io::Result<bool> {
    let id = &seen.body["id"];
    let params = &seen.body["params"];
    let arguments = &params["arguments"];
    match params["name"].as_str().unwrap_or_default() {
        // Behaves: gives its arguments back.
        "echo" | "strict" | "mirrored" => result(socket, id, &text(state.era, &arguments.to_string()))?,
        // Behaves: answers with as much text as was asked for.
        "large" => {
            let bytes = arguments["bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(1 << 20);
            result(socket, id, &text(state.era, &"x".repeat(bytes)))?;
        }
        // Behaves: fails as a tool may.
        "fail" => {
            let mut failure = text(state.era, "failed as asked");
            failure["isError"] = true.into();
            result(socket, id, &failure)?;
        }
        // Behaves: an error of the protocol.
        "reject" => error(socket, 200, id, 4711, "rejected as asked")?,
        "crash" => status(socket, 500, &[], b"Traceback: secret detail")?,
        "unavailable" => status(socket, 503, &[("Retry-After", "7")], b"")?,
        "die" => {
            socket.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"json",
            )?;
            return Ok(false);
        }
        "die_in_stream" => {
            open_stream(socket)?;
            chunk(socket, &progress(params, 1))?;
            return Ok(false);
        }
        // Ends the stream properly, but without the response.
        "cut_stream" => {
            open_stream(socket)?;
            socket.write_all(b"0\r\n\r\n")?;
        }
        "garbage" => status(socket, 200, &[("Content-Type", "application/json")], b"{\"jsonrpc\": \"2.0\", nonsense")?,
        "html" => status(socket, 200, &[("Content-Type", "text/html")], b"<h1>It works!</h1>")?,
        "wrong_id" => result(socket, &json!("nobody-asked"), &text(state.era, "for somebody else"))?,
        "hang" => state.wait_for_gate(),
        "silent_stream" => {
            open_stream(socket)?;
            state.wait_for_gate();
        }
        // Streams, and goes on only when the test has seen the first half.
        "progress" => {
            open_stream(socket)?;
            chunk(socket, &progress(params, 1))?;
            state.wait_for_gate();
            chunk(socket, &progress(params, 2))?;
            chunk(socket, &json!({"jsonrpc": "2.0", "id": id, "result": text(state.era, "done")}))?;
            socket.write_all(b"0\r\n\r\n")?;
        }
        // Closes its stream after a priming event and has its client come back.
        "resumed" => {
            return events(socket, &format!("id: 0 {id} {}\nretry: 10\ndata:\n\n", params["_meta"]["progressToken"]));
        }
        // The same, but it knows nothing of it afterwards.
        "unresumed" => return events(socket, "id: unresumed\nretry: 10\ndata:\n\n"),
        // Sends its response under another id, and then under its own.
        "misdelivered" => {
            open_stream(socket)?;
            for id in [&arguments["id"], id] {
                chunk(socket, &json!({"jsonrpc": "2.0", "id": id, "result": text(state.era, "misdelivered")}))?;
            }
            socket.write_all(b"0\r\n\r\n")?;
        }
        "ask" | "ask_then_wait" | "ask_and_die" => return asking::ask(seen, socket, state),
        // Behaves, once the test lets it.
        "wait" => {
            state.wait_for_gate();
            result(socket, id, &text(state.era, "waited"))?;
        }
        _ => error(socket, 200, id, -32602, "unknown tool")?,
    }
    Ok(true)
}

/// Goes on with a stream that was closed after the event of this id: another
/// event, and then it closes again.
pub(super) fn resume(after: &str, socket: &TcpStream) -> io::Result<bool> {
    let mut parts = after.splitn(3, ' ').map(|part| part.parse().unwrap_or_default());
    let (step, id, token) = (parts.next(), parts.next(), parts.next());
    let (Some(step), Some(id), Some(token)) = (step.as_ref().and_then(Value::as_u64), id, token) else {
        return status(socket, 404, &[], b"").map(|()| true);
    };
    let step = step + 1;
    let message = match step {
        1 | 2 => progress(&json!({"_meta": {"progressToken": token}}), step),
        _ => json!({"jsonrpc": "2.0", "id": id, "result": text(Era::Legacy, "resumed")}),
    };
    events(socket, &format!("id: {step} {id} {token}\ndata: {message}\n\n"))
}

/// A result that says this.
pub(super) fn text(era: Era, text: &str) -> Value {
    let mut result = json!({"content": [{"type": "text", "text": text}]});
    if era == Era::Modern {
        result["resultType"] = "complete".into();
    }
    result
}

fn progress(params: &Value, step: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
        "progressToken": params["_meta"]["progressToken"], "progress": step, "total": 2, "message": format!("step {step}")
    }})
}

/// Begins an answer of events.
pub(super) fn open_stream(mut socket: &TcpStream) -> io::Result<()> {
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// Sends one event.
pub(super) fn chunk(socket: &TcpStream, message: &Value) -> io::Result<()> {
    raw_chunk(socket, &message.to_string())
}

/// Sends one event whose message is written like this.
pub(super) fn raw_chunk(mut socket: &TcpStream, message: &str) -> io::Result<()> {
    let event = format!("event: message\ndata: {}\n\n", message.replace('\n', "\ndata: "));
    socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}

/// Answers with a stream of these events alone.
fn events(socket: &TcpStream, events: &str) -> io::Result<bool> {
    status(socket, 200, &[("Content-Type", "text/event-stream")], events.as_bytes()).map(|()| true)
}
