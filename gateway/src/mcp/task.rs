//! Tasks: work that goes on when its call has been answered (MCP 2025-11-25,
//! "Tasks"; the extension of 2026-07-28).
//!
//! The id that a client knows a task by is sealed and says whose task it is:
//! any replica finds the upstream, and the id is of use to the same caller at
//! the same path alone. It also names the tool that made the task, because what
//! may be done with a task is decided as the tool was.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::version::Era;
use crate::seal::{Binding, KeyRing, Purpose, UnixSeconds};

/// The name of the extension of 2026-07-28.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The member of a `_meta` that names the task a message belongs to
/// (MCP 2025-11-25, "Tasks").
pub const RELATED: &str = "io.modelcontextprotocol/related-task";
/// A task whose server names it at more length is not passed on.
const MAX_OWN_BYTES: usize = 1024;
/// How long a client may wait for what came of a task.
pub const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How long an id can be used; servers forget most tasks long before.
const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One task of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The upstream.
    pub upstream: Arc<str>,
    /// The full name of the tool that made it.
    pub tool: Arc<str>,
    /// Its id at the upstream.
    pub own: Arc<str>,
}

/// What can be done with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskVerb {
    /// `tasks/get`: how it stands.
    Get,
    /// `tasks/result`: what came of it; waits until it has ended.
    Result,
    /// `tasks/update`: answers to what it asks.
    Update,
    /// `tasks/cancel`.
    Cancel,
}

#[derive(Serialize, Deserialize)]
struct Sealed(String, String, String);

// === impl Task ===

impl Task {
    /// The id for a client of this path and principal; `None` where the
    /// server's own is too long.
    #[must_use]
    pub fn seal(&self, keys: &KeyRing, route: Option<&str>, principal: &str) -> Option<String> {
        if self.own.len() > MAX_OWN_BYTES {
            return None;
        }
        let [upstream, tool, own] = [&self.upstream, &self.tool, &self.own].map(|part| part.to_string());
        let payload = serde_json::to_vec(&Sealed(upstream, tool, own)).expect("texts can be written");
        Some(keys.seal(binding(route, principal), UnixSeconds::now() + LIFE, &payload))
    }

    /// The task of an id, where it was made for the same path and principal.
    #[must_use]
    pub fn open(keys: &KeyRing, route: Option<&str>, principal: &str, id: &str) -> Option<Self> {
        let payload = keys.open(binding(route, principal), id, UnixSeconds::now()).ok()?;
        let Sealed(upstream, tool, own) = serde_json::from_slice(&payload).ok()?;
        Some(Self { upstream: upstream.into(), tool: tool.into(), own: own.into() })
    }
}

const fn binding<'a>(route: Option<&'a str>, principal: &'a str) -> Binding<'a> {
    Binding { purpose: Purpose::Task, route, principal }
}

// === impl TaskVerb ===

impl TaskVerb {
    /// The verb of a method that clients of this era know.
    #[must_use]
    pub fn of_method(method: &str, era: Era) -> Option<Self> {
        match (method, era) {
            ("tasks/get", _) => Some(Self::Get),
            ("tasks/cancel", _) => Some(Self::Cancel),
            ("tasks/result", Era::Legacy) => Some(Self::Result),
            ("tasks/update", Era::Modern) => Some(Self::Update),
            _ => None,
        }
    }

    /// Its method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Get => "tasks/get",
            Self::Result => "tasks/result",
            Self::Update => "tasks/update",
            Self::Cancel => "tasks/cancel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_use_to_its_caller_at_its_path_alone() {
        let keys = KeyRing::new().unwrap();
        let task = Task { upstream: "crm".into(), tool: "crm__find".into(), own: "7".into() };
        let id = task.seal(&keys, None, "apiKey:ci").unwrap();
        assert_eq!(Task::open(&keys, None, "apiKey:ci", &id), Some(task.clone()));
        for (route, principal) in [(None, "apiKey:other"), (Some("crm"), "apiKey:ci")] {
            assert_eq!(Task::open(&keys, route, principal, &id), None);
        }
        for id in ["", "7", ".", &id[1..], &format!("{id}x")] {
            assert_eq!(Task::open(&keys, None, "apiKey:ci", id), None, "{id}");
        }
        assert_ne!(task.seal(&keys, None, "apiKey:ci").unwrap(), id, "nobody can guess one");
    }

    #[test]
    fn a_state_is_no_task() {
        let keys = KeyRing::new().unwrap();
        let to = Binding { purpose: Purpose::State, route: None, principal: "apiKey:ci" };
        let state = keys.seal(to, UnixSeconds::now() + LIFE, br#"["crm","crm__find","7"]"#);
        assert_eq!(Task::open(&keys, None, "apiKey:ci", &state), None);
    }

    #[test]
    fn an_endless_id_of_a_server_is_not_sealed() {
        let task = Task { upstream: "crm".into(), tool: "crm__find".into(), own: "7".repeat(2000).into() };
        assert_eq!(task.seal(&KeyRing::new().unwrap(), None, "apiKey:ci"), None);
    }
}
