//! OpenAI's interface to the models in this process: `POST
//! /v1/chat/completions` and `GET /v1/models[/{model}]`, carried as the call of a tool
//! and the list of models that they stand for.
//!
//! So policies, limits, metrics and audit know one call, whichever door it
//! came in by.

mod answer;
mod chunks;
mod request;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Response;
use tower_service::Service;

use self::answer::Facts;
use self::request::Asked;
use super::arrival::Arrival;
use super::headers::Accepts;
use super::message::Decoded;
use super::{Decoder, carry, encode};
use crate::backends::answer::Answer;
use crate::body::{Body, BodyError};
use crate::mcp::operation::Operation;
use crate::mcp::request::McpRequest;
use crate::rejection::Rejection;

/// The tool that is called where no model bears the name that was asked for:
/// none is called so. The refusal is the one for tools that are not allowed.
const NO_MODEL: &str = "";

// === impl Decoder ===

impl Decoder {
    /// `POST /v1/chat/completions`.
    pub(super) async fn complete<S, B>(
        &self,
        mut arrival: Arrival,
        body: B,
        inner: S,
    ) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BodyError>,
    {
        let mut asked = Asked::read(&self.json_body(&arrival, body).await?)?;
        // What is answered, the body says; clients accept JSON and mean both.
        arrival.accepts = Accepts { json: true, stream: asked.streams };
        let tool = if self.backends.has_model(&asked.model) { asked.model.clone() } else { NO_MODEL.to_owned() };
        let Decoded::Request(mut request) =
            self.decode(arrival, asked.call_of(&tool)).map_err(|refused| refused.rejection)?
        else {
            return Err(Rejection::Internal);
        };
        request.refusal = asked.refusal.take();
        let Asked { model, streams, includes_usage, .. } = asked;
        let (answer, to) = carry(request, inner).await.map_err(|refused| match refused.rejection {
            Rejection::UnknownTool { .. } => Rejection::UnknownTool { tool: model.clone() },
            rejection => rejection,
        })?;
        let facts = Facts::new(model);
        if streams {
            return Ok(encode::event_stream(chunks::of(answer, facts, includes_usage)?));
        }
        answer::whole(encode::last(answer, &to.id, to.era).await, &facts)
    }

    /// `GET /v1/models`.
    pub(super) async fn models<S>(&self, arrival: Arrival, mut inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let request = arrival.into_request(Operation::ListModels);
        answer::models(inner.call(Box::new(request)).await?)
    }

    /// `GET /v1/models/{model}`.
    pub(super) async fn model<S>(&self, name: &str, arrival: Arrival, mut inner: S) -> Result<Response<Body>, Rejection>
    where
        S: Service<Box<McpRequest>, Response = Answer, Error = Rejection>,
    {
        let request = arrival.into_request(Operation::ListModels);
        answer::model(name, inner.call(Box::new(request)).await?)
    }
}

/// Seconds since 1970, as OpenAI's `created` has them.
fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
