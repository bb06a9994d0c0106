//! Turns an HTTP request into one typed [`McpRequest`], and the answer back
//! into HTTP. Outside it all is HTTP, inside it all is MCP.
//!
//! Stands behind authentication, so that nobody unknown makes us read a body.
//! The one place that reads bodies: the size limit and the patience with slow
//! senders are its own.

mod arrival;
mod batch;
mod body;
mod connection;
mod doors;
mod elsewhere;
mod event_source;
mod headers;
mod message;
mod openai;
mod rare;
mod rest;
mod session;
mod stateless;
mod websocket;

use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use http::{Method, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use self::arrival::Arrival;
pub use self::connection::{Connection, Messages};
use self::elsewhere::{Passage, Passing};
pub use self::event_source::EventSources;
use self::headers::Accepts;
use self::message::{Decoded, Refused};
use self::websocket::WebSockets;
use super::encode;
use super::respond::refuse;
use crate::backends::Backends;
use crate::backends::answer::Answer;
use crate::body::{Body, BodyError};
use crate::door::Door;
use crate::mcp::request::McpRequest;
use crate::mcp::session::{Session, Sessions};
use crate::mcp::version::Era;
use crate::record::CallRecord;
use crate::rejection::Rejection;
use crate::replicas::Replicas;
use crate::running::Running;

/// What decoding needs to know.
#[derive(Clone, Debug)]
pub struct DecodeSettings {
    /// The largest body.
    pub max_body_bytes: usize,
    /// How long a body may take, and a whole request until its answer begins.
    pub request_timeout: Duration,
    /// Between an upstream's name and its tool's, e.g. `__`.
    pub separator: Arc<str>,
    /// How connections are kept that outlive the request that opened them.
    pub connections: ConnectionSettings,
    /// The other replicas, to which is passed on what belongs there. None for
    /// what another has passed on: nothing is twice.
    pub replicas: Option<Arc<Replicas>>,
}

/// What connections share on which messages go both ways.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// Each of their messages counts among the requests that run,
    pub running: Arc<Running>,
    /// which are so many at most.
    pub max_running: usize,
    /// The open streams of HTTP+SSE.
    pub event_sources: Arc<EventSources>,
}

/// Decodes requests and encodes answers.
#[derive(Clone, Debug)]
pub struct DecodeLayer {
    decoder: Arc<Decoder>,
}

/// See [`DecodeLayer`].
#[derive(Clone, Debug)]
pub struct Decode<S> {
    decoder: Arc<Decoder>,
    inner: S,
}

/// The thinking of [`Decode`], without the service inside.
#[derive(Debug)]
struct Decoder {
    settings: DecodeSettings,
    websockets: WebSockets,
    sessions: Arc<Sessions>,
    backends: Arc<Backends>,
}

/// Whom an answer is written for.
struct Recipient {
    /// The id of its request, as JSON.
    id: String,
    era: Era,
    /// Its session and what is written down of the request, where a stream can
    /// be taken up again.
    resumes: Option<(Arc<Session>, Arc<CallRecord>)>,
}

// === impl DecodeLayer ===

impl DecodeLayer {
    /// A layer that finds and ends sessions in `sessions` and knows which
    /// paths lead to one of `backends`.
    #[must_use]
    pub fn new(settings: DecodeSettings, sessions: Arc<Sessions>, backends: Arc<Backends>) -> Self {
        let websockets = WebSockets::new();
        Self { decoder: Arc::new(Decoder { settings, websockets, sessions, backends }) }
    }
}

// === impl ConnectionSettings ===

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self { running: Arc::default(), max_running: usize::MAX, event_sources: Arc::default() }
    }
}

impl<S> Layer<S> for DecodeLayer {
    type Service = Decode<S>;

    fn layer(&self, inner: S) -> Decode<S> {
        Decode { decoder: Arc::clone(&self.decoder), inner }
    }
}

// === impl Decode ===

impl<S, B> Service<Request<B>> for Decode<S>
where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = Rejection;
    type Future = BoxFuture<'static, Result<Response<Body>, Rejection>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Rejection>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        Arc::clone(&self.decoder).serve(request, inner)
    }
}

// === impl Decoder ===

impl Decoder {
    /// A future is moved as a whole, and no smaller than the largest of what it
    /// may come to. So what nearly all requests are, messages that are posted, is
    /// apart from all else ([`doors`]).
    fn serve<S, B>(
        self: Arc<Self>,
        request: Request<B>,
        inner: S,
    ) -> BoxFuture<'static, Result<Response<Body>, Rejection>>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BodyError>,
    {
        let (head, body) = request.into_parts();
        let door = head.extensions.get::<Door>().cloned().unwrap_or(Door::Unknown);
        let server = match (&door, &head.method) {
            (Door::Mcp, &Method::POST) => None,
            (Door::Server(name), &Method::POST) if self.is_upstream(name) => Some(Arc::clone(name)),
            _ => return Box::pin(self.serve_door(door, head, body, inner)),
        };
        let passing = Passing::of(self.settings.replicas.as_ref(), &head);
        let arrival = match Arrival::new(head, server, self.settings.request_timeout) {
            Ok(arrival) => arrival,
            Err(rejection) => return Box::pin(ready(Err(rejection))),
        };
        Box::pin(async move {
            let message = self.json_body(&arrival, body).await?;
            match self.pass_on(passing, &arrival, &message).await {
                Passage::Here => {}
                Passage::Answered(response) => return Ok(response),
                Passage::Refused(refused) => return Ok(refused_as(refused, arrival.accepts)),
            }
            if self.takes_batch(&arrival, &message)? {
                return Ok(Box::pin(self.batch(arrival, message, inner)).await);
            }
            Ok(self.message(arrival, message, inner).await)
        })
    }

    /// Whether a path may name it.
    fn is_upstream(&self, name: &str) -> bool {
        self.backends.named(name).is_some() && !self.backends.has_model(name)
    }

    /// The body of a request, which must be JSON.
    async fn json_body<B>(&self, arrival: &Arrival, body: B) -> Result<Bytes, Rejection>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        headers::check_content_type(&arrival.headers)?;
        body::read(body, self.settings.max_body_bytes, arrival.deadline).await
    }

    /// Carries a message of MCP.
    fn message<S>(&self, arrival: Arrival, message: Bytes, inner: S) -> impl Future<Output = Response<Body>>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let accepts = arrival.accepts;
        let handled = self.handle(arrival, message, inner);
        async move {
            match handled.await {
                Ok((answer, to)) => {
                    let keep = self.keep(&answer, &to);
                    match accepts {
                        Accepts { json: false, .. } => encode::only_streamed(answer, &to.id, to.era, keep),
                        Accepts { stream: true, .. } => encode::streamed(answer, &to.id, to.era, keep),
                        Accepts { .. } => encode::whole(encode::last(answer, &to.id, to.era).await, to.era),
                    }
                }
                Err(refused) => refused_as(refused, accepts),
            }
        }
    }

    /// Carries a request of the REST flavour.
    async fn plain<S>(&self, arrival: Arrival, message: Bytes, inner: S) -> Result<Answer, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let (answer, to) = self.handle(arrival, message, inner).await.map_err(|refused| refused.rejection)?;
        Ok(encode::last(answer, &to.id, to.era).await)
    }

    /// For whom an answer is kept while it is sent. A model's is not: it stops
    /// when its client goes away.
    fn keep<'a>(&'a self, answer: &Answer, to: &'a Recipient) -> encode::Keep<'a> {
        let (Answer::Stream(_), Some((session, record))) = (answer, &to.resumes) else { return None };
        let is_model = record.upstream.get().is_some_and(|name| self.backends.has_model(name));
        (!is_model).then(|| (&**session, &**self.sessions.keys()))
    }

    /// Has a message served, which is decoded at once.
    fn handle<S>(
        &self,
        arrival: Arrival,
        body: Bytes,
        inner: S,
    ) -> impl Future<Output = Result<(Answer, Recipient), Refused>>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        Either::Left(match self.decode(arrival, body) {
            Ok(Decoded::Request(request)) => carry(request, inner),
            Ok(Decoded::Nothing) => {
                let nobody = Recipient { id: String::new(), era: Era::Legacy, resumes: None };
                return Either::Right(ready(Ok((Answer::Accepted, nobody))));
            }
            Err(refused) => return Either::Right(ready(Err(refused))),
        })
    }
}

/// A refusal in the form that the client takes.
fn refused_as(refused: Refused, accepts: Accepts) -> Response<Body> {
    let Refused { rejection, id, era } = refused;
    let streamed = id.as_deref().filter(|_| !accepts.json);
    let streamed = streamed.and_then(|id| encode::refusal_streamed(&rejection, id, era));
    streamed.unwrap_or_else(|| refuse(&rejection, id.as_deref(), era))
}

/// Has a request served; keeps of it what the answer is written with.
async fn carry<S>(request: Box<McpRequest>, mut inner: S) -> Result<(Answer, Recipient), Refused>
where
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
{
    let resumes = request.session.as_ref().filter(|session| session.is_primed());
    let to = Recipient {
        id: request.id_text().to_owned(),
        era: request.era(),
        resumes: resumes.map(|session| (Arc::clone(session), Arc::clone(&request.record))),
    };
    match inner.call(request).await {
        Ok(answer) => Ok((answer, to)),
        Err(rejection) => Err(Refused { rejection, id: Some(to.id), era: to.era }),
    }
}

#[cfg(test)]
mod tests;
