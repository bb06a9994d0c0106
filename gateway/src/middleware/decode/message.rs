//! What a message asks for: from the envelope to a typed request.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use tokio::time::Instant;

use super::arrival::{Arrival, Wire};
use super::headers::NamedVersion;
use super::{Decoder, headers, stateless};
use crate::backends::tool::full_name;
use crate::backends::uri;
use crate::mcp::asks::Said;
use crate::mcp::capabilities::Capabilities;
use crate::mcp::envelope::{Envelope, EnvelopeError, Kind, MAX_ID_BYTES};
use crate::mcp::operation::{ItemKind, Operation, ResourceUri};
use crate::mcp::reference::Reference;
use crate::mcp::request::{Filter, McpRequest};
use crate::mcp::session::Session;
use crate::mcp::task::{PATIENCE, TaskVerb};
use crate::mcp::version::{Era, Version};
use crate::rejection::Rejection;

/// What a message came to.
pub(super) enum Decoded {
    Request(Box<McpRequest>),
    /// A message that needs no answer and asks for nothing.
    Nothing,
}

/// Why a message is refused, and what is known of its sender by then.
pub(super) struct Refused {
    pub(super) rejection: Rejection,
    pub(super) id: Option<String>,
    pub(super) era: Era,
}

// === impl Decoder ===

impl Decoder {
    /// Makes sense of a message, or says why there is none.
    pub(super) fn decode(&self, arrival: Arrival, body: Bytes) -> Result<Decoded, Refused> {
        let not_json = |detail| Refused { rejection: Rejection::NotJson { detail }, id: None, era: Era::Legacy };
        let body = ByteString::try_from(body).map_err(|_| not_json("the body is not UTF-8".to_owned()))?;
        let envelope = Envelope::scan(&body).map_err(|error| match error {
            EnvelopeError::NotJson(detail) => not_json(detail),
            EnvelopeError::NotJsonRpc { detail, id } => Refused {
                rejection: Rejection::InvalidRequest { detail },
                id: id.map(|id| body[id.range()].to_owned()),
                era: Era::Legacy,
            },
        })?;
        let version = headers::version(&arrival.headers);
        let era = if stateless::is_stateless(&envelope, &version) { Era::Modern } else { Era::Legacy };
        let id = envelope.id;
        self.accept(arrival, envelope, &body, era, version).map_err(|rejection| Refused {
            rejection,
            id: id.map(|id| body[id.range()].to_owned()),
            era,
        })
    }

    fn accept(
        &self,
        arrival: Arrival,
        envelope: Envelope<'_>,
        body: &ByteString,
        era: Era,
        version: NamedVersion,
    ) -> Result<Decoded, Rejection> {
        let method = match &envelope.kind {
            Kind::Method(method) => method,
            Kind::Response(said) => return self.response(arrival, &envelope, *said, body, era, version),
        };
        let (version, session) = match era {
            Era::Modern if envelope.id.is_none() => {
                stateless::check_notification(&envelope, arrival.mirrors())?;
                (Version::MODERN, None)
            }
            Era::Modern => {
                let version = stateless::check(&envelope, arrival.mirrors())?;
                if envelope.params.meta.log_level_malformed {
                    return Err(Rejection::invalid_params("the logLevel of `_meta` is no level"));
                }
                (version, None)
            }
            Era::Legacy => self.legacy(&arrival, method, version)?,
        };
        let operation = self.operation(method, &envelope, era, &arrival, body);
        let operation = operation.inspect(|operation| {
            // Set once a request; the first word stays.
            let _ = arrival.record.rpc_method.set(operation.method());
        })?;
        let mirrored = match era {
            Era::Modern => arrival.mirrors().map(stateless::mirrored_params),
            Era::Legacy => None,
        };
        let abilities = match (&session, envelope.params.meta.client_capabilities) {
            // Asked on the stream of the answer.
            (Some(session), _) if arrival.accepts.stream => session.abilities,
            (None, Some(span)) if era == Era::Modern => Capabilities::read(&body[span.range()]),
            _ => Capabilities::NONE,
        };
        let deadline = match operation {
            // It is there to wait.
            Operation::Task { verb: TaskVerb::Result, .. } => Instant::now() + PATIENCE,
            _ => arrival.deadline,
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
            abilities,
            deadline,
            timeout: arrival.timeout,
            mirrored,
            record: arrival.record,
            limits: Arc::default(),
            filter: Filter::default(),
            refusal: None,
        })))
    }

    /// The client's answer to something it was asked; only who has a session
    /// was.
    fn response(
        &self,
        arrival: Arrival,
        envelope: &Envelope<'_>,
        said: Said,
        body: &ByteString,
        era: Era,
        version: NamedVersion,
    ) -> Result<Decoded, Rejection> {
        if era == Era::Modern {
            return Err(Rejection::InvalidRequest { detail: "a response is not taken here" });
        }
        let (version, session) = self.legacy(&arrival, "", version)?;
        let (Some(session), Some(id)) = (session, envelope.id) else { return Ok(Decoded::Nothing) };
        let answered = arrival.into_request(Operation::Responded { id, said });
        Ok(Decoded::Request(Box::new(McpRequest { body: body.clone(), version, session: Some(session), ..answered })))
    }

    /// The revision and session of a client with a handshake. Calls without a
    /// session are served for themselves.
    pub(super) fn legacy(
        &self,
        arrival: &Arrival,
        method: &str,
        version: NamedVersion,
    ) -> Result<(Version, Option<Arc<Session>>), Rejection> {
        if method == "initialize" {
            return Ok((Version::NEWEST_LEGACY, None));
        }
        let version = version?;
        if let Wire::Connection(session) = &arrival.wire {
            let version = session.as_ref().map_or(Version::ASSUMED, |session| session.version);
            return Ok((version, session.clone()));
        }
        let Some(id) = headers::session_id(&arrival.headers)? else {
            return Ok((version.unwrap_or(Version::ASSUMED), None));
        };
        let session = self.sessions.get(id, arrival.bearer()).ok_or(Rejection::UnknownSession)?;
        Ok((version.unwrap_or(session.version), Some(session)))
    }

    fn operation(
        &self,
        method: &str,
        envelope: &Envelope<'_>,
        era: Era,
        arrival: &Arrival,
        body: &ByteString,
    ) -> Result<Operation, Rejection> {
        let server = arrival.server.as_deref();
        if envelope.id.is_none() {
            return match method {
                "notifications/cancelled" => Ok(Operation::Cancelled),
                "notifications/roots/list_changed" => Ok(Operation::RootsChanged),
                _ if method.starts_with("notifications/") => Ok(Operation::Notified),
                _ => Err(Rejection::InvalidRequest { detail: "a request needs an `id`" }),
            };
        }
        match (method, era) {
            ("initialize", Era::Legacy) => Ok(Operation::Initialize),
            ("ping", Era::Legacy) => Ok(Operation::Ping),
            ("server/discover", Era::Modern) => Ok(Operation::Discover),
            ("tools/call", _) => Ok(Operation::CallTool { tool: self.called(envelope, server)? }),
            ("prompts/get", _) => Ok(Operation::GetPrompt { prompt: self.called(envelope, server)? }),
            ("resources/read", _) => Ok(Operation::ReadResource(named_resource(envelope, server)?)),
            ("resources/subscribe", Era::Legacy) => Ok(Operation::Subscribe(named_resource(envelope, server)?)),
            ("resources/unsubscribe", Era::Legacy) => Ok(Operation::Unsubscribe(named_resource(envelope, server)?)),
            ("completion/complete", _) => {
                check_meta(envelope)?;
                let reference = envelope.params.reference();
                let reference = reference.ok_or_else(|| {
                    Rejection::invalid_params(
                        "`ref` must be a `ref/prompt` with a `name` or a `ref/resource` with a `uri`",
                    )
                })?;
                Ok(match reference {
                    Reference::Prompt(name) => Operation::CompletePrompt { prompt: self.full(&name.text, server) },
                    Reference::Resource(uri) => Operation::CompleteResource(uri::of(server, &uri.text)),
                })
            }
            _ => match ItemKind::of_method(method) {
                Some(kind) => Ok(Operation::List(kind)),
                None => self.rare(method, envelope, era, arrival, body),
            },
        }
    }

    /// The full name of the tool or prompt that is called.
    fn called(&self, envelope: &Envelope<'_>, server: Option<&str>) -> Result<Arc<str>, Rejection> {
        let name = envelope.params.name.as_ref();
        let name = name.ok_or_else(|| Rejection::invalid_params("`name` must be a string"))?;
        if envelope.params.arguments_malformed {
            return Err(Rejection::invalid_params("`arguments` must be an object"));
        }
        check_meta(envelope)?;
        Ok(self.full(&name.text, server))
    }

    fn full(&self, name: &Arc<str>, server: Option<&str>) -> Arc<str> {
        server.map_or_else(|| Arc::clone(name), |server| full_name(server, &self.settings.separator, name).into())
    }
}

/// The resource that a request is about.
fn named_resource(envelope: &Envelope<'_>, server: Option<&str>) -> Result<ResourceUri, Rejection> {
    check_meta(envelope)?;
    let uri = envelope.params.uri().ok_or_else(|| Rejection::invalid_params("`uri` must be a string"))?;
    Ok(uri::of(server, &uri.text))
}

pub(super) fn check_meta(envelope: &Envelope<'_>) -> Result<(), Rejection> {
    if envelope.params.meta_malformed {
        return Err(Rejection::invalid_params("`_meta` must be an object"));
    }
    if envelope.params.meta.progress_token.is_some_and(|token| token.range().len() > MAX_ID_BYTES) {
        // Said again with each piece of an answer.
        return Err(Rejection::invalid_params("`progressToken` may have at most 1 KiB"));
    }
    Ok(())
}
