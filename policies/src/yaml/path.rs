//! JSON pointers (RFC 6901) inside, YAML paths towards people.

/// `/policies/0/tools/allow/1` as `policies[0].tools.allow[1]`.
pub(super) fn from_pointer(pointer: &str) -> String {
    let mut path = String::with_capacity(pointer.len());
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{token}]"));
        } else if is_plain(&token) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&token);
        } else {
            path.push_str(&format!("[{token:?}]"));
        }
    }
    path
}

/// The pointer to the member `key` of what `pointer` names, for
/// [`Document::fault_at`](super::Document::fault_at).
pub fn member(pointer: &str, key: &str) -> String {
    let mut member = pointer.to_owned();
    push(&mut member, key);
    member
}

/// Adds the member `token` to `pointer`.
pub(super) fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The pointer to what contains `pointer`.
pub(super) fn parent(pointer: &str) -> &str {
    pointer.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn is_plain(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_reads_as_a_yaml_path() {
        for (pointer, path) in [
            ("", ""),
            ("/policies/0/tools/allow/1", "policies[0].tools.allow[1]"),
            ("/upstreams/my-crm/timeout", "upstreams.my-crm.timeout"),
            ("/headers/a.b/x", "headers[\"a.b\"].x"),
            ("/a~1b", "[\"a/b\"]"),
        ] {
            assert_eq!(from_pointer(pointer), path);
        }
    }

    #[test]
    fn pushed_token_is_escaped() {
        let pointer = member("/a", "b/c~d");
        assert_eq!(pointer, "/a/b~1c~0d");
        assert_eq!(parent(&pointer), "/a");
        assert_eq!(parent(""), "");
    }
}
