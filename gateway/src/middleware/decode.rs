//! Turns an HTTP request into one typed [`McpRequest`], and the answer back
//! into HTTP. Outside it all is HTTP, inside it all is MCP.
//!
//! Stands behind authentication, so that nobody unknown makes us read a body.
//! The one place that reads bodies: the size limit and the patience with slow
//! senders are its own.

mod headers;
mod rest;
mod stateless;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_policies::Principal;
use tokio::time::{Instant, timeout_at};
use tower_layer::Layer;
use tower_service::Service;

use self::headers::Accepts;
use super::encode;
use super::respond::refuse;
use crate::backends::Backends;
use crate::backends::answer::Answer;
use crate::backends::tool::full_name;
use crate::body::{Body, BodyError};
use crate::door::Door;
use crate::mcp::envelope::{Envelope, EnvelopeError, Kind};
use crate::mcp::mirror;
use crate::mcp::request::{McpRequest, Operation, ToolFilter};
use crate::mcp::session::{Session, Sessions};
use crate::mcp::splice::Span;
use crate::mcp::version::{Era, Version};
use crate::record::CallRecord;
use crate::rejection::Rejection;

/// What decoding needs to know.
#[derive(Clone, Debug)]
pub struct DecodeSettings {
    /// The largest body.
    pub max_body_bytes: usize,
    /// How long a body may take, and a whole request until its answer begins.
    pub request_timeout: Duration,
    /// Between an upstream's name and its tool's, e.g. `__`.
    pub separator: Arc<str>,
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
    sessions: Arc<Sessions>,
    backends: Arc<Backends>,
}

/// What came in with a request beside its body.
struct Arrival {
    head: http::request::Parts,
    server: Option<Arc<str>>,
    accepts: Accepts,
    principal: Arc<Principal>,
    record: Arc<CallRecord>,
    deadline: Instant,
}

/// Why a message is refused, and what is known of its sender by then.
struct Refused {
    rejection: Rejection,
    id: Option<String>,
    era: Era,
}

// === impl DecodeLayer ===

impl DecodeLayer {
    /// A layer that finds and ends sessions in `sessions` and knows which
    /// paths lead to one of `backends`.
    #[must_use]
    pub fn new(settings: DecodeSettings, sessions: Arc<Sessions>, backends: Arc<Backends>) -> Self {
        Self { decoder: Arc::new(Decoder { settings, sessions, backends }) }
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
    S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + 'static,
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
        let decoder = Arc::clone(&self.decoder);
        Box::pin(async move { decoder.serve(request, inner).await })
    }
}

// === impl Decoder ===

impl Decoder {
    async fn serve<S, B>(&self, request: Request<B>, inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let (mut head, body) = request.into_parts();
        let door = head.extensions.get::<Door>().cloned().unwrap_or(Door::Unknown);
        if let Door::Server(name) = &door
            && self.backends.named(name).is_none()
        {
            return Err(Rejection::NoSuchPath);
        }
        let server = match (&door, &head.method) {
            (Door::Mcp | Door::RestInvoke, &Method::POST) | (Door::RestTools, &Method::GET) => None,
            (Door::Server(name), &Method::POST) => Some(Arc::clone(name)),
            (Door::Mcp | Door::Server(_), &Method::DELETE) => {
                if stateless::header_names_stateless(&head.headers) {
                    // There are no sessions to end (2026-07-28, Streamable HTTP).
                    return Err(Rejection::MethodNotAllowed { allow: "POST" });
                }
                return self.end_session(head, inner).await;
            }
            (Door::Unknown, _) => return Err(Rejection::NoSuchPath),
            _ => return Err(Rejection::MethodNotAllowed { allow: door.allow() }),
        };
        if let Door::RestTools | Door::RestInvoke = door {
            // Of MCP's transport; they mean nothing here.
            head.headers.remove(mirror::PROTOCOL_VERSION);
            head.headers.remove(mirror::SESSION_ID);
        }
        let arrival = Arrival::new(head, server, self.settings.request_timeout)?;
        if door == Door::RestTools {
            return rest::tools(self.plain(arrival, Bytes::from_static(rest::LIST), inner).await?);
        }
        headers::check_content_type(&arrival.head.headers)?;
        let body = read_body(body, self.settings.max_body_bytes, arrival.deadline).await?;
        if door == Door::RestInvoke {
            let message = rest::call(&body)?;
            return rest::invoked(self.plain(arrival, message, inner).await?);
        }
        let accepts = arrival.accepts;
        match self.handle(arrival, body, inner).await {
            Ok((answer, id, era)) => Ok(match accepts {
                Accepts { json: false, .. } => encode::only_streamed(answer, &id, era),
                Accepts { stream: true, .. } => encode::streamed(answer, &id, era),
                Accepts { .. } => encode::whole(encode::last(answer, &id, era).await, era),
            }),
            Err(Refused { rejection, id, era }) => {
                let streamed = id.as_deref().filter(|_| !accepts.json);
                let streamed = streamed.and_then(|id| encode::refusal_streamed(&rejection, id, era));
                Ok(streamed.unwrap_or_else(|| refuse(&rejection, id.as_deref(), era)))
            }
        }
    }

    /// Carries a request of the REST flavour.
    async fn plain<S>(&self, arrival: Arrival, message: Bytes, inner: S) -> Result<Answer, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let (answer, id, era) = self.handle(arrival, message, inner).await.map_err(|refused| refused.rejection)?;
        Ok(encode::last(answer, &id, era).await)
    }

    async fn handle<S>(&self, arrival: Arrival, body: Bytes, mut inner: S) -> Result<(Answer, String, Era), Refused>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let request = match self.decode(arrival, &body)? {
            Decoded::Request(request) => request,
            Decoded::Nothing => return Ok((Answer::Accepted, String::new(), Era::Legacy)),
        };
        let (id, era) = (request.id_text().to_owned(), request.era());
        match inner.call(request).await {
            Ok(answer) => Ok((answer, id, era)),
            Err(rejection) => Err(Refused { rejection, id: Some(id), era }),
        }
    }

    /// Makes sense of a message, or says why there is none.
    fn decode(&self, arrival: Arrival, body: &Bytes) -> Result<Decoded, Refused> {
        let envelope = Envelope::scan(body).map_err(|error| match error {
            EnvelopeError::NotJson(detail) => {
                Refused { rejection: Rejection::NotJson { detail }, id: None, era: Era::Legacy }
            }
            EnvelopeError::NotJsonRpc { detail, id } => Refused {
                rejection: Rejection::InvalidRequest { detail },
                id: id.map(|id| text(body, id).to_owned()),
                era: Era::Legacy,
            },
        })?;
        let era = if stateless::is_stateless(&envelope, &arrival.head.headers) { Era::Modern } else { Era::Legacy };
        let id = envelope.id;
        self.accept(arrival, envelope, body, era).map_err(|rejection| Refused {
            rejection,
            id: id.map(|id| text(body, id).to_owned()),
            era,
        })
    }

    fn accept(&self, arrival: Arrival, envelope: Envelope<'_>, body: &Bytes, era: Era) -> Result<Decoded, Rejection> {
        let Kind::Method(method) = &envelope.kind else {
            return match era {
                // Nothing is asked of clients yet that they could be answering.
                Era::Legacy => Ok(Decoded::Nothing),
                Era::Modern => Err(Rejection::InvalidRequest { detail: "a response is not taken here" }),
            };
        };
        let (version, session) = match era {
            Era::Modern if envelope.id.is_none() => (Version::MODERN, None),
            Era::Modern => (stateless::check(&envelope, &arrival.head.headers)?, None),
            Era::Legacy => self.legacy(&arrival, method)?,
        };
        let operation = self.operation(method, &envelope, era, arrival.server.as_deref());
        let operation = operation.inspect(|operation| {
            // Set once a request; the first word stays.
            let _ = arrival.record.rpc_method.set(operation.method());
        })?;
        let mirrored = match era {
            Era::Modern => stateless::mirrored_params(&arrival.head.headers),
            Era::Legacy => http::HeaderMap::new(),
        };
        Ok(Decoded::Request(Box::new(McpRequest {
            operation,
            body: body.clone(),
            id: envelope.id,
            params: envelope.params,
            version,
            session,
            server: arrival.server,
            client_ip: arrival.record.client_ip.get().copied(),
            principal: arrival.principal,
            takes_stream: arrival.accepts.stream,
            deadline: arrival.deadline,
            mirrored,
            record: arrival.record,
            limits: Arc::default(),
            filter: ToolFilter::default(),
        })))
    }

    /// The revision and session of a client with a handshake. Calls without a
    /// session are served for themselves.
    fn legacy(&self, arrival: &Arrival, method: &str) -> Result<(Version, Option<Arc<Session>>), Rejection> {
        let headers = &arrival.head.headers;
        if method == "initialize" {
            return Ok((Version::NEWEST_LEGACY, None));
        }
        let version = headers::legacy_version(headers)?;
        let Some(id) = headers::session_id(headers)? else {
            return Ok((version.unwrap_or(Version::ASSUMED), None));
        };
        let session = self.sessions.get(id, arrival.principal.name()).ok_or(Rejection::UnknownSession)?;
        Ok((version.unwrap_or(session.version), Some(session)))
    }

    fn operation(
        &self,
        method: &str,
        envelope: &Envelope<'_>,
        era: Era,
        server: Option<&str>,
    ) -> Result<Operation, Rejection> {
        if envelope.id.is_none() {
            return match method {
                "notifications/cancelled" => Ok(Operation::Cancelled),
                _ if method.starts_with("notifications/") => Ok(Operation::Notified),
                _ => Err(Rejection::InvalidRequest { detail: "a request needs an `id`" }),
            };
        }
        match (method, era) {
            ("initialize", Era::Legacy) => Ok(Operation::Initialize),
            ("ping", Era::Legacy) => Ok(Operation::Ping),
            ("server/discover", Era::Modern) => Ok(Operation::Discover),
            ("tools/list", _) => Ok(Operation::ListTools),
            ("tools/call", _) => {
                let name = envelope.params.name.as_ref();
                let name = name.ok_or_else(|| Rejection::invalid_params("`name` must be a string"))?;
                if envelope.params.arguments_malformed {
                    return Err(Rejection::invalid_params("`arguments` must be an object"));
                }
                if envelope.params.meta_malformed {
                    return Err(Rejection::invalid_params("`_meta` must be an object"));
                }
                let tool = match server {
                    Some(server) => full_name(server, &self.settings.separator, &name.text).into(),
                    None => Arc::clone(&name.text),
                };
                Ok(Operation::CallTool { tool })
            }
            _ => Err(Rejection::UnknownMethod),
        }
    }

    /// `DELETE` of a session by its client.
    async fn end_session<S>(&self, head: http::request::Parts, mut inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let arrival = Arrival::new(head, None, self.settings.request_timeout)?;
        let id = headers::session_id(&arrival.head.headers)?
            .ok_or(Rejection::InvalidRequest { detail: "Mcp-Session-Id is missing" })?;
        let session = self.sessions.end(id, arrival.principal.name()).ok_or(Rejection::UnknownSession)?;
        let ended = McpRequest {
            operation: Operation::SessionEnded,
            body: Bytes::new(),
            id: None,
            params: crate::mcp::envelope::Params::default(),
            version: session.version,
            session: Some(session),
            server: None,
            client_ip: None,
            principal: arrival.principal,
            takes_stream: false,
            deadline: arrival.deadline,
            mirrored: http::HeaderMap::new(),
            record: arrival.record,
            limits: Arc::default(),
            filter: ToolFilter::default(),
        };
        inner.call(Box::new(ended)).await?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

enum Decoded {
    Request(Box<McpRequest>),
    /// A message that needs no answer and asks for nothing.
    Nothing,
}

// === impl Arrival ===

impl Arrival {
    fn new(head: http::request::Parts, server: Option<Arc<str>>, request_timeout: Duration) -> Result<Self, Rejection> {
        let accepts = Accepts::read(&head.headers)?;
        // Put there by the layers around this one; without them nobody is let in.
        let principal = head.extensions.get::<Arc<Principal>>().cloned().ok_or(Rejection::NoCredential)?;
        let record = head.extensions.get::<Arc<CallRecord>>().cloned().ok_or(Rejection::Internal)?;
        Ok(Self { server, accepts, principal, record, deadline: Instant::now() + request_timeout, head })
    }
}

fn text(body: &Bytes, span: Span) -> &str {
    std::str::from_utf8(&body[span.range()]).unwrap_or("null")
}

/// Reads a whole body. One that came in a single frame is not copied.
async fn read_body<B>(mut body: B, max_bytes: usize, deadline: Instant) -> Result<Bytes, Rejection>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    let too_large = || Rejection::BodyTooLarge { max_bytes };
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    loop {
        let frame = timeout_at(deadline, body.frame()).await.map_err(|_| Rejection::BodyTooSlow)?;
        let frame = match frame {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Rejection::BodyIncomplete),
        };
        let Ok(data) = frame.into_data() else { continue };
        let held = rest.as_ref().map_or(first.len(), BytesMut::len);
        if held + data.len() > max_bytes {
            return Err(too_large());
        }
        if held == 0 {
            first = data;
        } else {
            rest.get_or_insert_with(|| BytesMut::from(first.as_ref())).extend_from_slice(&data);
        }
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

#[cfg(test)]
mod tests;
