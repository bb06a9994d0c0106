//! The child itself: how it is started, and that nothing of it stays.
//!
//! A child leads a process group of its own. MCP servers are often started
//! through launchers (`npx`, `uvx`, a shell), and ending only the launcher
//! would leave the server behind.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::backends::settings::StdioSettings;

/// What a child sees of our environment. The rest may hold secrets of ours;
/// what a child needs beside this, its settings name.
const INHERITED_VARIABLES: [&str; 11] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ"];
/// How long a child may take to end after its input closed, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running child. Dropping it kills its whole group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Arc<Group>,
}

/// A child's standard streams.
#[derive(Debug)]
pub(super) struct Streams {
    /// Where it reads requests.
    pub(super) stdin: ChildStdin,
    /// Where it writes answers.
    pub(super) stdout: ChildStdout,
    /// Where it logs.
    pub(super) stderr: ChildStderr,
}

/// A child's process group, until it is killed.
#[derive(Debug)]
pub(super) struct Group(Mutex<Option<Pid>>);

// === impl Process ===

impl Process {
    /// Starts a child.
    ///
    /// # Errors
    ///
    /// When the program cannot be run: it does not exist, may not be
    /// executed, or its working directory is not there.
    pub(super) fn start(settings: &StdioSettings) -> io::Result<(Self, Streams)> {
        let mut command = Command::new(&settings.command);
        command
            .args(&settings.args)
            .env_clear()
            .envs(inherited())
            .envs(settings.env.iter().map(|(name, value)| (name, value.expose())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &settings.cwd {
            command.current_dir(directory);
        }
        let mut child = command.spawn()?;
        let streams = Streams {
            stdin: child.stdin.take().expect("stdin is piped"),
            stdout: child.stdout.take().expect("stdout is piped"),
            stderr: child.stderr.take().expect("stderr is piped"),
        };
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok((Self { child, group: Arc::new(Group(Mutex::new(leader))) }, streams))
    }

    /// The group, for whoever must end it at once.
    pub(super) fn group(&self) -> Arc<Group> {
        Arc::clone(&self.group)
    }

    /// Waits until the child has exited, and reaps it.
    pub(super) async fn exited(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Waits at most `limit` until the child has exited.
    pub(super) async fn exited_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        timeout(limit, self.child.wait()).await.ok()?.ok()
    }

    /// Ends a child whose input is closed: by itself, on SIGTERM, by SIGKILL
    /// (MCP 2025-11-25, basic/lifecycle, shutdown, stdio).
    pub(super) async fn end(&mut self) {
        if self.exited_within(PATIENCE).await.is_none() {
            self.group.signal(Signal::SIGTERM);
            self.exited_within(PATIENCE).await;
        }
        self.group.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill();
    }
}

// === impl Group ===

impl Group {
    /// Kills whatever is left of the group, once.
    ///
    /// The number stays the group's while any member lives; with none left it
    /// could be given to strangers only after all other numbers, so the
    /// caller need only not dawdle between reaping the leader and this.
    pub(super) fn kill(&self) {
        if let Some(leader) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The one failure is that nobody is left.
            let _ = killpg(leader, Signal::SIGKILL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = killpg(leader, signal);
        }
    }
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
