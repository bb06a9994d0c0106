//! What an upstream says in the result of a list method beside the list.

use std::borrow::Cow;

use crate::mcp::json::Members;

/// More is left out.
const MAX_BYTES: usize = 16 * 1024;

/// Members of a result as JSON, as they were written; empty where there are
/// none. Only where one upstream stands alone are they its client's business,
/// and only as long as nothing of the list is hidden from it: what they say of
/// the list nobody here can know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside(Box<str>);

// === impl Beside ===

impl Beside {
    /// What stands in a result beside its list, the member `list`, and what the
    /// gateway says of its own: cursor, kind of result, how long it may be kept.
    #[must_use]
    pub fn read(result: &str, list: &str) -> Self {
        let is_read = |key: &str| key == list || ["nextCursor", "resultType", "ttlMs", "cacheScope"].contains(&key);
        let Ok(cuts) = Members::cut(result, is_read) else { return Self::default() };
        if !cuts.keeps_members {
            return Self::default();
        }
        let mut rest = Cow::Borrowed(result);
        for cut in cuts.spans.into_iter().rev() {
            rest.to_mut().replace_range(cut, "");
        }
        let members = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default().trim();
        Self(if members.len() > MAX_BYTES { "" } else { members }.into())
    }

    /// The members, with a comma before the first.
    #[must_use]
    pub fn after_others(&self) -> String {
        if self.0.is_empty() { String::new() } else { format!(",{}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_bytes_wherever_they_stand() {
        for (result, beside) in [
            (r#"{"tools":[]}"#, ""),
            (r#"{ "tools" : [{"x":1}] , "nextCursor":"", "ttlMs":1 }"#, ""),
            (r#"{"x" : 1.0,"tools":[]}"#, r#","x" : 1.0"#),
            (r#"{"tools":[],"_meta":{ "a":[] } }"#, r#","_meta":{ "a":[] }"#),
            (r#"{"ttlMs":1,"x":-0 , "tools":[],"y":1e2,"cacheScope":"public"}"#, r#","x":-0,"y":1e2"#),
            (r#"{"resultType":"complete","prompts":[],"tools":[]}"#, r#","prompts":[]"#),
            ("[]", ""),
        ] {
            assert_eq!(Beside::read(result, "tools").after_others(), beside, "{result}");
        }
    }

    #[test]
    fn too_much_is_left_out() {
        let result = format!(r#"{{"tools":[],"x":"{}"}}"#, "x".repeat(MAX_BYTES));
        assert_eq!(Beside::read(&result, "tools"), Beside::default());
    }
}
