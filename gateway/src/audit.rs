//! The audit log: who called what, what policy said, and how it ended.
//!
//! One JSON object a line, each bound to the one before by a hash (see
//! `chain` for the exact form), so that lines cannot be changed, removed or
//! reordered unseen. Whoever can write the file can also write a whole new
//! chain: keep the hash of the last line elsewhere to notice that, and the
//! loss of lines at the end.
//!
//! Calls do not wait for the disk but they do wait for room in the queue, and
//! while the disk refuses writes [`AuditLog::is_writable`] is false: no call
//! is to be made that cannot be recorded.

mod chain;
mod entry;
mod file;
mod verify;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use thiserror::Error;

pub use self::entry::AuditEntry;
pub use self::verify::{Fault, Summary, VerifyError, verify};

use self::file::ChainFile;
use self::writer::{Shared, write_entries};

/// Where the audit log is, and what it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// The file; it is made with mode 0600.
    pub file: PathBuf,
    /// Whether tools' arguments are recorded: for who makes the entries.
    pub include_arguments: bool,
}

/// Why the audit log cannot be opened.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file cannot be opened, read or written.
    #[error("cannot use the audit log {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("the audit log {} is being written by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It does not end with an entry that a new one could follow.
    #[error("{} does not end with a valid audit entry; move it aside to begin a new one", path.display())]
    NotAChain {
        /// The file.
        path: PathBuf,
    },
    /// The file that was to follow a rotated one is not new.
    #[error("{} is not empty; a rotated audit log continues in a new file", path.display())]
    NotNew {
        /// The file.
        path: PathBuf,
    },
}

/// An open audit log. Dropping it writes what is queued.
#[derive(Debug)]
pub struct AuditLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// Room for one entry: what is recorded with it is never refused.
#[derive(Debug)]
pub struct Reservation {
    shared: Arc<Shared>,
    used: bool,
}

// === impl AuditLog ===

impl AuditLog {
    /// Opens the file or makes it, and continues its chain. A last line that
    /// a crash tore is kept and followed by an entry that says so.
    ///
    /// A file is open once: to open it anew, drop the log that has it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, is in use, or does not end with a
    /// valid entry.
    pub fn open(settings: &AuditSettings) -> Result<Self, AuditError> {
        let (file, chain) = ChainFile::open(&settings.file)?;
        let shared = Arc::new(Shared::new());
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || write_entries(&theirs, file, chain))
            .map_err(|source| AuditError::Io { path: settings.file.clone(), source })?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Whether entries are being written. False: make no call.
    pub fn is_writable(&self) -> bool {
        self.shared.is_writable()
    }

    /// Waits for room for one entry; to be taken before the call is made, so
    /// that a call which was made can be recorded.
    pub async fn reserve(&self) -> Reservation {
        self.shared.reserve().await;
        Reservation { shared: Arc::clone(&self.shared), used: false }
    }

    /// Waits for room and records one call. The wait is as long as the
    /// caller lets it be.
    pub async fn append(&self, entry: AuditEntry) {
        self.reserve().await.record(entry);
    }

    /// Continues in a new file if the present one has been moved away. The
    /// new one's first line names the hash with which the old one ended.
    pub fn reopen(&self) {
        self.shared.reopen();
    }
}

#[cfg(test)]
impl AuditLog {
    /// A log that nobody writes, with room for so many entries.
    pub(crate) fn with_room(entries: usize) -> Self {
        Self { shared: Arc::new(Shared::with(entries, std::time::Duration::ZERO)), writer: None }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // It logs its own failures.
            let _ = writer.join();
        }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Records one call; never waits.
    pub fn record(mut self, entry: AuditEntry) {
        self.used = true;
        self.shared.push(entry);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            self.shared.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
