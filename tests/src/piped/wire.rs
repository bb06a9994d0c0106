//! HTTP+SSE and WebSocket by hand, the server's side.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{State, lock};
use crate::http::{Body, Framing, Headers, read_head};

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// Serves GET, which becomes the pipe, and POST.
pub(super) fn serve_http(socket: &TcpStream, state: &State) -> io::Result<()> {
    let mut input = BufReader::new(socket.try_clone()?);
    while let Some((start, headers)) = read_head(&mut input)? {
        if start.starts_with("GET /sse ") {
            let mut output = socket;
            output.write_all(STREAM.as_bytes())?;
            write_event(&mut output, "endpoint", state.endpoint.as_bytes())?;
            state.opened(head(&start, &headers), socket)?;
            // Until the other side has had enough.
            return io::copy(&mut input, &mut io::sink()).map(drop);
        }
        let mut body = Body::new(input, Framing::of(&headers, Framing::Length(0)));
        let mut raw = Vec::new();
        body.read_to_end(&mut raw)?;
        input = body.into_inner();
        let posted = start.starts_with(&format!("POST {} ", state.endpoint));
        let status = if posted { "202 Accepted" } else { "405 Method Not Allowed" };
        let mut output = socket;
        output.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
        if posted && state.hear(&raw).is_err() {
            // A tool that ends the pipe.
            if let Some(speaking) = lock(&state.speaking).take() {
                speaking.shutdown(Shutdown::Both)?;
            }
        }
    }
    Ok(())
}

/// Serves one WebSocket.
pub(super) fn serve_websocket(socket: &TcpStream, state: &State) -> io::Result<()> {
    let mut input = BufReader::new(socket.try_clone()?);
    let Some((start, headers)) = read_head(&mut input)? else { return Ok(()) };
    let key = headers.get("Sec-WebSocket-Key").unwrap_or_default();
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes()));
    let mut output = socket;
    output.write_all(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mcp\r\n\r\n"
        )
        .as_bytes(),
    )?;
    state.opened(head(&start, &headers), socket)?;
    loop {
        match read_frame(&mut input)? {
            (0x1, message) => state.hear(&message)?,
            (0x8, _) => return Ok(()),
            _ => {}
        }
    }
}

fn head(start: &str, headers: &Headers) -> String {
    let fields = headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    format!("{start}\n{}", fields.collect::<String>()).to_ascii_lowercase()
}

/// Writes an event.
pub(super) fn write_event(output: &mut impl Write, name: &str, data: &[u8]) -> io::Result<()> {
    output.write_all(&[format!("event: {name}\ndata: ").as_bytes(), data, b"\n\n"].concat())
}

/// Writes a text frame.
pub(super) fn write_text(output: &mut impl Write, text: &[u8]) -> io::Result<()> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(length.to_be_bytes()[1]),
        Ok(length) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    output.write_all(&frame)
}

/// Reads a frame: its kind, and what it holds.
fn read_frame(input: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut start = [0; 2];
    input.read_exact(&mut start)?;
    let length = match start[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            input.read_exact(&mut length)?;
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            input.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        }
        length => u64::from(length),
    };
    // What a client sends is masked.
    let mut mask = [0; 4];
    input.read_exact(&mut mask)?;
    let mut payload = Vec::new();
    input.take(length).read_to_end(&mut payload)?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((start[0] & 0x0f, payload))
}
