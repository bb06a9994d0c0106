//! Who wants to hear of which resources of one server, over one link.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::quality::RandomState;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, watch};

use super::link::Link;
use crate::backends::Hear;
use crate::mcp::update::{self, Update};

/// Resources that are subscribed to at one server.
const MAX_RESOURCES: usize = 10_000;
/// Turns at the server: resources that share one wait for each other.
const TURNS: usize = 16;

/// Those who hear of resources, by their URIs at the server.
#[derive(Debug)]
pub(super) struct Subscribers {
    state: Mutex<State>,
    /// Counts the changes of what is wanted.
    version: watch::Sender<u64>,
    /// Taken in turn, so that what is said to the server of one resource is
    /// said in order.
    turns: [Turn<()>; TURNS],
    hasher: RandomState,
    /// The agreement under which all of them were made.
    under: Mutex<Option<Weak<Link>>>,
}

#[derive(Default)]
struct State {
    hearers: HashMap<Arc<str>, Vec<(u64, Hear)>>,
    last: u64,
}

// === impl Subscribers ===

impl Subscribers {
    /// Adds one who hears of a resource; says by which number it leaves.
    /// `None` if there are too many resources.
    pub(super) fn add(&self, uri: &Arc<str>, hear: Hear) -> Option<u64> {
        let mut state = self.state();
        if state.hearers.len() >= MAX_RESOURCES && !state.hearers.contains_key(uri) {
            return None;
        }
        state.last += 1;
        let number = state.last;
        let hearers = state.hearers.entry(Arc::clone(uri)).or_default();
        hearers.push((number, hear));
        let is_first = hearers.len() == 1;
        drop(state);
        if is_first {
            self.version.send_modify(|version| *version += 1);
        }
        Some(number)
    }

    /// Takes it out again.
    pub(super) fn remove(&self, uri: &str, number: u64) {
        let mut state = self.state();
        let Some(hearers) = state.hearers.get_mut(uri) else { return };
        let index = hearers.iter().position(|(other, _)| *other == number);
        let left = index.map(|index| hearers.swap_remove(index));
        let was_last = hearers.is_empty();
        if was_last {
            state.hearers.remove(uri);
        }
        drop(state);
        drop(left);
        if was_last {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// Whether somebody wants to hear of this resource.
    pub(super) fn has(&self, uri: &str) -> bool {
        self.state().hearers.contains_key(uri)
    }

    /// The resources that somebody wants to hear of.
    pub(super) fn resources(&self) -> Vec<Arc<str>> {
        self.state().hearers.keys().cloned().collect()
    }

    /// Whether nobody wants to hear of anything.
    pub(super) fn is_empty(&self) -> bool {
        self.state().hearers.is_empty()
    }

    /// Tells everybody that what they want to hear of may have changed, because
    /// nobody listened for a while.
    pub(super) fn tell_all(&self) {
        self.resources().iter().for_each(|uri| update::unheard(uri, |update| self.tell(update)));
    }

    /// Counts the changes of what is wanted.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Waits for the turn to speak to the server of a resource.
    pub(super) async fn turn(&self, uri: &str) -> TurnGuard<'_, ()> {
        let index = usize::try_from(self.hasher.hash_one(uri) % TURNS as u64).unwrap_or(0);
        self.turns[index].lock().await
    }

    /// A subscription was made under this agreement: so were all, if it is the
    /// first.
    pub(super) fn made_under(&self, link: &Arc<Link>) {
        self.under().get_or_insert_with(|| Arc::downgrade(link));
    }

    /// All of them were made under this agreement.
    pub(super) fn are_now_under(&self, link: &Arc<Link>) {
        *self.under() = Some(Arc::downgrade(link));
    }

    /// Whether all of them were made under this agreement.
    pub(super) fn are_under(&self, link: &Arc<Link>) -> bool {
        self.under().as_ref().is_some_and(|under| under.as_ptr() == Arc::as_ptr(link))
    }

    /// Tells of a change. Servers may name a part of what was subscribed to:
    /// then those hear it who subscribed to what it is a part of.
    pub(super) fn tell(&self, update: &Update<'_>) {
        let state = self.state();
        let hearers: Vec<Hear> = match state.hearers.get(update.uri.as_str()) {
            Some(hearers) => hearers.iter().map(|(_, hear)| Arc::clone(hear)).collect(),
            None => {
                let wholes = state.hearers.iter().filter(|(whole, _)| is_part(&update.uri, whole));
                wholes.flat_map(|(_, hearers)| hearers.iter().map(|(_, hear)| Arc::clone(hear))).collect()
            }
        };
        drop(state);
        hearers.iter().for_each(|hear| hear(update));
    }

    fn under(&self) -> MutexGuard<'_, Option<Weak<Link>>> {
        self.under.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Subscribers {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            version: watch::Sender::new(0),
            turns: std::array::from_fn(|_| Turn::default()),
            hasher: RandomState::default(),
            under: Mutex::default(),
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("resources", &self.hearers.len()).finish_non_exhaustive()
    }
}

/// Whether a URI names something below another.
fn is_part(uri: &str, whole: &str) -> bool {
    uri.strip_prefix(whole).is_some_and(|rest| whole.ends_with('/') || rest.starts_with(['/', '#', '?']))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::mcp::answer::{UpstreamKind, UpstreamMessage};

    fn tell(subscribers: &Subscribers, uri: &str) {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"uri":"{uri}"}}}}"#);
        let message = UpstreamMessage::scan(Bytes::from(text)).unwrap();
        let UpstreamKind::Notification { params: Some(params), .. } = message.kind else { panic!("a notification") };
        subscribers.tell(&Update::read(&message, params).unwrap());
    }

    #[test]
    fn who_subscribed_to_a_resource_or_to_what_it_is_part_of_hears() {
        let subscribers = Subscribers::default();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        for uri in ["a:b", "a:b/", "a:bc", "a:b/c"] {
            let heard = Arc::clone(&heard);
            let hear: Hear =
                Arc::new(move |update: &Update<'_>| heard.lock().unwrap().push(format!("{uri} {}", update.uri)));
            subscribers.add(&uri.into(), hear).unwrap();
        }
        for (updated, hearers) in [
            ("a:b", vec!["a:b a:b"]),
            ("a:b/d", vec!["a:b a:b/d", "a:b/ a:b/d"]),
            ("a:b/c", vec!["a:b/c a:b/c"]),
            ("a:", vec![]),
        ] {
            tell(&subscribers, updated);
            let mut heard = std::mem::take(&mut *heard.lock().unwrap());
            heard.sort();
            assert_eq!(heard, hearers, "{updated}");
        }
    }

    #[test]
    fn what_is_wanted_changes_with_the_first_and_the_last() {
        let subscribers = Subscribers::default();
        let mut version = subscribers.version();
        let changed = |version: &mut watch::Receiver<u64>| {
            let changed = version.has_changed().unwrap();
            version.mark_unchanged();
            changed
        };
        let (uri, hear): (Arc<str>, Hear) = ("a:b".into(), Arc::new(|_: &Update<'_>| {}));
        let first = subscribers.add(&uri, Arc::clone(&hear)).unwrap();
        assert!(changed(&mut version) && subscribers.has(&uri));
        let second = subscribers.add(&uri, hear).unwrap();
        subscribers.remove(&uri, first);
        subscribers.remove(&uri, first);
        assert!(!changed(&mut version) && subscribers.resources() == [Arc::clone(&uri)]);
        subscribers.remove(&uri, second);
        assert!(changed(&mut version) && !subscribers.has(&uri));
    }

    #[test]
    fn resources_are_bounded() {
        let subscribers = Subscribers::default();
        let add = |uri: String| subscribers.add(&uri.into(), Arc::new(|_: &Update<'_>| {}));
        assert!((0..MAX_RESOURCES).all(|index| add(index.to_string()).is_some()));
        assert!(add("more".to_owned()).is_none() && add("0".to_owned()).is_some());
    }
}
