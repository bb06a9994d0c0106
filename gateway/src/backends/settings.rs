//! What the configuration says of an upstream or a model, once it is known to
//! be right.
//!
//! Settings compare, so that a reload keeps every upstream that did not
//! change together with its connections, sessions and processes, and every
//! such model as it was loaded.

mod model;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};

pub use self::model::{ModelDevice, ModelSettings, ModelSource, Quantization};
use crate::secret::Secret;

/// One upstream MCP server.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name in the configuration; the prefix of its tools.
    pub name: Arc<str>,
    /// How it is reached.
    pub transport: TransportSettings,
    /// How long it may stay silent while it owes an answer.
    pub timeout: Duration,
    /// When and how often a request that was surely not processed is sent again.
    pub retry: RetrySettings,
    /// Which of its tools are shown, and under which names.
    pub tools: ToolSelection,
    /// The model that samples for it where the client cannot.
    pub sampling: Option<Arc<str>>,
}

/// How an upstream is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum TransportSettings {
    /// Streamable HTTP of any revision, or HTTP+SSE where the server turns out
    /// to know only that.
    Http(HttpSettings),
    /// HTTP+SSE, the transport of 2024-11-05.
    EventSource(HttpSettings),
    /// WebSocket.
    WebSocket(HttpSettings),
    /// A child process that speaks over its standard input and output.
    Stdio(StdioSettings),
    /// The demonstration tools inside this process.
    Demo,
}

/// Where an HTTP upstream is, and what is sent along.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    /// Its MCP endpoint, absolute, `http` or `https`: that of the event stream
    /// where it is HTTP+SSE, and where the upgrade is asked for where it is
    /// WebSocket.
    pub url: Uri,
    /// Sent with every request: the `headers` of the configuration and what
    /// its `auth` comes down to. Values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// How a child process is started.
#[derive(Clone, Debug, PartialEq)]
pub struct StdioSettings {
    /// The program, looked up in `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to a minimal environment (`PATH`, `HOME`, locale).
    pub env: BTreeMap<String, Secret<String>>,
    /// Its working directory; ours where absent.
    pub cwd: Option<PathBuf>,
}

/// Exponential backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Attempts in all, the first one counted.
    pub max_attempts: u32,
    /// The pause after the first failure; each further one doubles.
    pub initial: Duration,
    /// No pause is longer.
    pub max: Duration,
}

/// Which tools are shown, and under which names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolSelection {
    /// Globs over the upstream's own names; a tool must match one.
    pub include: Vec<String>,
    /// Globs; a tool that matches one is hidden.
    pub exclude: Vec<String>,
    /// Upstream's name → shown name (without the prefix).
    pub rename: BTreeMap<String, String>,
}

// === impl RetrySettings ===

impl RetrySettings {
    /// The pause after the `failures`-th failure in a row, counted from 1.
    #[must_use]
    pub fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self { max_attempts: 5, initial: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

impl Default for ToolSelection {
    fn default() -> Self {
        Self { include: vec!["*".to_owned()], exclude: Vec::new(), rename: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_maximum() {
        let retry = RetrySettings::default();
        let pauses: Vec<u64> = (1..=8).map(|failures| retry.pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
