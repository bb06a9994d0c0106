//! An upstream's lists: each fetched page by page, kept, refreshed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::handshake::{ask, stateless_meta};
use super::link::Link;
use super::links::{Links, SessionKey};
use super::listing::Listing;
use super::single_flight::SingleFlight;
use crate::backends::beside::Beside;
use crate::backends::transport::TransportError;
use crate::mcp::answer::UpstreamKind;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::json::Members;
use crate::mcp::scanner::string;
use crate::mcp::version::Era;

/// How long a list counts as fresh when the server does not say: servers with
/// a handshake announce changes, so this is for those that do not.
const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// A server may not ask for more.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// More pages, or more entries, are left out.
const MAX_PAGES: usize = 200;
const MAX_ENTRIES: usize = 10_000;
/// A call of a tool that is not on the list asks for a new list no more often.
const FORCED_REFRESH_FLOOR: Duration = Duration::from_secs(5);
/// How often the list is looked at when nothing is heard of it.
pub(super) const BACKGROUND_REFRESH: Duration = Duration::from_secs(60);

/// One state of the list.
struct Snapshot<T> {
    list: Arc<T>,
    fetched: Instant,
    expires: Instant,
    /// Whose list it is: changes and reconnects count up.
    revision: u64,
}

pub(super) struct Catalog<L: Listing> {
    listing: L,
    /// Whose list it is: that of clients of these abilities.
    abilities: Capabilities,
    current: ArcSwapOption<Snapshot<L::List>>,
    fetching: SingleFlight,
    revision: AtomicU64,
    stale: Notify,
}

/// One page of a list.
#[derive(Default)]
struct Page<'a> {
    definitions: Vec<&'a RawValue>,
    next_cursor: Option<String>,
    ttl_ms: Option<f64>,
}

// === impl Page ===

impl<'a> Page<'a> {
    /// Reads the result of a list method whose list is the member `member`.
    fn read(result: &'a str, member: &str) -> Option<Self> {
        let (mut page, mut well_formed) = (Self::default(), true);
        Members::for_each(result, |key, value| match key.as_ref() {
            "nextCursor" => page.next_cursor = string(value).map(Cow::into_owned),
            "ttlMs" => page.ttl_ms = value.parse().ok(),
            key if key == member => match serde_json::from_str(value) {
                Ok(definitions) => page.definitions = definitions,
                Err(_) => well_formed = false,
            },
            _ => {}
        })
        .ok()?;
        well_formed.then_some(page)
    }
}

// === impl Catalog ===

impl<L: Listing> Catalog<L> {
    pub(super) fn new(listing: L, abilities: Capabilities) -> Self {
        Self {
            listing,
            abilities,
            current: ArcSwapOption::empty(),
            fetching: SingleFlight::default(),
            revision: AtomicU64::new(0),
            stale: Notify::new(),
        }
    }

    /// The list as last seen, however old.
    pub(super) fn known(&self) -> Option<Arc<L::List>> {
        self.current.load().as_ref().map(|snapshot| Arc::clone(&snapshot.list))
    }

    /// Notes that the list changed at the server.
    pub(super) fn changed(&self) {
        self.revision.fetch_add(1, Ordering::Release);
        self.stale.notify_one();
    }

    /// Returns once the list has [changed](Self::changed).
    pub(super) async fn stale(&self) {
        self.stale.notified().await;
    }

    /// The list, fetched if it is not fresh.
    pub(super) async fn fresh(&self, links: &Links, deadline: Instant) -> Result<Arc<L::List>, TransportError> {
        self.fetch_unless(links, deadline, |snapshot, revision| {
            snapshot.revision == revision && Instant::now() < snapshot.expires
        })
        .await
    }

    /// The list, fetched anew for what is not on it, within the floor.
    pub(super) async fn searched(&self, links: &Links, deadline: Instant) -> Result<Arc<L::List>, TransportError> {
        self.fetch_unless(links, deadline, |snapshot, revision| {
            snapshot.revision == revision && snapshot.fetched.elapsed() < FORCED_REFRESH_FLOOR
        })
        .await
    }

    async fn fetch_unless(
        &self,
        links: &Links,
        deadline: Instant,
        good: impl Fn(&Snapshot<L::List>, u64) -> bool,
    ) -> Result<Arc<L::List>, TransportError> {
        let asked_at = (self.current.load_full(), self.revision.load(Ordering::Acquire));
        let good_list = || {
            let snapshot = self.current.load_full()?;
            // Fetched while we waited, which is what we came for even if it
            // was to be kept for no time at all.
            let is_new = asked_at.0.as_ref().is_none_or(|before| !Arc::ptr_eq(before, &snapshot));
            let is_good =
                is_new && snapshot.revision >= asked_at.1 || good(&snapshot, self.revision.load(Ordering::Acquire));
            is_good.then(|| Arc::clone(&snapshot.list))
        };
        let fetch = async {
            let revision = self.revision.load(Ordering::Acquire);
            let (list, ttl) = self.fetch(links, deadline).await?;
            let (list, now) = (Arc::new(list), Instant::now());
            let snapshot = Snapshot { list: Arc::clone(&list), fetched: now, expires: now + ttl, revision };
            self.current.store(Some(Arc::new(snapshot)));
            Ok(list)
        };
        self.fetching.run(deadline, good_list, fetch).await
    }

    /// Fetches the list; once more where what was agreed on no longer holds.
    async fn fetch(&self, links: &Links, deadline: Instant) -> Result<(L::List, Duration), TransportError> {
        let link = links.listing(self.abilities, deadline).await?;
        let error = match self.fetch_over(&link, links, deadline).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => error,
        };
        let renewed = match error {
            TransportError::SessionLost | TransportError::Reconnected => {
                links.forget(&SessionKey::Listing(self.abilities), &link);
                true
            }
            TransportError::Status(400..=405) => links.era_changed(&link, deadline).await,
            _ => false,
        };
        if !renewed {
            return Err(error);
        }
        let link = links.listing(self.abilities, deadline).await?;
        self.fetch_over(&link, links, deadline).await
    }

    async fn fetch_over(
        &self,
        link: &Link,
        links: &Links,
        deadline: Instant,
    ) -> Result<(L::List, Duration), TransportError> {
        let kind = self.listing.kind();
        let (mut entries, mut beside, mut listed) = (Vec::new(), None, 0);
        let mut said = None::<Duration>;
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut params = cursor.take().map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
            if link.era == Era::Modern {
                params["_meta"] = stateless_meta(self.abilities);
            }
            let asked = ask(link, links.next_id(), kind.method(), params, deadline).await?;
            let result = match &asked.message.kind {
                UpstreamKind::Result { result, .. } => asked.message.text(*result),
                // A server without any has an empty list.
                UpstreamKind::Error { code: -32601, .. } => break,
                UpstreamKind::Error { code, .. } if link.disowned_by(asked.status, *code) => {
                    return Err(TransportError::SessionLost);
                }
                UpstreamKind::Error { .. } => return Err(asked.status.map_or_else(no_list, TransportError::Status)),
                _ => return Err(no_list()),
            };
            let page = Page::read(result, kind.member())
                .ok_or_else(|| TransportError::Garbage(format!("the result of {} is malformed", kind.method())))?;
            beside.get_or_insert_with(|| Beside::read(result, kind.member()));
            listed += page.definitions.len();
            entries.extend(page.definitions.iter().filter_map(|definition| self.listing.entry(definition)));
            if let Some(ttl_ms) = page.ttl_ms {
                let ttl = Duration::from_secs_f64((ttl_ms / 1000.0).clamp(0.0, MAX_TTL.as_secs_f64()));
                // The list is as old as its oldest page.
                said = Some(said.map_or(ttl, |said| said.min(ttl)));
            }
            cursor = page.next_cursor;
            if cursor.is_none() || entries.len() >= MAX_ENTRIES {
                break;
            }
        }
        let beside = beside.filter(|_| entries.len() == listed).unwrap_or_default();
        entries.truncate(MAX_ENTRIES);
        let until = said.map(|ttl| Instant::now() + ttl);
        Ok((self.listing.list(entries, beside, until), said.unwrap_or(DEFAULT_TTL)))
    }
}

fn no_list() -> TransportError {
    TransportError::Garbage("the server answered without a list".to_owned())
}

impl<L: Listing> fmt::Debug for Catalog<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("kind", &self.listing.kind()).finish_non_exhaustive()
    }
}
