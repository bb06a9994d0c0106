//! Server-sent events (WHATWG HTML, "Server-sent events"): reading those of
//! upstreams, writing those to clients.

use bytes::{Buf, Bytes, BytesMut};

/// One event's data may not be larger; an upstream that sends more is cut off.
pub const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Splits a byte stream into the data of its events.
///
/// Only `data` counts here: comments, names, ids and retry times are skipped.
/// Events without data (priming events of 2025-11-25) are not reported.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// How much of the buffer holds no line end.
    searched: usize,
    data: Data,
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

    /// The data of the next event that is complete.
    pub fn next_event(&mut self) -> Option<Bytes> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                match std::mem::take(&mut self.data) {
                    Data::None => continue,
                    Data::Line(line) => return Some(line),
                    Data::Lines(lines) => return Some(lines.freeze()),
                }
            }
            if let Some(value) = field_value(&line, b"data") {
                self.data.add(value);
            }
        }
        None
    }

    /// The next whole line without its end (CR, LF or CR LF).
    fn next_line(&mut self) -> Option<Bytes> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        let end = self.buffer[self.searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end).freeze();
        self.searched = 0;
        self.after_cr = self.buffer[0] == b'\r';
        self.buffer.advance(1);
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
    if message.contains(&b'\n') || message.contains(&b'\r') {
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
mod tests {
    use super::*;

    fn decode(chunks: &[&str]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(&Bytes::copy_from_slice(chunk.as_bytes())).unwrap();
            while let Some(data) = decoder.next_event() {
                events.push(String::from_utf8(data.to_vec()).unwrap());
            }
        }
        events
    }

    #[test]
    fn events_are_found_wherever_the_stream_is_cut() {
        let stream =
            ": hello\r\n\r\nevent: message\r\nid: 4\r\ndata: {\"a\":1}\r\n\r\ndata:x\ndata: y\n\ndata:\n\rdata: z\r\r";
        let whole = decode(&[stream]);
        assert_eq!(whole, ["{\"a\":1}", "x\ny", "z"]);
        for cut in 1..stream.len() {
            assert_eq!(decode(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_event_is_cut_off() {
        let mut decoder = Decoder::default();
        let chunk = Bytes::from(vec![b'x'; MAX_EVENT_BYTES / 2 + 1]);
        assert_eq!(decoder.push(&chunk), Ok(()));
        assert_eq!(decoder.push(&chunk), Err(EventTooLarge));
    }

    #[test]
    fn an_event_of_many_lines_costs_no_more_than_its_bytes() {
        let mut decoder = Decoder::default();
        let lines = 1_000_000;
        decoder.push(&Bytes::from("data:x\n".repeat(lines) + "\n")).unwrap();
        assert_eq!(decoder.next_event().unwrap().len(), 2 * lines - 1);
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let event = encode(b"{\n  \"a\": 1\n}");
        assert_eq!(decode(&[std::str::from_utf8(&event).unwrap()]), ["{\n  \"a\": 1\n}"]);
    }
}
