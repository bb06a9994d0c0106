//! The scripted server fails as a whole: whatever is asked, it gets nowhere.

use std::io;
use std::net::TcpStream;

use super::protocol::status;
use super::{Scripted, State, lock};
use crate::patience::PATIENCE;

/// How the server fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outage {
    /// This HTTP status, and nothing else.
    Status(u16),
    /// A web page with this HTTP status.
    Page(u16),
    /// Connections are closed without an answer.
    Hangup,
    /// Connections stay open without an answer.
    Silence,
}

// === impl Scripted ===

impl Scripted {
    /// Fails from now on, until it [recovers](Self::recover).
    pub fn fail(&self, outage: Outage) {
        *lock(&self.state.outage) = Some(outage);
    }

    /// Behaves again.
    pub fn recover(&self) {
        *lock(&self.state.outage) = None;
        self.state.recovered.notify_all();
    }
}

/// Answers while the server fails; what is said is whether the connection stays.
pub(super) fn answer(socket: &TcpStream, state: &State) -> io::Result<Option<bool>> {
    let outage = lock(&state.outage);
    let answered = match *outage {
        None => return Ok(None),
        Some(Outage::Status(code)) => status(socket, code, &[], b""),
        Some(Outage::Page(code)) => status(socket, code, &[("Content-Type", "text/html")], b"<h1>Oh dear</h1>"),
        Some(Outage::Hangup) => return Ok(Some(false)),
        Some(Outage::Silence) => {
            drop(state.recovered.wait_timeout_while(outage, PATIENCE, |outage| outage.is_some()));
            return Ok(Some(false));
        }
    };
    answered.map(|()| Some(true))
}
