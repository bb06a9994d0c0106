//! A replica that dies takes along what was in its memory, and nothing else.

use nix::sys::signal::Signal;
use portcullis_tests::sdk::Sdk;

use super::*;

impl Pair {
    /// Ends a replica at once.
    fn kill(&mut self, index: usize) {
        self.gateways[index].signal(Signal::SIGKILL);
        self.gateways[index].wait_exit();
    }
}

#[test]
fn the_survivor_serves_its_own_sessions_and_those_of_the_dead() {
    let upstream = Scripted::legacy();
    let mut pair = Pair::over(&[("up", upstream.url())]);
    let clients: Vec<Client> = (0..8).map(|_| pair.client().initialize("2025-11-25").1).collect();
    for (turn, client) in clients.iter().enumerate() {
        assert!(client.text_of("up__echo", &json!({"turn": turn})).contains(&turn.to_string()));
    }
    let opened = pair.gateways.each_ref().map(|gateway| gateway.metric("portcullis_sessions", &[]));
    assert_eq!(opened, [4.0, 4.0], "the balancer takes turns");
    pair.kill(0);
    for turn in 0..3 {
        for client in &clients {
            assert!(client.text_of("up__echo", &json!({"after": turn})).contains(&turn.to_string()));
        }
    }
    let survivor = &pair.gateways[1];
    // It was not tried for each request anew.
    let gone = survivor
        .log
        .events()
        .iter()
        .filter(|line| line["message"].as_str().is_some_and(|said| said.contains("is gone")))
        .count();
    assert_eq!(gone, 1, "{}", survivor.log.text());
    for client in &clients {
        assert_eq!(end(client), 204);
        assert_eq!(client.request("tools/list", &json!({})).status, 404);
    }
}

#[test]
fn a_request_that_the_dead_had_is_told_lost_and_not_made_again() {
    let upstream = Scripted::legacy();
    let mut pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away();
    let lost = std::thread::scope(|threads| {
        let call = threads.spawn(|| client.call("up__wait", &json!({})));
        upstream.wait_executed("wait", 1);
        pair.kill(0);
        call.join().unwrap()
    });
    assert_eq!((lost.status, &lost.json()["error"]["code"], &lost.json()["id"]), (200, &json!(-31502), &json!(1)));
    let survivor = &pair.gateways[1];
    assert_eq!(survivor.metric("portcullis_forwarded_requests_total", &[("outcome", "lost")]), 1.0);
    assert!(client.text_of("up__echo", &json!({"at": 2})).contains('2'), "the session goes on");
    assert_eq!(upstream.executed("wait").len(), 1);
}

#[test]
fn a_call_that_waited_at_the_dead_is_told_lost() {
    let mut pair = Pair::over(&[("old", pinned("legacy"))]);
    let [home, other] = pair.gateways.each_ref().map(Gateway::client);
    let arguments = json!({"message": "Who are you?"});
    let again = parked(&home, "old__test_elicitation", &arguments);
    pair.kill(0);
    let lost = asking(&other, "old__test_elicitation", &arguments, &again).json();
    assert_eq!(lost["error"]["code"], -32603, "{lost}");
}

#[test]
fn a_standing_stream_of_the_dead_is_opened_at_the_survivor() {
    let upstream = Scripted::legacy();
    upstream.offer_streams();
    let mut pair = Pair::over(&[("up", upstream.url())]);
    let client = pair.away();
    let mut stream = client.open_stream(None);
    assert!(stream.next_raw_event().unwrap().is_some());
    pair.kill(0);
    // It breaks; its client comes again.
    while let Ok(Some(_)) = stream.next_raw_event() {}
    let mut stream = client.open_stream(None);
    assert_eq!(stream.status, 200);
    upstream.announce(TOOLS);
    assert_eq!(method(&mut stream), TOOLS);
}

#[test]
fn one_that_is_about_to_end_finishes_what_it_has_and_gets_nothing_new() {
    let upstream = Scripted::legacy();
    let mut pair = Pair::over_with(&[("up", upstream.url())], "limits: {drainTimeout: 10s}\n");
    let client = pair.away();
    let done = std::thread::scope(|threads| {
        let call = threads.spawn(|| client.call("up__wait", &json!({})));
        upstream.wait_executed("wait", 1);
        pair.gateways[0].signal(Signal::SIGTERM);
        pair.gateways[0].log.wait_for("draining");
        for turn in 0..3 {
            assert!(client.text_of("up__echo", &json!({"turn": turn})).contains(&turn.to_string()));
        }
        upstream.open_gate();
        call.join().unwrap()
    });
    assert_eq!((done.status, done.json()["error"].is_null()), (200, true), "{}", done.text());
    assert_eq!(pair.gateways[0].wait_exit().code(), Some(0));
    let drained = pair.gateways[0].log.events();
    let served = drained.iter().filter(|line| line["tool"] == "up__echo").count();
    assert_eq!(served, 0);
}

#[test]
fn sessions_go_home_when_their_replica_is_there_again() {
    let upstream = Scripted::legacy();
    let mut pair = Pair::over(&[("up", upstream.url())]);
    // The next process takes the same addresses.
    let told = pair.gateways[0].log.wait_for("other replicas reach this one");
    let told: Value = serde_json::from_str(&told).unwrap();
    let home = told["replica"].as_str().or(told["fields"]["replica"].as_str()).unwrap().to_owned();
    let entry = format!("{{url: \"{}\"}}", upstream.url());
    let config = standard(&[("up", &entry)], &replicated("one")).replace("127.0.0.1:0", &home);
    let listen = format!("listen: {}\n", pair.gateways[0].main);
    pair.gateways[0].home.configure(&(listen + &config));
    let client = pair.away();
    client.text_of("up__echo", &json!({"at": 1}));
    pair.gateways[0].restart();
    let served_at_home = |pair: &Pair| {
        let [first, _] = pair.gateways.each_ref();
        first.metric("mcp_tool_invocations_total", &[("tool_name", "up__echo")]) > 0.0
    };
    portcullis_tests::patience::wait_within(std::time::Duration::from_secs(40), "the session to be at home", || {
        client.text_of("up__echo", &json!({"at": 2}));
        served_at_home(&pair).then_some(())
    });
}

/// The real clients do not notice the death of the replica they began at.
fn assert_goes_on_over_a_death(sdk: Sdk) {
    let upstream = Scripted::legacy();
    let mut pair = Pair::over(&[("up", upstream.url())]);
    let (url, go) = (pair.balancer.url("/mcp"), pair.gateways[1].home.file("go"));
    let calls = json!([
        {"name": "up__echo", "arguments": {"at": 1}},
        {"name": "up__echo", "arguments": {"at": 2}, "after": go},
        {"name": "up__echo", "arguments": {"at": 3}},
    ]);
    let report = std::thread::scope(|threads| {
        let client = threads.spawn(|| sdk.run(&url, KEY, &calls));
        upstream.wait_executed("echo", 1);
        let began = |gateway: &Gateway| gateway.log.find(|line| line["rpc_method"] == "initialize").is_some();
        let mut home = None;
        wait_until("the session to be open", || {
            home = pair.gateways.iter().position(began);
            home.is_some()
        });
        // The first call is answered: what is under way dies with either.
        wait_until("the client to have its answer", || pair.balancer.is_quiet("POST"));
        pair.kill(home.unwrap());
        let go = pair.gateways.each_ref().map(|gateway| gateway.home.file("go"));
        std::fs::write(&go[1], "").unwrap();
        client.join().unwrap()
    });
    for (call, at) in report["calls"].as_array().unwrap().iter().zip(["1", "2", "3"]) {
        let text = call["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{sdk:?}: {report}"));
        assert!(text.contains(at), "{sdk:?}: {report}");
    }
    let began = pair
        .gateways
        .iter()
        .map(|gateway| gateway.log.events().iter().filter(|line| line["rpc_method"] == "initialize").count());
    assert_eq!(began.sum::<usize>(), 1, "{sdk:?} began anew");
}

#[test]
fn the_python_client_goes_on_over_a_death() {
    assert_goes_on_over_a_death(Sdk::Python1);
}

#[test]
fn the_typescript_client_goes_on_over_a_death() {
    assert_goes_on_over_a_death(Sdk::TypeScript1);
}
