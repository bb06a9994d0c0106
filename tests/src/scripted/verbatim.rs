//! Answers of the scripted server that a test writes itself, byte for byte.

use std::io::{self, Write};
use std::net::TcpStream;

use super::protocol::status;
use super::tools::{open_stream, raw_chunk};
use super::{Scripted, Seen, State, lock};

/// What is said to a request. In each message `{ID}` stands for the id of the
/// request, and `{TOKEN}` for its progress token.
#[derive(Clone, Debug)]
pub(super) struct Verbatim {
    /// Messages before the response. Where there are any, the answer is a stream.
    notices: Vec<String>,
    response: String,
}

// === impl Scripted ===

impl Scripted {
    /// Answers requests of this method with these messages, the response last.
    /// Among tools that is only the one called `verbatim`.
    ///
    /// # Panics
    ///
    /// When there is no message.
    pub fn say(&self, method: &str, messages: &[&str]) {
        let (response, notices) = messages.split_last().expect("a response");
        let notices = notices.iter().map(|notice| (*notice).to_owned()).collect();
        let said = Verbatim { notices, response: (*response).to_owned() };
        lock(&self.state.verbatim).insert(method.to_owned(), said);
    }
}

/// What is to be said to this request, where a test wrote something.
pub(super) fn of(seen: &Seen, state: &State) -> Option<Verbatim> {
    let is_other_tool = seen.method() == "tools/call" && seen.body["params"]["name"] != "verbatim";
    let said = lock(&state.verbatim).get(seen.method()).filter(|_| !is_other_tool).cloned()?;
    lock(&state.executed).push(seen.clone());
    Some(said)
}

// === impl Verbatim ===

impl Verbatim {
    /// Says it.
    pub(super) fn say(&self, seen: &Seen, mut socket: &TcpStream) -> io::Result<bool> {
        let token = seen.body["params"]["_meta"]["progressToken"].to_string();
        let filled = |text: &str| text.replace("{ID}", &seen.body["id"].to_string()).replace("{TOKEN}", &token);
        if self.notices.is_empty() {
            status(socket, 200, &[("Content-Type", "application/json")], filled(&self.response).as_bytes())?;
            return Ok(true);
        }
        open_stream(socket)?;
        for message in self.notices.iter().chain([&self.response]) {
            raw_chunk(socket, &filled(message))?;
        }
        socket.write_all(b"0\r\n\r\n")?;
        Ok(true)
    }
}
