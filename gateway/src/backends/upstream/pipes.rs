//! Pipes that clients have for themselves.
//!
//! A child process, a WebSocket or the stream of HTTP+SSE is one pipe, and a
//! server that asks something on it does not say whom. So a client that can be
//! asked has a pipe of its own, which is another process of the same command
//! or another connection; those that can be asked nothing share one.
//!
//! There are few places. Who finds none shares the pipe of the others, and is
//! then not asked; the same where the server cannot be had a second time. A pipe
//! keeps its place, and its pauses between attempts to connect, when its
//! connection is lost: a process that crashes again and again holds up the
//! client it crashes for and nobody else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::handshake;
use super::introduction::Introduction;
use super::link::Link;
use super::links::SessionKey;
use super::place::Place;
use super::single_flight::SingleFlight;
use crate::backends::transport::{Transport, TransportError};

/// Pipes of single clients at one upstream.
pub(super) const MAX_PIPES: usize = 32;
/// A pipe that no call used for so long is ended.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long a server may take from its start to its handshake, whoever waits
/// for it.
const AGREE_TIMEOUT: Duration = Duration::from_secs(60);

/// The pipes of single clients at one upstream.
#[derive(Debug)]
pub(super) struct Pipes {
    upstream: Arc<str>,
    places: Arc<Semaphore>,
    /// Whether it was said, since somebody got one last, that there are none.
    warned: AtomicBool,
    /// By whose they are.
    table: Mutex<HashMap<SessionKey, Arc<Pipe>>>,
    started: Instant,
}

/// One client's pipe.
#[derive(Debug)]
struct Pipe {
    transport: Arc<dyn Transport>,
    place: Arc<Place>,
    /// What was agreed on over it, as far as that holds.
    link: ArcSwapOption<Link>,
    agreeing: SingleFlight,
    /// Whether anything was ever agreed on.
    has_agreed: AtomicBool,
    /// In seconds since the table was made.
    last_used: AtomicU64,
}

/// Why there is no agreement.
#[derive(Debug)]
pub(super) struct Unagreed {
    pub(super) error: TransportError,
    /// Whether it is about one client's pipe and says nothing to others.
    pub(super) is_alone: bool,
}

// === impl Pipes ===

impl Pipes {
    /// No pipe yet.
    pub(super) fn new(upstream: Arc<str>) -> Self {
        Self {
            upstream,
            places: Arc::new(Semaphore::new(MAX_PIPES)),
            warned: AtomicBool::new(false),
            table: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// What was agreed on over somebody's pipe, if anything is.
    pub(super) fn ready(&self, key: &SessionKey) -> Option<Arc<Link>> {
        let table = self.table();
        let pipe = table.get(key)?;
        pipe.last_used.store(self.now(), Ordering::Relaxed);
        // Taken while the table is held, so that a pipe in use is not idle.
        pipe.link.load_full()
    }

    /// What is agreed on over somebody's pipe, made if there is nothing. Where
    /// there is no place for another pipe, or the server does not bear another,
    /// that is `shared`, under which nobody is asked.
    ///
    /// # Errors
    ///
    /// Those of the handshake, where there was a pipe before.
    pub(super) async fn agree(
        &self,
        key: &SessionKey,
        shared: &Arc<Link>,
        introduction: &Introduction,
        id: u64,
        deadline: Instant,
    ) -> Result<Arc<Link>, Unagreed> {
        let Some(pipe) = self.of(key, shared.transport.as_ref()) else {
            self.warn("there are as many as there may be");
            return Ok(Arc::clone(shared));
        };
        match pipe.agree(id, introduction, deadline).await {
            Ok(link) => {
                self.warned.store(false, Ordering::Relaxed);
                Ok(link)
            }
            // Elsewhere its calls would do to all what they did to this one.
            Err(error) if error == TransportError::TimedOut || pipe.has_agreed() => {
                Err(Unagreed { error, is_alone: true })
            }
            Err(error) => {
                self.warn(&error.cause());
                Ok(Arc::clone(shared))
            }
        }
    }

    /// Says that a client goes without, once until another does not.
    fn warn(&self, why: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                upstream = %self.upstream,
                why,
                max = MAX_PIPES,
                "no connection of its own for a client that can be asked: it shares that of the others, unasked"
            );
        }
    }

    /// Somebody's pipe, made beside `shared` where there is none; `None` where
    /// there is no place for another.
    fn of(&self, key: &SessionKey, shared: &dyn Transport) -> Option<Arc<Pipe>> {
        let mut table = self.table();
        if let Some(pipe) = table.get(key) {
            pipe.last_used.store(self.now(), Ordering::Relaxed);
            return Some(Arc::clone(pipe));
        }
        let permit = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let pipe = Arc::new(Pipe {
            transport: shared.another()?,
            place: Place::new(permit),
            link: ArcSwapOption::empty(),
            agreeing: SingleFlight::default(),
            has_agreed: AtomicBool::new(false),
            last_used: AtomicU64::new(self.now()),
        });
        // Those that are for one call alone are their call's.
        if *key != SessionKey::Fresh {
            table.insert(key.clone(), Arc::clone(&pipe));
        }
        Some(pipe)
    }

    /// Forgets what the server at the other end no longer honours. Another
    /// agreement that has taken its place meanwhile stays.
    pub(super) fn forget(&self, key: &SessionKey, link: &Arc<Link>) {
        if let Some(pipe) = self.table().get(key) {
            pipe.link.compare_and_swap(Arc::as_ptr(link), None);
        }
    }

    /// Ends somebody's pipe, in its own time, if there is one.
    pub(super) fn end(&self, key: &SessionKey) {
        let ended = self.table().remove(key);
        if let Some(pipe) = ended {
            tokio::spawn(async move { pipe.end().await });
        }
    }

    /// Ends the pipes that no call used for a while.
    pub(super) async fn sweep(&self) {
        let now = self.now();
        let mut ended = Vec::new();
        self.table().retain(|_, pipe| {
            if pipe.is_in_use() {
                pipe.last_used.store(now, Ordering::Relaxed);
            }
            let stays = now.saturating_sub(pipe.last_used.load(Ordering::Relaxed)) < IDLE_TIMEOUT.as_secs();
            if !stays {
                ended.push(Arc::clone(pipe));
            }
            stays
        });
        join_all(ended.iter().map(|pipe| pipe.end())).await;
    }

    /// Ends all of them; there will be no more.
    pub(super) async fn end_all(&self) {
        self.places.close();
        let ended: Vec<_> = self.table().drain().map(|(_, pipe)| pipe).collect();
        join_all(ended.iter().map(|pipe| pipe.end())).await;
    }

    fn table(&self) -> MutexGuard<'_, HashMap<SessionKey, Arc<Pipe>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

// === impl Pipe ===

impl Pipe {
    /// The agreement over it, made if there is none. That goes on when the
    /// caller's time is over: a process may take longer to start than a list
    /// may take, and is there for the next caller then.
    ///
    /// # Errors
    ///
    /// Those of the handshake.
    async fn agree(
        self: &Arc<Self>,
        id: u64,
        introduction: &Introduction,
        deadline: Instant,
    ) -> Result<Arc<Link>, TransportError> {
        let (pipe, introduction) = (Arc::clone(self), introduction.clone());
        let agreeing = tokio::spawn(async move {
            let end = Instant::now() + AGREE_TIMEOUT;
            let agreed =
                pipe.agreeing.run(end, || pipe.link.load_full(), pipe.initialize(id, &introduction, end)).await;
            if matches!(agreed, Err(TransportError::TimedOut)) && !pipe.has_agreed() {
                // It neither serves nor ends.
                pipe.end().await;
            }
            agreed
        });
        let agreed = timeout_at(deadline, agreeing).await.map_err(|_| TransportError::TimedOut)?;
        agreed.unwrap_or_else(|_| Err(TransportError::Disconnected("the gateway is ending".to_owned())))
    }

    async fn initialize(
        &self,
        id: u64,
        introduction: &Introduction,
        deadline: Instant,
    ) -> Result<Arc<Link>, TransportError> {
        let link = handshake::initialize(&self.transport, id, introduction, deadline).await?;
        let link = Arc::new(Link { place: Some(Arc::clone(&self.place)), ..link });
        self.has_agreed.store(true, Ordering::Relaxed);
        self.link.store(Some(Arc::clone(&link)));
        Ok(link)
    }

    /// Whether it was of use before.
    fn has_agreed(&self) -> bool {
        self.has_agreed.load(Ordering::Relaxed)
    }

    /// Whether a call relies on it or waits for it to be there, or a question
    /// is open on it.
    fn is_in_use(self: &Arc<Self>) -> bool {
        // The table's, and the one that is looked at here.
        let is_relied_on = self.link.load_full().is_some_and(|link| Arc::strong_count(&link) > 2);
        is_relied_on || Arc::strong_count(self) > 1 || self.place.is_asking()
    }

    async fn end(&self) {
        self.transport.close().await;
    }
}

// === impl Unagreed ===

impl From<TransportError> for Unagreed {
    fn from(error: TransportError) -> Self {
        Self { error, is_alone: false }
    }
}
