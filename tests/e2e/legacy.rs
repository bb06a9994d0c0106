//! The revisions that open with a handshake, and the plain calls that skip it.

use portcullis_tests::client::{LEGACY, MODERN, message, names};
use portcullis_tests::gateway::Gateway;
use portcullis_tests::json;
use portcullis_tests::scripted::Scripted;

fn over(upstream: &Scripted) -> Gateway {
    Gateway::over(&[("up", &format!("{{url: \"{}\"}}", upstream.url()))])
}

#[test]
fn each_revision_is_spoken_as_asked() {
    for upstream in [Scripted::legacy(), Scripted::modern()] {
        let gateway = over(&upstream);
        for revision in LEGACY {
            let (reply, client) = gateway.client().initialize(revision);
            let result = reply.json()["result"].clone();
            assert_eq!(result["protocolVersion"], revision);
            assert!(result["capabilities"]["tools"].is_object(), "{result}");
            assert!(result["serverInfo"]["name"].is_string(), "{result}");
            assert!(client.tools().contains(&"up__echo".to_owned()));
            let text = client.text_of("up__echo", &json!({"at": revision}));
            assert!(text.contains(revision));
        }
    }
}

#[test]
fn an_unknown_revision_is_answered_with_the_newest_of_the_handshake() {
    let gateway = Gateway::over(&[]);
    for asked in ["2023-01-01", "2099-01-01", MODERN] {
        let (reply, _) = gateway.client().initialize(asked);
        assert_eq!(reply.json()["result"]["protocolVersion"], "2025-11-25", "{asked}");
    }
}

#[test]
fn initialize_without_parameters_works() {
    let gateway = Gateway::over(&[]);
    let reply = gateway.client().request("initialize", &json!({}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.json()["result"]["protocolVersion"].is_string());
}

#[test]
fn a_session_id_is_printable_and_not_guessable() {
    let gateway = Gateway::over(&[]);
    let sessions = [(); 2].map(|()| gateway.client().initialize("2025-11-25").0.header("Mcp-Session-Id").to_owned());
    assert_ne!(sessions[0], sessions[1]);
    for session in sessions {
        assert!(session.len() >= 32 && session.bytes().all(|byte| byte.is_ascii_graphic()), "{session}");
    }
}

#[test]
fn an_unknown_session_is_not_found() {
    let gateway = Gateway::over(&[]);
    let reply = gateway.client().with("Mcp-Session-Id", "made-up").request("tools/list", &json!({}));
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[test]
fn another_callers_session_is_not_found() {
    let auth = format!(
        "auth:\n  apiKeys:\n    keys:\n      - {{name: one, sha256: \"{}\", roles: [tester]}}\n      - {{name: two, sha256: \"{}\", roles: [tester]}}\n",
        portcullis_tests::gateway::sha256("one"),
        portcullis_tests::gateway::sha256("two")
    );
    let gateway = Gateway::over_with(&[], &auth);
    let (_, session) = gateway.client().key("one").initialize("2025-11-25");
    assert_eq!(session.request("tools/list", &json!({})).status, 200);
    assert_eq!(session.key("two").request("tools/list", &json!({})).status, 404);
}

#[test]
fn a_session_that_was_ended_is_gone() {
    let gateway = Gateway::over(&[]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    let mut end = client.prepare("");
    end.method = "DELETE".to_owned();
    let status = client.send(&end).status;
    assert!([200, 204].contains(&status), "{status}");
    assert_eq!(client.request("tools/list", &json!({})).status, 404);
}

#[test]
fn plain_calls_need_no_session() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    let client = gateway.client();
    assert!(client.tools().contains(&"up__echo".to_owned()));
    assert!(client.text_of("up__echo", &json!({"plain": true})).contains("plain"));
}

#[test]
fn accept_anything_gets_plain_json() {
    let upstream = Scripted::legacy();
    upstream.open_gate();
    let gateway = over(&upstream);
    for accept in ["*/*", "application/json"] {
        for tool in ["up__echo", "up__progress"] {
            let reply = gateway.client().with("Accept", accept).call(tool, &json!({}));
            assert_eq!(reply.status, 200, "{accept} {tool} {}", reply.text());
            assert!(reply.header("Content-Type").starts_with("application/json"), "{accept} {tool}");
            assert!(reply.json()["result"]["content"][0]["text"].is_string(), "{}", reply.text());
        }
    }
    let bare = gateway.client().without("Accept").call("up__echo", &json!({}));
    assert!(bare.header("Content-Type").starts_with("application/json"));
}

#[test]
fn a_missing_content_length_is_no_hindrance() {
    let gateway = Gateway::over(&[]);
    let ping = message("ping", &json!({})).to_string();
    let chunked = format!("{:x}\r\n{ping}\r\n0\r\n\r\n", ping.len());
    let request = gateway.client().prepare(chunked).header("Transfer-Encoding", "chunked");
    assert_eq!(gateway.client().send(&request).status, 200);
}

#[test]
fn a_ping_is_answered_here() {
    let gateway = Gateway::over(&[]);
    let reply = gateway.client().request("ping", &json!({}));
    assert_eq!(reply.json(), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
}

#[test]
fn notifications_get_an_empty_202() {
    let gateway = Gateway::over(&[]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    for method in ["notifications/initialized", "notifications/cancelled", "notifications/unheard-of"] {
        let reply = client.post(json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 4}}).to_string());
        assert_eq!((reply.status, reply.body.len()), (202, 0), "{method}");
    }
}

#[test]
fn a_version_header_that_is_not_served_is_refused() {
    let gateway = Gateway::over(&[]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    for version in ["2023-01-01", "newest"] {
        assert_eq!(client.clone().with("MCP-Protocol-Version", version).request("tools/list", &json!({})).status, 400);
    }
}

#[test]
fn ids_keep_their_value_and_type() {
    let upstream = Scripted::legacy();
    let gateway = over(&upstream);
    for id in [json!(0), json!("0"), json!(-7), json!("ünï-1"), json!(9_007_199_254_740_993_u64)] {
        let mut call = message("tools/call", &json!({"name": "up__echo", "arguments": {}}));
        call["id"] = id.clone();
        assert_eq!(gateway.client().post(call.to_string()).json()["id"], id);
    }
}

#[test]
fn a_method_that_is_not_served_is_told_which_are() {
    let gateway = Gateway::over(&[]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    let mut put = client.prepare("");
    put.method = "PUT".to_owned();
    let reply = client.send(&put);
    assert_eq!((reply.status, reply.header("Allow")), (405, "GET, POST, DELETE"));
}

#[test]
fn an_old_client_of_a_modern_upstream_gets_nothing_it_does_not_know() {
    let upstream = Scripted::modern();
    let gateway = over(&upstream);
    let (_, client) = gateway.client().initialize("2025-11-25");
    let list = client.request("tools/list", &json!({}));
    assert!(!names(&list).is_empty());
    let call = client.call("up__echo", &json!({}));
    for reply in [list, call] {
        for word in ["resultType", "ttlMs", "cacheScope"] {
            assert!(!reply.text().contains(word), "{word} in {}", reply.text());
        }
    }
}

#[test]
fn a_batch_is_refused_where_the_revision_has_none() {
    let gateway = Gateway::over(&[]);
    let (_, client) = gateway.client().initialize("2025-11-25");
    let reply = client.post(format!("[{}]", message("ping", &json!({}))));
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!(-32600)), "{}", reply.text());
}

#[test]
fn http_2_without_tls_works_too() {
    let gateway = Gateway::over(&[]);
    let line = format!(
        "curl -sS --http2-prior-knowledge -o /dev/null -w '%{{http_version}} %{{http_code}}' -H 'X-API-Key: {}' \
         -H 'Content-Type: application/json' -d '{}' {}",
        portcullis_tests::gateway::KEY,
        message("ping", &json!({})),
        gateway.url("/mcp")
    );
    assert_eq!(portcullis_tests::command::shell(&line).stdout, "2 200");
}
