//! The scripted server asks its client something.

use std::io::{self, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::protocol::result;
use super::tools::{chunk, open_stream, text};
use super::{Scripted, Seen, State, lock};
use crate::patience::{PATIENCE, wait_until};

// === impl Scripted ===

impl Scripted {
    /// Everything that it was answered, as it came.
    pub fn replies(&self) -> Vec<Seen> {
        lock(&self.state.replies).clone()
    }

    /// Asks everybody who listens, outside any call.
    ///
    /// # Panics
    ///
    /// When nobody listens, in time.
    pub fn ask_listeners(&self, id: &str) {
        wait_until("somebody to listen", || lock(&self.state.listeners).as_ref().is_some_and(|all| !all.is_empty()));
        for listener in lock(&self.state.listeners).iter().flatten() {
            // One that has gone hears nothing.
            let _ = chunk(listener, &question(id));
        }
    }
}

fn question(id: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let params = json!({"message": "Who are you?", "requestedSchema": schema});
    json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": params})
}

/// A tool that asks on the stream of its answer, and answers with the whole
/// reply. One waits for the test behind that; one does not wait for the reply,
/// but for the test, and then breaks off.
pub(super) fn ask(seen: &Seen, mut socket: &TcpStream, state: &State) -> io::Result<bool> {
    let id = &seen.body["id"];
    if !seen.headers.get("Accept").is_some_and(|accepted| accepted.contains("text/event-stream")) {
        result(socket, id, &text(state.era, "nobody listens"))?;
        return Ok(true);
    }
    let asked = format!("ask-{id}");
    open_stream(socket)?;
    chunk(socket, &question(&asked))?;
    let tool = seen.body["params"]["name"].as_str().unwrap_or_default();
    if tool == "ask_and_die" {
        state.wait_for_gate();
        return Ok(false);
    }
    let Some(reply) = state.reply_to(&asked) else { return Ok(false) };
    if tool == "ask_then_wait" {
        state.wait_for_gate();
    }
    let said = String::from_utf8_lossy(&reply.raw);
    chunk(socket, &json!({"jsonrpc": "2.0", "id": id, "result": text(state.era, &said)}))?;
    socket.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

// === impl State ===

impl State {
    /// Waits for the reply to a question; `None` when there is none in time.
    fn reply_to(&self, id: &str) -> Option<Seen> {
        let find = |replies: &[Seen]| replies.iter().find(|reply| reply.body["id"] == id).cloned();
        let waited = self.replied.wait_timeout_while(lock(&self.replies), PATIENCE, |replies| {
            find(replies).is_none() && !self.stopped.load(std::sync::atomic::Ordering::SeqCst)
        });
        find(&waited.ok()?.0)
    }
}
