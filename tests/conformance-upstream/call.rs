//! One `tools/call`: what came with it, and what its tool may send meanwhile.

use std::fmt::Display;
use std::time::Duration;

use hyper::http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ErrorData, JsonObject, LoggingLevel, LoggingMessageNotificationParam,
    ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::RequestContext;
use rmcp::{Peer, RoleServer};
use serde_json::{Value, json};

use crate::client::{Client, Memory};
use crate::reconnection::Hangup;
use crate::server::Server;

/// A call while its tool runs.
pub(crate) struct Call<'a> {
    /// The server, as this client's session has it.
    pub(crate) server: &'a Server,
    request: CallToolRequestParams,
    context: RequestContext<RoleServer>,
}

// === impl Call ===

impl<'a> Call<'a> {
    pub(crate) fn new(server: &'a Server, request: CallToolRequestParams, context: RequestContext<RoleServer>) -> Self {
        Self { server, request, context }
    }

    /// The tool's name.
    pub(crate) fn name(&self) -> &str {
        &self.request.name
    }

    /// The arguments; none are an empty object.
    pub(crate) fn arguments(&self) -> JsonObject {
        self.request.arguments.clone().unwrap_or_default()
    }

    /// An argument as text, or `otherwise`.
    pub(crate) fn text(&self, argument: &str, otherwise: &str) -> String {
        let arguments = self.request.arguments.as_ref();
        arguments.and_then(|all| all.get(argument)).and_then(Value::as_str).unwrap_or(otherwise).to_owned()
    }

    /// What the client declared that it can do.
    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        self.context.client_capabilities().unwrap_or_default()
    }

    /// The client, to be asked.
    pub(crate) fn client(&self, memory: Memory) -> Result<Client, ErrorData> {
        let request = &self.request;
        Client::of(
            self.server,
            &self.context,
            request.input_responses.as_ref(),
            request.request_state.as_deref(),
            memory,
        )
    }

    /// Logs, if the client wants to hear of this level.
    pub(crate) async fn log(&self, level: LoggingLevel, message: &str) {
        let wanted = if is_modern(&self.context) {
            self.context.meta.log_level()
        } else {
            Some(self.server.level().unwrap_or(LoggingLevel::Debug))
        };
        if wanted.is_some_and(|wanted| wanted as u8 <= level as u8) {
            let entry = LoggingMessageNotificationParam::new(level, json!(message)).with_logger("conformance");
            // A client that has gone misses it.
            let _ = self.peer().notify_logging_message(entry).await;
        }
    }

    /// Reports progress, if the client asked for it.
    pub(crate) async fn progress(&self, done: f64, total: f64) {
        if let Some(token) = self.context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, done).with_total(total);
            let _ = self.peer().notify_progress(progress).await;
        }
    }

    /// Ends the stream that the answer is to come on, where one can be resumed.
    pub(crate) fn hang_up(&self) {
        let parts = self.context.extensions.get::<Parts>().filter(|_| !is_modern(&self.context));
        if let Some(hangup) = parts.and_then(|parts| parts.extensions.get::<Hangup>()) {
            hangup.now();
        }
    }

    fn peer(&self) -> &Peer<RoleServer> {
        &self.context.peer
    }
}

/// Whether a request is one of 2026-07-28.
pub(crate) fn is_modern(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28)
}

/// What stands for the time that real work would take.
pub(crate) async fn work(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// An error of the server itself.
pub(crate) fn internal(error: impl Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
