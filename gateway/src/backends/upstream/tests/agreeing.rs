//! Which era a server is found to be of, and whose session a call runs in.

use super::*;
use crate::backends::transport::TransportError;

/// Whether a server whose first answer is `probed` is taken for a stateless
/// one; `None` where that is no evidence.
async fn era_after(probed: impl Fn() -> Say + Send + Sync + 'static) -> Option<bool> {
    let fixture = Fixture::new(move |heard| match heard.method.as_str() {
        "server/discover" => probed(),
        _ => legacy(heard),
    });
    settle().await;
    let lists = fixture.script.heard("tools/list");
    let modern = lists.first().map(|list| list.headers["mcp-protocol-version"] == "2026-07-28");
    // What is no evidence is not remembered either.
    assert_eq!(modern.is_none(), fixture.upstream.shared.links.known().is_none());
    assert!(modern != Some(false) || !fixture.script.heard("initialize").is_empty());
    modern
}

#[tokio::test(start_paused = true)]
async fn every_way_to_show_the_era_is_understood() {
    let unsupported = |supported: &str| {
        let data = format!(r#"{{"supported":[{supported}],"requested":"2026-07-28"}}"#);
        Say::Message(format!(r#"{{"jsonrpc":"2.0","id":$ID,"error":{{"code":-32022,"message":"no","data":{data}}}}}"#))
    };
    assert_eq!(era_after(|| Say::result(r#"{"supportedVersions":["2026-07-28","2025-11-25"]}"#)).await, Some(true));
    assert_eq!(era_after(|| Say::result(r#"{"supportedVersions":["2027-01-01"]}"#)).await, Some(false));
    assert_eq!(era_after(move || unsupported(r#""2026-07-28""#)).await, Some(true));
    assert_eq!(era_after(move || unsupported(r#""2025-11-25""#)).await, Some(false));
    assert_eq!(era_after(|| Say::Refusal(400, -32020)).await, Some(true));
    assert_eq!(era_after(|| Say::Refusal(400, -32021)).await, Some(true));
    assert_eq!(era_after(|| Say::Refusal(400, -32000)).await, Some(false));
    assert_eq!(era_after(|| Say::error(-32601)).await, Some(false));
    assert_eq!(era_after(|| Say::error(-32001)).await, Some(false));
    assert_eq!(era_after(|| Say::Fail(TransportError::Status(404))).await, Some(false));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_evidence_is_not_remembered() {
    for error in [
        TransportError::Refused(401),
        TransportError::Refused(403),
        TransportError::Status(500),
        TransportError::Busy { retry_after: None },
        TransportError::TimedOut,
        TransportError::Unreachable("refused".to_owned()),
        TransportError::Disconnected("reset".to_owned()),
    ] {
        let said = error.clone();
        assert_eq!(era_after(move || Say::Fail(said.clone())).await, None, "{error:?}");
    }
    assert_eq!(era_after(|| Say::Refusal(500, -32603)).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_handshake_as_old_ones_do_is_tried_the_older_way() {
    let refusals: [fn() -> Say; 5] = [
        || Say::Fail(TransportError::Status(400)),
        || Say::Fail(TransportError::Status(404)),
        || Say::Fail(TransportError::Status(405)),
        || Say::Refusal(404, -32601),
        || Say::Refusal(400, -32000),
    ];
    for refusal in refusals {
        let script = Script::with_older_way(move |heard| match (heard.method.as_str(), heard.nth) {
            ("server/discover", _) => Say::Fail(TransportError::Status(405)),
            ("initialize", 0) => refusal(),
            _ => legacy(heard),
        });
        let fixture = Fixture::following(script);
        settle().await;
        assert_eq!(fixture.script.heard("initialize").len(), 2);
        assert_eq!(fixture.script.heard("tools/list").len(), 1);
    }
    // What is no evidence of an old server, or has no older way, is left.
    for status in [401, 500] {
        let script = Script::with_older_way(move |heard| match heard.method.as_str() {
            "server/discover" => Say::Fail(TransportError::Status(405)),
            _ => Say::Fail(TransportError::Status(status)),
        });
        let fixture = Fixture::following(script);
        settle().await;
        let probes = fixture.script.heard("server/discover").len();
        assert_eq!(fixture.script.heard("initialize").len(), probes, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_known_to_want_a_handshake_is_not_probed() {
    let script = Script::with_older_way(legacy);
    assert!(crate::backends::transport::Transport::fall_back(script.as_ref()));
    let fixture = Fixture::following(script);
    settle().await;
    assert!(fixture.script.heard("server/discover").is_empty());
    assert_eq!(fixture.script.heard("initialize").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn any_revision_with_a_handshake_is_agreed_to() {
    for (version, agreed) in [("2024-11-05", true), ("2025-03-26", true), ("2026-07-28", false), ("soon", false)] {
        let fixture = Fixture::new(move |heard| match heard.method.as_str() {
            "initialize" => Say::result(&format!(r#"{{"protocolVersion":"{version}"}}"#)),
            _ => legacy(heard),
        });
        settle().await;
        let link = fixture.upstream.shared.links.known();
        assert_eq!(
            link.is_some_and(|link| link.footing.version.as_ref().is_some_and(|said| said == version)),
            agreed,
            "{version}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_agree_once() {
    let fixture = Fixture::new(modern);
    let calls = (0..20).map(|_| fixture.hear(of_modern_client()));
    futures_util::future::join_all(calls).await;
    assert_eq!(fixture.script.heard("server/discover").len(), 1);
    assert_eq!(fixture.script.heard("tools/list").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_callers_share_one_failure_to_agree() {
    let fixture = Fixture::new(|_| Say::Hang);
    let started = Instant::now();
    let calls = (0..20).map(|_| fixture.failure(of_legacy_client()));
    let failures = futures_util::future::join_all(calls).await;
    assert!(failures.iter().all(|kind| *kind == UpstreamFailureKind::TimedOut), "{failures:?}");
    assert!(started.elapsed() < TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn each_client_session_and_each_principal_has_its_own_session() {
    let fixture = Fixture::new(legacy);
    let (one, other) = (session(None), session(None));
    for request in [in_session(&one), in_session(&one), in_session(&other), of_legacy_client(), of_modern_client()] {
        fixture.hear(request).await;
    }
    let calls = fixture.script.heard("tools/call");
    let sessions: Vec<_> = calls.iter().map(|call| call.session().unwrap()).collect();
    assert_eq!(sessions[0], sessions[1]);
    assert_eq!(sessions[3], sessions[4]);
    let distinct: std::collections::HashSet<_> = sessions.iter().collect();
    assert_eq!(distinct.len(), 3, "{sessions:?}");
    // The gateway's own is nobody else's.
    assert!(!distinct.contains(&fixture.script.heard("tools/list")[0].session().unwrap()));

    fixture.upstream.session_ended(one.key).await;
    let ended = fixture.script.heard("DELETE");
    assert_eq!(ended.iter().map(|end| end.session().unwrap()).collect::<Vec<_>>(), [sessions[0]]);
    fixture.upstream.close().await;
    assert_eq!(fixture.script.heard("DELETE").len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_session_is_for_one_call_and_ended_after_it() {
    let fixture = Fixture::new(legacy);
    fixture.hear(of_anonymous()).await;
    fixture.hear(of_anonymous()).await;
    settle().await;
    let used: Vec<_> =
        fixture.script.heard("tools/call").iter().map(|call| call.session().unwrap().to_owned()).collect();
    let ended: Vec<_> = fixture.script.heard("DELETE").iter().map(|end| end.session().unwrap().to_owned()).collect();
    assert_ne!(used[0], used[1]);
    assert_eq!(used, ended);
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_session_is_ended_after_a_failure_too() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "tools/call" => Say::Fail(TransportError::Disconnected("reset".to_owned())),
        _ => legacy(heard),
    });
    assert_eq!(fixture.failure(of_anonymous()).await, UpstreamFailureKind::Disconnected);
    settle().await;
    assert_eq!(fixture.script.heard("DELETE").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_sessions_is_shared() {
    let fixture = Fixture::new(|heard| match heard.method.as_str() {
        "initialize" => Say::result(r#"{"protocolVersion":"2025-06-18"}"#),
        _ => legacy(heard),
    });
    fixture.hear(of_anonymous()).await;
    fixture.hear(in_session(&session(None))).await;
    assert_eq!(fixture.script.heard("initialize").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_became_stateless_is_noticed_within_a_day() {
    let fixture = Fixture::new(|heard| match (heard.method.as_str(), heard.nth) {
        ("server/discover", 0) => Say::Refusal(400, -32000),
        ("server/discover", _) => modern(heard),
        _ => legacy(heard),
    });
    fixture.hear(of_legacy_client()).await;
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60 + 120)).await;
    fixture.hear(of_legacy_client()).await;
    assert_eq!(fixture.script.heard("tools/call")[1].headers["mcp-protocol-version"], "2026-07-28");
}
