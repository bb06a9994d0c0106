//! Runs the binary for a command that ends by itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::peer::tests_directory;

/// What a finished command left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// The answer.
    pub stdout: String,
    /// The log.
    pub stderr: String,
}

/// The binary under test: `$PORTCULLIS_BIN`, else the debug build.
///
/// # Panics
///
/// When it was not built.
pub fn binary() -> PathBuf {
    let built = || tests_directory().join("../target/debug/portcullis");
    let path = std::env::var_os("PORTCULLIS_BIN").map_or_else(built, PathBuf::from);
    assert!(path.exists(), "{} is missing: build it or set PORTCULLIS_BIN", path.display());
    path.canonicalize().expect("it exists")
}

/// Runs `portcullis` with those arguments in a directory and waits for its end.
///
/// # Panics
///
/// When it cannot be started.
pub fn portcullis(directory: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(directory).env_remove("PORTCULLIS_CONFIG");
    run(command)
}

/// Runs a line through the shell, as a user pastes it.
///
/// # Panics
///
/// When there is no shell.
pub fn shell(line: &str) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    run(command)
}

fn run(mut command: Command) -> Finished {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

// === impl Finished ===

impl Finished {
    /// The answer as JSON.
    ///
    /// # Panics
    ///
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Both outputs, for a test that only asks that something was said.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}
