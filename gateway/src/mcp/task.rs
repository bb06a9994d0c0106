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

use super::capabilities::Capabilities;
use super::json::Members;
use super::scanner::string;
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
/// A task is asked about no more often, and so often where its server says
/// nothing of it.
pub const FASTEST: Duration = Duration::from_millis(500);
/// It is asked about no more seldom.
pub const SLOWEST: Duration = Duration::from_secs(30);
/// By this code a server says that it knows no such task (MCP 2025-11-25,
/// "Tasks"; the extension of 2026-07-28).
pub const UNKNOWN: i64 = -32602;
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
    /// Where a stateless client made it at a server with a handshake.
    pub core: Option<Core>,
}

/// A task of the core of 2025-11-25 that a stateless client has made: which of
/// its principal's sessions at the server it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core {
    /// What the client can be asked.
    pub abilities: Capabilities,
    /// What tells the session from all others; `None` where the server has none.
    pub session: Option<u128>,
    /// The replica that has the session.
    pub home: Option<Arc<str>>,
}

/// How a task stands; both eras have the same words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It goes on.
    Working,
    /// It waits for its client.
    InputRequired,
    /// It has a result.
    Completed,
    /// It has none.
    Failed,
    /// It was ended before.
    Cancelled,
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
struct Sealed(String, String, String, #[serde(default)] Option<Core>);

/// How long to wait before a task is asked about again of which a server said
/// this: as long as it says, within bounds.
#[must_use]
pub fn pause(standing: &str) -> Duration {
    let asked = Members::get(standing, "pollIntervalMs").and_then(|millis| millis.parse().ok());
    asked.map_or(FASTEST, Duration::from_millis).clamp(FASTEST, SLOWEST)
}

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
        let payload =
            serde_json::to_vec(&Sealed(upstream, tool, own, self.core.clone())).expect("texts can be written");
        Some(keys.seal(binding(route, principal), UnixSeconds::now() + LIFE, &payload))
    }

    /// The task of an id, where it was made for the same path and principal.
    #[must_use]
    pub fn open(keys: &KeyRing, route: Option<&str>, principal: &str, id: &str) -> Option<Self> {
        let payload = keys.open(binding(route, principal), id, UnixSeconds::now()).ok()?;
        let Sealed(upstream, tool, own, core) = serde_json::from_slice(&payload).ok()?;
        Some(Self { upstream: upstream.into(), tool: tool.into(), own: own.into(), core })
    }

    /// The replica that alone can reach it, where that is another process.
    #[must_use]
    pub fn elsewhere(&self, keys: &KeyRing) -> Option<&Arc<str>> {
        let (own, home) = (keys.home()?, self.core.as_ref()?.home.as_ref()?);
        (home != own).then_some(home)
    }
}

const fn binding<'a>(route: Option<&'a str>, principal: &'a str) -> Binding<'a> {
    Binding { purpose: Purpose::Task, route, principal }
}

// === impl Status ===

impl Status {
    const ALL: [Self; 5] = [Self::Working, Self::InputRequired, Self::Completed, Self::Failed, Self::Cancelled];

    /// What an object says of a task; `None` where it says nothing that is known.
    #[must_use]
    pub fn of(standing: &str) -> Option<Self> {
        let said = string(Members::get(standing, "status")?)?;
        Self::ALL.into_iter().find(|status| status.as_str() == said)
    }

    /// As messages have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        !matches!(self, Self::Working | Self::InputRequired)
    }
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
        let task = Task { upstream: "crm".into(), tool: "crm__find".into(), own: "7".into(), core: None };
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
    fn a_task_is_asked_about_at_its_own_pace_within_bounds() {
        for (said, expected) in [
            ("{}", FASTEST),
            (r#"{"pollIntervalMs":1}"#, FASTEST),
            (r#"{"pollIntervalMs":-1}"#, FASTEST),
            (r#"{"pollIntervalMs":"x"}"#, FASTEST),
            (r#"{"pollIntervalMs":2000}"#, Duration::from_secs(2)),
            (r#"{"pollIntervalMs":99999999999}"#, SLOWEST),
            ("[]", FASTEST),
        ] {
            assert_eq!(pause(said), expected, "{said}");
        }
    }

    #[test]
    fn a_task_of_the_core_says_which_replica_can_reach_it() {
        let keys = KeyRing::new().unwrap();
        let abilities = Capabilities::read(r#"{"elicitation":{}}"#);
        let core = Core { abilities, session: Some(u128::MAX), home: Some("a:1".into()) };
        let task = Task { upstream: "crm".into(), tool: "crm__find".into(), own: "7".into(), core: Some(core) };
        let id = task.seal(&keys, None, "apiKey:ci").unwrap();
        assert_eq!(Task::open(&keys, None, "apiKey:ci", &id), Some(task.clone()));
        assert_eq!(task.elsewhere(&keys), None, "there is no other replica");
        let [home, other] = ["a:1", "b:1"].map(|own| {
            let keys = KeyRing::new().unwrap();
            keys.settle(own.into());
            keys
        });
        assert_eq!((task.elsewhere(&home), task.elsewhere(&other).map(|home| &**home)), (None, Some("a:1")));
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
        let task = Task { upstream: "crm".into(), tool: "crm__find".into(), own: "7".repeat(2000).into(), core: None };
        assert_eq!(task.seal(&KeyRing::new().unwrap(), None, "apiKey:ci"), None);
    }
}
