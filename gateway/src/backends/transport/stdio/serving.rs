//! One run of a child: from its start to its end, nothing outlives it.
//!
//! Three tasks serve it: one writes, one reads, one logs. Whoever runs
//! [`Serving`] watches over them and the process: whatever ends first ends all.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::super::TransportError;
use super::super::pipe::{Ended, Hearing, Pipe, Queued, Stop};
use super::framing::{Lines, single_line};
use super::process::{Process, Streams};
use super::stderr::forward_lines;

/// The longest message a child may send.
const MAX_LINE_BYTES: usize = 16 << 20;
/// How long a child that closed its streams may take to exit by itself.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// How long what an ended child has written is still read.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Owns the process and the tasks that serve it.
pub(super) struct Serving {
    process: Process,
    reader: JoinHandle<Result<(), TransportError>>,
    writer: JoinHandle<io::Result<()>>,
    logger: JoinHandle<()>,
    pipe: Arc<Pipe>,
}

// === impl Serving ===

impl Serving {
    /// Starts the tasks that serve a child.
    pub(super) fn start(process: Process, streams: Streams, pipe: Arc<Pipe>, queued: Queued) -> Self {
        let name = Arc::clone(pipe.upstream());
        let logger = forward_lines(BufReader::new(streams.stderr), move |line| {
            info!(upstream = %name, line, "upstream wrote to its standard error");
        });
        Self {
            process,
            reader: tokio::spawn(read_messages(streams.stdout, Hearing::new(Arc::clone(&pipe)))),
            writer: tokio::spawn(write_messages(streams.stdin, queued, Arc::clone(&pipe))),
            logger: tokio::spawn(logger),
            pipe,
        }
    }

    /// Runs until the child has ended.
    pub(super) async fn run(mut self, stop: Stop) -> Ended {
        let ended = tokio::select! {
            status = self.process.exited() => Ended::lost(exit_error(status.ok())),
            () = stop.asked() => {
                // The writer owns the child's input: ending it closes that.
                self.writer.abort();
                self.process.end().await;
                Ended::orderly()
            }
            outcome = &mut self.reader => Ended::lost(match outcome {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => self.closed("it closed its output").await,
            }),
            _ = &mut self.writer => Ended::lost(self.closed("it closed its input").await),
        };
        // Whatever the leader left behind goes with it, and lets go of the pipes.
        self.process.group().kill();
        self.drain().await;
        self.pipe.end(&ended.error);
        if self.process.exited_within(DRAIN_LIMIT).await.is_none() {
            // What even SIGKILL does not end at once is reaped when it ends.
            let mut process = self.process;
            tokio::spawn(async move { process.exited().await });
        }
        ended
    }

    /// A stream closed: mostly because the child exits, which then says more.
    async fn closed(&mut self, cause: &str) -> TransportError {
        match self.process.exited_within(EXIT_GRACE).await {
            Some(status) => exit_error(Some(status)),
            None => TransportError::Disconnected(cause.to_owned()),
        }
    }

    /// Lets the last words be read; a process that left the group may still
    /// hold the pipes, so not forever.
    async fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        // A task that was waited for already must not be polled again.
        if !self.reader.is_finished() {
            let _ = timeout_at(deadline, &mut self.reader).await;
        }
        if !self.logger.is_finished() {
            let _ = timeout_at(deadline, &mut self.logger).await;
        }
        self.reader.abort();
        self.logger.abort();
        self.writer.abort();
    }
}

/// Reads messages until the output ends or is beyond bearing.
async fn read_messages(stdout: ChildStdout, mut hearing: Hearing) -> Result<(), TransportError> {
    let mut lines = Lines::new(stdout, MAX_LINE_BYTES);
    loop {
        match lines.next().await {
            Ok(Some(line)) if line.trim_ascii().is_empty() => {}
            Ok(Some(line)) => hearing.take(&line)?,
            Ok(None) => return Ok(()),
            Err(error) => return Err(TransportError::Garbage(error.to_string())),
        }
    }
}

/// Writes what is queued, a line each.
///
/// # Errors
///
/// When the child no longer takes its input.
async fn write_messages<W: AsyncWrite + Unpin>(target: W, mut queued: Queued, pipe: Arc<Pipe>) -> io::Result<()> {
    let mut target = BufWriter::new(target);
    while let Some(message) = queued.next(&pipe).await {
        target.write_all(&single_line(message)).await?;
        target.write_all(b"\n").await?;
        if queued.is_empty() {
            target.flush().await?;
        }
    }
    Ok(())
}

fn exit_error(status: Option<ExitStatus>) -> TransportError {
    TransportError::Disconnected(match status {
        Some(status) => format!("it ended with {status}"),
        None => "it ended".to_owned(),
    })
}
