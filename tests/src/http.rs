//! HTTP/1.1 by hand, for both ends of a connection: tests send what no library
//! would send, and see answers as they arrive.

mod body;
mod headers;
mod reply;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub use body::{Body, Framing};
pub use headers::Headers;
pub use reply::{Answer, Event, Reply};

use crate::patience::PATIENCE;

/// Anything a conversation can be held over: a socket, or TLS on one.
pub trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// A request as a test wants it on the wire.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers in the order they are sent. `Host`, `Connection: close` and
    /// `Content-Length` are added where the test gave none.
    pub headers: Headers,
    /// The body, sent as it is.
    pub body: Vec<u8>,
}

// === impl Request ===

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), headers: Headers::default(), body: Vec::new() }
    }

    /// Adds a header, even if it is there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The head's bytes, up to and with the empty line.
    pub fn head(&self, host: &str) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push_if_absent("Host", host);
        headers.push_if_absent("Connection", "close");
        if headers.get("Transfer-Encoding").is_none() && self.method != "GET" {
            headers.push_if_absent("Content-Length", &self.body.len().to_string());
        }
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in headers.iter() {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Sends the request on a new connection and returns once the answer's
    /// head is there; the body is read as the test asks for it.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or answers no HTTP.
    pub fn open(&self, address: SocketAddr) -> io::Result<Answer> {
        self.send_on(connect(address)?, &address.to_string())
    }

    /// Sends the request on a given connection.
    ///
    /// # Errors
    ///
    /// As [`Request::open`].
    pub fn send_on(&self, mut connection: impl Connection + 'static, host: &str) -> io::Result<Answer> {
        let mut wire = self.head(host);
        wire.extend_from_slice(&self.body);
        // A server may refuse by its head alone and close: what it said counts, not the failed write.
        let written = connection.write_all(&wire).and_then(|()| connection.flush());
        Answer::read(Box::new(connection)).or_else(|unread| written.and(Err(unread)))
    }

    /// Sends the request and reads the whole answer.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn send(&self, address: SocketAddr) -> Reply {
        self.open(address)
            .and_then(Answer::finish)
            .unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }
}

/// Connects with a deadline on every read and write.
///
/// # Errors
///
/// When nobody listens there.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connects so that a read gives up early: for a test of silence.
///
/// # Errors
///
/// When nobody listens there.
pub fn connect_impatient(address: SocketAddr, read: Duration) -> io::Result<TcpStream> {
    let stream = connect(address)?;
    stream.set_read_timeout(Some(read))?;
    Ok(stream)
}

/// Reads a start line and headers; `None` when the peer closed before any.
pub(crate) fn read_head(input: &mut BufReader<impl Read>) -> io::Result<Option<(String, Headers)>> {
    let mut start = String::new();
    if input.read_line(&mut start)? == 0 {
        return Ok(None);
    }
    let mut headers = Headers::default();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push(name, value.trim()),
            None => return Ok(Some((start.trim_end().to_owned(), headers))),
        }
    }
}
