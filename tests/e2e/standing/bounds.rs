//! What standing streams may cost, and what ends them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, Home, sha256};
use portcullis_tests::issuer::{Forge, claims, now};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;

use super::{begin, entry, is_priming, next, over, session, standing};

/// Streams that one caller may have open.
const OF_CALLER: usize = 64;

#[test]
fn idle_streams_leave_all_room_to_calls() {
    let upstream = Scripted::legacy();
    let names: Vec<String> = (0..18).map(|index| format!("caller-{index}")).collect();
    let keys: Vec<String> =
        names.iter().map(|name| format!("{{name: {name}, sha256: \"{}\", roles: [tester]}}", sha256(name))).collect();
    let auth = format!("auth: {{apiKeys: {{keys: [{}]}}}}\n", keys.join(", "));
    let gateway = Gateway::over_with(&[("up", &entry(&upstream))], &auth);
    let client = |name: &str| Client::new(gateway.main).key(name);
    wait_until("the upstream's tools", || client(&names[0]).tools().contains(&"up__echo".to_owned()));
    // More than may run at a time.
    let mut streams = Vec::new();
    for index in 0..1100 {
        let mut stream = client(&names[index / OF_CALLER]).initialize("2025-11-25").1.open_stream(None);
        assert_eq!(stream.status, 200, "stream {index}");
        assert!(is_priming(&next(&mut stream)));
        streams.push(stream);
    }
    assert_eq!(standing(&gateway), 1100.0);
    assert!(client(&names[0]).text_of("up__echo", &json!({"a": 1})).contains("\"a\":1"));
    // The first callers have as many as they may.
    let one_more = client(&names[0]).initialize("2025-11-25").1;
    assert_eq!(one_more.open_stream(None).status, 503);
    drop(streams.swap_remove(0));
    wait_until("the place of one that is gone", || one_more.open_stream(None).status == 200);
    drop(streams);
    wait_until("all places", || standing(&gateway) == 0.0);
}

#[test]
fn standing_streams_do_not_hold_up_the_end() {
    let upstream = Scripted::legacy();
    let mut gateway = Gateway::over_with(&[("up", &entry(&upstream))], "limits: {drainTimeout: 60s}\n");
    let client = session(&gateway);
    wait_until("the upstream's tools", || client.tools().contains(&"up__progress".to_owned()));
    let mut stream = client.open_stream(None);
    assert!(is_priming(&next(&mut stream)));
    // Nor do calls without a client.
    let (answer, _) = begin(&session(&gateway));
    drop(answer);
    let begun = Instant::now();
    gateway.signal(Signal::SIGTERM);
    // On a busy machine the upstream may come up, and be told of, only now.
    while stream.next_raw_event().unwrap().is_some() {}
    assert_eq!(gateway.wait_exit().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn a_stream_ends_when_the_credential_expires_that_opened_it() {
    const AUDIENCE: &str = "https://mcp.example.com/mcp";
    let forge = Forge::start();
    let jwt = format!(
        "auth:\n  jwt:\n    - {{issuer: \"{}\", audiences: [\"{AUDIENCE}\"], jwks: {{url: \"{}\"}}, leeway: 0s}}\npolicies: [policies/*.yaml]\n",
        forge.url(),
        forge.jwks_url()
    );
    let gateway = Home::open().serve(&jwt);
    let token = |seconds: u64| {
        let mut claims = claims(&forge.url(), AUDIENCE);
        claims["exp"] = json!(now() + seconds);
        forge.sign(&claims)
    };
    let (_, client) = Client::new(gateway.main).bearer(&token(600)).initialize("2025-11-25");
    let [mut short, mut long] = [3, 600].map(|seconds| {
        // Streams of one session would take over from each other.
        let (_, client) = Client::new(gateway.main).bearer(&token(seconds)).initialize("2025-11-25");
        client.open_stream(None)
    });
    assert!(is_priming(&next(&mut short)) && is_priming(&next(&mut long)));
    assert_eq!(short.next_raw_event().unwrap(), None);
    assert_eq!(standing(&gateway), 1.0);
    drop((client, long));
}

#[test]
fn a_client_that_does_not_read_costs_no_memory() {
    let upstream = super::telling();
    let gateway = over(&[("up", &upstream)]);
    let client = session(&gateway);
    let mut stream = client.open_stream(None);
    assert!(is_priming(&next(&mut stream)));
    let before = gateway.resident_kib();
    for _ in 0..2000 {
        upstream.announce(super::TOOLS);
    }
    assert_eq!(super::method(&next(&mut stream)), super::TOOLS);
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB");
}
