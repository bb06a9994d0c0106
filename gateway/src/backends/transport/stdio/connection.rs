//! One run of a child: from its start to its end, nothing outlives it.
//!
//! Four tasks serve it. One writes, one reads, one logs, and one watches over
//! the other three and the process: whatever ends first ends all.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::BufReader;
use tokio::process::ChildStdout;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::super::{Outgoing, Reply, ServerEvent, TransportError};
use super::framing::Lines;
use super::incoming::Incoming;
use super::outgoing::{Line, MAX_QUEUED, write_lines};
use super::pending::{Delivery, Pending};
use super::process::{Group, Process};
use super::stderr::forward_lines;
use crate::backends::settings::StdioSettings;

/// The longest message a child may send.
const MAX_LINE_BYTES: usize = 16 << 20;
/// Lines in a row that are no messages. A banner passes, a program that does
/// not speak MCP does not.
const MAX_STRAY_LINES: u32 = 1024;
/// How long a notification waits for its place in the queue.
const NOTIFY_PATIENCE: Duration = Duration::from_secs(5);
/// How long a child that closed its streams may take to exit by itself.
const EXIT_GRACE: Duration = Duration::from_millis(500);
/// How long what an ended child has written is still read.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// How long [`Connection::ended`] waits; more than an orderly end takes.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A running, or ended, child and what it owes.
#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    started: Instant,
    pending: Arc<Pending>,
    answered: Arc<AtomicBool>,
    queue: mpsc::Sender<Line>,
    group: Arc<Group>,
    stop: Arc<Notify>,
    end: watch::Receiver<Option<End>>,
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// When.
    pub(super) at: Instant,
    /// Why, for the log.
    pub(super) cause: String,
}

/// Owns the process and the tasks that serve it.
struct Keeper {
    upstream: Arc<str>,
    process: Process,
    reader: JoinHandle<Result<(), TransportError>>,
    writer: JoinHandle<io::Result<()>>,
    logger: JoinHandle<()>,
    stop: Arc<Notify>,
    pending: Arc<Pending>,
    events: broadcast::Sender<ServerEvent>,
    end: watch::Sender<Option<End>>,
}

// === impl Connection ===

impl Connection {
    /// Starts a child and the tasks that serve it.
    ///
    /// # Errors
    ///
    /// See [`Process::start`].
    pub(super) fn start(
        upstream: &Arc<str>,
        number: u64,
        settings: &StdioSettings,
        events: &broadcast::Sender<ServerEvent>,
    ) -> io::Result<Self> {
        let (process, streams) = Process::start(settings)?;
        info!(upstream = %upstream, connection = number, "upstream process started");
        let group = process.group();
        let pending = Arc::new(Pending::default());
        let answered = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(Notify::new());
        let (queue, lines) = mpsc::channel(MAX_QUEUED);
        let (end_sender, end) = watch::channel(None);

        let incoming = Incoming {
            upstream: Arc::clone(upstream),
            pending: Arc::clone(&pending),
            answered: Arc::clone(&answered),
            queue: queue.clone(),
            events: events.clone(),
        };
        let name = Arc::clone(upstream);
        let logger = forward_lines(BufReader::new(streams.stderr), move |line| {
            info!(upstream = %name, line, "upstream wrote to its standard error");
        });
        let keeper = Keeper {
            upstream: Arc::clone(upstream),
            process,
            reader: tokio::spawn(read_messages(streams.stdout, incoming)),
            writer: tokio::spawn(write_lines(streams.stdin, lines, Arc::clone(&pending))),
            logger: tokio::spawn(logger),
            stop: Arc::clone(&stop),
            pending: Arc::clone(&pending),
            events: events.clone(),
            end: end_sender,
        };
        tokio::spawn(keeper.run());
        Ok(Self { number, started: Instant::now(), pending, answered, queue, group, stop, end })
    }

    /// Which start of the child this is, counted from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// When the child was started.
    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    /// Whether it answered any request.
    pub(super) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// How it ended; `None` while it runs.
    pub(super) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Sends a request and waits for the first message about it.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    pub(super) async fn request(&self, outgoing: Outgoing) -> Result<Reply, TransportError> {
        let mut ticket = self.pending.register(outgoing.id)?;
        let line = Line::request(outgoing.body, outgoing.id);
        let first = async {
            // A closed queue: the child is ending and never saw the request.
            self.queue.send(line).await.map_err(|_| TransportError::Reconnected)?;
            Ok(ticket.next().await)
        };
        match timeout_at(outgoing.deadline, first).await.map_err(|_| TransportError::TimedOut)?? {
            Delivery::Response(message) => Ok(Reply::Message { message, session: None }),
            Delivery::Notification(message) => {
                Ok(Reply::Stream { messages: ticket.into_messages(message), session: None })
            }
            Delivery::Failure(error) => Err(error),
        }
    }

    /// Sends a notification.
    ///
    /// # Errors
    ///
    /// [`TransportError::TimedOut`] when the child does not read, and
    /// [`TransportError::Reconnected`] when it has ended.
    pub(super) async fn notify(&self, message: Bytes) -> Result<(), TransportError> {
        let queued = timeout(NOTIFY_PATIENCE, self.queue.send(Line::message(message))).await;
        queued.map_err(|_| TransportError::TimedOut)?.map_err(|_| TransportError::Reconnected)
    }

    /// Asks the child to end; [`Connection::ended`] tells when it has.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits for the end, within bounds.
    pub(super) async fn ended(&self) {
        let mut end = self.end.clone();
        // An error means that the keeper is gone, and the process with it.
        let _ = timeout(END_LIMIT, end.wait_for(Option::is_some)).await;
    }

    /// Kills the child and all it started, at once.
    pub(super) fn kill(&self) {
        self.group.kill();
    }
}

// === impl Keeper ===

impl Keeper {
    async fn run(mut self) {
        let mut orderly = false;
        let error = tokio::select! {
            status = self.process.exited() => exit_error(status.ok()),
            () = self.stop.notified() => {
                orderly = true;
                // The writer owns the child's input: ending it closes that.
                self.writer.abort();
                self.process.end().await;
                TransportError::Disconnected("it was ended".to_owned())
            }
            outcome = &mut self.reader => match outcome {
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => self.closed("it closed its output").await,
            },
            _ = &mut self.writer => self.closed("it closed its input").await,
        };
        // Whatever the leader left behind goes with it, and lets go of the pipes.
        self.process.group().kill();
        self.drain().await;
        self.pending.fail_all(&error);
        self.process.exited_within(DRAIN_LIMIT).await;
        if orderly {
            info!(upstream = %self.upstream, "upstream process ended");
        } else {
            warn!(upstream = %self.upstream, %error, "upstream process ended unasked");
        }
        // The end first: whoever hears the event must find it.
        self.end.send_replace(Some(End { at: Instant::now(), cause: cause(error) }));
        // Nobody listening is no fault.
        let _ = self.events.send(ServerEvent::Disconnected);
        // A process that even SIGKILL does not end at once is reaped when it ends.
        let _ = self.process.exited().await;
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
async fn read_messages(stdout: ChildStdout, incoming: Incoming) -> Result<(), TransportError> {
    let mut lines = Lines::new(stdout, MAX_LINE_BYTES);
    let mut stray = 0;
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error) => return Err(TransportError::Garbage(error.to_string())),
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        if incoming.take(&line) {
            stray = 0;
            continue;
        }
        stray += 1;
        // Its content may be anything, so it stays out of the log.
        debug!(upstream = %incoming.upstream, bytes = line.len(), "skipped output that is no message");
        if stray >= MAX_STRAY_LINES {
            return Err(TransportError::Garbage(format!("{stray} lines in a row that are no messages")));
        }
    }
}

fn exit_error(status: Option<ExitStatus>) -> TransportError {
    TransportError::Disconnected(match status {
        Some(status) => format!("it ended with {status}"),
        None => "it ended".to_owned(),
    })
}

fn cause(error: TransportError) -> String {
    match error {
        TransportError::Disconnected(cause) => cause,
        other => other.to_string(),
    }
}
