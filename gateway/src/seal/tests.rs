use proptest::prelude::*;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 1);

fn ring(secrets: &[&str]) -> KeyRing {
    let ring = KeyRing::new().unwrap();
    let secrets: Vec<_> = secrets.iter().map(|&secret| Secret::new(secret.to_owned())).collect();
    ring.replace(&secrets);
    ring
}

const fn binding(purpose: Purpose, route: Option<&'static str>, principal: &'static str) -> Binding<'static> {
    Binding { purpose, route, principal }
}

const ALICE: Binding<'static> = binding(Purpose::Session, Some("crm"), "alice");

#[test]
fn what_was_sealed_opens_until_it_expires() {
    let ring = ring(&["one"]);
    let token = ring.seal(ALICE, LATER, b"payload");
    assert_eq!(ring.open(ALICE, &token, NOW), Ok(b"payload".to_vec()));
    assert_eq!(ring.open(ALICE, &token, LATER), Err(Unsealable));
    assert_ne!(token, ring.seal(ALICE, LATER, b"payload"), "nobody sees that two say the same");
}

#[test]
fn a_token_opens_for_what_it_is_bound_to_alone() {
    let ring = ring(&["one"]);
    let token = ring.seal(ALICE, LATER, b"payload");
    for other in [
        binding(Purpose::Test, Some("crm"), "alice"),
        binding(Purpose::Session, Some("erp"), "alice"),
        binding(Purpose::Session, Some(""), "alice"),
        binding(Purpose::Session, None, "alice"),
        binding(Purpose::Session, Some("crm"), "bob"),
        binding(Purpose::Session, Some("crma"), "lice"),
        binding(Purpose::Session, Some("crm"), ""),
    ] {
        assert_eq!(ring.open(other, &token, NOW), Err(Unsealable), "{other:?}");
    }
    let to_all = binding(Purpose::Session, None, "alice");
    let token = ring.seal(to_all, LATER, b"");
    assert_eq!(ring.open(Binding { route: Some(""), ..to_all }, &token, NOW), Err(Unsealable));
    assert_eq!(ring.open(to_all, &token, NOW), Ok(Vec::new()));
}

#[test]
fn a_token_that_was_changed_or_cut_does_not_open() {
    let ring = ring(&["one"]);
    let token = ring.seal(ALICE, LATER, b"payload");
    for at in 0..token.len() {
        for put in [b'A', b'B', b'-', b'.', b'=', b' '] {
            let mut other = token.clone().into_bytes();
            if std::mem::replace(&mut other[at], put) != put {
                let other = String::from_utf8(other).unwrap();
                assert_eq!(ring.open(ALICE, &other, NOW), Err(Unsealable), "{at}: {other}");
            }
        }
        assert_eq!(ring.open(ALICE, &token[..at], NOW), Err(Unsealable));
        assert_eq!(ring.open(ALICE, &token[at + 1..], NOW), Err(Unsealable));
    }
    for more in ["A", "AA", "AAA", "AAAA", "=", "\n"] {
        assert_eq!(ring.open(ALICE, &format!("{token}{more}"), NOW), Err(Unsealable), "{more}");
    }
}

#[test]
fn an_older_key_opens_and_the_first_seals() {
    let ring = ring(&["one"]);
    let old = ring.seal(ALICE, LATER, b"payload");
    let keys = |secrets: &[&str]| secrets.iter().map(|&secret| Secret::new(secret.to_owned())).collect::<Vec<_>>();
    ring.replace(&keys(&["two", "one"]));
    let new = ring.seal(ALICE, LATER, b"payload");
    assert!(ring.open(ALICE, &old, NOW).is_ok() && ring.open(ALICE, &new, NOW).is_ok());
    ring.replace(&keys(&["two"]));
    assert_eq!(ring.open(ALICE, &old, NOW), Err(Unsealable), "its key is gone");
    assert!(ring.open(ALICE, &new, NOW).is_ok());
}

#[test]
fn who_has_the_same_secret_opens_it_and_nobody_else() {
    let token = ring(&["one", "two"]).seal(ALICE, LATER, b"payload");
    assert!(ring(&["two", "one"]).open(ALICE, &token, NOW).is_ok());
    assert_eq!(ring(&["two"]).open(ALICE, &token, NOW), Err(Unsealable));
    assert_eq!(ring(&[]).open(ALICE, &token, NOW), Err(Unsealable));
}

#[test]
fn without_a_secret_the_key_of_this_run_seals_and_goes_on_opening() {
    let ring = ring(&[]);
    let token = ring.seal(ALICE, LATER, b"payload");
    ring.replace(&[Secret::new("one".to_owned())]);
    assert!(ring.open(ALICE, &token, NOW).is_ok());
    assert_eq!(KeyRing::new().unwrap().open(ALICE, &token, NOW), Err(Unsealable), "each run has its own");
}

/// By `AESGCMSIV` and `HKDF` of Python's `cryptography`. What is sealed outlives
/// a release, so that it is written the same way for ever.
#[test]
fn a_token_made_by_another_library_opens() {
    let token = "D8m7Nw.AAECAwQFBgcICQoLSWkAepkQQAX2UW46o2Q2MDDFzS176pfy_Pc4ow4lFw";
    let ring = ring(&["one"]);
    assert_eq!(ring.open(ALICE, token, NOW), Ok(b"payload".to_vec()));
    let ours = ring.seal(ALICE, UnixSeconds(u64::MAX), b"payload");
    assert_eq!((ours.len(), &ours[..7]), (token.len(), &token[..7]));
}

#[test]
fn nothing_secret_is_printed() {
    assert_eq!(format!("{:?}", ring(&["hunter2"])), "KeyRing { keys: 2, .. }");
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_and_is_fit_for_a_header(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        route in prop::option::of(".{0,20}"),
        principal in ".{0,40}",
    ) {
        let ring = ring(&["one"]);
        let to = Binding { purpose: Purpose::Session, route: route.as_deref(), principal: &principal };
        let token = ring.seal(to, LATER, &payload);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
        prop_assert_eq!(ring.open(to, &token, NOW), Ok(payload));
    }

    #[test]
    fn whatever_is_no_token_does_not_open(token in ".{0,200}", sealed in "[A-Za-z0-9_-]{0,200}") {
        let ring = ring(&["one"]);
        prop_assert_eq!(ring.open(ALICE, &token, NOW), Err(Unsealable));
        let key = ring.seal(ALICE, LATER, b"");
        let key = key.split('.').next().unwrap_or_default();
        prop_assert_eq!(ring.open(ALICE, &format!("{key}.{sealed}"), NOW), Err(Unsealable));
    }
}
