//! Looking after an upstream in the background: its tools are fetched before
//! anyone asks, and again when it says that they changed, when they expire
//! and when it comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Shared, catalog, hearing};
use crate::backends::tool::ToolList;
use crate::mcp::changes::Kind;

/// How long fetching the whole list may take in the background.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for more changes after one.
const CHANGE_PAUSE: Duration = Duration::from_millis(200);
/// How often idle sessions are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until it is aborted.
pub(super) async fn tend(shared: Arc<Shared>) {
    tokio::join!(keep_list(&shared), notice_losses(&shared), hearing::hear(&shared), sweep(&shared));
}

/// Fetches the list until that succeeds, then again whenever it went stale.
async fn keep_list(shared: &Shared) {
    let name = &shared.settings.name;
    let (mut is_up, mut last) = (false, None::<Arc<ToolList>>);
    loop {
        let deadline = Instant::now() + FETCH_TIMEOUT;
        let pause = match shared.catalogs.tools().fresh(&shared.links, deadline).await {
            Ok(list) => {
                if !is_up {
                    shared.catalogs.came_up();
                    tracing::info!(upstream = %name, tools = list.tools.len(), "the upstream is up");
                }
                // A server need not say so.
                if last.is_some_and(|last| !last.is_same(&list)) {
                    shared.catalogs.differs(Kind::Tools);
                }
                (is_up, last) = (true, Some(list));
                shared.circuit.succeeded();
                shared.up(true);
                catalog::BACKGROUND_REFRESH
            }
            Err(error) => {
                is_up = false;
                shared.up(false);
                tracing::warn!(upstream = %name, %error, "the upstream's tools cannot be fetched");
                shared.circuit.failed()
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            // Changes that come in a burst are one.
            () = shared.catalogs.tools().stale() => sleep(CHANGE_PAUSE).await,
        }
    }
}

/// What was agreed on ends with the connection it was agreed over.
async fn notice_losses(shared: &Shared) {
    let mut lost = shared.transport.lost();
    while lost.changed().await.is_ok() {
        shared.up(false);
        shared.links.forget_all();
        shared.catalogs.all_changed();
    }
}

async fn sweep(shared: &Shared) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        shared.links.sweep().await;
        shared.links.reprobe(Instant::now() + FETCH_TIMEOUT).await;
    }
}
