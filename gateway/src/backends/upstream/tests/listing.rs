//! The list of tools: kept, refreshed, and fetched again by itself.

use super::*;
use crate::backends::transport::TransportError;
use crate::mcp::changes::{Kind, Moment};

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

async fn names(fixture: &Fixture) -> Vec<String> {
    let list = fixture.upstream.tools(Capabilities::NONE, Instant::now() + Duration::from_secs(3)).await.unwrap();
    list.tools.iter().map(|tool| tool.full_name.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_lost_while_listing_is_opened_again_unseen() {
    for lost in [|| Say::Fail(TransportError::SessionLost), || Say::Refusal(400, -32000)] {
        let fixture = Fixture::new(move |heard| match (heard.method.as_str(), heard.nth) {
            ("tools/list", 0) => lost(),
            _ => legacy(heard),
        });
        assert_eq!(names(&fixture).await, ["crm__find"]);
        assert_eq!(fixture.script.heard("initialize").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn pages_are_joined_and_their_number_bounded() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/list" => Say::result(&format!(r#"{{"tools":[{{"name":"t{0}"}}],"nextCursor":"{0}"}}"#, heard.nth)),
        _ => modern(heard),
    });
    let names = names(&fixture).await;
    assert_eq!(names.len(), 200);
    assert!(fixture.script.heard("tools/list")[1].body.contains(r#""cursor":"0""#));
}

#[tokio::test(start_paused = true)]
async fn a_list_is_kept_as_long_as_the_server_says() {
    for (ttl_ms, fetches) in [("60000", 1), ("0", 3), ("-5", 3), ("1e300", 1)] {
        let fixture = Fixture::new(move |heard| match heard.method.as_str() {
            "tools/list" => Say::result(&format!(r#"{{"tools":[],"ttlMs":{ttl_ms}}}"#)),
            _ => modern(heard),
        });
        settle().await;
        names(&fixture).await;
        names(&fixture).await;
        assert_eq!(fixture.script.heard("tools/list").len(), fetches, "{ttl_ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_tool_fetches_the_list_at_most_every_few_seconds() {
    let fixture = Fixture::new(modern);
    settle().await;
    let find = || fixture.upstream.find("crm__other", Capabilities::NONE, Instant::now() + TIMEOUT);
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..10 {
        assert!(find().await.unwrap().is_none());
    }
    assert_eq!(fixture.script.heard("tools/list").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_heard_on_every_kind_of_stream() {
    let by_get = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("GET", 0) => Say::Stream(vec![CHANGED.to_owned()]),
        _ => legacy(heard),
    });
    let by_listening = Fixture::new(|heard| match heard.method.as_str() {
        "subscriptions/listen" => Say::Stream(vec![CHANGED.to_owned()]),
        _ => modern(heard),
    });
    // A stateless server on a pipe may say so without being asked.
    let by_pipe = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "GET" => Say::Stream(vec![CHANGED.to_owned()]),
        _ => modern(heard),
    });
    let by_both = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "GET" => Say::Stream(Vec::new()),
        "subscriptions/listen" => Say::Stream(vec![CHANGED.to_owned()]),
        _ => modern(heard),
    });
    for fixture in [by_get, by_listening, by_pipe, by_both] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(fixture.script.heard("tools/list").len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_does_not_become_a_burst_of_fetches() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "GET" => Say::Stream(vec![CHANGED.to_owned(); 100]),
        _ => legacy(heard),
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(fixture.script.heard("tools/list").len() <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_whose_session_is_gone_is_opened_in_a_new_one() {
    let fixture = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("GET", 0) => Say::Fail(TransportError::SessionLost),
        ("GET", _) => Say::Stream(Vec::new()),
        _ => legacy(heard),
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let streams = fixture.script.heard("GET");
    assert_eq!(streams.len(), 2);
    assert_ne!(streams[0].session(), streams[1].session());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_could_not_be_agreed_with_is_soon_listened_to() {
    let fixture = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("server/discover", 0..4) => Say::Fail(TransportError::Status(502)),
        ("GET", _) => Say::Stream(vec![CHANGED.to_owned()]),
        _ => legacy(heard),
    });
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(fixture.script.heard("GET").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pipe_is_heard_though_its_server_ignores_what_it_does_not_know() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "GET" => Say::Stream(vec![CHANGED.to_owned()]),
        "subscriptions/listen" => Say::Hang,
        _ => modern(heard),
    });
    tokio::time::sleep(Duration::from_secs(32)).await;
    assert_eq!(fixture.script.heard("tools/list").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_agreed_on_ends_with_its_connection() {
    let fixture = Fixture::over_pipe(legacy);
    settle().await;
    assert_eq!((fixture.script.heard("initialize").len(), fixture.script.heard("tools/list").len()), (1, 1));
    fixture.script.lose();
    settle().await;
    assert!(fixture.upstream.shared.links.known().is_none());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((fixture.script.heard("initialize").len(), fixture.script.heard("tools/list").len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn both_streams_of_a_stateless_pipe_are_opened_again_when_one_ends() {
    let fixture = Fixture::over_pipe(|heard| match heard.method.as_str() {
        "GET" => Say::Stream(Vec::new()),
        "subscriptions/listen" => Say::Broken(Vec::new()),
        _ => modern(heard),
    });
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(fixture.script.heard("GET").len(), 3);
    assert_eq!(fixture.script.heard("subscriptions/listen").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_is_found_by_itself() {
    let fixture = Fixture::new(|heard| match heard.nth {
        0..4 if heard.method == "server/discover" => Say::Fail(TransportError::Unreachable("refused".to_owned())),
        _ => modern(heard),
    });
    settle().await;
    assert_eq!(fixture.is_up(), Some(0));
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(fixture.is_up(), Some(1));
    assert!(fixture.upstream.known_tools(Capabilities::NONE).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_dead_upstream_fails_lists_at_once() {
    let fixture = Fixture::new(|_| Say::Hang);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let started = Instant::now();
    assert!(fixture.upstream.tools(Capabilities::NONE, started + Duration::from_secs(3)).await.is_err());
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_for_an_upstream_that_is_gone() {
    let Fixture { upstream, script, metrics } = Fixture::new(modern);
    settle().await;
    drop(upstream);
    settle().await;
    assert_eq!(Arc::strong_count(&script), 1);
    assert_eq!(Arc::strong_count(&metrics), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retired_upstream_says_nothing_of_its_successor() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/call" => Say::Fail(TransportError::Unreachable("refused".to_owned())),
        _ => modern(heard),
    });
    let tool = fixture.upstream.find("crm__find", Capabilities::NONE, Instant::now() + TIMEOUT).await.unwrap().unwrap();
    settle().await;
    fixture.upstream.retire();
    assert!(Arc::clone(&fixture.upstream).call(Box::new(of_modern_client()), Callee::Tool(tool)).await.is_err());
    assert_eq!(fixture.is_up(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_server_does_not_tell_is_seen() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        // Another tool from the third time on.
        "tools/list" => Say::result(&format!(r#"{{"tools":[{{"name":"t{}"}}],"ttlMs":0}}"#, heard.nth / 3)),
        _ => modern(heard),
    });
    let mut changes = fixture.upstream.changes().unwrap();
    settle().await;
    let up = *changes.borrow_and_update();
    assert!(Kind::ALL.iter().all(|kind| up.of(*kind) > Moment::BEGINNING), "that it came up is a change");
    tokio::time::timeout(Duration::from_secs(179), changes.changed()).await.unwrap_err();
    tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.unwrap().unwrap();
    let differs = *changes.borrow_and_update();
    assert!(differs.of(Kind::Tools) > up.of(Kind::Tools) && differs.of(Kind::Prompts) == up.of(Kind::Prompts));
}
