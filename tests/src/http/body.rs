//! A message's body, by its framing (RFC 9112 §6.3).

use std::io::{self, BufRead, BufReader, Read};

use super::Headers;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// So many bytes are left.
    Length(usize),
    /// Chunks; so many bytes are left of the current one.
    Chunked(usize),
    /// The last chunk was read.
    Ended,
    /// Until the peer closes.
    Close,
}

/// Reads a body and nothing behind it.
#[derive(Debug)]
pub struct Body<R> {
    input: BufReader<R>,
    framing: Framing,
}

// === impl Framing ===

impl Framing {
    /// What a message's headers say; `absent` where they say nothing.
    pub(crate) fn of(headers: &Headers, absent: Self) -> Self {
        if headers.get("Transfer-Encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Self::Chunked(0);
        }
        headers.get("Content-Length").and_then(|value| value.parse().ok()).map_or(absent, Self::Length)
    }
}

// === impl Body ===

impl<R: Read> Body<R> {
    /// The body that follows in `input`.
    pub(crate) fn new(input: BufReader<R>, framing: Framing) -> Self {
        Self { input, framing }
    }

    /// What lies behind the body.
    pub(crate) fn into_inner(self) -> BufReader<R> {
        self.input
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let size = loop {
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // The line end behind the previous chunk's bytes comes first.
            if !line.trim().is_empty() {
                break line;
            }
        };
        let size = size.trim().split(';').next().unwrap_or_default();
        let left =
            usize::from_str_radix(size, 16).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if left == 0 {
            let mut trailer = String::new();
            while self.input.read_line(&mut trailer)? > 0 && !trailer.trim().is_empty() {
                trailer.clear();
            }
            self.framing = Framing::Ended;
        } else {
            self.framing = Framing::Chunked(left);
        }
        Ok(())
    }

    fn read_at_most(&mut self, buffer: &mut [u8], left: usize) -> io::Result<usize> {
        let room = buffer.len().min(left);
        let count = self.input.read(&mut buffer[..room])?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.framing == Framing::Chunked(0) {
            self.next_chunk()?;
        }
        match self.framing {
            Framing::Length(0) | Framing::Ended => Ok(0),
            Framing::Close => self.input.read(buffer),
            Framing::Length(left) => {
                let count = self.read_at_most(buffer, left)?;
                self.framing = Framing::Length(left - count);
                Ok(count)
            }
            Framing::Chunked(left) => {
                let count = self.read_at_most(buffer, left)?;
                self.framing = Framing::Chunked(left - count);
                Ok(count)
            }
        }
    }
}
