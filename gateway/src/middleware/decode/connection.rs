//! A client that has a connection of its own over which messages go both
//! ways, without HTTP: each message from it is one request to the MCP half of
//! the stack, and whatever answers it goes back over the connection.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::StreamExt;
use http::HeaderValue;
use portcullis_policies::Principal;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tower_service::Service;

use super::arrival::Arrival;
use super::message::{Decoded, Refused};
use super::{DecodeLayer, Decoder, batch, carry};
use crate::backends::answer::{Answer, Standing};
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::mcp::session::{Bearer, Session};
use crate::mcp::version::{Era, Version};
use crate::middleware::respond;
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// Requests of one connection that run at a time. More are refused rather than
/// left unread: behind them may come what the others wait for, the client's
/// replies to questions.
const MAX_RUNNING: usize = 256;

/// Between two standing streams of one connection.
const PAUSE: Duration = Duration::from_secs(1);

/// The MCP half of a stack, as connections use it.
#[derive(Clone, Debug)]
pub struct Messages<S> {
    decoder: Arc<Decoder>,
    calls: S,
}

/// One client's connection.
#[derive(Debug)]
pub struct Connection {
    principal: Arc<Principal>,
    client_ip: Option<IpAddr>,
    /// What a client with a handshake agreed on.
    session: ArcSwapOption<Session>,
    opened: Notify,
    places: Arc<Semaphore>,
    requests: Mutex<Vec<Running>>,
    next: AtomicU64,
    /// Whether no more requests are taken.
    is_finishing: AtomicBool,
    /// Told whenever a request has ended, or stands.
    ended: Notify,
    /// To the client.
    out: mpsc::Sender<Bytes>,
}

/// A request that runs.
#[derive(Debug)]
struct Running {
    /// Ours.
    number: u64,
    /// The client's, as JSON.
    id: String,
    task: AbortHandle,
    /// Whether it stands for as long as the client likes.
    stands: bool,
}

// === impl DecodeLayer ===

impl DecodeLayer {
    /// The same decoding for connections without HTTP, in front of `calls`.
    #[must_use]
    pub fn messages<S: Clone + Send + Sync + 'static>(&self, calls: S) -> Messages<S> {
        let messages = Messages::new(Arc::clone(&self.decoder), calls);
        // Streams that began under what was in force before go on under this.
        self.decoder.settings.connections.event_sources.serve_by(messages.clone());
        messages
    }
}

// === impl Messages ===

impl<S> Messages<S> {
    pub(super) const fn new(decoder: Arc<Decoder>, calls: S) -> Self {
        Self { decoder, calls }
    }

    /// Returns once the configuration behind this is no longer in force, or the
    /// process drains.
    pub(super) fn superseded(&self) -> impl Future<Output = ()> + use<S> {
        self.decoder.sessions.streams().superseded(self.decoder.backends.since())
    }
}

// === impl Connection ===

impl Connection {
    /// A connection of `principal`, whose client hears what is sent to `out`.
    #[must_use]
    pub fn new(principal: Arc<Principal>, client_ip: Option<IpAddr>, out: mpsc::Sender<Bytes>) -> Arc<Self> {
        Arc::new(Self {
            principal,
            client_ip,
            session: ArcSwapOption::empty(),
            opened: Notify::new(),
            places: Arc::new(Semaphore::new(MAX_RUNNING)),
            requests: Mutex::default(),
            next: AtomicU64::new(0),
            is_finishing: AtomicBool::new(false),
            ended: Notify::new(),
            out,
        })
    }

    /// Takes in what the client sends: one message, or several of a client that
    /// may send them so.
    pub async fn take<S>(self: &Arc<Self>, messages: &Messages<S>, sent: Bytes)
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + 'static,
        S::Future: Send,
    {
        let version = self.session.load().as_ref().map(|session| session.version);
        if version != Some(Version::V2025_03_26) || !batch::is_batch(&sent) {
            return self.take_one(messages, sent).await;
        }
        match batch::split(&sent) {
            Ok(several) => {
                for message in several {
                    match message.refused {
                        Some(refused) => self.refuse(refused).await,
                        None => self.take_one(messages, message.body).await,
                    }
                }
            }
            Err(rejection) => self.refuse(Refused { rejection, id: None, era: Era::Legacy }).await,
        }
    }

    /// Nothing in it waits for what another message of the client may bring.
    async fn take_one<S>(self: &Arc<Self>, messages: &Messages<S>, message: Bytes)
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + 'static,
        S::Future: Send,
    {
        let request = match messages.decoder.decode(self.arrival(messages), message) {
            Ok(Decoded::Request(request)) => request,
            Ok(Decoded::Nothing) => return,
            Err(refused) => return self.refuse(refused).await,
        };
        match request.operation {
            Operation::Cancelled if request.session.is_none() => return self.cancel(&request),
            // Taken in at once: nobody is asked.
            Operation::Cancelled | Operation::Notified | Operation::Responded { .. } => {
                // None of these stands.
                self.serve(messages.clone(), request).await;
                return;
            }
            _ => {}
        }
        let id = request.id.map(|id| request.text(id).to_owned());
        if self.is_finishing.load(Ordering::Acquire) {
            return self.refuse(Refused { rejection: Rejection::Draining, id, era: request.era() }).await;
        }
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return self.refuse(Refused { rejection: Rejection::Overloaded, id, era: request.era() }).await;
        };
        let (connection, messages) = (Arc::clone(self), messages.clone());
        // Held until the task is noted, which takes itself off again.
        let mut requests = self.requests();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let task = tokio::spawn(async move {
            if let Some(standing) = connection.serve(messages, request).await {
                connection.stands(number);
                connection.hand_on(standing).await;
            }
            connection.requests().retain(|running| running.number != number);
            connection.ended.notify_waiters();
            drop(place);
        });
        requests.push(Running { number, id: id.unwrap_or_default(), task: task.abort_handle(), stands: false });
    }

    /// Hands on what is said to the client of its own accord, as soon as it
    /// has a session; `current` is what is in force. Runs until it is dropped.
    pub async fn listen<S>(&self, current: impl Fn() -> Messages<S>)
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        loop {
            self.opened.notified().await;
            // One that ends, as with a reload, is followed by the next.
            while let Some(session) = self.session.load_full() {
                let mut messages = current();
                let mut request = self.arrival(&messages).into_request(Operation::OpenStream { after: None });
                (request.version, request.session) = (session.version, Some(session));
                if let Ok(Answer::Standing(standing)) = messages.calls.call(Box::new(request)).await {
                    self.hand_on(standing).await;
                }
                // What comes meanwhile waits.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes no more requests, and returns once those that run have ended, save
    /// what would stand for ever. What they wait for, the client's answers, is
    /// taken.
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::Release);
        loop {
            let ended = self.ended.notified();
            if self.requests().iter().all(|running| running.stands) {
                return;
            }
            ended.await;
        }
    }

    /// The client has gone: what runs for it ends, and so does its session.
    pub async fn end<S>(&self, messages: &Messages<S>)
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone,
    {
        self.requests().drain(..).for_each(|running| running.task.abort());
        if let Some(session) = self.session.swap(None) {
            messages.decoder.sessions.end(&session.id, self.bearer());
            let mut ended = self.arrival(messages).into_request(Operation::SessionEnded);
            (ended.version, ended.session) = (session.version, Some(session));
            // Nobody is left to be told how that went.
            let _ = messages.calls.clone().call(Box::new(ended)).await;
        }
    }

    /// Serves a request; what stands is left to be handed on.
    async fn serve<S>(&self, messages: Messages<S>, request: Box<McpRequest>) -> Option<Box<Standing>>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        // What is no request runs for no time.
        let room = request.id.map(|_| {
            let connections = &messages.decoder.settings.connections;
            connections.running.admit(connections.max_running)
        });
        if let Some(None) = room {
            let id = request.id.map(|id| request.text(id).to_owned());
            self.refuse(Refused { rejection: Rejection::Overloaded, id, era: request.era() }).await;
            return None;
        }
        match carry(request, messages.calls).await {
            Ok((Answer::Message { message, .. }, ..)) => self.say(message).await,
            Ok((Answer::Opened { message, session }, ..)) => {
                self.session.store(messages.decoder.sessions.get(&session, self.bearer()));
                self.say(message).await;
                self.opened.notify_one();
            }
            Ok((Answer::Stream(mut stream), to)) => {
                while let Some(next) = stream.next().await {
                    self.say(next.unwrap_or_else(|rejection| respond::message(&rejection, &to.id, to.era))).await;
                }
            }
            Ok((Answer::Standing(standing), ..)) => return Some(standing),
            Ok((Answer::Accepted, ..)) => {}
            Err(refused) => self.refuse(refused).await,
        }
        None
    }

    /// Notes that a request stands.
    fn stands(&self, number: u64) {
        if let Some(running) = self.requests().iter_mut().find(|running| running.number == number) {
            running.stands = true;
        }
        self.ended.notify_waiters();
    }

    /// Hands on what is said of its own accord, while it is.
    async fn hand_on(&self, mut standing: Box<Standing>) {
        while let Some((_, message)) = standing.messages.next().await {
            self.say(message).await;
        }
    }

    /// Tells the client of a refusal; one of a notification it is not told.
    async fn refuse(&self, refused: Refused) {
        let Refused { rejection, id, era } = refused;
        let unreadable = matches!(rejection, Rejection::NotJson { .. } | Rejection::InvalidRequest { .. });
        if id.is_some() || unreadable {
            self.say(respond::message(&rejection, id.as_deref().unwrap_or("null"), era)).await;
        }
    }

    async fn say(&self, message: Bytes) {
        // Nobody may be there to hear it.
        let _ = self.out.send(message).await;
    }

    fn arrival<S>(&self, messages: &Messages<S>) -> Arrival {
        let id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).expect("digits and hyphens");
        let record = CallRecord::new(id, None);
        // A new record: nothing was set before.
        let _ = record.principal.set(Arc::clone(&self.principal));
        if let Some(ip) = self.client_ip {
            let _ = record.client_ip.set(ip);
        }
        let timeout = messages.decoder.settings.request_timeout;
        Arrival::over_connection(Arc::new(record), Arc::clone(&self.principal), self.session.load_full(), timeout)
    }

    /// Ends a request of a stateless client that says that it waits no longer;
    /// one of a client with a handshake is found in its session.
    fn cancel(&self, cancelled: &McpRequest) {
        let Some(id) = cancelled.params.request_id.map(|id| cancelled.text(id)) else { return };
        let mut requests = self.requests();
        if let Some(index) = requests.iter().rposition(|running| running.id == id) {
            requests.swap_remove(index).task.abort();
            self.ended.notify_waiters();
        }
    }

    fn bearer(&self) -> Bearer<'_> {
        Bearer { principal: self.principal.name(), server: None }
    }

    fn requests(&self) -> MutexGuard<'_, Vec<Running>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.requests().drain(..).for_each(|running| running.task.abort());
    }
}
