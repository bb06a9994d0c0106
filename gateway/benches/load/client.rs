//! An HTTP/1.1 client (RFC 9112) that costs little beside what it measures:
//! one connection, ready-made requests, answers of known length or in chunks.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::message::SESSION_ID;

/// A head or a chunk's first line is not longer.
const MAX_LINES: usize = 64 * 1024;

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has arrived and is not read yet.
    buffer: BytesMut,
    body: Vec<u8>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) is_event_stream: bool,
    pub(crate) session: Option<String>,
    pub(crate) body: &'a [u8],
}

#[derive(Debug, Default)]
struct Head {
    status: u16,
    is_event_stream: bool,
    session: Option<String>,
    length: usize,
    is_chunked: bool,
}

// === impl Connection ===

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 * 1024), body: Vec::new() })
    }

    /// Sends a request and reads the answer to its end.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        let end = self.find(b"\r\n\r\n").await?;
        let head = Head::parse(&self.buffer[..end])?;
        self.buffer.advance(end + 4);
        self.body.clear();
        if head.is_chunked {
            self.read_chunks().await?;
        } else {
            self.read_exactly(head.length).await?;
        }
        let Head { status, is_event_stream, session, .. } = head;
        Ok(Answer { status, is_event_stream, session, body: &self.body })
    }

    async fn read_chunks(&mut self) -> std::io::Result<()> {
        loop {
            let end = self.find(b"\r\n").await?;
            let line = std::str::from_utf8(&self.buffer[..end]).map_err(|_| broken())?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| broken())?;
            self.buffer.advance(end + 2);
            self.read_exactly(size).await?;
            // After the last chunk: no trailers are expected here.
            if self.find(b"\r\n").await? != 0 {
                return Err(broken());
            }
            self.buffer.advance(2);
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Moves so many bytes to the body.
    async fn read_exactly(&mut self, mut left: usize) -> std::io::Result<()> {
        loop {
            let here = left.min(self.buffer.len());
            self.body.extend_from_slice(&self.buffer[..here]);
            self.buffer.advance(here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Where this stands in what arrives.
    async fn find(&mut self, wanted: &[u8]) -> std::io::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(wanted.len()).position(|window| window == wanted) {
                return Ok(at);
            }
            if self.buffer.len() > MAX_LINES {
                return Err(broken());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> std::io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

// === impl Head ===

impl Head {
    fn parse(head: &[u8]) -> std::io::Result<Self> {
        let text = std::str::from_utf8(head).map_err(|_| broken())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(broken)?;
        let mut head = Self { status, ..Self::default() };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().map_err(|_| broken())?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.is_chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("content-type") {
                head.is_event_stream = value.starts_with("text/event-stream");
            } else if name.eq_ignore_ascii_case(SESSION_ID) {
                head.session = Some(value.to_owned());
            }
        }
        Ok(head)
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::InvalidData, "the answer is not HTTP/1.1 as it is used here")
}
