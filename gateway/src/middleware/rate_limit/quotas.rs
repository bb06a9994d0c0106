//! What is left of each limit, for each caller and tool.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::quality::RandomState;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use portcullis_policies::{Limit, LimitId, Per};

use crate::backends::tool::split_name;

/// Callers that one limit counts apart. Those beyond share one quota, so that
/// a flood of identities neither fills the memory nor gets around the limit.
const MAX_KEYS: usize = 65_536;

/// What is counted apart: a tool and a caller, hashed under random keys.
type Key = u128;

type Limiter<C> = RateLimiter<Key, BoundedStore, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Quotas that outlive a reload: as long as a limit stays the same, so does
/// what is left of it.
#[derive(Debug)]
pub struct LimiterStore<C: Clock = DefaultClock> {
    clock: C,
    limiters: Mutex<HashMap<LimitId, Arc<Limiter<C>>, RandomState>>,
    hashers: (RandomState, RandomState),
}

/// The quotas of one configuration.
#[derive(Debug)]
pub struct Quotas<C: Clock = DefaultClock> {
    clock: C,
    limiters: HashMap<LimitId, Arc<Limiter<C>>, RandomState>,
    /// Limits of upstreams, by the upstream's name; over names without it.
    upstreams: HashMap<Arc<str>, Vec<Arc<Limit>>, RandomState>,
    separator: Arc<str>,
    hashers: (RandomState, RandomState),
}

// === impl LimiterStore ===

impl<C: Clock + Clone + Default> Default for LimiterStore<C> {
    fn default() -> Self {
        Self::new(C::default())
    }
}

impl<C: Clock + Clone> LimiterStore<C> {
    /// No limit yet.
    pub fn new(clock: C) -> Self {
        Self { clock, limiters: Mutex::default(), hashers: (RandomState::default(), RandomState::default()) }
    }

    /// The quotas for these limits: those of policies, and those of upstreams
    /// under the upstream's name. Limits that are gone are forgotten.
    pub fn quotas<'a>(
        &self,
        policies: impl IntoIterator<Item = &'a Arc<Limit>>,
        upstreams: HashMap<Arc<str>, Vec<Arc<Limit>>>,
        separator: Arc<str>,
    ) -> Quotas<C> {
        let mut kept = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let of_policies = policies.into_iter().cloned();
        let limits: Vec<_> = of_policies.chain(upstreams.values().flatten().cloned()).collect();
        let limiters: HashMap<_, _, _> = limits
            .iter()
            .map(|limit| {
                let limiter = kept.get(&limit.id()).cloned();
                (limit.id(), limiter.unwrap_or_else(|| Arc::new(limiter_of(limit, self.clock.clone()))))
            })
            .collect();
        kept.clone_from(&limiters);
        let upstreams = upstreams.into_iter().collect();
        Quotas { clock: self.clock.clone(), limiters, upstreams, separator, hashers: self.hashers.clone() }
    }

    /// Forgets callers whose quota is full again.
    pub fn sweep(&self) {
        let limiters: Vec<_> = self.limiters.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for limiter in limiters {
            limiter.retain_recent();
        }
    }
}

// === impl Quotas ===

impl<C: Clock> Quotas<C> {
    /// Spends one call of each limit that applies.
    ///
    /// A call that one limit refuses may have spent of those looked at before.
    ///
    /// # Errors
    ///
    /// How long until the same call may pass.
    pub fn spend(
        &self,
        tool: &str,
        principal: &str,
        ip: Option<IpAddr>,
        of_policies: &[Arc<Limit>],
    ) -> Result<(), Duration> {
        let (upstream, short_name) = split_name(tool, &self.separator).unwrap_or((tool, tool));
        let of_upstream =
            self.upstreams.get(upstream).into_iter().flatten().filter(|limit| limit.tools().matches(short_name));
        for limit in of_policies.iter().chain(of_upstream) {
            let Some(limiter) = self.limiters.get(&limit.id()) else { continue };
            let key = self.key(tool, limit.per(), principal, ip);
            if let Err(until) = limiter.check_key(&key) {
                return Err(until.wait_time_from(self.clock.now()));
            }
        }
        Ok(())
    }

    fn key(&self, tool: &str, per: Per, principal: &str, ip: Option<IpAddr>) -> Key {
        let hash = |hasher: &RandomState| match per {
            Per::Principal => hasher.hash_one((tool, principal)),
            Per::Ip => hasher.hash_one((tool, ip.map(network_of))),
            Per::Policy => hasher.hash_one(tool),
        };
        u128::from(hash(&self.hashers.0)) << 64 | u128::from(hash(&self.hashers.1))
    }
}

/// What one party holds: an IPv4 address, or an IPv6 network of 64 bits
/// (RFC 6177), whose addresses it can change at will.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn limiter_of<C: Clock>(limit: &Limit, clock: C) -> Limiter<C> {
    let interval = limit.rate().period() / limit.rate().count().get();
    let quota = Quota::with_period(interval.max(Duration::from_nanos(1)))
        .expect("an interval of at least a nanosecond")
        .allow_burst(limit.burst());
    RateLimiter::new(quota, BoundedStore::default(), clock)
}

/// The states of one limit's callers, at most [`MAX_KEYS`].
#[derive(Debug, Default)]
struct BoundedStore {
    states: DashMapStateStore<Key, RandomState>,
    entries: AtomicUsize,
    overflow: InMemoryState,
}

// === impl BoundedStore ===

impl StateStore for BoundedStore {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if let Some(state) = self.states.get(key) {
            return state.measure_and_replace(&NotKeyed::NonKey, f);
        }
        if self.entries.load(Ordering::Relaxed) >= MAX_KEYS {
            return self.overflow.measure_and_replace(&NotKeyed::NonKey, f);
        }
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.states.measure_and_replace(key, f)
    }
}

impl ShrinkableKeyedStateStore<Key> for BoundedStore {
    fn retain_recent(&self, drop_below: Nanos) {
        self.states.retain_recent(drop_below);
        self.entries.store(DashMap::len(&self.states), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        DashMap::len(&self.states)
    }

    fn is_empty(&self) -> bool {
        DashMap::is_empty(&self.states)
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use portcullis_policies::{Glob, Globs, Rate};

    use super::*;

    fn limit(rate: &str, burst: Option<u32>, per: Per) -> Arc<Limit> {
        let tools = Globs::new(["*".parse::<Glob>().unwrap()]);
        let burst = burst.map(|burst| burst.try_into().unwrap());
        Arc::new(Limit::new("p", tools, rate.parse::<Rate>().unwrap(), burst, per))
    }

    fn quotas(store: &LimiterStore<FakeRelativeClock>, limit: &Arc<Limit>) -> Quotas<FakeRelativeClock> {
        store.quotas([limit], HashMap::new(), "__".into())
    }

    #[test]
    fn a_spent_quota_says_when_it_has_one_left_again() {
        let clock = FakeRelativeClock::default();
        let limit = limit("60/minute", Some(2), Per::Principal);
        let quotas = quotas(&LimiterStore::new(clock.clone()), &limit);
        let spend = || quotas.spend("t", "alice", None, std::slice::from_ref(&limit));
        assert_eq!([spend(), spend()], [Ok(()), Ok(())]);
        assert_eq!(spend(), Err(Duration::from_secs(1)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(spend(), Ok(()));
    }

    #[test]
    fn callers_tools_and_addresses_are_counted_apart() {
        let store = LimiterStore::new(FakeRelativeClock::default());
        let one = |per| limit("1/hour", None, per);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let each = [
            (Per::Principal, [true, true, false]),
            (Per::Ip, [false, true, true]),
            (Per::Policy, [false, true, false]),
        ];
        for (per, expected) in each {
            let limit = one(per);
            let quotas = quotas(&store, &limit);
            let spend = |tool, who, ip| quotas.spend(tool, who, Some(ip), std::slice::from_ref(&limit)).is_ok();
            assert!(spend("t", "alice", a));
            assert_eq!([spend("t", "bob", a), spend("u", "alice", a), spend("t", "alice", b)], expected, "{per:?}");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_quota() {
        let limit = limit("1/hour", None, Per::Ip);
        let quotas = quotas(&LimiterStore::new(FakeRelativeClock::default()), &limit);
        let spend = |ip: &str| quotas.spend("t", "x", Some(ip.parse().unwrap()), std::slice::from_ref(&limit)).is_ok();
        assert!(spend("2001:db8::1"));
        assert!(!spend("2001:db8::2"));
        assert!(spend("2001:db8:0:1::1"));
    }

    #[test]
    fn what_is_left_outlives_a_reload() {
        let store = LimiterStore::new(FakeRelativeClock::default());
        let limit = limit("1/hour", None, Per::Principal);
        assert!(quotas(&store, &limit).spend("t", "a", None, std::slice::from_ref(&limit)).is_ok());
        assert!(quotas(&store, &limit).spend("t", "a", None, std::slice::from_ref(&limit)).is_err());
    }

    #[test]
    fn a_flood_of_callers_stays_within_bounds_and_shares_one_quota() {
        let clock = FakeRelativeClock::default();
        let store = LimiterStore::new(clock.clone());
        let limit = limit("1/hour", None, Per::Principal);
        let quotas = quotas(&store, &limit);
        let passed = (0..MAX_KEYS + 1000)
            .filter(|n| quotas.spend("t", &n.to_string(), None, std::slice::from_ref(&limit)).is_ok())
            .count();
        assert_eq!(passed, MAX_KEYS + 1);
        let limiter = quotas.limiters[&limit.id()].clone();
        assert!(limiter.len() <= MAX_KEYS);
        clock.advance(Duration::from_secs(7200));
        store.sweep();
        assert!(limiter.is_empty());
        assert!(quotas.spend("t", "late", None, std::slice::from_ref(&limit)).is_ok());
    }

    #[test]
    fn an_upstreams_limit_applies_to_its_tools() {
        let store = LimiterStore::new(FakeRelativeClock::default());
        let limit = limit("1/hour", None, Per::Policy);
        let quotas = store.quotas([], [(Arc::from("crm"), vec![limit])].into(), "__".into());
        assert!(quotas.spend("crm__find", "a", None, &[]).is_ok());
        assert!(quotas.spend("crm__find", "b", None, &[]).is_err());
        assert!(quotas.spend("erp__find", "b", None, &[]).is_ok());
    }

    #[test]
    fn an_upstreams_limit_names_its_tools_without_the_prefix() {
        let store = LimiterStore::new(FakeRelativeClock::default());
        let tools = Globs::new(["find".parse::<Glob>().unwrap()]);
        let limit = Arc::new(Limit::new("upstream crm", tools, "1/hour".parse().unwrap(), None, Per::Principal));
        let quotas = store.quotas([], [(Arc::from("crm"), vec![limit])].into(), "__".into());
        assert!(quotas.spend("crm__find", "a", None, &[]).is_ok());
        assert!(quotas.spend("crm__find", "a", None, &[]).is_err());
        assert!(quotas.spend("crm__list", "a", None, &[]).is_ok());
        assert!(quotas.spend("crm__list", "a", None, &[]).is_ok());
    }
}
