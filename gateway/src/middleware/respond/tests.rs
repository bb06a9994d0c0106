use std::future::{Ready, ready};
use std::time::Duration;

use http::Method;
use http::header::HOST;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::rejection::{UpstreamFailure, UpstreamFailureKind};

const SECOND: Duration = Duration::from_secs(1);

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn failure() -> Rejection {
    Rejection::Upstream(UpstreamFailure {
        upstream: "crm".into(),
        kind: UpstreamFailureKind::TimedOut,
        retry_after: Duration::from_millis(1500),
    })
}

type Row = (Rejection, u16, Option<i64>, Option<&'static str>, Value);

/// Status, JSON-RPC code, `Retry-After` and `data` of every refusal that is
/// answered as an error.
fn table() -> Vec<Row> {
    use Rejection as R;
    let null = Value::Null;
    let text = || "why".to_owned();
    vec![
        (R::NoCredential, 401, None, None, null.clone()),
        (R::BadCredential { detail: "the token has expired" }, 401, None, None, null.clone()),
        (R::ScopeMissing { required: Arc::default() }, 403, None, None, null.clone()),
        (R::AddressNotAllowed, 403, None, None, null.clone()),
        (R::OriginNotAllowed, 403, None, None, null.clone()),
        (R::HostNotAllowed, 403, None, None, null.clone()),
        (R::NoSuchPath, 404, None, None, null.clone()),
        (R::MethodNotAllowed { allow: "POST" }, 405, None, None, null.clone()),
        (R::UnsupportedMediaType, 415, Some(-32600), None, null.clone()),
        (R::NotAcceptable, 406, Some(-32600), None, null.clone()),
        (R::BodyTooLarge { max_bytes: 9 }, 413, None, None, null.clone()),
        (R::BodyTooSlow, 408, None, None, null.clone()),
        (R::BodyIncomplete, 400, None, None, null.clone()),
        (R::Overloaded, 503, Some(-31503), Some("1"), null.clone()),
        (R::Draining, 503, Some(-31503), Some("1"), null.clone()),
        (R::TimedOut, 504, Some(-31504), None, null.clone()),
        (R::NotJson { detail: text() }, 400, Some(-32700), None, null.clone()),
        (R::InvalidRequest { detail: "why" }, 400, Some(-32600), None, null.clone()),
        (R::UnknownEvent { detail: "why" }, 400, Some(-32602), None, null.clone()),
        (R::UnknownMethod, 200, Some(-32601), None, null.clone()),
        (R::MalformedMeta { detail: "why" }, 400, Some(-32602), None, null.clone()),
        (R::InvalidParams { detail: text() }, 200, Some(-32602), None, null.clone()),
        (R::UnknownTool { tool: text() }, 200, Some(-32602), None, null.clone()),
        (R::UnknownPrompt { prompt: text() }, 200, Some(-32602), None, null.clone()),
        (R::UnknownResource { uri: text() }, 200, Some(-32002), None, json!({"uri": text()})),
        (
            R::MissingCapability { required: json!({"roots": {}}) },
            400,
            Some(-32021),
            None,
            json!({"requiredCapabilities": {"roots": {}}}),
        ),
        (R::ParkedCallLost, 200, Some(-32603), None, null.clone()),
        (R::UnknownSession, 404, Some(-31404), None, null.clone()),
        (
            R::UnsupportedVersion { requested: "1999".to_owned() },
            400,
            Some(-32022),
            None,
            json!({
                "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
                "requested": "1999",
            }),
        ),
        (R::HeaderMismatch { detail: text() }, 400, Some(-32020), None, null.clone()),
        (R::BadVersionHeader, 400, Some(-32600), None, null.clone()),
        (R::RateLimited { retry_after: SECOND }, 429, Some(-31429), Some("1"), json!({"retryAfterSeconds": 1})),
        (failure(), 200, Some(-31502), None, json!({"upstream": "crm", "retryAfterSeconds": 2})),
        (R::ModelBusy { retry_after: 3 * SECOND }, 503, Some(-31503), Some("3"), json!({"retryAfterSeconds": 3})),
        (R::ModelLoading, 503, Some(-31503), Some("5"), json!({"retryAfterSeconds": 5})),
        (R::ModelUnavailable, 503, Some(-31503), None, null.clone()),
        (
            R::BadParameter { param: "n".into(), detail: "why".into(), unsupported: false },
            400,
            Some(-32602),
            None,
            null.clone(),
        ),
        (R::AuditUnavailable, 503, Some(-31503), Some("5"), null.clone()),
        (R::Cancelled, 200, Some(-31499), None, null.clone()),
        (R::Internal, 500, Some(-32603), None, null),
    ]
}

#[tokio::test]
async fn every_refusal_has_its_status_code_and_data() {
    for (rejection, status, code, retry_after, data) in table() {
        let response = refuse(&rejection, Some("\"q\""), Era::Legacy);
        assert_eq!(response.status(), status, "{rejection:?}");
        let headers = response.headers().clone();
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap()), retry_after, "{rejection:?}");
        let body = json_of(response).await;
        let Some(code) = code else {
            assert!(body["error"].is_string() && body["error_description"].is_string(), "{rejection:?}: {body}");
            continue;
        };
        assert_eq!(body["jsonrpc"], "2.0");
        assert_eq!(body["id"], "q", "{rejection:?}");
        assert_eq!(body["error"]["code"], code, "{rejection:?}");
        assert!(body["error"]["message"].is_string());
        assert_eq!(body["error"]["data"], data, "{rejection:?}");
    }
}

#[tokio::test]
async fn the_rest_flavour_has_the_same_statuses_and_headers() {
    for (rejection, status, _, retry_after, _) in table() {
        let response = refuse_rest(&rejection);
        assert_eq!(response.status(), status, "{rejection:?}");
        assert_eq!(
            response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap()),
            retry_after,
            "{rejection:?}"
        );
        let body = json_of(response).await;
        assert_eq!((&body["success"], &body["result"]), (&json!(false), &Value::Null));
        assert!(body["error"].is_string());
    }
}

#[tokio::test]
async fn only_stateless_clients_get_404_for_an_unknown_method() {
    assert_eq!(refuse(&Rejection::UnknownMethod, Some("1"), Era::Modern).status(), 404);
    assert_eq!(refuse(&Rejection::UnknownMethod, Some("1"), Era::Legacy).status(), 200);
}

#[tokio::test]
async fn an_id_that_is_not_known_is_left_out() {
    let body = json_of(refuse(&Rejection::NotJson { detail: String::new() }, None, Era::Legacy)).await;
    assert_eq!(body.get("id"), None);
}

#[tokio::test]
async fn what_a_model_can_mend_is_a_result_in_the_clients_era() {
    for rejection in [
        Rejection::BadArguments { detail: "argument `a`: \"x\"\n".into() },
        Rejection::CannotBridge { detail: "why", of_tool: true },
        Rejection::PromptTooLong { prompt_tokens: 9, context_length: 8 },
        Rejection::ModelFailed,
    ] {
        for (era, kind) in [(Era::Legacy, Value::Null), (Era::Modern, json!("complete"))] {
            let response = refuse(&rejection, Some("7"), era);
            assert_eq!(response.status(), 200);
            let body = json_of(response).await;
            assert_eq!((&body["id"], &body["result"]["isError"]), (&json!(7), &json!(true)));
            assert_eq!(body["result"]["resultType"], kind);
            assert!(body["result"]["content"][0]["text"].is_string());
        }
    }
}

#[tokio::test]
async fn names_from_outside_cannot_change_the_message() {
    let tool = "\"}},\"id\":1,\u{0}\n\\".repeat(100);
    let body = json_of(refuse(&Rejection::UnknownTool { tool }, Some("1"), Era::Legacy)).await;
    assert_eq!(body["error"]["code"], -32602);
    assert!(body["error"]["message"].as_str().unwrap().chars().count() < 150);
}

#[test]
fn times_to_wait_are_rounded_up() {
    for (given, seconds) in [
        (Duration::ZERO, 1),
        (Duration::from_millis(1), 1),
        (SECOND, 1),
        (Duration::from_millis(1001), 2),
        (Duration::MAX, u64::MAX),
    ] {
        assert_eq!(whole_seconds(given), seconds);
    }
}

fn refusing(rejection: Rejection) -> impl Fn(Request<()>) -> Ready<Result<Response<Body>, Rejection>> + Clone {
    move |_| ready(Err(rejection.clone()))
}

/// `WWW-Authenticate` of a refusal at a door, for a caller that wrote `host`.
async fn challenge_of(rejection: Rejection, layer: RespondLayer, door: Door, host: &str) -> Option<String> {
    let service = layer.layer(service_fn(refusing(rejection)));
    let mut request = Request::builder().method(Method::POST).uri("/mcp").header(HOST, host).body(()).unwrap();
    request.extensions_mut().insert(door);
    let response = service.oneshot(request).await.unwrap();
    response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned())
}

fn public() -> RespondLayer {
    RespondLayer::new(PublicUrl::new(Some(&"https://mcp.example.com".parse().unwrap()), false), Arc::default())
}

#[tokio::test]
async fn who_lacks_a_credential_is_told_where_to_get_one() {
    let metadata = r#"resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp""#;
    assert_eq!(
        challenge_of(Rejection::NoCredential, public(), Door::Mcp, "other").await.unwrap(),
        format!("Bearer {metadata}")
    );
    let bad = Rejection::BadCredential { detail: "the token has expired" };
    assert_eq!(
        challenge_of(bad, public(), Door::RestInvoke, "other").await.unwrap(),
        format!(r#"Bearer error="invalid_token", error_description="the token has expired", {metadata}"#)
    );
    let scopes = Rejection::ScopeMissing { required: ["a".to_owned(), "b".to_owned()].into() };
    assert_eq!(
        challenge_of(scopes, public(), Door::Mcp, "other").await.unwrap(),
        format!(r#"Bearer error="insufficient_scope", scope="a b", {metadata}"#)
    );
    assert_eq!(challenge_of(Rejection::OriginNotAllowed, public(), Door::Mcp, "other").await, None);
}

#[tokio::test]
async fn the_challenge_names_the_scopes_that_every_token_needs() {
    let layer = RespondLayer::new(PublicUrl::default(), ["mcp".to_owned()].into());
    let challenge = challenge_of(Rejection::NoCredential, layer, Door::Mcp, "h").await.unwrap();
    assert!(challenge.starts_with(r#"Bearer scope="mcp", resource_metadata="http://h/"#), "{challenge}");
}

#[tokio::test]
async fn without_a_public_url_the_callers_name_for_us_counts_if_it_is_one() {
    for (host, origin) in [
        ("gw.local:8080", "http://gw.local:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("", "http://localhost"),
        ("evil\", scope=\"all", "http://localhost"),
        ("a/b", "http://localhost"),
        ("a b", "http://localhost"),
    ] {
        let layer = RespondLayer::default();
        let challenge = challenge_of(Rejection::NoCredential, layer, Door::Server("crm".into()), host).await.unwrap();
        assert_eq!(
            challenge,
            format!(r#"Bearer resource_metadata="{origin}/.well-known/oauth-protected-resource/servers/crm/mcp""#)
        );
    }
}

#[tokio::test]
async fn a_method_that_does_not_fit_is_told_which_do() {
    let response = refuse(&Rejection::MethodNotAllowed { allow: "POST, DELETE" }, None, Era::Legacy);
    assert_eq!(response.headers()[ALLOW], "POST, DELETE");
}

#[tokio::test]
async fn at_rest_doors_refusals_are_of_that_flavour() {
    let service = RespondLayer::default().layer(service_fn(refusing(Rejection::NoCredential)));
    let mut request = Request::new(());
    request.extensions_mut().insert(Door::RestTools);
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers().contains_key(WWW_AUTHENTICATE));
    assert_eq!(json_of(response).await["success"], false);
}

#[tokio::test]
async fn at_openais_doors_refusals_are_error_objects() {
    for door in [Door::ChatCompletions, Door::Models] {
        let service = RespondLayer::default().layer(service_fn(refusing(Rejection::NoCredential)));
        let mut request = Request::new(());
        request.extensions_mut().insert(door);
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key(WWW_AUTHENTICATE));
        assert_eq!(json_of(response).await["error"]["code"], "invalid_api_key");
    }
}
