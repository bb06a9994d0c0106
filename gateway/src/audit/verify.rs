//! Checks the chain of an audit log from its first line to its last.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use thiserror::Error;

use super::chain::{Chain, Event, Hash, Link, MAX_LINE_BYTES};

/// What a valid log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Lines that are part of the chain.
    pub entries: u64,
    /// The `seq` of the last.
    pub last_seq: u64,
    /// The `hash` of the last; a following file's first line names it as `prev`.
    pub last_hash: String,
    /// The hash with which the file before this one ended, if there was one.
    pub continues: Option<String>,
    /// Lines torn by a crash and accounted for.
    pub torn_lines: u64,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It, or the line before it, is not what was written.
    Altered,
    /// Lines before it are missing.
    Removed,
    /// It stands after lines that were written later.
    Reordered,
    /// It is incomplete and nothing accounts for that.
    Torn,
}

/// Why a log is not valid.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("cannot read the audit log")]
    Read(#[from] io::Error),
    /// It holds nothing.
    #[error("the audit log is empty")]
    Empty,
    /// A line is not as it was written.
    #[error("line {line}: {fault}")]
    Line {
        /// The first bad line, counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// The state of the check between two lines.
struct Check {
    line: u64,
    chain: Option<Chain>,
    /// A line that is no entry, which the next one must account for.
    torn: Option<Torn>,
    summary: Summary,
}

#[derive(Clone, Copy)]
struct Torn {
    line: u64,
    bytes: u64,
}

/// Checks every line of the log at `path`, one at a time.
///
/// # Errors
///
/// With the first line that is not as it was written, and why.
pub fn verify(path: &Path) -> Result<Summary, VerifyError> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut check = Check::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return check.finish();
        }
        check.line += 1;
        match line.strip_suffix(b"\n") {
            Some(complete) => check.next(complete)?,
            // Too long to be ours, or the end of the file.
            None if read > MAX_LINE_BYTES => return Err(check.fault(Fault::Altered)),
            None => return Err(check.torn_fault().unwrap_or_else(|| check.fault(Fault::Torn))),
        }
    }
}

// === impl Check ===

impl Check {
    const fn new() -> Self {
        let summary = Summary { entries: 0, last_seq: 0, last_hash: String::new(), continues: None, torn_lines: 0 };
        Self { line: 0, chain: None, torn: None, summary }
    }

    fn next(&mut self, line: &[u8]) -> Result<(), VerifyError> {
        let Some(link) = Link::parse(line) else {
            // Two in a row: the first is not accounted for.
            let torn = Torn { line: self.line, bytes: line.len() as u64 };
            return match self.torn.replace(torn) {
                None => Ok(()),
                Some(first) => Err(VerifyError::Line { line: first.line, fault: Fault::Altered }),
            };
        };
        if let Some(torn) = self.torn.take() {
            if link.event != Some(Event::Recovered) || link.torn_bytes != Some(torn.bytes) {
                return Err(VerifyError::Line { line: torn.line, fault: Fault::Altered });
            }
            self.summary.torn_lines += 1;
        } else if link.event == Some(Event::Recovered) {
            // The torn line itself is gone.
            return Err(self.fault(Fault::Removed));
        }
        self.follow(&link)?;
        self.chain = Some(link.chain());
        self.summary.entries += 1;
        self.summary.last_seq = link.seq;
        Ok(())
    }

    /// Whether the line follows the one before.
    fn follow(&mut self, link: &Link) -> Result<(), VerifyError> {
        let Some(chain) = self.chain else {
            let begins = match link.event {
                Some(Event::Opened) => true,
                // The very first line of a log may itself have been torn.
                Some(Event::Recovered) => link.prev == Hash::NONE,
                None => false,
            };
            self.summary.continues = (link.prev != Hash::NONE).then(|| link.prev.to_string());
            return if begins { Ok(()) } else { Err(self.fault(Fault::Removed)) };
        };
        match (link.prev == chain.last, link.seq.cmp(&chain.next_seq)) {
            (true, std::cmp::Ordering::Equal) => Ok(()),
            (false, std::cmp::Ordering::Greater) => Err(self.fault(Fault::Removed)),
            (false, std::cmp::Ordering::Less) => Err(self.fault(Fault::Reordered)),
            _ => Err(self.fault(Fault::Altered)),
        }
    }

    fn finish(mut self) -> Result<Summary, VerifyError> {
        if let Some(error) = self.torn_fault() {
            return Err(error);
        }
        let chain = self.chain.ok_or(VerifyError::Empty)?;
        self.summary.last_hash = chain.last.to_string();
        Ok(self.summary)
    }

    /// The fault of a line that nothing accounted for.
    fn torn_fault(&self) -> Option<VerifyError> {
        self.torn.map(|torn| VerifyError::Line { line: torn.line, fault: Fault::Altered })
    }

    const fn fault(&self, fault: Fault) -> VerifyError {
        VerifyError::Line { line: self.line, fault }
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Altered => "altered: its content does not fit its hash or its place",
            Self::Removed => "removed: lines before it are missing",
            Self::Reordered => "reordered: it stands after lines that were written later",
            Self::Torn => "torn: it is incomplete",
        })
    }
}
