//! Tells every client that something changed, each in its revision's way: on
//! the open stream of a session, or on a `subscriptions/listen`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::SubscriptionSink;
use rmcp::{Peer, RoleServer};

/// What can change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    /// The list of tools.
    Tools,
    /// The list of prompts.
    Prompts,
    /// The list of resources.
    Resources,
    /// This one resource.
    Resource(&'static str),
}

/// The resources that one session subscribed to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(Arc<Mutex<HashSet<String>>>);

/// Everyone who wants to know.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    sessions: Mutex<Vec<(Peer<RoleServer>, Watched)>>,
    listeners: Mutex<(u64, BTreeMap<u64, SubscriptionSink>)>,
}

// === impl Watched ===

impl Watched {
    pub(crate) fn add(&self, uri: String) {
        locked(&self.0).insert(uri);
    }

    pub(crate) fn remove(&self, uri: &str) {
        locked(&self.0).remove(uri);
    }

    fn contains(&self, uri: &str) -> bool {
        locked(&self.0).contains(uri)
    }
}

// === impl Changes ===

impl Changes {
    /// A session hears of changes until it ends.
    pub(crate) fn join(&self, peer: Peer<RoleServer>, watched: Watched) {
        let mut sessions = locked(&self.sessions);
        sessions.retain(|(peer, _)| !peer.is_transport_closed());
        sessions.push((peer, watched));
    }

    /// A listener hears of changes until [`Changes::leave`] with the number this returns.
    pub(crate) fn listen(&self, sink: SubscriptionSink) -> u64 {
        let (next, listeners) = &mut *locked(&self.listeners);
        *next += 1;
        listeners.insert(*next, sink);
        *next
    }

    pub(crate) fn leave(&self, listener: u64) {
        locked(&self.listeners).1.remove(&listener);
    }

    /// Tells everyone who wants to know of this change. Who cannot be told has gone.
    pub(crate) async fn announce(&self, change: Change) {
        let sessions = locked(&self.sessions).clone();
        for (peer, watched) in sessions {
            let _ = match change {
                Change::Tools => peer.notify_tool_list_changed().await,
                Change::Prompts => peer.notify_prompt_list_changed().await,
                Change::Resources => peer.notify_resource_list_changed().await,
                Change::Resource(uri) if watched.contains(uri) => {
                    peer.notify_resource_updated(ResourceUpdatedNotificationParam::new(uri)).await
                }
                Change::Resource(_) => Ok(()),
            };
        }
        let listeners: Vec<_> = locked(&self.listeners).1.values().cloned().collect();
        for sink in listeners {
            // The sink itself keeps to what was subscribed.
            let _ = match change {
                Change::Tools => sink.notify_tool_list_changed().await,
                Change::Prompts => sink.notify_prompt_list_changed().await,
                Change::Resources => sink.notify_resource_list_changed().await,
                Change::Resource(uri) => sink.notify_resource_updated(uri).await,
            };
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
