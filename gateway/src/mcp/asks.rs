//! Questions of servers that wait for the client of one session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use super::splice::Span;

/// Questions that one session's client may be asked at a time.
const MAX_OF_SESSION: usize = 16;
/// The same of all sessions together: each keeps a call waiting for a person.
pub const MAX_OPEN: usize = 256;
/// Before what tells a question from all others: also from those of another
/// process, at which a reply may come in.
const PREFIX: &str = "portcullis-";

/// The questions that wait.
#[derive(Debug)]
pub struct Asks {
    table: Mutex<Table>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Table {
    open: Vec<(Uuid, oneshot::Sender<Reply>)>,
}

/// A question that was put; dropping it withdraws it.
#[derive(Debug)]
pub struct Ask {
    /// The id of the request to the client, as JSON.
    pub id: String,
    /// What the client answers.
    pub reply: oneshot::Receiver<Reply>,
    _place: OwnedSemaphorePermit,
}

/// What a client answered.
#[derive(Debug)]
pub struct Reply {
    /// Its message.
    pub body: ByteString,
    /// The id in it.
    pub id: Span,
    /// What it says.
    pub said: Said,
}

/// A result, or an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The value of `result`.
    Result(Span),
    /// The value of `error`.
    Error(Span),
}

// === impl Asks ===

impl Asks {
    /// No question yet; `places` are shared with all other sessions.
    #[must_use]
    pub fn new(places: Arc<Semaphore>) -> Self {
        Self { table: Mutex::default(), places }
    }

    /// Makes place for a question; `None` if too many wait already.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut table = self.table();
        table.open.retain(|(_, waiting)| !waiting.is_closed());
        if table.open.len() >= MAX_OF_SESSION {
            return None;
        }
        let (sender, reply) = oneshot::channel();
        let number = Uuid::new_v4();
        table.open.push((number, sender));
        Some(Ask { id: format!("\"{PREFIX}{}\"", number.simple()), reply, _place: place })
    }

    /// Hands an answer to who asked; `id` is JSON. An answer that nobody waits
    /// for is dropped.
    pub fn reply(&self, id: &str, reply: Reply) {
        let number = id.trim_matches('"').strip_prefix(PREFIX).and_then(|number| Uuid::parse_str(number).ok());
        let mut table = self.table();
        let waiting = table.open.iter().position(|(open, _)| Some(*open) == number);
        if let Some(index) = waiting {
            // Who asked may have gone.
            let _ = table.open.swap_remove(index).1.send(reply);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Reply ===

impl Reply {
    /// The value of `result`, or the whole error.
    ///
    /// # Errors
    ///
    /// The text of the client's error.
    pub fn result(&self) -> Result<&str, &str> {
        let text = |span: Span| &self.body[span.range()];
        match self.said {
            Said::Result(span) => Ok(text(span)),
            Said::Error(span) => Err(text(span)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(places: usize) -> Asks {
        Asks::new(Arc::new(Semaphore::new(places)))
    }

    fn reply() -> Reply {
        let text = r#"{"id":7,"result":{"a":1}}"#;
        let span = |part: &str| Span::of(&text[text.find(part).unwrap()..][..part.len()], text);
        Reply { body: ByteString::from_static(text), id: span("7"), said: Said::Result(span(r#"{"a":1}"#)) }
    }

    #[tokio::test]
    async fn an_answer_reaches_who_asked_and_nobody_else() {
        let asks = asks(MAX_OPEN);
        let (mut one, two) = (asks.ask().unwrap(), asks.ask().unwrap());
        assert_ne!(one.id, two.id);
        for id in ["7", "\"x\"", "\"portcullis-99\"", "null"] {
            asks.reply(id, reply());
        }
        let second = two.id.clone();
        asks.reply(&second, reply());
        assert_eq!(two.reply.await.unwrap().result(), Ok(r#"{"a":1}"#));
        assert!(one.reply.try_recv().is_err());
        // A second answer finds nobody.
        asks.reply(&second, reply());
        // Nor does one to a session that was made again elsewhere.
        let elsewhere = super::tests::asks(MAX_OPEN);
        let mut first = elsewhere.ask().unwrap();
        elsewhere.reply(&one.id, reply());
        assert!(first.reply.try_recv().is_err());
    }

    #[test]
    fn questions_are_bounded_and_withdrawn_ones_make_room() {
        let asks = asks(MAX_OPEN);
        let mut open: Vec<Ask> = (0..MAX_OF_SESSION).map(|_| asks.ask().unwrap()).collect();
        assert!(asks.ask().is_none());
        open.pop();
        open.push(asks.ask().unwrap());
        let few = super::tests::asks(1);
        let one = few.ask().unwrap();
        assert!(few.ask().is_none());
        drop(one);
        assert!(few.ask().is_some());
    }
}
