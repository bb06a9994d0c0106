//! What one endpoint offers: the union of what stands behind it.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::DEADLINE;
use crate::backends::offer::Offer;
use crate::backends::{Backend, Backends};
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;

/// More of all instructions together is cut off.
const MAX_INSTRUCTIONS_BYTES: usize = 16 * 1024;
/// The capabilities that are said to be there wherever one server has them.
const SHARED: [&str; 3] = ["prompts", "resources", "completions"];

/// What the endpoint of a request offers. Servers that were never seen and do
/// not answer in time add nothing.
pub(super) async fn of(backends: &Backends, request: &McpRequest) -> Offer {
    let one = request.server.as_deref().and_then(|name| backends.named(name));
    let deadline = request.deadline.min(Instant::now() + DEADLINE);
    if let Some(backend) = one {
        let offer = ask(backend.as_ref(), deadline).await;
        return Offer {
            capabilities: capabilities(offer.as_deref().as_slice(), request.era()),
            instructions: offer.and_then(|offer| offer.instructions.clone()),
        };
    }
    let offers = join_all(backends.all().iter().map(|backend| ask(backend.as_ref(), deadline))).await;
    let titled = backends.all().iter().zip(&offers).filter_map(|(backend, offer)| {
        let instructions = offer.as_ref()?.instructions.as_deref()?;
        Some(format!("# {}\n\n{}\n", backend.name(), instructions.trim_end()))
    });
    let mut instructions = titled.collect::<Vec<_>>().join("\n");
    instructions.truncate(instructions.floor_char_boundary(MAX_INSTRUCTIONS_BYTES));
    let instructions = (!instructions.is_empty()).then(|| instructions.into());
    let seen: Vec<&Offer> = offers.iter().flatten().map(AsRef::as_ref).collect();
    Offer { capabilities: capabilities(&seen, request.era()), instructions }
}

/// The capabilities of several servers together, as far as we can deliver
/// them. There are always tools: a server that is away now may have some.
fn capabilities(offers: &[&Offer], era: Era) -> Map<String, Value> {
    let there = SHARED.into_iter().filter(|capability| offers.iter().any(|offer| offer.has(capability)));
    let said = std::iter::once("tools").chain(there).map(|capability| {
        // Whoever has a session can listen, whether or not the servers tell:
        // that one comes or goes is a change, too.
        let lists = era == Era::Legacy && capability != "completions";
        (capability.to_owned(), if lists { json!({"listChanged": true}) } else { json!({}) })
    });
    said.collect()
}

async fn ask(backend: &dyn Backend, deadline: Instant) -> Option<Arc<Offer>> {
    timeout_at(deadline, backend.offer(deadline)).await.ok().flatten()
}
