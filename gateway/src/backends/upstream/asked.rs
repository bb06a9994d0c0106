//! What a server asks that the gateway answers for itself: pings, and what no
//! client can be asked.

use bytes::Bytes;

/// The answer to a request of the server; `id` is JSON.
pub(super) fn answer(id: &str, method: &str) -> Bytes {
    match method {
        "ping" => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#),
        _ => format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"the client does not support this"}}}}"#
        ),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_answered_and_all_else_refused() {
        assert_eq!(answer("\"a\"", "ping"), r#"{"jsonrpc":"2.0","id":"a","result":{}}"#);
        assert!(answer("0", "roots/list").starts_with(br#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601"#));
    }
}
