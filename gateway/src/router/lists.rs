//! When the lists change that a client sees, told no more often than need be.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Router;
use crate::mcp::changes::{Changes, Moment};
use crate::mcp::request::McpRequest;

/// Changes within so long are told as one.
const TOGETHER: Duration = Duration::from_millis(200);

/// The lists that the client of one request sees.
pub(super) struct Lists {
    /// A configuration is a change of its own: other policies, other names.
    since: Moment,
    feeds: Vec<watch::Receiver<Changes>>,
    heard: SelectAll<BoxStream<'static, ()>>,
    /// When the client is to be told.
    due: Option<Instant>,
}

// === impl Lists ===

impl Lists {
    pub(super) fn new(router: &Router, request: &McpRequest) -> Self {
        let feeds = router.backends.changes(request.server.as_deref());
        let heard = feeds
            .iter()
            .cloned()
            .map(|feed| stream::unfold(feed, async |mut feed| feed.changed().await.ok().map(|()| ((), feed))).boxed());
        Self {
            heard: stream::select_all(heard),
            since: router.backends.since(),
            feeds,
            // What changed while nobody listened is told at once.
            due: Some(Instant::now()),
        }
    }

    /// Waits for the next change; says when each kind of list last changed.
    pub(super) async fn changed(&mut self) -> Changes {
        loop {
            let due = self.due;
            let told = async {
                sleep_until(due?).await;
                Some(())
            };
            tokio::select! {
                biased;
                Some(()) = told => {
                    self.due = None;
                    let changes = self.feeds.iter().map(|feed| *feed.borrow());
                    return changes.fold(Changes::all(self.since), Changes::latest);
                }
                Some(()) = self.heard.next() => {
                    self.due.get_or_insert_with(|| Instant::now() + TOGETHER);
                }
                else => return std::future::pending().await,
            }
        }
    }

    /// What could not be told is told a little later.
    pub(super) fn tell_again(&mut self) {
        self.due = Some(Instant::now() + TOGETHER);
    }
}
