//! All policies in force, and what they come to for each caller and target.
//!
//! A call is one look into a cache, however many policies there are. The caches
//! live and die with the set: a reload makes a new one and forgets everything.

#[cfg(test)]
mod tests;

use crate::{
    access::{Access, CallFacts},
    compile::{Policy, compile},
    explanation::{Explanation, explain},
    limit::Limit,
    principal::{Fingerprint, Principal},
    tool::Target,
    yaml::{Document, Fault},
};
use quick_cache::{Equivalent, Weighter, sync::Cache};
use std::{
    fmt,
    hash::{Hash, Hasher},
    mem::discriminant,
    sync::Arc,
};

/// Most accesses remembered, fewer where they are large.
const MAX_ACCESSES: usize = 65_536;
/// Most callers whose policies are remembered, fewer where these are many.
const MAX_STANDINGS: usize = 16_384;
/// Longer names, in bytes, are decided each time: nobody serves them, and whoever
/// makes them up shall not fill the cache with them.
const MAX_REMEMBERED_NAME: usize = 1024;

/// The policies in force. The default denies everything.
pub struct PolicySet {
    policies: Vec<Arc<Policy>>,
    accesses: Cache<Key, Arc<Access>, AccessWeight>,
    /// Indices of the policies that fit a principal.
    standings: Cache<Fingerprint, Arc<[u32]>, StandingWeight>,
}

/// Whose access to what. Matches a [`KeyRef`] without being built.
#[derive(Debug)]
struct Key {
    fingerprint: Fingerprint,
    kind: Kind,
    name: Box<str>,
}

/// A [`Key`] borrowed from a call.
#[derive(Clone, Copy)]
struct KeyRef<'a> {
    fingerprint: Fingerprint,
    target: Target<'a>,
}

type Kind = std::mem::Discriminant<Target<'static>>;

#[derive(Clone, Copy)]
struct AccessWeight;

#[derive(Clone, Copy)]
struct StandingWeight;

// === impl PolicySet ===

impl PolicySet {
    /// Compiles the policies of all `documents` into one set.
    ///
    /// # Errors
    ///
    /// Every fault in every document, and names used twice.
    pub fn compile(documents: &[Document]) -> Result<Self, Vec<Fault>> {
        let policies = compile(documents)?;
        Ok(Self::new(policies.into_iter().map(Arc::new).collect()))
    }

    fn new(policies: Vec<Arc<Policy>>) -> Self {
        Self {
            policies,
            accesses: Cache::with_weighter(MAX_ACCESSES, MAX_ACCESSES as u64, AccessWeight),
            standings: Cache::with_weighter(MAX_STANDINGS, MAX_STANDINGS as u64, StandingWeight),
        }
    }

    /// What `principal` may do with `target`. Decided once and remembered.
    pub fn access(&self, principal: &Principal, target: Target<'_>) -> Arc<Access> {
        let key = KeyRef { fingerprint: principal.fingerprint(), target };
        if let Some(access) = self.accesses.get(&key) {
            return access;
        }
        let access = Arc::new(self.resolve(principal, target));
        if target.name().len() <= MAX_REMEMBERED_NAME {
            self.accesses.insert(key.into(), Arc::clone(&access));
        }
        access
    }

    /// What every policy has to say about a call, and what comes of it.
    pub fn explain(&self, principal: &Principal, target: Target<'_>, facts: &CallFacts<'_>) -> Explanation {
        explain(&self.policies, principal, target, facts)
    }

    /// The names of the policies, in the order of files.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.policies.iter().map(|policy| &*policy.name)
    }

    /// All limits that any policy states.
    pub fn limits(&self) -> impl Iterator<Item = &Arc<Limit>> {
        self.policies.iter().flat_map(|policy| &policy.limits)
    }

    fn resolve(&self, principal: &Principal, target: Target<'_>) -> Access {
        let standing = self.standing(principal);
        let policies = standing.iter().map(|index| Arc::clone(&self.policies[*index as usize]));
        Access::new(principal, target, policies)
    }

    fn standing(&self, principal: &Principal) -> Arc<[u32]> {
        let fingerprint = principal.fingerprint();
        if let Some(standing) = self.standings.get(&fingerprint) {
            return standing;
        }
        let fitting = (0u32..).zip(&self.policies).filter(|(_, policy)| {
            let subjects = policy.subjects.as_ref();
            subjects.is_none_or(|subjects| subjects.fit(principal))
        });
        let standing: Arc<[u32]> = fitting.map(|(index, _)| index).collect();
        self.standings.insert(fingerprint, Arc::clone(&standing));
        standing
    }
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

// === impl Key ===

impl From<KeyRef<'_>> for Key {
    fn from(key: KeyRef<'_>) -> Self {
        Self { fingerprint: key.fingerprint, kind: kind(key.target), name: key.target.name().into() }
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.fingerprint == key.fingerprint && kind(self.target) == key.kind && self.target.name() == &*key.name
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint && self.kind == other.kind && self.name == other.name
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.fingerprint, self.kind, &*self.name).hash(state);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.fingerprint, kind(self.target), self.target.name()).hash(state);
    }
}

fn kind(target: Target<'_>) -> Kind {
    discriminant(&match target {
        Target::Tool(_) => Target::Tool(""),
        Target::Resource(_) => Target::Resource(""),
        Target::Prompt(_) => Target::Prompt(""),
    })
}

// === impl weights ===

impl Weighter<Key, Arc<Access>> for AccessWeight {
    fn weight(&self, key: &Key, access: &Arc<Access>) -> u64 {
        access.weight() + key.name.len() as u64 / 128
    }
}

impl Weighter<Fingerprint, Arc<[u32]>> for StandingWeight {
    fn weight(&self, _: &Fingerprint, standing: &Arc<[u32]>) -> u64 {
        1 + standing.len() as u64 / 32
    }
}
