//! Refusals as clients of OpenAI's interface expect them: an error object, and
//! the status that tells a client whether to try again.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::decorate;
use super::outside::{Outside, outside};
use crate::body::Body;
use crate::mcp::version::Era;
use crate::rejection::{Rejection, UpstreamFailureKind};

/// Tells OpenAI's clients whether to send a request again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What the error object says beside its message.
struct Kind {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<Cow<'static, str>>,
}

/// The whole answer to a refused request.
#[must_use]
pub fn refuse_openai(rejection: &Rejection) -> Response<Body> {
    let outside = outside(rejection, Era::Legacy);
    let kind = kind(rejection, &outside);
    let mut response = Response::new(Body::from(error(rejection, &outside, &kind)));
    *response.status_mut() = kind.status;
    decorate(&mut response, rejection, &outside);
    if !is_worth_another_try(rejection) {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// Whether the same request may well be answered a moment later. OpenAI's
/// clients repeat all that the server is to blame for, unless they are told.
fn is_worth_another_try(rejection: &Rejection) -> bool {
    match rejection {
        // It would be worked on from the beginning, and end alike.
        Rejection::Upstream(failure) => failure.kind != UpstreamFailureKind::TimedOut,
        Rejection::TimedOut | Rejection::ModelUnavailable => false,
        _ => true,
    }
}

/// What ends a stream in place of the rest: the error object alone.
#[must_use]
pub fn stream_error(rejection: &Rejection) -> Bytes {
    let outside = outside(rejection, Era::Legacy);
    error(rejection, &outside, &kind(rejection, &outside))
}

fn error(rejection: &Rejection, outside: &Outside, kind: &Kind) -> Bytes {
    let message = match rejection {
        Rejection::UnknownTool { tool } => {
            let model: String = tool.chars().take(128).collect();
            Cow::Owned(format!("the model `{model}` does not exist or you do not have access to it"))
        }
        Rejection::NoSuchPath => {
            Cow::Borrowed("no such path: there are /v1/chat/completions and /v1/models, and MCP at /mcp")
        }
        _ => Cow::Borrowed(&*outside.message),
    };
    let param = kind.param.as_deref().map_or(Value::Null, Value::from);
    json!({"error": {"message": message, "type": kind.kind, "param": param, "code": kind.code}}).to_string().into()
}

fn kind(rejection: &Rejection, outside: &Outside) -> Kind {
    const INVALID: &str = "invalid_request_error";
    const SERVER: &str = "server_error";
    let new = |status, kind, code| Kind { status, kind, code, param: None };
    let at = |param: &str, kind: Kind| Kind { param: Some(Cow::Owned(param.to_owned())), ..kind };
    match rejection {
        Rejection::NoCredential | Rejection::BadCredential { .. } => {
            new(outside.status, INVALID, Some("invalid_api_key"))
        }
        Rejection::NoSuchPath => new(outside.status, INVALID, Some("unknown_url")),
        Rejection::UnknownTool { .. } => at("model", new(StatusCode::NOT_FOUND, INVALID, Some("model_not_found"))),
        Rejection::RateLimited { .. } => new(outside.status, "requests", Some("rate_limit_exceeded")),
        Rejection::PromptTooLong { .. } => {
            at("messages", new(StatusCode::BAD_REQUEST, INVALID, Some("context_length_exceeded")))
        }
        Rejection::BadArguments { detail } => Kind {
            param: argument_in(detail).map(|argument| Cow::Owned(argument.to_owned())),
            ..new(StatusCode::BAD_REQUEST, INVALID, None)
        },
        Rejection::BadParameter { param, unsupported, .. } => {
            let code = if *unsupported { "unsupported_parameter" } else { "invalid_value" };
            at(param, new(StatusCode::BAD_REQUEST, INVALID, Some(code)))
        }
        Rejection::ModelBusy { .. } | Rejection::ModelLoading | Rejection::ModelUnavailable => {
            new(outside.status, SERVER, Some("model_unavailable"))
        }
        Rejection::Upstream(failure) if failure.kind == UpstreamFailureKind::TimedOut => {
            new(StatusCode::GATEWAY_TIMEOUT, SERVER, Some("timeout"))
        }
        Rejection::Upstream(_) => new(StatusCode::BAD_GATEWAY, SERVER, None),
        Rejection::ModelFailed | Rejection::CannotBridge { .. } => new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, None),
        _ if outside.status.is_server_error() => new(outside.status, SERVER, None),
        _ if outside.status == StatusCode::OK => new(StatusCode::BAD_REQUEST, INVALID, None),
        _ => new(outside.status, INVALID, None),
    }
}

/// The argument that a refusal begins with: "argument `a.b`: …".
fn argument_in(detail: &str) -> Option<&str> {
    detail.strip_prefix("argument `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::RETRY_AFTER;
    use http_body_util::BodyExt;

    use super::*;
    use crate::rejection::UpstreamFailure;

    async fn refused(rejection: &Rejection) -> (u16, Option<String>, Value) {
        let response = refuse_openai(rejection);
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let after = headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        (status, after, serde_json::from_slice::<Value>(&body).unwrap()["error"].clone())
    }

    #[tokio::test]
    async fn each_refusal_has_the_status_and_code_that_clients_act_on() {
        use Rejection as R;
        let retry_after = Duration::from_millis(1500);
        let bad = |unsupported| R::BadParameter { param: "n".into(), detail: "why".into(), unsupported };
        for (rejection, status, after, code, param) in [
            (R::NoCredential, 401, None, "invalid_api_key", Value::Null),
            (R::UnknownTool { tool: "gpt".into() }, 404, None, "model_not_found", "model".into()),
            (R::RateLimited { retry_after }, 429, Some("2"), "rate_limit_exceeded", Value::Null),
            (R::ModelBusy { retry_after }, 503, Some("2"), "model_unavailable", Value::Null),
            (R::ModelLoading, 503, Some("5"), "model_unavailable", Value::Null),
            (
                R::PromptTooLong { prompt_tokens: 9, context_length: 8 },
                400,
                None,
                "context_length_exceeded",
                "messages".into(),
            ),
            (bad(false), 400, None, "invalid_value", "n".into()),
            (bad(true), 400, None, "unsupported_parameter", "n".into()),
        ] {
            let (got, retry, error) = refused(&rejection).await;
            assert_eq!((got, retry.as_deref()), (status, after), "{rejection:?}");
            assert_eq!((&error["code"], &error["param"]), (&code.into(), &param), "{rejection:?}");
            assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        }
    }

    #[test]
    fn what_would_end_alike_is_not_to_be_repeated() {
        let failed = |kind| {
            let retry_after = Duration::from_secs(1);
            Rejection::Upstream(UpstreamFailure { upstream: "chat".into(), kind, retry_after })
        };
        for (rejection, says) in [
            (failed(UpstreamFailureKind::TimedOut), Some("false")),
            (Rejection::TimedOut, Some("false")),
            (Rejection::ModelUnavailable, Some("false")),
            (Rejection::ModelLoading, None),
            (Rejection::ModelFailed, None),
        ] {
            let response = refuse_openai(&rejection);
            let said = response.headers().get(SHOULD_RETRY).map(|value| value.to_str().unwrap());
            assert_eq!(said, says, "{rejection:?}");
        }
    }

    #[tokio::test]
    async fn an_argument_is_named_as_the_parameter() {
        let detail = "argument `messages.0.role`: unknown".to_owned();
        let (status, _, error) = refused(&Rejection::BadArguments { detail }).await;
        assert_eq!((status, &error["param"]), (400, &"messages.0.role".into()));
        assert_eq!(refused(&Rejection::ModelFailed).await.0, 500);
        assert_eq!(refused(&Rejection::UnknownMethod).await.0, 400, "nothing is refused with 200");
    }
}
