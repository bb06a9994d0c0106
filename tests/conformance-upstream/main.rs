//! The MCP server that the official conformance suite wants to meet, on the
//! Rust SDK. It stands alone, to be green by itself, or behind the gateway,
//! pinned to one era so that the gateway has to translate.
//!
//! Over HTTP it listens on a free port of loopback and prints that port as one
//! JSON line, as every peer server does. It ends with whoever started it: its
//! standard input closes then.
#![expect(deprecated, reason = "the handshake revisions have what the newest one deprecates")]

mod call;
mod changes;
mod client;
mod era;
mod prompts;
mod reconnection;
mod resources;
mod server;
mod tools;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::{io, process, thread};

use clap::Parser;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rmcp::ServiceExt;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;
use tokio::net::TcpListener;

use crate::era::Era;
use crate::server::{Server, Shared};

/// How soon a client comes back to a stream that was closed on it.
const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug, Parser)]
struct Options {
    /// Which revisions to speak
    #[arg(long, value_enum, default_value_t = Era::Both)]
    era: Era,
    /// Speak over standard input and output instead of HTTP
    #[arg(long)]
    stdio: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let shared = Arc::new(Shared::new(options.era));
    if options.stdio {
        Server::new(shared).serve(rmcp::transport::stdio()).await?.waiting().await?;
        return Ok(());
    }
    thread::spawn(end_with_parent);
    Ok(listen(shared, options.era).await?)
}

async fn listen(shared: Arc<Shared>, era: Era) -> io::Result<()> {
    let mut sessions = LocalSessionManager::default();
    sessions.session_config.sse_retry = Some(RETRY);
    // A server of 2026-07-28 alone knows no sessions.
    let modern = era == Era::Modern;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(!modern)
        .with_stateless_protocol_metadata_required(modern);
    let mcp = StreamableHttpService::new(move || Ok(Server::new(Arc::clone(&shared))), Arc::new(sessions), config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", json!({"port": listener.local_addr()?.port()}));
    loop {
        let (stream, _) = listener.accept().await?;
        let mcp = mcp.clone();
        let service = service_fn(move |request| {
            let mcp = mcp.clone();
            async move { Ok::<_, Infallible>(reconnection::serve(&mcp, request).await) }
        });
        tokio::spawn(async move {
            // A client that goes away is none of the server's trouble.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn end_with_parent() {
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    process::exit(0);
}
