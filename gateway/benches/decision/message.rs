//! Messages of a wanted size, built like those that tools are sent and send.

/// A `tools/call` of at least so many bytes.
pub(crate) fn call(tool: &str, bytes: usize) -> Vec<u8> {
    let head = format!(r#"{{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{{"name":"{tool}","arguments":"#);
    filled(&head, "}}", bytes)
}

/// The result of a call, of at least so many bytes.
pub(crate) fn result(bytes: usize) -> Vec<u8> {
    let head = r#"{"jsonrpc":"2.0","id":17,"result":{"content":[{"type":"text","text":"done"}],"structuredContent":"#;
    filled(head, r#","isError":false}}"#, bytes)
}

/// `head`, an object of rows, `tail`.
fn filled(head: &str, tail: &str, bytes: usize) -> Vec<u8> {
    let mut text = format!(r#"{head}{{"rows":["#);
    for row in 0.. {
        text.push_str(&format!(r#"{{"id":{row},"name":"Zoë \"Z\" Quick","tags":["a","b"],"score":0.25,"next":null}}"#));
        if text.len() + 2 + tail.len() >= bytes {
            break;
        }
        text.push(',');
    }
    text.push_str("]}");
    text.push_str(tail);
    text.into_bytes()
}
