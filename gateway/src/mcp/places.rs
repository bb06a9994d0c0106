//! Bounds to what callers leave open: so much in all, and so much of each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places there are for one kind of thing.
#[derive(Debug)]
pub struct Places {
    max: usize,
    max_of_caller: usize,
    taken: Mutex<HashMap<Caller, usize>>,
}

/// Whom things are counted for: a principal. Who has no credential cannot be
/// told from others by name, and counts by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    name: Arc<str>,
    address: Option<IpAddr>,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    caller: Caller,
}

// === impl Places ===

impl Places {
    /// So many, and so many of them for one caller.
    #[must_use]
    pub fn new(max: usize, max_of_caller: usize) -> Self {
        Self { max, max_of_caller, taken: Mutex::default() }
    }

    /// Takes a place; `None` if there is none.
    #[must_use]
    pub fn take(self: &Arc<Self>, caller: Caller) -> Option<Place> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.max {
            return None;
        }
        let of_caller = taken.entry(caller.clone()).or_default();
        if *of_caller >= self.max_of_caller {
            return None;
        }
        *of_caller += 1;
        Some(Place { places: Arc::clone(self), caller })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Caller ===

impl Caller {
    /// Who has proved to be the principal of this name.
    #[must_use]
    pub fn new(principal: Arc<str>, address: Option<IpAddr>) -> Self {
        let address = address.filter(|_| *principal == *"anonymous");
        Self { name: principal, address }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(of_caller) = taken.get_mut(&self.caller) {
            *of_caller -= 1;
            if *of_caller == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn caller(name: &str, last: u8) -> Caller {
        Caller::new(name.into(), Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))))
    }

    #[test]
    fn a_caller_has_so_many_places_and_others_have_theirs() {
        let places = Arc::new(Places::new(100, 3));
        for (full, same, other) in [
            (caller("alice", 1), caller("alice", 2), caller("bob", 1)),
            (caller("anonymous", 1), caller("anonymous", 1), caller("anonymous", 2)),
        ] {
            let mut taken: Vec<Place> = (0..3).map(|_| places.take(full.clone()).expect("there is room")).collect();
            assert!(places.take(same).is_none());
            assert!(places.take(other).is_some());
            taken.pop();
            assert!(places.take(full).is_some());
        }
        assert!(places.taken().is_empty());
    }

    #[test]
    fn all_callers_together_are_bounded() {
        let places = Arc::new(Places::new(5, 3));
        let take = |index: usize| places.take(Caller::new(index.to_string().into(), None));
        let mut taken: Vec<_> = (0..5).map(|index| take(index).expect("there is room")).collect();
        assert!(take(5).is_none());
        taken.pop();
        assert!(take(5).is_some());
    }
}
