//! Lines: how messages are told apart on a child's standard streams.
//!
//! One message is one line of UTF-8 JSON (MCP 2025-11-25, basic/transports,
//! stdio). A line is bounded, so that a child cannot fill our memory.

use std::io::{self, BufRead};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is asked of the operating system at once. One pipe holds 64 KiB on Linux.
const READ_BYTES: usize = 32 << 10;
/// Below this much free space the buffer grows rather than being read into.
const MIN_SPARE_BYTES: usize = 4 << 10;

/// Splits what a child writes into lines, as slices of the read buffer.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    scanned: usize,
    max_bytes: usize,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The line is longer than allowed.
    #[error("a line of more than {max_bytes} bytes")]
    TooLong {
        /// The limit.
        max_bytes: usize,
    },
    /// Reading failed.
    #[error("the output cannot be read")]
    Io(#[from] io::Error),
}

/// Makes a message fit one line.
///
/// A valid JSON text has line breaks only between its tokens (RFC 8259 §2 and
/// §7), where a space says the same. Carriage returns count: readers that
/// translate line ends would break the message there.
pub(super) fn single_line(message: Bytes) -> Bytes {
    if !message.contains(&b'\n') && !message.contains(&b'\r') {
        return message;
    }
    message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

// === impl Lines ===

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads lines of at most `max_bytes` from `source`.
    pub(super) fn new(source: R, max_bytes: usize) -> Self {
        Self { source, buffer: BytesMut::new(), scanned: 0, max_bytes }
    }

    /// The next line without its end; `None` once the source has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LineError> {
        loop {
            if let Some(end) = line_end(&self.buffer[self.scanned..]) {
                let line = self.split(self.scanned + end + 1);
                return self.bounded(line).map(Some);
            }
            self.scanned = self.buffer.len();
            if self.scanned > self.max_bytes {
                return Err(LineError::TooLong { max_bytes: self.max_bytes });
            }
            if self.buffer.capacity() - self.buffer.len() < MIN_SPARE_BYTES {
                self.buffer.reserve(READ_BYTES);
            }
            if self.source.read_buf(&mut self.buffer).await? == 0 {
                let rest = self.split(self.buffer.len());
                return if rest.is_empty() { Ok(None) } else { self.bounded(rest).map(Some) };
            }
        }
    }

    fn split(&mut self, length: usize) -> Bytes {
        let mut line = self.buffer.split_to(length).freeze();
        self.scanned = 0;
        if line.len() > READ_BYTES {
            // A buffer that grew for one long line would stay that large.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        for end in [b'\n', b'\r'] {
            if line.last() == Some(&end) {
                line.truncate(line.len() - 1);
            }
        }
        line
    }

    fn bounded(&self, line: Bytes) -> Result<Bytes, LineError> {
        if line.len() > self.max_bytes {
            return Err(LineError::TooLong { max_bytes: self.max_bytes });
        }
        Ok(line)
    }
}

/// Where the first line feed is. `skip_until` finds it with the platform's `memchr`.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let read = rest.skip_until(b'\n').expect("reading from a slice cannot fail");
    (bytes[..read].last() == Some(&b'\n')).then(|| read - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(source: &[u8], max_bytes: usize) -> (Vec<String>, Option<LineError>) {
        let mut lines = Lines::new(source, max_bytes);
        let mut seen = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(line)) => seen.push(String::from_utf8(line.to_vec()).unwrap()),
                Ok(None) => return (seen, None),
                Err(error) => return (seen, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn lines_come_without_their_ends_and_the_last_needs_none() {
        let (seen, error) = lines(b"one\ntwo\r\n\nthree", 100).await;
        assert_eq!(seen, ["one", "two", "", "three"]);
        assert!(error.is_none());
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
        let (seen, error) = lines(b"12345678\n123456789\n", 8).await;
        assert_eq!(seen, ["12345678"]);
        assert!(matches!(error, Some(LineError::TooLong { max_bytes: 8 })));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_before_it_is_all_there() {
        let endless = tokio::io::repeat(b'a');
        let error = Lines::new(endless, 100_000).next().await.unwrap_err();
        assert!(matches!(error, LineError::TooLong { max_bytes: 100_000 }));
    }

    #[tokio::test]
    async fn a_long_line_leaves_no_large_buffer_behind() {
        let source = [vec![b'a'; 1 << 20], b"\nshort\n".to_vec()].concat();
        let mut lines = Lines::new(&source[..], 2 << 20);
        assert_eq!(lines.next().await.unwrap().unwrap().len(), 1 << 20);
        assert_eq!(lines.next().await.unwrap().unwrap(), "short");
        assert!(lines.buffer.capacity() <= 2 * READ_BYTES, "{}", lines.buffer.capacity());
    }

    #[test]
    fn a_message_on_several_lines_becomes_one_line_of_the_same_meaning() {
        let pretty = Bytes::from_static(b"{\r\n  \"a\\n\": [1,\n2]\n}");
        let single = single_line(pretty.clone());
        assert!(!single.contains(&b'\n') && !single.contains(&b'\r'));
        let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(parse(&single), parse(&pretty));
    }

    #[test]
    fn a_message_on_one_line_is_not_copied() {
        let message = Bytes::from_static(b"{\"a\": 1}");
        assert_eq!(single_line(message.clone()).as_ptr(), message.as_ptr());
    }
}
