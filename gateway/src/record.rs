//! What becomes known of a request while it passes through the stack.
//!
//! `observe` makes the record, the layers inside fill it in, and the access
//! line, the metrics and the audit entry are written from it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use portcullis_policies::{Decision, Principal};

use crate::metrics::CallStatus;

/// One request's record, shared by all layers through its extensions.
#[derive(Debug)]
pub struct CallRecord {
    /// When the request's head had been read.
    pub started: Instant,
    /// `X-Request-ID`, taken from the caller or made.
    pub request_id: HeaderValue,
    /// The W3C `traceparent`, where the caller sent one.
    pub traceparent: Option<HeaderValue>,
    /// The caller's address, proxies taken into account.
    pub client_ip: OnceLock<IpAddr>,
    /// Who called.
    pub principal: OnceLock<Arc<Principal>>,
    /// When the credential expires, in seconds since 1970: what it opens may
    /// not outlast it.
    pub expires: OnceLock<u64>,
    /// The JSON-RPC method, where it is one we know.
    pub rpc_method: OnceLock<&'static str>,
    /// The tool, where it is one we know.
    pub tool: OnceLock<Arc<str>>,
    /// The prompt that is asked for, by its full name.
    pub prompt: OnceLock<Arc<str>>,
    /// The resource that is read, by its public URI.
    pub resource: OnceLock<Arc<str>>,
    /// The other replica that serves it.
    pub replica: OnceLock<Arc<str>>,
    /// The upstream that serves it.
    pub upstream: OnceLock<Arc<str>>,
    /// What policy said.
    pub decision: OnceLock<Decision>,
    status: AtomicU8,
}

const UNSET: u8 = u8::MAX;

// === impl CallRecord ===

impl CallRecord {
    /// A record that knows nothing yet.
    #[must_use]
    pub fn new(request_id: HeaderValue, traceparent: Option<HeaderValue>) -> Self {
        Self {
            started: Instant::now(),
            request_id,
            traceparent,
            client_ip: OnceLock::new(),
            principal: OnceLock::new(),
            expires: OnceLock::new(),
            rpc_method: OnceLock::new(),
            tool: OnceLock::new(),
            prompt: OnceLock::new(),
            resource: OnceLock::new(),
            replica: OnceLock::new(),
            upstream: OnceLock::new(),
            decision: OnceLock::new(),
            status: AtomicU8::new(UNSET),
        }
    }

    /// The record of one of several messages that came with the request: who
    /// calls is known, and nothing of the message.
    #[must_use]
    pub fn of_one(&self) -> Self {
        Self {
            started: self.started,
            client_ip: self.client_ip.clone(),
            principal: self.principal.clone(),
            expires: self.expires.clone(),
            ..Self::new(self.request_id.clone(), self.traceparent.clone())
        }
    }

    /// Notes how the tool call ended. The last word counts: an answer that
    /// began well may still break off.
    pub fn set_status(&self, status: CallStatus) {
        self.status.store(status as u8, Ordering::Relaxed);
    }

    /// How the tool call ended; `None` while it runs and where none was made.
    pub fn status(&self) -> Option<CallStatus> {
        use CallStatus::{Denied, Error, RateLimited, Success, UpstreamError};
        let raw = self.status.load(Ordering::Relaxed);
        [Success, Error, Denied, RateLimited, UpstreamError].into_iter().find(|status| *status as u8 == raw)
    }

    /// How long what the request opens may last: `longest`, but no longer than
    /// the credential that it came with.
    pub fn life(&self, longest: Duration) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let left = self.expires.get().map(|expires| Duration::from_secs(*expires).saturating_sub(now));
        left.map_or(longest, |left| left.min(longest))
    }

    /// The request id as text, for logs.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or("unprintable")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_counts() {
        let record = CallRecord::new(HeaderValue::from_static("r1"), None);
        assert_eq!(record.status(), None);
        record.set_status(CallStatus::Success);
        record.set_status(CallStatus::UpstreamError);
        assert_eq!(record.status(), Some(CallStatus::UpstreamError));
    }
}
