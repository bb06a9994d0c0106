//! Processes of other people's software that tests talk to.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The directory that holds the tests: `tests/` of the repository.
pub fn tests_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter that `setup.sh` put under `tests/`.
///
/// # Panics
///
/// When `setup.sh` did not run: a missing peer fails the test, never skips it.
pub fn installed(path: &str) -> PathBuf {
    let path = tests_directory().join(path);
    assert!(path.exists(), "{} is missing: run tests/setup.sh", path.display());
    path
}

/// Node, as the peers need it.
pub fn node() -> Command {
    let mut command = Command::new(installed("peers/node/node_modules/node/bin/node"));
    command.current_dir(tests_directory().join("peers/node"));
    command
}

/// The Python that has one line of the SDK, `mcp-1` or `mcp-2`, or OpenAI's
/// client: `openai`.
pub fn python(series: &str) -> Command {
    let mut command = Command::new(installed(&format!(".cache/{series}/bin/python")));
    command.current_dir(tests_directory().join("peers/python"));
    command
}

/// A running peer server. It ends with this value, or with the test process:
/// its standard input closes then.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

// === impl Peer ===

impl Peer {
    /// Starts a server and waits for the line that names its port.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut output = BufReader::new(child.stdout.take().expect("was asked for"));
        let port = output
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| serde_json::from_str::<Value>(&line).ok()?.get("port")?.as_u64())
            .unwrap_or_else(|| panic!("{command:?} ended before it listened"));
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        let port = u16::try_from(port).expect("a port");
        Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) }
    }

    /// The server's MCP endpoint.
    pub fn url(&self) -> String {
        self.url_at("http", "/mcp")
    }

    /// A path of the server.
    pub fn url_at(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
