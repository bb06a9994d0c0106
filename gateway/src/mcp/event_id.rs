//! `Last-Event-ID`: where a client's stream broke off.
//!
//! An id is the stream's token, sealed once for a stream, and the number of the
//! message in it: `TOKEN.NUMBER`. It leads back to the stream for the session
//! it was made for and for nobody else.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::session::Session;
use super::sse;
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// As long as the ids of sessions can be opened.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// No token of ours is so long.
const MAX_BYTES: usize = 512;
/// The first byte of what is sealed: how the rest is written.
const FORM: u8 = 1;
/// When a client shall come again whose stream ended early.
const RETRY: Duration = Duration::from_secs(1);

/// One stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId {
    /// Tells the session's outbox from another that it had elsewhere or before.
    pub outbox: u64,
    /// The answer to a POST, or [`StreamId::STANDING`].
    pub number: u64,
}

/// Writes the events of one stream.
#[derive(Clone, Debug)]
pub struct Pen {
    token: Arc<str>,
}

// === impl StreamId ===

impl StreamId {
    /// The stream that a GET opens.
    pub const STANDING: u64 = 0;

    /// What its events are written with.
    #[must_use]
    pub fn pen(self, keys: &KeyRing, session: &Session) -> Pen {
        let mut payload = Vec::with_capacity(1 + size_of::<u128>() + 2 * size_of::<u64>());
        payload.put_u8(FORM);
        payload.put_u128(session.key);
        payload.put_u64(self.outbox);
        payload.put_u64(self.number);
        Pen { token: keys.seal(binding(session), UnixSeconds::now() + LIFETIME, &payload).into() }
    }

    /// The stream of an id, and the number of the message; `None` if the id is
    /// none of the session's.
    #[must_use]
    pub fn read(keys: &KeyRing, session: &Session, id: &str) -> Option<(Self, u64)> {
        let (token, number) = id.rsplit_once('.').filter(|(token, _)| token.len() <= MAX_BYTES)?;
        let payload = keys.open(binding(session), token, UnixSeconds::now()).ok()?;
        let (&FORM, rest) = payload.split_first()? else { return None };
        let (key, rest) = rest.split_first_chunk()?;
        let (outbox, rest) = rest.split_first_chunk()?;
        let stream = Self { outbox: u64::from_be_bytes(*outbox), number: u64::from_be_bytes(rest.try_into().ok()?) };
        (u128::from_be_bytes(*key) == session.key).then_some((stream, number.parse().ok()?))
    }
}

fn binding(session: &Session) -> Binding<'_> {
    Binding { purpose: Purpose::Event, route: session.server.as_deref(), principal: &session.principal }
}

// === impl Pen ===

impl Pen {
    /// A message as an event that says where it stands.
    #[must_use]
    pub fn message(&self, number: u64, message: &[u8]) -> Bytes {
        let message = sse::encode(message);
        let mut event = self.begin(number, message.len());
        event.extend_from_slice(&message);
        event.freeze()
    }

    /// What a stream of 2025-11-25 begins with ("Streamable HTTP", "Sending
    /// Messages to the Server"): an event that says nothing, so that its
    /// client can come again even if nothing else arrives.
    #[must_use]
    pub fn priming(&self, number: u64) -> Bytes {
        let retry = format!("retry: {}\ndata: \n\n", RETRY.as_millis());
        let mut event = self.begin(number, retry.len());
        event.extend_from_slice(retry.as_bytes());
        event.freeze()
    }

    fn begin(&self, number: u64, room: usize) -> BytesMut {
        let id = format!("id: {}.{number}\n", self.token);
        let mut event = BytesMut::with_capacity(id.len() + room);
        event.extend_from_slice(id.as_bytes());
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::session::{Agreement, Sessions};
    use crate::mcp::version::Version;

    fn session(sessions: &Sessions, principal: &str, server: Option<&str>) -> Arc<Session> {
        sessions.open(Agreement {
            version: Version::NEWEST_LEGACY,
            principal: principal.into(),
            server: server.map(Arc::from),
            capabilities: Bytes::new(),
            client_info: None,
        })
    }

    fn id(event: &Bytes) -> String {
        let text = std::str::from_utf8(event).unwrap();
        text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned()
    }

    #[test]
    fn an_id_leads_back_to_its_place_in_the_stream() {
        let sessions = Sessions::for_tests(10);
        for server in [None, Some("crm")] {
            let session = session(&sessions, "alice", server);
            for (outbox, number, message) in [(0, 0, 0), (7, 3, u64::MAX), (u64::MAX, u64::MAX, 1)] {
                let stream = StreamId { outbox, number };
                let pen = stream.pen(sessions.keys(), &session);
                for event in [pen.message(message, b"{}"), pen.priming(message)] {
                    let read = StreamId::read(sessions.keys(), &session, &id(&event));
                    assert_eq!(read, Some((stream, message)));
                }
            }
        }
    }

    #[test]
    fn an_id_is_of_no_use_to_another_session() {
        let sessions = Sessions::for_tests(10);
        let alices = session(&sessions, "alice", None);
        let id = id(&StreamId { outbox: 1, number: 2 }.pen(sessions.keys(), &alices).priming(3));
        for (principal, server) in [("alice", None), ("bob", None), ("alice", Some("crm"))] {
            let other = session(&sessions, principal, server);
            assert_eq!(StreamId::read(sessions.keys(), &other, &id), None, "{principal} {server:?}");
        }
        for id in ["", ".", "1", "a.1", &id[1..], &format!("{id}x"), &format!("{id}9999999999999999999999"), &alices.id]
        {
            assert_eq!(StreamId::read(sessions.keys(), &alices, id), None, "{id}");
        }
    }

    #[test]
    fn events_are_written_as_clients_read_them() {
        let pen = Pen { token: "t".into() };
        assert_eq!(pen.message(4, b"{}"), "id: t.4\nevent: message\ndata: {}\n\n");
        assert_eq!(pen.priming(0), "id: t.0\nretry: 1000\ndata: \n\n");
    }
}
