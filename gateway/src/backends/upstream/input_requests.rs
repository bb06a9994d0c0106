//! What servers with a handshake ask, as stateless clients are told of it:
//! `inputRequests`, and `inputResponses` (MCP 2026-07-28, "Multi round-trip
//! requests").

use std::fmt::Write as _;

use super::tasks::untagged;
use crate::mcp::answer::{UpstreamKind, UpstreamMessage};
use crate::mcp::json::{Members, quoted};
use crate::mcp::splice::Span;

/// `inputRequests` of these numbers.
pub(super) fn requests(asked: impl IntoIterator<Item = (u64, String)>) -> String {
    let mut requests = String::from("{");
    for (number, asked) in asked {
        let comma = if requests.len() > 1 { "," } else { "" };
        let _ = write!(requests, r#"{comma}"{}":{asked}"#, key(number));
    }
    requests.push('}');
    requests
}

/// A server's request as one of them. Stateless clients know no ids of
/// elicitations, and a task by another id.
pub(super) fn asked(question: &UpstreamMessage) -> String {
    let UpstreamKind::Request { method, params, .. } = &question.kind else { return "{}".to_owned() };
    let name = quoted(method);
    let Some(params) = params.map(|params| question.text(params)) else { return format!(r#"{{"method":{name}}}"#) };
    let mut params = Members::without(params, |key| key == "elicitationId").unwrap_or_else(|_| "{}".to_owned());
    if let Some((meta, left)) = untagged(&params) {
        let place = Span::of(meta, &params);
        params.replace_range(place.range(), &left);
    }
    format!(r#"{{"method":{name},"params":{params}}}"#)
}

/// The answer to a question among `inputResponses`.
pub(super) fn answer_to(answers: &str, number: u64) -> Option<&str> {
    Members::get(answers, &key(number)).filter(|answer| answer.starts_with('{'))
}

/// What a client knows a question by.
fn key(number: u64) -> String {
    format!("input-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_without_what_only_its_server_knows() {
        let question = |params: &str| {
            let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{params}}}"#);
            asked(&UpstreamMessage::scan(message.into()).unwrap())
        };
        let told = |params: &str| format!(r#"{{"method":"elicitation/create","params":{params}}}"#);
        assert_eq!(question(r#"{"elicitationId":"e","mode":"url"}"#), told(r#"{"mode":"url"}"#));
        let tagged = r#"{"message":"m","_meta":{"io.modelcontextprotocol\/related-task":{"taskId":"own"},"x":1}}"#;
        assert_eq!(question(tagged), told(r#"{"message":"m","_meta":{"x":1}}"#));
    }

    #[test]
    fn answers_are_found_by_the_keys_of_their_questions() {
        assert_eq!(requests([(1, "{}".to_owned()), (7, "[]".to_owned())]), r#"{"input-1":{},"input-7":[]}"#);
        let answers = r#"{"input-1":{"action":"accept"},"input-2":7}"#;
        assert_eq!(answer_to(answers, 1), Some(r#"{"action":"accept"}"#));
        assert_eq!((answer_to(answers, 2), answer_to(answers, 3), answer_to("[]", 1)), (None, None, None));
    }
}
