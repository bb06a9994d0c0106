//! Server-sent events (WHATWG HTML, "Server-sent events"): reading those of
//! upstreams, writing those to clients.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;
use smallvec::SmallVec;

/// One event's data may not be larger; an upstream that sends more is cut off.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// A line that gets a buffer of its own.
const LARGE_LINE_BYTES: usize = 64 << 10;
/// A longer id is as good as none: nobody resumes after it.
const MAX_ID_BYTES: usize = 1024;

/// The id of an event. Usual ones need no memory of their own.
type Id = SmallVec<[u8; 64]>;

/// Splits a byte stream into its events.
///
/// Comments are skipped. Events without data (priming events of 2025-11-25)
/// are not reported, but their ids count.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// How much of the buffer holds no line end.
    searched: usize,
    data: Data,
    /// The name of the event being read.
    named: Bytes,
    /// The name of the event last reported.
    name: Bytes,
    /// The id of the event being read, where it has one.
    id: Option<Id>,
    /// The id of the last whole event that had one.
    last_id: Option<Id>,
    retry: Option<Duration>,
    /// Whether no event has come yet since a stream was taken up again.
    resumed: bool,
    /// The last line ended in CR, so that an LF that follows belongs to it.
    after_cr: bool,
}

/// The data of the event being read.
#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    /// One line, as it came.
    Line(Bytes),
    /// Several, joined.
    Lines(BytesMut),
}

/// An event is larger than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {MAX_EVENT_BYTES} bytes")]
pub struct EventTooLarge;

// === impl Decoder ===

impl Decoder {
    /// Takes in what arrived.
    ///
    /// # Errors
    ///
    /// If more is held back than an event may have.
    pub fn push(&mut self, bytes: &Bytes) -> Result<(), EventTooLarge> {
        if self.buffer.len() + bytes.len() + self.data.len() > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// A decoder for the stream that goes on where this one's broke off. An
    /// event that comes a second time is not reported again.
    #[must_use]
    pub fn resumed(self) -> Self {
        Self { last_id: self.last_id, retry: self.retry, resumed: true, ..Self::default() }
    }

    /// The data of the next event that is complete.
    pub fn next_event(&mut self) -> Option<Bytes> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                if let Some(data) = self.whole_event() {
                    return Some(data);
                }
            } else {
                self.field(&line);
            }
        }
        None
    }

    /// Whether nothing that came is yet to be reported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let ends_line = self.after_cr && *self.buffer == *b"\n";
        (self.buffer.is_empty() || ends_line) && matches!(self.data, Data::None)
    }

    /// The name of the event that [`next_event`](Self::next_event) returned
    /// last; empty where it had none, which means `message`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether that event is a message: one of this name, or without any.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(&self.name[..], b"" | b"message")
    }

    /// The id of the last event that had one, whether or not it had data:
    /// where a stream that broke off is to be taken up again.
    #[must_use]
    pub fn last_id(&self) -> Option<&[u8]> {
        self.last_id.as_deref()
    }

    /// How long the server asks to wait before a stream is opened again.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn field(&mut self, line: &Bytes) {
        if let Some(value) = field_value(line, b"data") {
            self.data.add(value);
        } else if let Some(value) = field_value(line, b"event") {
            self.named = value;
        } else if let Some(value) = field_value(line, b"id") {
            // A NUL makes no id; neither does nothing, which forgets the last one.
            if !value.contains(&0) {
                self.id = Some(if value.len() > MAX_ID_BYTES { Id::new() } else { Id::from_slice(&value) });
            }
        } else if let Some(value) = field_value(line, b"retry") {
            let milliseconds = std::str::from_utf8(&value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            if let Some(milliseconds) = milliseconds.and_then(|text| text.parse().ok()) {
                self.retry = Some(Duration::from_millis(milliseconds));
            }
        }
    }

    /// What an empty line ends: an event, which is reported if it has data.
    fn whole_event(&mut self) -> Option<Bytes> {
        let (data, id) = (std::mem::take(&mut self.data), self.id.take());
        self.name = std::mem::take(&mut self.named);
        if self.resumed && id.is_some() && id == self.last_id {
            return None;
        }
        if let Some(id) = id {
            self.resumed = false;
            self.last_id = (!id.is_empty()).then_some(id);
        }
        let data = match data {
            Data::None => return None,
            Data::Line(line) => line,
            Data::Lines(lines) => lines.freeze(),
        };
        self.resumed = false;
        Some(data)
    }

    /// The next whole line without its end (CR, LF or CR LF).
    fn next_line(&mut self) -> Option<Bytes> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        let Some(end) = memchr2(b'\n', b'\r', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end).freeze();
        self.searched = 0;
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
        if line.len() > LARGE_LINE_BYTES {
            // What comes after it must not keep its memory.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        Some(line)
    }
}

// === impl Data ===

impl Data {
    fn add(&mut self, line: Bytes) {
        match self {
            // Nothing yet, and nothing new: a priming event has no data.
            Self::None if line.is_empty() => {}
            Self::None => *self = Self::Line(line),
            Self::Line(first) => {
                let mut lines = BytesMut::with_capacity(2 * (first.len() + 1 + line.len()));
                lines.extend_from_slice(first);
                *self = Self::Lines(lines);
                self.add(line);
            }
            Self::Lines(lines) => {
                lines.extend_from_slice(b"\n");
                lines.extend_from_slice(&line);
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Line(line) => line.len(),
            Self::Lines(lines) => lines.len(),
        }
    }
}

fn field_value(line: &Bytes, field: &[u8]) -> Option<Bytes> {
    let rest = line.strip_prefix(field)?;
    let value = match rest.strip_prefix(b":") {
        Some(value) => value.strip_prefix(b" ").unwrap_or(value),
        None if rest.is_empty() => rest,
        None => return None,
    };
    Some(line.slice_ref(value))
}

/// Writes a JSON-RPC message as an event.
#[must_use]
pub fn encode(message: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(message.len() + 24);
    event.extend_from_slice(b"event: message\n");
    if memchr2(b'\n', b'\r', message).is_some() {
        // JSON may be written over several lines.
        for line in message.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
            push_line(&mut event, line);
        }
    } else {
        push_line(&mut event, message);
    }
    event.extend_from_slice(b"\n");
    event.freeze()
}

fn push_line(event: &mut BytesMut, line: &[u8]) {
    event.extend_from_slice(b"data: ");
    event.extend_from_slice(line);
    event.extend_from_slice(b"\n");
}

/// A comment that keeps proxies from closing a quiet stream.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

#[cfg(test)]
mod tests;
