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
/// The same of a replica's, which says where the session is.
const FORM_WITH_HOME: u8 = 2;

/// What follows the form, as JSON: the session's key, its revision, the
/// client's capabilities and its `clientInfo`. Without capabilities the session
/// is only where it was opened.
type Content<T> = (u128, T, Option<T>, Option<T>);
/// The same and where it was opened.
type ContentWithHome<T> = (u128, T, Option<T>, Option<T>, T);

/// What an id says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// The session's key.
    pub(super) key: u128,
    /// What was agreed on, where it is said.
    pub(super) agreement: Option<Agreement>,
    /// The replica at which it was opened.
    pub(super) home: Option<Arc<str>>,
}

/// The id of a session. One that would be too long leaves out `clientInfo`; if
/// it still were, no other process can make the session again.
pub(super) fn seal(keys: &KeyRing, key: u128, agreement: &Agreement, now: UnixSeconds) -> String {
    let to = Bearer { principal: &agreement.principal, server: agreement.server.as_deref() }.binding();
    let version = agreement.version.as_str();
    let id = |capabilities, client_info| {
        let (form, content) = match keys.home() {
            None => {
                let content: Content<&str> = (key, version, capabilities, client_info);
                (FORM, serde_json::to_vec(&content))
            }
            Some(home) => {
                let content: ContentWithHome<&str> = (key, version, capabilities, client_info, home);
                (FORM_WITH_HOME, serde_json::to_vec(&content))
            }
        };
        let content = content.expect("numbers and text can be written");
        keys.seal(to, now + LIFETIME, &[&[form], content.as_slice()].concat())
    };
    let capabilities = text(&agreement.capabilities);
    let client_info = agreement.client_info.as_ref().and_then(text);
    let tries = [client_info, None].into_iter().map(|client_info| id(capabilities, client_info));
    tries.into_iter().find(|id| id.len() <= MAX_ID_BYTES).unwrap_or_else(|| id(None, None))
}

/// What an id says, if it is the bearer's.
pub(super) fn open(keys: &KeyRing, bearer: Bearer<'_>, id: &str, now: UnixSeconds) -> Option<Opened> {
    if id.len() > MAX_ID_BYTES {
        return None;
    }
    let payload = keys.open(bearer.binding(), id, now).ok()?;
    let (form, content) = payload.split_first()?;
    let ((key, version, capabilities, client_info), home): (Content<String>, _) = match *form {
        FORM => (serde_json::from_slice(content).ok()?, None),
        FORM_WITH_HOME => {
            let (key, version, capabilities, client_info, home): ContentWithHome<String> =
                serde_json::from_slice(content).ok()?;
            ((key, version, capabilities, client_info), Some(home.into()))
        }
        _ => return None,
    };
    let version = Version::parse(&version).filter(|version| version.era() == Era::Legacy)?;
    let agreement = capabilities.map(|capabilities| Agreement {
        version,
        principal: bearer.principal.into(),
        server: bearer.server.map(Arc::from),
        capabilities: capabilities.into(),
        client_info: client_info.map(Bytes::from),
    });
    Some(Opened { key, agreement, home })
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

    fn agreed(keys: &KeyRing, id: &str, now: UnixSeconds) -> Option<(u128, Agreement)> {
        let opened = open(keys, ALICE, id, now)?;
        Some((opened.key, opened.agreement?))
    }

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
                assert_eq!(agreed(&keys, &id, NOW), Some((key, agreement.clone())));
            }
        }
    }

    #[test]
    fn an_id_expires_a_day_after_the_session_was_opened() {
        let keys = KeyRing::new().unwrap();
        let id = seal(&keys, 1, &agreement("{}", None), NOW);
        assert!(agreed(&keys, &id, NOW + (LIFETIME - Duration::from_secs(1))).is_some());
        assert_eq!(agreed(&keys, &id, NOW + LIFETIME), None);
    }

    #[test]
    fn an_id_is_never_too_long_and_leaves_out_what_matters_least() {
        let keys = KeyRing::new().unwrap();
        let (some, much) = (format!("{{\"x\":\"{}\"}}", "x".repeat(1000)), "x".repeat(4000));
        let both = agreement(&some, Some(&some));
        let id = seal(&keys, 1, &both, NOW);
        assert_eq!(agreed(&keys, &id, NOW), Some((1, both)));
        let id = seal(&keys, 1, &agreement(&some, Some(&much)), NOW);
        assert_eq!(agreed(&keys, &id, NOW), Some((1, agreement(&some, None))));
        for client_info in [None, Some("{}")] {
            let id = seal(&keys, 1, &agreement(&much, client_info), NOW);
            assert!(id.len() < 200);
            assert_eq!(agreed(&keys, &id, NOW), None, "only where it was opened");
        }
    }

    #[test]
    fn a_replicas_id_says_where_its_session_is_however_much_the_client_said() {
        let keys = KeyRing::new().unwrap();
        let before = seal(&keys, 1, &agreement("{}", None), NOW);
        keys.settle("10.0.0.7:7443".into());
        assert_eq!(open(&keys, ALICE, &before, NOW).unwrap().home, None);
        for capabilities in ["{}", &"x".repeat(4000)] {
            let id = seal(&keys, 1, &agreement(capabilities, None), NOW);
            let opened = open(&keys, ALICE, &id, NOW).unwrap();
            assert_eq!(opened.home.as_deref(), Some("10.0.0.7:7443"));
            assert_eq!(opened.agreement.is_some(), capabilities == "{}");
        }
    }

    #[test]
    fn what_a_later_release_has_sealed_is_not_guessed_at() {
        let keys = KeyRing::new().unwrap();
        let id = |payload: &str| keys.seal(ALICE.binding(), NOW + LIFETIME, payload.as_bytes());
        assert!(agreed(&keys, &id("\u{1}[1,\"2025-11-25\",\"{}\",null]"), NOW).is_some());
        for payload in [
            "",
            "\u{1}",
            "\u{3}[1,\"2025-11-25\",\"{}\",null]",
            "\u{2}[1,\"2025-11-25\",\"{}\",null]",
            "\u{2}[1,\"2025-11-25\",\"{}\",null,null]",
            "\u{1}[1,\"2025-11-25\",\"{}\"]",
            "\u{1}[1,\"2025-11-25\",\"{}\",null,1]",
            "\u{1}[1,\"2026-07-28\",\"{}\",null]",
            "\u{1}[1,\"1999-01-01\",\"{}\",null]",
            "\u{1}[-1,\"2025-11-25\",\"{}\",null]",
        ] {
            assert_eq!(agreed(&keys, &id(payload), NOW), None, "{payload:?}");
        }
    }
}
