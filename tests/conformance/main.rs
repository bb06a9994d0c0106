//! The official conformance suite through the gateway: clients of each
//! revision, with an upstream of each era, so that every translation is run.
//!
//! What is known to fail stands with its reason in `CLIENT-UPSTREAM.yml`
//! beside this file, in the suite's own format. Anything else that fails fails
//! the test, and so does an entry that passes by now. A check that the upstream
//! alone passes, and that the suite does not come to through the gateway, has
//! failed, too. `docs/conformance.md` is what the runs said; `make conformance`
//! writes it, and takes what passes out of the lists.
//!
//! A test binary of its own: the suite has deadlines inside, which the other
//! tests beside it would break, and it breaks their patience.
//!
//! One scenario by hand, with everything the suite says about it, by the binary
//! that `PORTCULLIS_BIN` names or else the debug build:
//!
//! ```sh
//! SCENARIO=tools-call-sampling cargo test -p portcullis-tests --test conformance client_2025_11_25_upstream_modern -- --nocapture
//! ```
//!
//! With `REPLICAS` set to anything two gateways behind a plain round-robin stand for the one.
//!
//! The upstream by itself prints the port it listens on, and ends with its input:
//!
//! ```sh
//! cargo run -p portcullis-tests --bin conformance-upstream -- --era modern
//! ```
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod baseline;
mod outcome;
mod run;
mod table;

use std::env::var_os;

use outcome::Failures;
use run::{Era, Run, Through};

static THROUGH_THE_GATEWAY: [Run; 6] = [
    Run::new("2025-11-25", Era::Legacy, Through::Gateway),
    Run::new("2025-11-25", Era::Modern, Through::Gateway),
    Run::new("2026-07-28", Era::Legacy, Through::Gateway),
    Run::new("2026-07-28", Era::Modern, Through::Gateway),
    Run::new("2025-06-18", Era::Legacy, Through::Gateway),
    Run::new("2025-03-26", Era::Legacy, Through::Gateway),
];

/// What the upstreams are worth by themselves.
static DIRECTLY: [Run; 4] = [
    Run::new("2025-11-25", Era::Legacy, Through::Nothing),
    Run::new("2026-07-28", Era::Modern, Through::Nothing),
    Run::new("2025-06-18", Era::Legacy, Through::Nothing),
    Run::new("2025-03-26", Era::Legacy, Through::Nothing),
];

fn check(run: &Run) {
    if let Some(scenario) = var_os("SCENARIO") {
        return run.try_scenario(&scenario.into_string().unwrap());
    }
    run.baseline().judge(&failures(run), is_writing());
}

/// What is wrong with a run; one through the gateway owes what an upstream of
/// the client's own era is good for alone.
fn failures(run: &Run) -> Failures {
    let alone = (run.through == Through::Gateway).then(|| alone(run.client).outcome());
    run.outcome().failures(alone)
}

/// The run of the same client without the gateway.
fn alone(client: &str) -> &'static Run {
    DIRECTLY.iter().find(|run| run.client == client).unwrap()
}

/// Whether this is not to compare but to write down.
fn is_writing() -> bool {
    var_os("CONFORMANCE").is_some_and(|mode| mode == "write")
}

#[test]
fn client_2025_11_25_upstream_legacy() {
    check(&THROUGH_THE_GATEWAY[0]);
}

#[test]
fn client_2025_11_25_upstream_modern() {
    check(&THROUGH_THE_GATEWAY[1]);
}

#[test]
fn client_2026_07_28_upstream_legacy() {
    check(&THROUGH_THE_GATEWAY[2]);
}

#[test]
fn client_2026_07_28_upstream_modern() {
    check(&THROUGH_THE_GATEWAY[3]);
}

#[test]
fn client_2025_06_18_upstream_legacy() {
    check(&THROUGH_THE_GATEWAY[4]);
}

#[test]
fn client_2025_03_26_upstream_legacy() {
    check(&THROUGH_THE_GATEWAY[5]);
}

#[test]
fn the_upstreams_alone_are_green() {
    for run in &DIRECTLY {
        check(run);
    }
}

#[test]
fn the_published_table_is_what_the_runs_said() {
    if var_os("SCENARIO").is_none() {
        table::check(&THROUGH_THE_GATEWAY, is_writing());
    }
}
