//! What a stateless client asks to hear of its own accord (MCP 2026-07-28,
//! `subscriptions/listen`).

use serde::Deserialize;

use super::changes::Kind;
use super::subscriptions::MAX_OF_CLIENT;

/// Tasks that one such request may name.
const MAX_TASKS: usize = 16;

/// The `notifications` of such a request. What the gateway does not know of it
/// is not honoured, and its acknowledgement says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionFilter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    /// The resources, by the URIs that the client knows.
    pub resource_subscriptions: Vec<String>,
    /// The tasks, by the ids that the client knows (the extension for tasks).
    pub task_ids: Vec<String>,
}

// === impl SubscriptionFilter ===

impl SubscriptionFilter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// If it is none, or names too many resources or tasks.
    pub fn read(text: &str) -> Result<Self, String> {
        let filter: Self = serde_json::from_str(text).map_err(|_| {
            "`notifications` must be an object of booleans, and of arrays of strings as `resourceSubscriptions` and \
             `taskIds`"
                .to_owned()
        })?;
        if filter.resource_subscriptions.len() > MAX_OF_CLIENT {
            return Err(format!("`resourceSubscriptions` may name at most {MAX_OF_CLIENT} resources"));
        }
        if filter.task_ids.len() > MAX_TASKS {
            return Err(format!("`taskIds` may name at most {MAX_TASKS} tasks"));
        }
        Ok(filter)
    }

    /// Whether changes of these lists are asked for.
    #[must_use]
    pub const fn wants(&self, kind: Kind) -> bool {
        match kind {
            Kind::Tools => self.tools_list_changed,
            Kind::Prompts => self.prompts_list_changed,
            Kind::Resources => self.resources_list_changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_what_is_opted_into() {
        let read = |text: &str| SubscriptionFilter::read(text).map(|filter| Kind::ALL.map(|kind| filter.wants(kind)));
        assert_eq!(read("{}"), Ok([false; 3]));
        assert_eq!(read(r#"{"toolsListChanged":true,"taskIds":["t"],"other":7}"#), Ok([true, false, false]));
        assert_eq!(read(r#"{"promptsListChanged":true,"resourcesListChanged":true}"#), Ok([false, true, true]));
        let uris = SubscriptionFilter::read(r#"{"resourceSubscriptions":["a:b","c:d"]}"#).unwrap();
        assert_eq!(uris.resource_subscriptions, ["a:b", "c:d"]);
        for text in [
            r#"{"toolsListChanged":1}"#,
            r#"{"resourceSubscriptions":"a:b"}"#,
            r#"{"resourceSubscriptions":[1]}"#,
            r#"{"taskIds":"t"}"#,
            r#"{"toolsListChanged":false,"toolsListChanged":true}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let many = format!(r#"{{"resourceSubscriptions":[{}]}}"#, vec![r#""a:b""#; MAX_OF_CLIENT + 1].join(","));
        assert!(SubscriptionFilter::read(&many).unwrap_err().contains("1024"));
        let many = format!(r#"{{"taskIds":[{}]}}"#, vec![r#""t""#; MAX_TASKS + 1].join(","));
        assert!(SubscriptionFilter::read(&many).unwrap_err().contains("16"));
    }
}
