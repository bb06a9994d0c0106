//! A gateway for one client that started it: MCP over standard input and
//! output, one message a line (MCP 2025-11-25, "Transports", stdio).
//!
//! Nothing listens, so that a client may start as many as it likes. Nothing
//! but messages goes to standard output.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use portcullis_policies::Principal;
use tokio::fs::File;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::assembly::Assembly;
use super::process::{CLOSE_TIMEOUT, reload, sweep};
use crate::auth::{Authentication, Authenticator};
use crate::config::{Config, Source};
use crate::middleware::decode::Connection;
use crate::secret::Secret;

/// Messages that wait for a client that does not read.
const MAX_WAITING: usize = 256;
/// How long what the client asked last may take once its input has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long what is still to be said may take once the client has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until standard input ends, or SIGTERM or SIGINT comes.
pub(super) async fn run(
    assembly: Arc<Assembly>,
    config: Config,
    source: Source,
    key: Option<Secret<String>>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    let generation = assembly.generation(&config, None)?;
    let principal = principal(&generation.authenticator.1, &source, key).await?;
    let current = Arc::new(ArcSwap::from_pointee(generation));
    let input = own(std::io::stdin()).context("standard input cannot be read")?;
    let output = own(std::io::stdout()).context("standard output cannot be written")?;
    let (out, said) = mpsc::channel(MAX_WAITING);
    let writing = tokio::spawn(write(output, said));
    tokio::spawn(sweep(Arc::clone(&assembly)));
    let connection = Connection::new(principal, None, out);
    let reading = async {
        let mut input = BufReader::new(input);
        while let Some(line) = read_line(&mut input, config.limits.max_body_bytes).await {
            // Whatever configuration is in force when it comes.
            let messages = current.load().messages.clone();
            connection.take(&messages, line).await;
        }
        // A client that says all it has to say at once still listens.
        let _ = tokio::time::timeout(LAST_ANSWERS, connection.finish()).await;
    };
    tokio::select! {
        () = reading => {}
        () = connection.listen(|| current.load().messages.clone()) => {}
        failed = reload(Arc::clone(&assembly), Arc::clone(&current), &config, &source) => failed?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let last = current.load_full();
    connection.end(&last.messages).await;
    drop(connection);
    let _ = tokio::time::timeout(LAST_WORDS, writing).await;
    let closing: Vec<_> = last.backends().collect();
    let closing = closing.iter().map(|backend| backend.close());
    if tokio::time::timeout(CLOSE_TIMEOUT, futures_util::future::join_all(closing)).await.is_err() {
        tracing::warn!("an upstream did not end in time");
    }
    Ok(())
}

/// A standard stream, without the buffer and lock of the library's own.
fn own(stream: impl AsFd) -> std::io::Result<File> {
    Ok(File::from_std(stream.as_fd().try_clone_to_owned()?.into()))
}

/// Who the client is: as its key says, or as anybody who may come without.
async fn principal(
    authenticator: &Authenticator,
    source: &Source,
    key: Option<Secret<String>>,
) -> anyhow::Result<Arc<Principal>> {
    let key = match source {
        Source::BuiltIn { key, .. } => Some(key.text.clone()),
        Source::File(_) => key,
    };
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let value = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
        headers.insert(AUTHORIZATION, value.context("PORTCULLIS_KEY is no credential")?);
    }
    let authenticated = match authenticator.authenticate(&headers) {
        Authentication::Ready(result) => result,
        Authentication::Pending(pending) => pending.await,
    };
    authenticated.map_err(|_| {
        anyhow::anyhow!(
            "set PORTCULLIS_KEY to an API key or token that the configuration knows, or allow anonymous callers"
        )
    })
}

/// The next line that holds something; `None` at the end. What is longer than
/// a message may be ends the connection: where it goes on cannot be known.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), max_bytes: usize) -> Option<Bytes> {
    let mut line = BytesMut::new();
    loop {
        let available = input.fill_buf().await.ok()?;
        if available.is_empty() {
            return None;
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        if line.len() + taken > max_bytes {
            tracing::error!(max_bytes, "a message is larger than `limits.maxBody`");
            return None;
        }
        line.extend_from_slice(&available[..taken]);
        input.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            if !line.trim_ascii().is_empty() {
                return Some(line.freeze());
            }
            line.clear();
        }
    }
}

/// Writes each message on a line of its own.
async fn write(mut output: File, mut said: mpsc::Receiver<Bytes>) {
    while let Some(message) = said.recv().await {
        let mut line = Vec::with_capacity(message.len() + 1);
        // In JSON, line ends stand between values only (RFC 8259 §7).
        line.extend(message.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
        line.push(b'\n');
        // The client has gone: its end of standard input says so, too.
        if output.write_all(&line).await.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_messages_and_an_endless_one_ends_the_connection() {
        let mut input = &b"{\"a\":1}\r\n\n  \n{}\nunfinished"[..];
        assert_eq!(read_line(&mut input, 100).await.unwrap(), "{\"a\":1}\r");
        assert_eq!(read_line(&mut input, 100).await.unwrap(), "{}");
        assert_eq!(read_line(&mut input, 100).await, None);
        let long = vec![b'x'; 101];
        assert_eq!(read_line(&mut long.as_slice(), 100).await, None);
    }
}
