//! What another replica passes on goes no further than here.

use http::HeaderMap;
use portcullis_policies::Principal;

use super::*;
use crate::mcp::session::Agreement;
use crate::mcp::version::Version;
use crate::record::CallRecord;
use crate::replicas::Vouched;

const OWN: &str = "127.0.0.1:2";
/// Where nobody listens.
const AWAY: &str = "127.0.0.1:1";

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// The id of a session that was opened at another replica with these keys.
fn session_of_another(keys: &KeyRing, secret: &str) -> String {
    let secrets = [crate::secret::Secret::new(secret.to_owned())];
    keys.replace(&secrets);
    let other = Arc::new(KeyRing::new().unwrap());
    other.replace(&secrets);
    other.settle(AWAY.into());
    let session = Sessions::new(1, other).open(Agreement {
        version: Version::V2025_11_25,
        principal: "apiKey:ci".into(),
        server: None,
        capabilities: Bytes::from_static(b"{}"),
        client_info: None,
    });
    session.id.to_string()
}

fn shown(keys: &KeyRing) -> ClientCertificate {
    let public = keys.identity().unwrap().public;
    ClientCertificate { fingerprint: digest(&SHA256, &public).as_ref().try_into().unwrap() }
}

fn vouched() -> HeaderMap {
    let (mut headers, record) = (HeaderMap::new(), CallRecord::new(HeaderValue::from_static("r1"), None));
    record.principal.set(Arc::new(Principal::new("apiKey:ci").with_roles(["ci".to_owned()]))).unwrap();
    Vouched::of(&record).unwrap().write(&mut headers, &record.request_id).unwrap();
    headers
}

#[tokio::test]
async fn a_request_is_passed_on_once() {
    let gateway = gateway_of(Some(OWN));
    let session = session_of_another(&gateway.keys, "one");
    let tried = |times: usize| {
        let line = format!(r#"portcullis_forwarded_requests_total{{outcome="unreached"}} {times}"#);
        gateway.counted(&line)
    };
    // Of another replica: served though its home is elsewhere.
    let mut request = Request::post(format!("http://{OWN}/mcp")).header("mcp-session-id", &session);
    request.headers_mut().unwrap().extend(vouched());
    let stack = gateway.replicas.as_ref().unwrap();
    let answered = send_to(stack, Some(shown(&gateway.keys)), request, PING).await;
    assert_eq!((answered.status, answered.json()["result"].is_object()), (200, true));
    assert!(!gateway.counted("portcullis_forwarded_requests_total{"));
    // Of a client: first it is tried to pass it on.
    let request = Request::post("/mcp").header("mcp-session-id", &session).header("x-api-key", "the-key");
    assert_eq!(gateway.send(request, PING).await.status, 200);
    assert!(tried(1));
}

#[tokio::test]
async fn what_was_passed_on_is_decided_limited_and_counted_here() {
    let gateway = gateway_of(Some(OWN));
    let stack = gateway.replicas.as_ref().unwrap();
    let call = async |tool: &str| {
        let mut request = Request::post(format!("http://{OWN}/mcp"));
        request.headers_mut().unwrap().extend(vouched());
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
        send_to(stack, Some(shown(&gateway.keys)), request, &body).await
    };
    assert_eq!(call("a__limited").await.status, 200);
    assert_eq!(call("a__limited").await.status, 429);
    assert_eq!(call("a__secret").await.json()["error"]["code"], -32602);
    for (tool, status) in [("a__limited", "success"), ("a__limited", "rate_limited")] {
        let line = format!(r#"mcp_tool_invocations_total{{status="{status}",tool_name="{tool}",upstream="a"}} 1"#);
        assert!(gateway.counted(&line), "{line}");
    }
    assert!(!gateway.counted("portcullis_http_requests_total{"), "counted where it came in");
}

#[tokio::test]
async fn who_has_not_shown_a_key_is_nobody() {
    let gateway = gateway_of(Some(OWN));
    let mut request = Request::post(format!("http://{OWN}/mcp"));
    request.headers_mut().unwrap().extend(vouched());
    let answered = send_to(gateway.replicas.as_ref().unwrap(), None, request, PING).await;
    assert_eq!(answered.status, 421);
    // At the clients' door the word of another counts for nothing.
    let mut request = Request::post("/mcp");
    request.headers_mut().unwrap().extend(vouched());
    assert_eq!(gateway.send(request, PING).await.status, 401);
}
