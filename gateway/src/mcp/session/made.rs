//! The tasks that a session's client made: what it may see listed, and under
//! which id it knows each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mcp::task::Task;

/// Tasks remembered of one session; the oldest are forgotten first. They can
/// be used all the same: their ids say what they are.
const MAX_REMEMBERED: usize = 256;

/// The tasks of one session.
#[derive(Debug, Default)]
pub struct Made(Mutex<VecDeque<(Arc<Task>, Arc<str>)>>);

// === impl Made ===

impl Made {
    /// Remembers a task, and its id for the client.
    pub fn add(&self, task: Task, id: &str) {
        let mut tasks = self.tasks();
        if tasks.len() == MAX_REMEMBERED {
            tasks.pop_front();
        }
        tasks.push_back((Arc::new(task), id.into()));
    }

    /// The id for the client of a task that an upstream knows as `own`.
    #[must_use]
    pub fn id_of(&self, upstream: &str, own: &str) -> Option<Arc<str>> {
        let tasks = self.tasks();
        let found = tasks.iter().find(|(task, _)| *task.upstream == *upstream && *task.own == *own);
        found.map(|(_, id)| Arc::clone(id))
    }

    /// The tasks at one upstream, each with its id for the client.
    #[must_use]
    pub fn at(&self, upstream: &str) -> Vec<(Arc<Task>, Arc<str>)> {
        self.tasks().iter().filter(|(task, _)| *task.upstream == *upstream).cloned().collect()
    }

    fn tasks(&self) -> MutexGuard<'_, VecDeque<(Arc<Task>, Arc<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_make_room() {
        let made = Made::default();
        for number in 0..=MAX_REMEMBERED {
            let own = number.to_string();
            made.add(
                Task { upstream: "crm".into(), tool: "crm__t".into(), own: own.as_str().into(), core: None },
                &own,
            );
        }
        assert_eq!(made.at("crm").len(), MAX_REMEMBERED);
        assert_eq!(made.id_of("crm", "0"), None);
        assert_eq!(made.id_of("crm", "1").as_deref(), Some("1"));
        assert!(made.id_of("files", "1").is_none() && made.at("files").is_empty());
    }
}
