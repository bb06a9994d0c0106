//! Starting processes and ending them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// A process of this run; it ends with this value.
#[derive(Debug)]
pub(crate) struct Running(Child);

// === impl Running ===

impl Running {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Starts this program again, by `command`, in a role that says where it
    /// listens once it does.
    pub(crate) fn listening(command: &mut Command) -> anyhow::Result<(Self, SocketAddr)> {
        let mut running = Self::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let said = running.0.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).context("it says where it listens")?;
        Ok((running, line.trim().parse().context("an address")?))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Until somebody ends the run.
pub(crate) async fn told_to_stop() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// In a child: tells the parent where it listens, and ends with the parent,
/// however that ends.
pub(crate) fn announce(address: SocketAddr) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{address}")?;
    output.flush()?;
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    Ok(())
}
