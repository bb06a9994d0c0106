//! What comes through any door but as a message of MCP that is posted: streams
//! and ends of sessions, HTTP+SSE, WebSocket, the REST flavour, OpenAI's paths.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, Response};
use hyper::upgrade::OnUpgrade;
use tower_service::Service;

use super::arrival::Arrival;
use super::connection::Messages;
use super::elsewhere::{Passage, Passing};
use super::{Decoder, headers, rest, stateless};
use crate::backends::answer::Answer;
use crate::body::{Body, BodyError};
use crate::door::Door;
use crate::mcp::mirror;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

// === impl Decoder ===

impl Decoder {
    /// Serves a request that came through `door`.
    pub(super) async fn serve_door<S, B>(
        self: Arc<Self>,
        door: Door,
        mut head: Parts,
        body: B,
        inner: S,
    ) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        if let Door::Server(name) = &door
            && !self.is_upstream(name)
        {
            return Err(Rejection::NoSuchPath);
        }
        let passing = Passing::of(self.settings.replicas.as_ref(), &head);
        match (&door, &head.method) {
            (Door::EventSourcePost | Door::RestInvoke | Door::ChatCompletions, &Method::POST)
            | (Door::WebSocket | Door::EventSource | Door::RestTools | Door::Models | Door::Model(_), &Method::GET) => {
            }
            (Door::Mcp | Door::Server(_), &Method::GET | &Method::DELETE) => {
                if stateless::names_stateless(&headers::version(&head.headers)) {
                    // There are no sessions (2026-07-28, Streamable HTTP).
                    return Err(Rejection::MethodNotAllowed { allow: "POST" });
                }
                let server = if let Door::Server(name) = door { Some(name) } else { None };
                let is_end = head.method == Method::DELETE;
                let take = if is_end { Arrival::new } else { Arrival::of_stream };
                let arrival = take(head, server, self.settings.request_timeout)?;
                return match self.pass_on(passing, &arrival, &Bytes::new()).await {
                    Passage::Answered(response) => Ok(response),
                    Passage::Refused(refused) => Err(refused.rejection),
                    Passage::Here if is_end => Box::pin(self.end_session(arrival, inner)).await,
                    Passage::Here => Box::pin(self.open_stream(arrival, inner)).await,
                };
            }
            (Door::Unknown | Door::OpenAi, _) => return Err(Rejection::NoSuchPath),
            _ => return Err(Rejection::MethodNotAllowed { allow: door.allow() }),
        }
        if door.is_openai() {
            // Answered with JSON or events, as the body asks.
            head.headers.remove(ACCEPT);
        }
        if door.is_openai() || matches!(door, Door::RestTools | Door::RestInvoke) {
            // Of MCP's transport; they mean nothing here.
            head.headers.remove(mirror::PROTOCOL_VERSION);
            head.headers.remove(mirror::SESSION_ID);
        }
        let upgrade = head.extensions.remove::<OnUpgrade>();
        if matches!(door, Door::WebSocket | Door::EventSourcePost) {
            // What is answered are messages, not this request.
            head.headers.remove(ACCEPT);
        }
        let query = head.uri.query().filter(|_| door == Door::EventSourcePost).map(str::to_owned);
        let arrival = Arrival::new(head, None, self.settings.request_timeout)?;
        match &door {
            Door::EventSource => {
                let messages = Messages::new(Arc::clone(&self), inner);
                self.settings.connections.event_sources.open(&arrival, self.sessions.keys(), messages)
            }
            Door::EventSourcePost => {
                let message = self.json_body(&arrival, body).await?;
                match self.pass_on_posted(passing, &arrival, query.as_deref(), &message).await {
                    Passage::Here => {}
                    Passage::Answered(response) => return Ok(response),
                    Passage::Refused(refused) => return Err(refused.rejection),
                }
                let messages = Messages::new(Arc::clone(&self), inner);
                let sources = &self.settings.connections.event_sources;
                Box::pin(sources.post(&arrival, query.as_deref(), self.sessions.keys(), &messages, message)).await
            }
            Door::WebSocket => {
                let max_message_bytes = self.settings.max_body_bytes;
                let messages = Messages::new(Arc::clone(&self), inner);
                self.websockets.open(&arrival, upgrade, messages, max_message_bytes)
            }
            Door::RestTools => rest::tools(Box::pin(self.plain(arrival, Bytes::from_static(rest::LIST), inner)).await?),
            Door::RestInvoke => {
                let message = rest::call(&self.json_body(&arrival, body).await?)?;
                rest::invoked(Box::pin(self.plain(arrival, message, inner)).await?)
            }
            Door::Models => Box::pin(self.models(arrival, inner)).await,
            Door::Model(name) => Box::pin(self.model(name, arrival, inner)).await,
            Door::ChatCompletions => Box::pin(self.complete(arrival, body, inner)).await,
            Door::Mcp | Door::Server(_) | Door::Unknown | Door::OpenAi | Door::ResourceMetadata | Door::Health => {
                Err(Rejection::NoSuchPath)
            }
        }
    }
}
