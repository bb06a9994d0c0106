//! What one replica says of a request that it passes on: who sent it, from
//! where, and until when that is so. It was found out there; the other takes
//! its word for it.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use portcullis_policies::Principal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::record::CallRecord;

/// Where it stands, as JSON in base64url. A header of this name that a client
/// sends is replaced, and read on the listener for replicas alone.
const HEADER: HeaderName = HeaderName::from_static("portcullis-vouched");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is known of a request's sender.
///
/// What a later release adds may be a restriction: a word that is not known is
/// not passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// The name of the principal.
    name: Arc<str>,
    roles: Vec<String>,
    scopes: Vec<String>,
    claims: Map<String, Value>,
    /// The address it called from.
    address: Option<IpAddr>,
    /// When its credential expires, in seconds since 1970, where that matters.
    expires: Option<u64>,
}

/// Nobody says who sent a request, or not in words that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody vouches for the request's sender")]
pub struct Unvouched;

// === impl Vouched ===

impl Vouched {
    /// What a record says; `None` while it does not say who called.
    #[must_use]
    pub fn of(record: &CallRecord) -> Option<Self> {
        let principal = record.principal.get()?;
        Some(Self {
            name: principal.shared_name(),
            roles: principal.roles().to_vec(),
            scopes: principal.scopes().to_vec(),
            claims: principal.claims().clone(),
            address: record.client_ip.get().copied(),
            expires: record.expires.get().copied(),
        })
    }

    /// Writes it among the headers of a request, and the request's id; `None` if
    /// it cannot be written.
    pub fn write(&self, headers: &mut HeaderMap, request_id: &HeaderValue) -> Option<()> {
        let text = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).ok()?);
        let mut value = HeaderValue::from_maybe_shared(text).ok()?;
        // Claims are personal.
        value.set_sensitive(true);
        headers.insert(HEADER, value);
        headers.insert(REQUEST_ID, request_id.clone());
        Some(())
    }

    /// Takes it out of the headers of a request.
    ///
    /// # Errors
    ///
    /// [`Unvouched`]
    pub fn take(headers: &mut HeaderMap) -> Result<Self, Unvouched> {
        let written = headers.remove(HEADER).ok_or(Unvouched)?;
        let json = BASE64_URL_SAFE_NO_PAD.decode(written.as_bytes()).map_err(|_| Unvouched)?;
        serde_json::from_slice(&json).map_err(|_| Unvouched)
    }

    /// Notes it in the record of the request.
    pub fn note(self, record: &CallRecord) {
        let principal = Principal::new(self.name).with_roles(self.roles).with_scopes(self.scopes);
        // The record is new: nothing was set before.
        let _ = record.principal.set(Arc::new(principal.with_claims(self.claims)));
        if let Some(address) = self.address {
            let _ = record.client_ip.set(address);
        }
        if let Some(expires) = self.expires {
            let _ = record.expires.set(expires);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record() -> CallRecord {
        let record = CallRecord::new(HeaderValue::from_static("r1"), None);
        let claims = json!({"sub": "ada\u{7f}", "n": 18_446_744_073_709_551_615_u64, "ünï": [1.5, null]});
        let principal = Principal::new("jwt:https://idp#ada").with_roles(["a b".to_owned()]);
        let principal = principal.with_scopes(["mcp".to_owned()]).with_claims(claims.as_object().unwrap().clone());
        record.principal.set(Arc::new(principal)).unwrap();
        record.client_ip.set("2001:db8::7".parse().unwrap()).unwrap();
        record.expires.set(7).unwrap();
        record
    }

    #[test]
    fn all_that_was_verified_arrives() {
        let sent = record();
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static("a client's own"));
        Vouched::of(&sent).unwrap().write(&mut headers, &sent.request_id).unwrap();
        assert!(headers[HEADER].is_sensitive());
        let received = CallRecord::new(HeaderValue::from_static("r2"), None);
        Vouched::take(&mut headers).unwrap().note(&received);
        assert_eq!(received.principal.get(), sent.principal.get());
        let fingerprint = |record: &CallRecord| record.principal.get().unwrap().fingerprint();
        assert_eq!(fingerprint(&received), fingerprint(&sent), "policies decide the same");
        assert_eq!((received.client_ip.get(), received.expires.get()), (sent.client_ip.get(), sent.expires.get()));
        assert_eq!(headers[REQUEST_ID], "r1");
        assert!(!headers.contains_key(HEADER));
    }

    #[test]
    fn without_a_caller_there_is_nothing_to_say() {
        assert_eq!(Vouched::of(&CallRecord::new(HeaderValue::from_static("r"), None)), None);
    }

    #[test]
    fn what_is_not_understood_is_not_taken() {
        let mut known = serde_json::to_value(Vouched::of(&record()).unwrap()).unwrap();
        known["until"] = json!(7);
        for text in [known.to_string(), "{}".to_owned(), "[]".to_owned(), String::new()] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&BASE64_URL_SAFE_NO_PAD.encode(&text)).unwrap();
            headers.insert(HEADER, value);
            assert_eq!(Vouched::take(&mut headers), Err(Unvouched), "{text}");
        }
        assert_eq!(Vouched::take(&mut HeaderMap::new()), Err(Unvouched));
    }
}
