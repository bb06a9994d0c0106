//! What a server answered: as it arrives, or whole.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::time::Instant;

use serde_json::Value;

use super::{Body, Connection, Framing, Headers, read_head};
use crate::patience::PATIENCE;

/// An answer whose head is read and whose body may still be coming.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    body: BufReader<Body<Box<dyn Connection>>>,
}

/// A server-sent event, whether or not it carries a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// `id`, where it has one.
    pub id: Option<String>,
    /// `retry`, where it has one.
    pub retry: Option<String>,
    /// `data`; empty where it says nothing.
    pub data: String,
}

/// An answer read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
}

// === impl Answer ===

impl Answer {
    pub(super) fn read(connection: Box<dyn Connection>) -> io::Result<Self> {
        let mut input = BufReader::new(connection);
        let (status, headers) = loop {
            let (start, headers) = read_head(&mut input)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let status = start.split(' ').nth(1).and_then(|code| code.parse().ok());
            match status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, start))? {
                // An interim answer; the real one follows.
                100..200 => {}
                status => break (status, headers),
            }
        };
        let framing = match status {
            204 | 304 => Framing::Length(0),
            _ => Framing::of(&headers, Framing::Close),
        };
        Ok(Self { status, headers, body: BufReader::new(Body::new(input, framing)) })
    }

    /// Waits for the next server-sent event that carries a message, and returns it;
    /// `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// When the stream breaks or an event holds no JSON.
    pub fn next_event(&mut self) -> io::Result<Option<Value>> {
        while let Some(event) = self.next_raw_event()? {
            if !event.data.is_empty() {
                return Ok(Some(serde_json::from_str(&event.data)?));
            }
        }
        Ok(None)
    }

    /// Waits for the next server-sent event of any kind, comments left out;
    /// `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// When the stream breaks.
    pub fn next_raw_event(&mut self) -> io::Result<Option<Event>> {
        let (mut event, begun) = (Event::default(), Instant::now());
        loop {
            // Comments come for ever.
            if begun.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut line = String::new();
            if self.body.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end_matches(['\r', '\n']).split_once(':') {
                Some(("id", id)) => event.id = Some(id.trim_start().to_owned()),
                Some(("retry", retry)) => event.retry = Some(retry.trim_start().to_owned()),
                Some(("data", more)) => event.data.push_str(more.trim_start()),
                None if event != Event::default() => return Ok(Some(event)),
                _ => {}
            }
        }
    }

    /// Reads the rest.
    ///
    /// # Errors
    ///
    /// When the connection breaks before the body's end.
    pub fn finish(mut self) -> io::Result<Reply> {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body)?;
        Ok(Reply { status: self.status, headers: self.headers, body })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer").field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

// === impl Reply ===

impl Reply {
    /// A header's value, or the empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Every message of the body, be it JSON or a stream of events.
    ///
    /// # Panics
    ///
    /// When the body is neither.
    pub fn messages(&self) -> Vec<Value> {
        let parse = |text: &str| {
            serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the {} answer {text:?}", self.status))
        };
        if !self.header("Content-Type").starts_with("text/event-stream") {
            return vec![parse(&self.text())];
        }
        let text = self.text();
        let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
        data.filter(|data| !data.is_empty()).map(parse).collect()
    }

    /// The last message, which is the response.
    ///
    /// # Panics
    ///
    /// As [`Reply::messages`].
    pub fn json(&self) -> Value {
        self.messages().pop().unwrap_or_default()
    }
}
