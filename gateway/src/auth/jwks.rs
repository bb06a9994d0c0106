//! An issuer's current keys: loaded, kept, renewed.
//!
//! A set is *fresh* for as long as its source says. Near the end of that time
//! it is renewed in the background; past it, the first token waits for the
//! renewal, unless the source is known to be down: then the old set keeps
//! working for [`MAX_STALE`]. A token signed by a key we do not know asks for
//! a renewal too, for that is how a rotation shows.
//!
//! All renewals of one issuer are one at a time, shared by everybody who
//! waits, and no sooner than the source's floor after the one before, whether
//! that succeeded or not. So neither forged key names nor an outage can make
//! us a burden to the issuer.

mod source;

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::DecodingKey;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use self::source::Fetched;
pub use self::source::JwksError;
pub(crate) use self::source::Source;
use super::key_set::{Found, KeySet};
use super::refusal::Refusal;
use super::settings::Algorithm;

/// How long a set is used that can no longer be renewed.
const MAX_STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    issuer: String,
    source: Source,
    loaded: ArcSwapOption<Loaded>,
    renewal: Mutex<Renewal>,
}

#[derive(Debug)]
struct Loaded {
    keys: KeySet,
    renew_at: Instant,
    stale_at: Instant,
    unusable_at: Instant,
}

#[derive(Debug, Default)]
struct Renewal {
    last_begun: Option<Instant>,
    last_failed: bool,
    /// Closed when the renewal that is running has ended.
    running: Option<watch::Receiver<()>>,
}

/// Where a token's key is.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Here.
    Key(Arc<DecodingKey>),
    /// Perhaps in the set that is being loaded.
    Loading(Loading),
    /// Nowhere.
    Refused(Refusal),
}

/// A renewal to wait for.
#[derive(Debug)]
pub(crate) struct Loading(watch::Receiver<()>);

// === impl IssuerKeys ===

impl IssuerKeys {
    /// Keys that are loaded when the first token needs them, except those in
    /// a file, which are read at once so that a fault shows at the start.
    ///
    /// # Errors
    ///
    /// The file cannot be read or holds no key set.
    pub(crate) fn new(issuer: &str, source: Source) -> Result<Self, JwksError> {
        let keys =
            Self { issuer: issuer.to_owned(), loaded: ArcSwapOption::empty(), renewal: Mutex::default(), source };
        if let Source::File(path) = &keys.source {
            keys.store(source::read_file(path)?);
        }
        Ok(keys)
    }

    /// Looks for the key, and begins to renew the set where that is due. Must
    /// be called within a Tokio runtime.
    pub(crate) fn find(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Lookup {
        let now = Instant::now();
        let loaded = self.loaded.load();
        let Some(loaded) = loaded.as_ref().filter(|loaded| now < loaded.unusable_at) else {
            return self.renew().map_or(Lookup::Refused(Refusal::KeysUnavailable), Lookup::Loading);
        };
        if now >= loaded.renew_at
            && let Some(loading) = self.renew()
            && now >= loaded.stale_at
            && !loading.follows_failure(self)
        {
            return Lookup::Loading(loading);
        }
        match loaded.keys.find(kid, algorithm) {
            Found::Key(key) => Lookup::Key(key),
            Found::Unfit => Lookup::Refused(Refusal::KeyMismatch),
            Found::Unknown => self.renew().map_or(Lookup::Refused(Refusal::UnknownSigningKey), Lookup::Loading),
        }
    }

    /// Waits for the renewal and looks once more. The wait is bounded by the
    /// source's deadline.
    pub(crate) async fn find_after(
        &self,
        loading: Loading,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<DecodingKey>, Refusal> {
        loading.ended().await;
        let loaded = self.loaded.load_full().filter(|loaded| Instant::now() < loaded.unusable_at);
        match loaded.ok_or(Refusal::KeysUnavailable)?.keys.find(kid, algorithm) {
            Found::Key(key) => Ok(key),
            Found::Unfit => Err(Refusal::KeyMismatch),
            Found::Unknown => Err(Refusal::UnknownSigningKey),
        }
    }

    /// Joins the renewal that is running, or begins one. `None` within the
    /// floor after the last.
    fn renew(self: &Arc<Self>) -> Option<Loading> {
        let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
        // A closed channel has no news: `has_changed` fails.
        if let Some(running) = renewal.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return Some(Loading(running.clone()));
        }
        let now = Instant::now();
        if renewal.last_begun.is_some_and(|begun| now < begun + self.source.floor()) {
            return None;
        }
        let (ended, running) = watch::channel(());
        renewal.last_begun = Some(now);
        renewal.running = Some(running.clone());
        drop(renewal);
        let keys = Arc::clone(self);
        // A task of its own, so that a caller who goes away takes nothing
        // from the others who wait.
        tokio::spawn(async move {
            keys.load().await;
            drop(ended);
        });
        Some(Loading(running))
    }

    async fn load(&self) {
        let result = self.source.load().await;
        let failed = result.is_err();
        let failed_before = {
            let mut renewal = self.renewal.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut renewal.last_failed, failed)
        };
        match result {
            Ok(fetched) => {
                if failed_before {
                    info!(issuer = %self.issuer, "the issuer's keys are available again");
                }
                self.store(fetched);
            }
            // Said once an outage, not once an attempt.
            Err(_) if failed_before => {}
            Err(error) => {
                let cause = root_cause(&error);
                let keys_kept = self.loaded.load().is_some();
                warn!(issuer = %self.issuer, %error, %cause, keys_kept, "the issuer's keys cannot be loaded");
            }
        }
    }

    fn store(&self, fetched: Fetched) {
        let Fetched { keys, lifetime } = fetched;
        let changed = self.loaded.load().as_ref().is_none_or(|old| old.keys.len() != keys.len());
        if changed {
            info!(issuer = %self.issuer, keys = keys.len(), skipped = keys.skipped, "the issuer's keys are loaded");
        }
        let now = Instant::now();
        self.loaded.store(Some(Arc::new(Loaded {
            keys,
            renew_at: now + lifetime.mul_f64(0.8),
            stale_at: now + lifetime,
            unusable_at: now + lifetime + MAX_STALE,
        })));
    }
}

/// What lies at the bottom of an error: the part that tells an operator why.
fn root_cause<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

// === impl Loading ===

impl Loading {
    async fn ended(mut self) {
        // Nothing is ever sent: the only change is that the sender is gone.
        let _ = self.0.changed().await;
    }

    /// Whether the renewal before this one failed, so that waiting for this
    /// one is not worth a caller's time.
    fn follows_failure(&self, keys: &IssuerKeys) -> bool {
        keys.renewal.lock().unwrap_or_else(PoisonError::into_inner).last_failed
    }
}

#[cfg(test)]
mod tests;
