//! What a command answers, and how it reaches the terminal.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON value.
    Json,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// It went well.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The configuration, or what was typed, is wrong.
    Misconfigured = 2,
    /// The call is denied.
    Denied = 3,
}

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// For standard output.
    pub(super) text: String,
    /// For standard error.
    pub(super) remarks: String,
    /// How it ended.
    pub(super) exit: Exit,
}

// === impl Answer ===

impl Answer {
    /// An answer, and nothing wrong.
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self::new(text, Exit::Ok)
    }

    /// An answer that ends so.
    pub(super) fn new(text: impl Into<String>, exit: Exit) -> Self {
        Self { text: text.into(), remarks: String::new(), exit }
    }

    /// No answer, for this reason.
    pub(super) fn none(remarks: impl Into<String>, exit: Exit) -> Self {
        Self { text: String::new(), remarks: remarks.into(), exit }
    }

    /// A value for programs.
    pub(super) fn json(value: &impl Serialize, exit: Exit) -> Self {
        let text = serde_json::to_string_pretty(value).expect("answers have text for keys");
        Self::new(text, exit)
    }

    /// Writes it out.
    ///
    /// # Errors
    ///
    /// Where it cannot be written. A reader that has gone away has read enough.
    pub(super) fn give(self) -> io::Result<ExitCode> {
        write_line(&mut io::stderr().lock(), &self.remarks)?;
        write_line(&mut io::stdout().lock(), &self.text)?;
        Ok(self.exit.into())
    }
}

fn write_line(to: &mut impl Write, text: &str) -> io::Result<()> {
    let text = text.trim_end_matches('\n');
    if text.is_empty() {
        return Ok(());
    }
    match writeln!(to, "{text}").and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_failure_but_a_full_disk_is() {
        assert!(write_line(&mut Closed(ErrorKind::BrokenPipe), "text").is_ok());
        assert!(write_line(&mut Closed(ErrorKind::StorageFull), "text").is_err());
    }

    #[test]
    fn an_answer_ends_with_one_line_break_and_nothing_writes_nothing() {
        let mut written = Vec::new();
        write_line(&mut written, "a\nb\n\n").unwrap();
        write_line(&mut written, "").unwrap();
        assert_eq!(written, b"a\nb\n");
    }
}
