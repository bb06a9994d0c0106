//! HTTP+SSE (MCP 2024-11-05, "Transports"): `GET /sse` opens the stream on
//! which everything comes to the client, and says where it posts its messages.
//!
//! Where it posts is a sealed token, of use to the same caller alone. Each
//! message is served by the configuration in force when it comes, so that a
//! stream may outlive a reload; its life is a day at most. A replica's token
//! says where the stream is, too.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{once, poll_fn};
use http::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::arrival::Arrival;
use super::connection::{Connection, Messages};
use crate::backends::answer::Answer;
use crate::body::Body;
use crate::mcp::places::{Place, Places};
use crate::mcp::request::McpRequest;
use crate::mcp::sse;
use crate::middleware::encode::{Events, event_stream};
use crate::rejection::Rejection;
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// Streams of this kind at a time.
const MAX_OPEN: usize = 4_096;
/// The same of one caller.
const MAX_OF_CALLER: usize = 64;
/// Messages that wait for a client that does not read.
const MAX_WAITING: usize = 256;
/// How long one stays open.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The streams that are open, whatever configuration they began under.
pub struct EventSources {
    open: Mutex<HashMap<u128, Weak<Connection>>>,
    places: Arc<Places>,
    /// What serves messages now, a [`Messages`].
    latest: ArcSwapOption<Latest>,
}

/// Of whatever type it is.
type Latest = Box<dyn Any + Send + Sync>;

/// One open stream; dropping it ends what runs for its client.
struct Open<S>
where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    id: u128,
    sources: Arc<EventSources>,
    connection: Arc<Connection>,
    messages: Messages<S>,
    _place: Place,
}

impl Default for EventSources {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            places: Arc::new(Places::new(MAX_OPEN, MAX_OF_CALLER)),
            latest: ArcSwapOption::empty(),
        }
    }
}

// === impl EventSources ===

impl EventSources {
    /// Messages are served by these from now on.
    pub(super) fn serve_by<S: Clone + Send + Sync + 'static>(&self, messages: Messages<S>) {
        let latest: Latest = Box::new(messages);
        self.latest.store(Some(Arc::new(latest)));
    }

    /// What serves messages now, or `first` did when a stream was opened.
    fn current<S: Clone + Send + Sync + 'static>(&self, first: &Messages<S>) -> Messages<S> {
        let latest = self.latest.load();
        latest.as_ref().and_then(|latest| latest.downcast_ref::<Messages<S>>()).unwrap_or(first).clone()
    }

    /// Opens a client's stream.
    pub(super) fn open<S>(
        self: &Arc<Self>,
        arrival: &Arrival,
        keys: &KeyRing,
        messages: Messages<S>,
    ) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        if !arrival.accepts.stream {
            return Err(Rejection::NotAcceptable);
        }
        let (out, mut said) = mpsc::channel::<Bytes>(MAX_WAITING);
        let client_ip = arrival.record.client_ip.get().copied();
        let connection = Connection::new(Arc::clone(&arrival.principal), client_ip, out);
        let place = self.places.take(arrival.caller()).ok_or(Rejection::Overloaded)?;
        let id = uuid::Uuid::new_v4().as_u128();
        self.table().insert(id, Arc::downgrade(&connection));
        let home = keys.home().map(|home| home.as_bytes()).unwrap_or_default();
        let payload = [&id.to_be_bytes(), home].concat();
        let token = keys.seal(binding(arrival), UnixSeconds::now() + MAX_LIFE, &payload);
        let endpoint = Bytes::from(format!("event: endpoint\ndata: /messages?session={token}\n\n"));
        let listening = {
            let (connection, messages) = (Arc::clone(&connection), messages.clone());
            let sources = Arc::clone(self);
            tokio::spawn(async move { connection.listen(|| sources.current(&messages)).await }).abort_handle()
        };
        let stream = Open { id, sources: Arc::clone(self), connection, messages, _place: place };
        let end = Instant::now() + arrival.record.life(MAX_LIFE);
        let rest = poll_fn(move |cx| {
            let _ = &stream;
            said.poll_recv(cx)
        });
        let listening = Ending(listening);
        let events = rest.map(|message| sse::encode(&message)).take_until(Box::pin(async move {
            let _ended = listening;
            sleep_until(end).await;
        }));
        Ok(event_stream(Body::standing(Events::new(Box::pin(once(std::future::ready(endpoint)).chain(events))))))
    }

    /// Takes in a message that a client posts.
    pub(super) async fn post<S>(
        &self,
        arrival: &Arrival,
        query: Option<&str>,
        keys: &KeyRing,
        messages: &Messages<S>,
        message: Bytes,
    ) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
    {
        let opened = opened(arrival, query, keys);
        let connection =
            opened.and_then(|(id, _)| self.table().get(&id)?.upgrade()).ok_or(Rejection::UnknownSession)?;
        connection.take(messages, message).await;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u128, Weak<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EventSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSources").field("open", &self.table().len()).finish()
    }
}

/// The replica that has the stream to which a message is posted, where that is
/// another process.
pub(super) fn elsewhere(arrival: &Arrival, query: Option<&str>, keys: &KeyRing) -> Option<Arc<str>> {
    let own = keys.home()?;
    let (_, home) = opened(arrival, query, keys)?;
    (!home.is_empty() && *home != **own).then(|| home.into())
}

/// The stream that a message is posted to, and where it is.
fn opened(arrival: &Arrival, query: Option<&str>, keys: &KeyRing) -> Option<(u128, String)> {
    let token = query?.split('&').find_map(|pair| pair.strip_prefix("session="))?;
    let payload = keys.open(binding(arrival), token, UnixSeconds::now()).ok()?;
    let (id, home) = payload.split_first_chunk()?;
    Some((u128::from_be_bytes(*id), String::from_utf8(home.to_vec()).ok()?))
}

fn binding(arrival: &Arrival) -> Binding<'_> {
    Binding { purpose: Purpose::Post, route: None, principal: arrival.principal.name() }
}

/// Ends a task with itself.
struct Ending(tokio::task::AbortHandle);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Open ===

impl<S> Drop for Open<S>
where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn drop(&mut self) {
        self.sources.table().remove(&self.id);
        // Without a runtime the process is ending, and all that runs with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (connection, messages) = (Arc::clone(&self.connection), self.sources.current(&self.messages));
        runtime.spawn(async move { connection.end(&messages).await });
    }
}
