//! `Mcp-Session-Id`: what a handshake agreed on, sealed.
//!
//! The principal and the path are not written into it; it is bound to them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Agreement, Bearer};
use crate::mcp::version::{Era, Version};
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// From its opening on, an id can be opened for so long.
pub(super) const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Clients send it with every request, and servers between them and us bound
/// the headers they take.
pub(super) const MAX_ID_BYTES: usize = 4 * 1024;
/// The first byte of what is sealed: how the rest is written. Any other is of a
/// release that we do not know.
const FORM: u8 = 1;

/// What follows the form, as JSON: the session's key, its revision, the
/// client's capabilities and its `clientInfo`. Without capabilities the session
/// is only where it was opened.
type Content<T> = (u128, T, Option<T>, Option<T>);

/// The id of a session. One that would be too long leaves out `clientInfo`; if
/// it still were, no other process can make the session again.
pub(super) fn seal(keys: &KeyRing, key: u128, agreement: &Agreement, now: UnixSeconds) -> String {
    let to = Bearer { principal: &agreement.principal, server: agreement.server.as_deref() }.binding();
    let id = |capabilities, client_info| {
        let content: Content<&str> = (key, agreement.version.as_str(), capabilities, client_info);
        let mut payload = vec![FORM];
        payload.extend(serde_json::to_vec(&content).expect("numbers and text can be written"));
        keys.seal(to, now + LIFETIME, &payload)
    };
    let capabilities = text(&agreement.capabilities);
    let client_info = agreement.client_info.as_ref().and_then(text);
    let tries = [client_info, None].into_iter().map(|client_info| id(capabilities, client_info));
    tries.into_iter().find(|id| id.len() <= MAX_ID_BYTES).unwrap_or_else(|| id(None, None))
}

/// The session's key and what was agreed on, if the id is the bearer's.
pub(super) fn open(keys: &KeyRing, bearer: Bearer<'_>, id: &str, now: UnixSeconds) -> Option<(u128, Agreement)> {
    if id.len() > MAX_ID_BYTES {
        return None;
    }
    let payload = keys.open(bearer.binding(), id, now).ok()?;
    let (&FORM, content) = payload.split_first()? else { return None };
    let (key, version, capabilities, client_info): Content<String> = serde_json::from_slice(content).ok()?;
    let agreement = Agreement {
        version: Version::parse(&version).filter(|version| version.era() == Era::Legacy)?,
        principal: bearer.principal.into(),
        server: bearer.server.map(Arc::from),
        capabilities: capabilities?.into(),
        client_info: client_info.map(Bytes::from),
    };
    Some((key, agreement))
}

fn text(bytes: &Bytes) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

// === impl Bearer ===

impl<'a> Bearer<'a> {
    const fn binding(self) -> Binding<'a> {
        Binding { purpose: Purpose::Session, route: self.server, principal: self.principal }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const ALICE: Bearer<'static> = Bearer { principal: "alice", server: None };

    fn agreement(capabilities: &str, client_info: Option<&str>) -> Agreement {
        Agreement {
            version: Version::V2025_06_18,
            principal: "alice".into(),
            server: None,
            capabilities: Bytes::copy_from_slice(capabilities.as_bytes()),
            client_info: client_info.map(|info| Bytes::copy_from_slice(info.as_bytes())),
        }
    }

    #[test]
    fn an_id_says_all_that_was_agreed_on() {
        let keys = KeyRing::new().unwrap();
        for (capabilities, client_info) in
            [("", None), ("{}", Some(r#"{"name":"ünï\u0000"}"#)), (r#"{"roots":{"listChanged":true}}"#, None)]
        {
            let agreement = agreement(capabilities, client_info);
            for key in [0, 7, u128::MAX] {
                let id = seal(&keys, key, &agreement, NOW);
                assert_eq!(open(&keys, ALICE, &id, NOW), Some((key, agreement.clone())));
            }
        }
    }

    #[test]
    fn an_id_expires_a_day_after_the_session_was_opened() {
        let keys = KeyRing::new().unwrap();
        let id = seal(&keys, 1, &agreement("{}", None), NOW);
        assert!(open(&keys, ALICE, &id, NOW + (LIFETIME - Duration::from_secs(1))).is_some());
        assert_eq!(open(&keys, ALICE, &id, NOW + LIFETIME), None);
    }

    #[test]
    fn an_id_is_never_too_long_and_leaves_out_what_matters_least() {
        let keys = KeyRing::new().unwrap();
        let (some, much) = (format!("{{\"x\":\"{}\"}}", "x".repeat(1000)), "x".repeat(4000));
        let both = agreement(&some, Some(&some));
        let id = seal(&keys, 1, &both, NOW);
        assert_eq!(open(&keys, ALICE, &id, NOW), Some((1, both)));
        let id = seal(&keys, 1, &agreement(&some, Some(&much)), NOW);
        assert_eq!(open(&keys, ALICE, &id, NOW), Some((1, agreement(&some, None))));
        for client_info in [None, Some("{}")] {
            let id = seal(&keys, 1, &agreement(&much, client_info), NOW);
            assert!(id.len() < 200);
            assert_eq!(open(&keys, ALICE, &id, NOW), None, "only where it was opened");
        }
    }

    #[test]
    fn what_a_later_release_has_sealed_is_not_guessed_at() {
        let keys = KeyRing::new().unwrap();
        let id = |payload: &str| keys.seal(ALICE.binding(), NOW + LIFETIME, payload.as_bytes());
        assert!(open(&keys, ALICE, &id("\u{1}[1,\"2025-11-25\",\"{}\",null]"), NOW).is_some());
        for payload in [
            "",
            "\u{1}",
            "\u{2}[1,\"2025-11-25\",\"{}\",null]",
            "\u{1}[1,\"2025-11-25\",\"{}\"]",
            "\u{1}[1,\"2025-11-25\",\"{}\",null,1]",
            "\u{1}[1,\"2026-07-28\",\"{}\",null]",
            "\u{1}[1,\"1999-01-01\",\"{}\",null]",
            "\u{1}[-1,\"2025-11-25\",\"{}\",null]",
        ] {
            assert_eq!(open(&keys, ALICE, &id(payload), NOW), None, "{payload:?}");
        }
    }
}
