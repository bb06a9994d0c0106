//! Conversations that keep a gateway's model at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Connection;
use crate::gateway::{self, Gateway, MODEL};

/// After a conversation that failed.
const PAUSE: Duration = Duration::from_millis(10);

/// Conversations, each followed by the next. They end with this value.
#[derive(Debug)]
pub(crate) struct Conversations {
    running: JoinSet<()>,
    errors: Arc<AtomicU64>,
}

// === impl Conversations ===

impl Conversations {
    /// Keeps `count` of them running.
    pub(crate) fn start(gateway: &Gateway, count: u32) -> Self {
        let errors = Arc::<AtomicU64>::default();
        let mut running = JoinSet::new();
        for number in 0..count {
            running.spawn(converse(gateway.address, request(gateway, number), Arc::clone(&errors)));
        }
        Self { running, errors }
    }

    /// Ends them.
    ///
    /// # Errors
    ///
    /// If one was not answered.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        self.running.shutdown().await;
        let errors = self.errors.load(Ordering::Relaxed);
        ensure!(errors == 0, "{errors} conversations failed");
        Ok(())
    }
}

async fn converse(address: std::net::SocketAddr, request: Vec<u8>, errors: Arc<AtomicU64>) {
    loop {
        let answered = async {
            let mut connection = Connection::open(address).await?;
            loop {
                if connection.exchange(&request).await?.status != 200 {
                    return std::io::Result::Ok(());
                }
            }
        };
        // Only a failure ends it.
        let _ = answered.await;
        errors.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

/// A streamed call that takes a while, and no two of them the same.
fn request(gateway: &Gateway, number: u32) -> Vec<u8> {
    let content = format!("Tell me all you know about the number {number}.");
    let body = json!({
        "jsonrpc": "2.0", "id": number, "method": "tools/call",
        "params": {
            "name": MODEL,
            "arguments": {
                "messages": [{"role": "user", "content": content}],
                "maxTokens": 256, "temperature": 2,
            },
            "_meta": {"progressToken": number},
        },
    })
    .to_string();
    format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\nauthorization: Bearer {}\r\n\r\n{body}",
        gateway::PATH,
        gateway.address,
        body.len(),
        gateway::KEY,
    )
    .into_bytes()
}
