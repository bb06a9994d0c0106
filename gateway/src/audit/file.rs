//! The file that holds a chain.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::chain::{Chain, Link, MAX_LINE_BYTES};

/// Where the writer's lines go.
pub(super) trait Store {
    /// Writes whole lines, all of them or none.
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
    /// Waits until what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Goes over to a new file if the present one was moved away; `chain` is
    /// what it continues.
    fn rotate(&mut self, chain: &mut Chain) -> Result<(), AuditError>;
}

/// An audit file, locked for as long as it is open.
#[derive(Debug)]
pub(super) struct ChainFile {
    path: PathBuf,
    file: File,
    /// Up to here the file holds whole lines.
    len: u64,
}

/// The end of a file: its last whole line, and what follows it.
struct Tail {
    last_line: Option<Vec<u8>>,
    torn: usize,
}

// === impl ChainFile ===

impl ChainFile {
    /// Opens or makes the file and finds the end of its chain.
    pub(super) fn open(path: &Path) -> Result<(Self, Chain), AuditError> {
        let mut this = Self::open_locked(path)?;
        let mut lines = Vec::new();
        let chain = if this.len == 0 {
            let mut chain = Chain::EMPTY;
            chain.push_opened(&mut lines);
            chain
        } else {
            this.resume(&mut lines)?
        };
        this.append(&lines).map_err(|source| this.failed(source))?;
        Ok((this, chain))
    }

    fn open_locked(path: &Path) -> Result<Self, AuditError> {
        let failed = |source| AuditError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, len })
    }

    /// The chain of a file that has lines; what must be written first to
    /// continue it goes to `lines`.
    fn resume(&mut self, lines: &mut Vec<u8>) -> Result<Chain, AuditError> {
        let not_a_chain = || AuditError::NotAChain { path: self.path.clone() };
        let tail =
            read_tail(&mut self.file, self.len).map_err(|source| self.failed(source))?.ok_or_else(not_a_chain)?;
        let mut chain = match &tail.last_line {
            None => Chain::EMPTY,
            Some(line) => Link::parse(line).ok_or_else(not_a_chain)?.chain(),
        };
        if tail.torn > 0 {
            lines.push(b'\n');
            chain.push_recovered(lines, tail.torn);
        }
        Ok(chain)
    }

    fn failed(&self, source: io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }

    /// Whether the path still leads to the file that is open.
    fn is_in_place(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Store for ChainFile {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines) {
            // Half a line would tear the chain. If this fails too, the next
            // start finds the torn line and says so.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += lines.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn rotate(&mut self, chain: &mut Chain) -> Result<(), AuditError> {
        if self.is_in_place().map_err(|source| self.failed(source))? {
            return Ok(());
        }
        let mut next = Self::open_locked(&self.path)?;
        if next.len > 0 {
            return Err(AuditError::NotNew { path: self.path.clone() });
        }
        let (mut lines, mut continued) = (Vec::new(), *chain);
        continued.push_opened(&mut lines);
        next.append(&lines).map_err(|source| next.failed(source))?;
        self.sync().map_err(|source| self.failed(source))?;
        *self = next;
        *chain = continued;
        Ok(())
    }
}

/// Finds the file's last whole line; `None` if there is none within reach.
fn read_tail(file: &mut File, len: u64) -> io::Result<Option<Tail>> {
    let reach = len.min(2 * MAX_LINE_BYTES as u64);
    file.seek(SeekFrom::Start(len - reach))?;
    let mut bytes = Vec::new();
    file.take(reach).read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // One line without an end: the first one, torn, if it is all there is.
        return Ok(
            (reach == len && bytes.len() <= MAX_LINE_BYTES).then_some(Tail { last_line: None, torn: bytes.len() })
        );
    };
    let torn = bytes.len() - end - 1;
    let start = bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(Some(Tail { last_line: Some(bytes[start..end].to_vec()), torn }))
}
