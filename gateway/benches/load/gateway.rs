//! The real binary, configured as in production: API key, policy, a limit per
//! tool, metrics and access log; the audit log where it is asked for.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::child::Running;
use crate::client::Connection;
use crate::cpus::Cpus;
use crate::upstream::{LEGACY_PATH, MODERN_PATH};

/// The key that may call everything.
pub(crate) const KEY: &str = "a-key-of-the-load-bench-that-opens-nothing-else";
/// The name of the model, in a gateway that has one.
pub(crate) const MODEL: &str = "chat";
/// Where MCP is served.
pub(crate) const PATH: &str = "/mcp";

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long its model may take to be loaded.
const LOAD_PATIENCE: Duration = Duration::from_secs(120);
const POLICIES: &str = "\
policies:
  - name: load
    subjects: {roles: [load]}
    tools: {allow: [\"*\"]}
    rateLimits: [{tools: [\"*\"], limit: 100000000/minute, per: principal}]
";

/// What a gateway has beside the usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    /// Nothing.
    Nothing,
    /// An audit log.
    Audit,
    /// The model inside the program, of so many conversations at once.
    Model(u32),
}

/// A running gateway; it ends with this value.
#[derive(Debug)]
pub(crate) struct Gateway {
    running: Running,
    pub(crate) address: SocketAddr,
    /// From its start until it took a connection.
    pub(crate) started_in: Duration,
    log: File,
    /// Removed once the process is gone.
    _home: TempDir,
}

// === impl Gateway ===

impl Gateway {
    /// Starts one in front of the upstream and waits until it listens.
    pub(crate) async fn start(binary: &Path, cpus: &Cpus, upstream: SocketAddr, extra: Extra) -> anyhow::Result<Self> {
        let home = TempDir::new().context("a temporary directory")?;
        fs::write(home.path().join("policies.yaml"), POLICIES)?;
        fs::write(home.path().join("portcullis.yaml"), configuration(upstream, extra))?;
        let path = home.path().join("log");
        let log = OpenOptions::new().create(true).append(true).open(&path)?;

        let mut command = cpus.of_proxies(binary.as_os_str());
        command.args(["serve", "-c", "portcullis.yaml"]).current_dir(home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?);
        let start = Instant::now();
        let mut running = Running::start(&mut command)?;
        let address = loop {
            let said = fs::read_to_string(&path)?;
            if let Some(address) = said.lines().find_map(main_listener)
                && TcpStream::connect(address).await.is_ok()
            {
                break address;
            }
            if running.has_ended() || start.elapsed() > PATIENCE {
                bail!("the gateway does not listen:\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        Ok(Self { running, address, started_in: start.elapsed(), log, _home: home })
    }

    /// Waits until it is ready: its model is loaded then.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let request = format!("GET /health/ready HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let start = Instant::now();
        while Connection::open(self.address).await?.exchange(request.as_bytes()).await?.status != 200 {
            ensure!(start.elapsed() < LOAD_PATIENCE, "the gateway does not become ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Empties the log, so that it cannot fill the disk. Tells how many bytes it had.
    pub(crate) fn empty_log(&self) -> std::io::Result<u64> {
        let written = self.log.metadata()?.len();
        self.log.set_len(0)?;
        Ok(written)
    }
}

/// The address in the log line that says where clients are listened for.
fn main_listener(line: &str) -> Option<SocketAddr> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event["listener"] == "main" { event["address"].as_str()?.parse().ok() } else { None }
}

fn configuration(upstream: SocketAddr, extra: Extra) -> String {
    let hash = digest(&SHA256, KEY.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = match extra {
        Extra::Nothing => String::new(),
        Extra::Audit => "telemetry: {audit: {file: audit.jsonl}}\n".to_owned(),
        Extra::Model(count) => {
            format!(
                "models: {{{MODEL}: {{path: builtin, device: cpu, maxConcurrent: {count}, contextLength: 1024}}}}\n"
            )
        }
    };
    format!(
        "\
listen: 127.0.0.1:0
admin: {{listen: \"127.0.0.1:0\"}}
auth: {{apiKeys: {{keys: [{{name: load, sha256: \"{hash}\", roles: [load]}}]}}}}
policies: [policies.yaml]
upstreams:
  legacy: {{url: \"http://{upstream}{LEGACY_PATH}\"}}
  modern: {{url: \"http://{upstream}{MODERN_PATH}\"}}
{extra}"
    )
}
