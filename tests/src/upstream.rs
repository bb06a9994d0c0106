//! Real MCP servers to put behind the gateway.
//!
//! The HTTP ones start once per test run and are shared: nothing a test does to
//! them lasts. A child process belongs to the gateway that a test starts.

use std::path::Path;
use std::sync::OnceLock;

use crate::peer::{Peer, installed, node, python};

const EVERYTHING: &str = "node_modules/@modelcontextprotocol/server-everything/dist/index.js";
const FILESYSTEM: &str = "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js";

/// `@modelcontextprotocol/server-everything` over Streamable HTTP: its URL.
pub fn everything() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_everything("streamableHttp")).url()
}

/// The same server over HTTP+SSE: its URL.
pub fn everything_sse() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_everything("sse")).url_at("http", "/sse")
}

fn start_everything(transport: &str) -> Peer {
    let mut command = node();
    command.args(["--import", "./loopback.mjs", EVERYTHING, transport]);
    Peer::start(command)
}

/// The server on the Python SDK 1.x, which speaks the handshake revisions: its URL.
pub fn python_1() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_python("mcp-1")).url()
}

/// The server on the Python SDK 2.x, which speaks 2026-07-28 too: its URL.
pub fn python_2() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_python("mcp-2")).url()
}

/// The server on the Python SDK 1.x over HTTP+SSE: its URL.
pub fn python_1_sse() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_python_over("sse", 0)).url_at("http", "/sse")
}

/// The server on the Python SDK 2.x over HTTP+SSE: its URL.
pub fn python_2_sse() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let start = || {
        let mut command = python("mcp-2");
        command.args(["server.py", "sse"]);
        Peer::start(command)
    };
    PEER.get_or_init(start).url_at("http", "/sse")
}

/// The same server over WebSocket: its URL.
pub fn python_1_websocket() -> String {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(|| start_python_over("ws", 0)).url_at("ws", "/ws")
}

/// A server of one test's own on the Python SDK 1.x, over `sse` or `ws`; on a
/// given port it comes back where another stopped.
pub fn start_python_over(transport: &str, port: u16) -> Peer {
    let mut command = python("mcp-1");
    command.args(["server.py", transport, &port.to_string()]);
    Peer::start(command)
}

fn start_python(series: &str) -> Peer {
    let mut command = python(series);
    command.arg("server.py");
    Peer::start(command)
}

/// The configuration of `server-everything` as a child process.
pub fn everything_stdio() -> String {
    stdio(&[&node_path(), &installed(&format!("peers/node/{EVERYTHING}")), Path::new("stdio")])
}

/// The configuration of `server-filesystem` as a child process that serves `root`.
pub fn filesystem_stdio(root: &Path) -> String {
    stdio(&[&node_path(), &installed(&format!("peers/node/{FILESYSTEM}")), root])
}

/// The configuration of the Python server as a child process; `series` is `mcp-1` or `mcp-2`.
pub fn python_stdio(series: &str) -> String {
    let interpreter = installed(&format!(".cache/{series}/bin/python"));
    stdio(&[&interpreter, &installed("peers/python/server.py"), Path::new("stdio")])
}

/// The conformance suite's upstream, of one era, as a child process.
pub fn conformance_stdio(binary: &str, era: &str) -> String {
    stdio(&[Path::new(binary), Path::new("--stdio"), Path::new("--era"), Path::new(era)])
}

fn node_path() -> std::path::PathBuf {
    installed("peers/node/node_modules/node/bin/node")
}

/// A command line as an upstream's entry, written in YAML's flow style.
fn stdio(command: &[&Path]) -> String {
    let quoted: Vec<String> = command.iter().map(|part| format!("{:?}", part.display().to_string())).collect();
    format!("{{command: {}, args: [{}]}}", quoted[0], quoted[1..].join(", "))
}
