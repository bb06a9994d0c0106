//! Sessions outlive the process that opened them, and are of use to nobody
//! else.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_tests::client::Client;
use portcullis_tests::gateway::{Gateway, KEY, sha256, standard};
use portcullis_tests::json;
use portcullis_tests::patience::wait_until;
use portcullis_tests::scripted::Scripted;
use portcullis_tests::sdk::Sdk;

const SESSION_ID: &str = "Mcp-Session-Id";

/// `sessions`, with these keys; the first seals.
fn keys(names: &[&str]) -> String {
    let keys: Vec<String> = names.iter().map(|name| format!("\"{}\"", sha256(name))).collect();
    format!("sessions: {{keys: [{}]}}\n", keys.join(", "))
}

fn entry(upstream: &Scripted) -> String {
    format!("{{url: \"{}\"}}", upstream.url())
}

fn reloads(gateway: &Gateway) -> f64 {
    gateway.metric("portcullis_config_reloads_total", &[("outcome", "success")])
}

/// Opens a session and returns its id.
fn open(client: &Client) -> String {
    client.initialize("2025-11-25").0.header(SESSION_ID).to_owned()
}

/// The status of a request within a session.
fn status(client: Client, session: &str) -> u16 {
    client.with(SESSION_ID, session).request("tools/list", &json!({})).status
}

/// The status of the end of a session.
fn end(client: Client, session: &str) -> u16 {
    let client = client.with(SESSION_ID, session);
    let mut request = client.prepare("");
    request.method = "DELETE".to_owned();
    client.send(&request).status
}

#[test]
fn a_session_outlives_a_restart_with_the_same_key() {
    let upstream = Scripted::legacy();
    let mut gateway = Gateway::over_with(&[("up", &entry(&upstream))], &keys(&["one"]));
    let (_, client) = gateway.client().initialize("2025-06-18");
    assert!(client.text_of("up__echo", &json!({"at": 1})).contains("\"at\":1"));
    let session = open(&gateway.client());
    gateway.restart();
    assert_eq!(status(gateway.client(), &session), 200);
    let reply = gateway.client().with(SESSION_ID, &session).call("up__echo", &json!({"at": 2}));
    assert!(reply.text().contains("2"), "{}", reply.text());
    assert_eq!(end(gateway.client(), &session), 204);
    assert_eq!(status(gateway.client(), &session), 404);
}

#[test]
fn a_session_ends_with_the_process_where_no_key_is_configured() {
    let mut gateway = Gateway::over(&[]);
    let session = open(&gateway.client());
    assert_eq!(status(gateway.client(), &session), 200);
    gateway.restart();
    assert_eq!(status(gateway.client(), &session), 404);
}

#[test]
fn every_replica_with_the_key_serves_a_session() {
    let upstream = Scripted::legacy();
    let replicas = [(); 2].map(|()| Gateway::over_with(&[("up", &entry(&upstream))], &keys(&["one"])));
    let stranger = Gateway::over_with(&[("up", &entry(&upstream))], &keys(&["two"]));
    for (opener, other) in [(&replicas[0], &replicas[1]), (&replicas[1], &replicas[0])] {
        let session = open(&opener.client());
        for turn in 0..6 {
            let replica = if turn % 2 == 0 { other } else { opener };
            let text = replica.client().with(SESSION_ID, &session).text_of("up__echo", &json!({"turn": turn}));
            assert!(text.contains(&turn.to_string()));
        }
        assert_eq!(status(stranger.client(), &session), 404);
    }
}

/// The real clients do not notice a restart between two calls.
fn assert_goes_on_over_a_restart(sdk: Sdk) {
    let upstream = Scripted::legacy();
    let entry = entry(&upstream);
    let mut gateway = Gateway::over_with(&[("up", &entry)], &keys(&["one"]));
    // The next process takes the same port.
    let listen = format!("listen: {}\n", gateway.main);
    gateway.home.configure(&(listen + &standard(&[("up", &entry)], &keys(&["one"]))));
    wait_until("the reload", || reloads(&gateway) >= 1.0);
    let (url, go) = (gateway.url("/mcp"), gateway.home.file("go"));
    let calls = json!([
        {"name": "up__echo", "arguments": {"at": 1}},
        {"name": "up__echo", "arguments": {"at": 2}, "after": go},
    ]);
    let report = std::thread::scope(|threads| {
        let client = threads.spawn(|| sdk.run(&url, KEY, &calls));
        upstream.wait_executed("echo", 1);
        gateway.restart();
        gateway.home.write("go", "");
        client.join().unwrap()
    });
    for (call, at) in report["calls"].as_array().unwrap().iter().zip(["1", "2"]) {
        let text = call["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{sdk:?}: {report}"));
        assert!(text.contains(at), "{sdk:?}: {report}");
    }
    assert!(gateway.log.find(|line| line["rpc_method"] == "initialize").is_none(), "{sdk:?} began anew");
}

#[test]
fn the_python_client_goes_on_over_a_restart() {
    assert_goes_on_over_a_restart(Sdk::Python1);
}

#[test]
fn the_typescript_client_goes_on_over_a_restart() {
    assert_goes_on_over_a_restart(Sdk::TypeScript1);
}

#[test]
fn the_rust_client_goes_on_over_a_restart() {
    assert_goes_on_over_a_restart(Sdk::RustHandshake);
}

#[test]
fn keys_are_changed_while_sessions_are_in_use() {
    let gateway = Gateway::over_with(&[], &keys(&["old"]));
    let sessions = [(); 4].map(|()| open(&gateway.client()));
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let change = |names: &[&str]| {
        let before = reloads(&gateway);
        gateway.home.configure(&standard(&[], &keys(names)));
        wait_until("the reload", || reloads(&gateway) > before);
        let seen = asked.load(Ordering::Relaxed);
        wait_until("more requests", || asked.load(Ordering::Relaxed) >= seen + 8);
    };
    let refused = std::thread::scope(|threads| {
        let in_use: Vec<_> = sessions
            .iter()
            .map(|session| {
                threads.spawn(|| {
                    let mut refused = 0;
                    while !stop.load(Ordering::Relaxed) {
                        refused += usize::from(status(gateway.client(), session) != 200);
                        refused += usize::from(status(gateway.client(), &open(&gateway.client())) != 200);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    refused
                })
            })
            .collect();
        change(&["new", "old"]);
        change(&["new"]);
        stop.store(true, Ordering::Relaxed);
        in_use.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!(refused, 0);
    // A process that was not there knows what its keys say.
    let sealed_with_new = open(&gateway.client());
    let later = Gateway::over_with(&[], &keys(&["new"]));
    assert_eq!(status(later.client(), &sealed_with_new), 200);
    assert_eq!(status(later.client(), &sessions[0]), 404);
    let both = Gateway::over_with(&[], &keys(&["new", "old"]));
    assert_eq!(status(both.client(), &sessions[0]), 200);
}

#[test]
fn an_ended_session_does_not_come_back_though_its_id_can_be_opened() {
    let replicas = [(); 2].map(|()| Gateway::over_with(&[], &keys(&["one"])));
    let session = open(&replicas[0].client());
    // One that has never seen it can end it, too.
    assert_eq!(end(replicas[1].client(), &session), 204);
    assert_eq!(status(replicas[1].client(), &session), 404);
    assert_eq!(end(replicas[1].client(), &session), 404);
}

#[test]
fn a_session_is_of_no_use_to_another_principal_or_at_another_path() {
    let (first, second) = (Scripted::legacy(), Scripted::legacy());
    let (first, second) = (entry(&first), entry(&second));
    let auth = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: one, sha256: \"{}\", roles: [tester]}}\n      - {{name: two, sha256: \"{}\", roles: [tester]}}\n",
        sha256("one"),
        sha256("two")
    );
    let mut gateway =
        Gateway::over_with(&[("first", &first), ("second", &second)], &format!("{auth}{}", keys(&["one"])));
    let paths = ["/mcp", "/servers/first/mcp", "/servers/second/mcp"];
    let of = |gateway: &Gateway, key: &str, path: &str| Client::new(gateway.main).key(key).at(path);
    let sessions = paths.map(|path| open(&of(&gateway, "one", path)));
    // From the table, and from the id alone.
    for is_known in [true, false] {
        for (session, opened_at) in sessions.iter().zip(paths) {
            for path in paths {
                let expected = if path == opened_at { 200 } else { 404 };
                if is_known || path != opened_at {
                    assert_eq!(status(of(&gateway, "one", path), session), expected, "{opened_at} at {path}");
                }
                assert_eq!(status(of(&gateway, "two", path), session), 404, "{opened_at} at {path}");
                assert_eq!(end(of(&gateway, "two", path), session), 404);
            }
        }
        gateway.restart();
    }
    for (session, path) in sessions.iter().zip(paths) {
        assert_eq!(status(of(&gateway, "one", path), session), 200, "{path}");
    }
}

#[test]
fn an_id_that_was_changed_is_unknown() {
    let mut gateway = Gateway::over_with(&[], &keys(&["one"]));
    let session = open(&gateway.client());
    for _ in 0..2 {
        for at in (0..session.len()).step_by(7).chain([session.len() - 1]) {
            let mut changed = session.clone().into_bytes();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(status(gateway.client(), &changed), 404, "{at}");
            assert_eq!(status(gateway.client(), &session[..at]), 404, "{at}");
        }
        assert_eq!(status(gateway.client(), &format!("{session}x")), 404);
        gateway.restart();
    }
    assert_eq!(status(gateway.client(), &session), 200);
}

#[test]
fn a_client_that_says_much_of_itself_is_served_where_it_began() {
    let mut gateway = Gateway::over_with(&[], &keys(&["one"]));
    let much = json!({"experimental": {"x": "x".repeat(3500)}});
    let params = |capabilities| {
        json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "clientInfo": {"name": "tests", "version": "1", "icons": "x".repeat(3500)},
        })
    };
    let open = |capabilities| {
        let reply = gateway.client().request("initialize", &params(capabilities));
        reply.header(SESSION_ID).to_owned()
    };
    let (little, much) = (open(json!({})), open(much));
    assert!(little.len() <= 4096 && much.len() <= 4096);
    assert_eq!([&little, &much].map(|session| status(gateway.client(), session)), [200, 200]);
    gateway.restart();
    assert_eq!([&little, &much].map(|session| status(gateway.client(), session)), [200, 404]);
}

#[test]
fn neither_keys_nor_session_ids_are_logged() {
    let more = format!("{}telemetry: {{log: {{level: trace}}}}\n", keys(&["one"]));
    let mut gateway = Gateway::over_with(&[], &more);
    let session = open(&gateway.client());
    assert_eq!(status(gateway.client(), &session), 200);
    let before = gateway.log.clone();
    gateway.restart();
    assert_eq!(status(gateway.client(), &session), 200);
    assert_eq!(status(gateway.client(), &session[1..]), 404);
    for log in [before, gateway.log.clone()] {
        let (text, sealed) = (log.text(), session.split('.').nth(1).unwrap());
        assert!(!text.contains(&sha256("one")) && !text.contains(sealed));
    }
}

#[test]
fn missing_keys_are_warned_of_once_where_other_machines_can_call() {
    let warnings = |more: &str| {
        let gateway = Gateway::over_with(&[], more);
        gateway.home.configure(&standard(&[], &format!("{more}# changed\n")));
        gateway.home.write("policies/more.yaml", "policies: []\n");
        wait_until("the reload", || reloads(&gateway) >= 1.0);
        gateway.log.events().iter().filter(|line| line["key"] == "sessions.keys").count()
    };
    let everywhere = "listen: 0.0.0.0:0\n";
    assert_eq!(warnings(""), 0);
    assert_eq!(warnings(everywhere), 1);
    assert_eq!(warnings(&format!("{everywhere}{}", keys(&["one"]))), 0);
}
