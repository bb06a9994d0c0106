//! `requestState`: what a stateless client brings back with its answers
//! (MCP 2026-07-28, "Multi round-trip requests"). It is sealed, and of use
//! only to the same caller, at the same path, for the same request.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backends::callee::Callee;
use crate::mcp::request::McpRequest;
use crate::mcp::version::Era;
use crate::rejection::Rejection;
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// How long a client may take over its answers.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// What the gateway must know when the request is made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// A stateless server's own state, as JSON.
    Relayed(String),
    /// A call that waits in this process.
    Parked(u128),
    /// Nothing: the request is made as if for the first time.
    Again,
}

/// A state and the request it belongs to.
#[derive(Serialize, Deserialize)]
struct Sealed {
    upstream: String,
    method: String,
    callee: String,
    state: State,
    /// The replica at which a call waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home: Option<Arc<str>>,
}

/// The replica at which the call waits that a `requestState` leads to, where
/// that is another process. `server` is the one that the path names.
#[must_use]
pub fn elsewhere(keys: &KeyRing, token: &str, server: Option<&str>, principal: &str) -> Option<Arc<str>> {
    let own = keys.home()?;
    let to = Binding { purpose: Purpose::State, route: server, principal };
    let sealed: Sealed = serde_json::from_slice(&keys.open(to, token, UnixSeconds::now()).ok()?).ok()?;
    sealed.home.filter(|home| home != own)
}

// === impl State ===

impl State {
    /// The state as a JSON string for the client of `request`.
    pub(super) fn seal(self, keys: &KeyRing, request: &McpRequest, callee: &Callee, upstream: &str) -> String {
        let sealed = Sealed {
            upstream: upstream.to_owned(),
            method: request.operation.method().to_owned(),
            callee: callee.quoted().into_owned(),
            home: keys.home().filter(|_| matches!(self, Self::Parked(_))).cloned(),
            state: self,
        };
        let payload = serde_json::to_vec(&sealed).expect("texts and numbers can be written");
        format!("\"{}\"", keys.seal(binding(request), UnixSeconds::now() + LIFE, &payload))
    }

    /// The state that the client brings back, if it brings one.
    ///
    /// # Errors
    ///
    /// If it is not what this caller was given for this request.
    pub(super) fn of(
        keys: &KeyRing,
        request: &McpRequest,
        callee: &Callee,
        upstream: &str,
    ) -> Result<Option<Self>, Rejection> {
        let Some(token) = request.params.request_state() else {
            // To call anew would be to call twice.
            let is_lost = request.era() == Era::Modern && request.params.has_malformed_state();
            return if is_lost { Err(Rejection::invalid_params("`requestState` must be a string")) } else { Ok(None) };
        };
        let opened = keys.open(binding(request), &token.text, UnixSeconds::now()).ok();
        let sealed = opened.and_then(|payload| serde_json::from_slice::<Sealed>(&payload).ok());
        let fits = |sealed: &Sealed| {
            sealed.upstream == upstream
                && sealed.method == request.operation.method()
                && sealed.callee == callee.quoted()
        };
        sealed.filter(fits).map(|sealed| Some(sealed.state)).ok_or_else(|| {
            Rejection::invalid_params("`requestState` is not that of this request: make it anew without")
        })
    }
}

fn binding(request: &McpRequest) -> Binding<'_> {
    Binding { purpose: Purpose::State, route: request.server.as_deref(), principal: request.principal.name() }
}
