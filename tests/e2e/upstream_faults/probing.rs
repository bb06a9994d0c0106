//! A server that fails before it was ever spoken with: what it answers then says
//! nothing of its era, and is not remembered.

use std::time::{Duration, Instant};

use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::{Outage, Scripted};

use super::{assert_upstream_failed, over};

/// Calls fail in time while the server does; then it is taken for what it is.
fn assert_recovers(outage: Outage, is_evidence: bool) {
    for upstream in [Scripted::modern(), Scripted::legacy()] {
        upstream.fail(outage);
        let gateway = over(&upstream);
        let begun = Instant::now();
        assert_upstream_failed(&gateway.client().call("up__echo", &json!({})));
        assert!(begun.elapsed() < Duration::from_secs(5), "{outage:?}: {:?}", begun.elapsed());
        let took_for_legacy = !upstream.seen("initialize").is_empty();
        assert!(is_evidence || !took_for_legacy, "{outage:?} says nothing of an era");
        upstream.recover();
        wait_until("recovery", || gateway.client().call("up__echo", &json!({})).json()["result"].is_object());
        assert_eq!(upstream.executed("echo").len(), 1, "{outage:?}");
    }
}

#[test]
fn a_server_that_wants_credentials_is_no_evidence() {
    assert_recovers(Outage::Status(401), false);
    assert_recovers(Outage::Status(403), false);
}

#[test]
fn a_server_that_is_unavailable_is_no_evidence() {
    assert_recovers(Outage::Status(503), false);
    assert_recovers(Outage::Page(502), false);
}

#[test]
fn a_web_page_is_no_evidence_of_what_comes_later() {
    assert_recovers(Outage::Page(200), false);
    assert_recovers(Outage::Page(404), true);
}

#[test]
fn a_server_that_hangs_up_is_no_evidence() {
    assert_recovers(Outage::Hangup, false);
}

#[test]
fn a_server_that_says_nothing_is_no_evidence() {
    assert_recovers(Outage::Silence, false);
}
