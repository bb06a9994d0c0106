//! Which sessions were ended by their clients, so that their ids, which could
//! still be opened, bring none of them back.

use quick_cache::sync::Cache;

use crate::seal::UnixSeconds;

/// How many are remembered. Beyond them some are forgotten, which lets nobody
/// in: a session is of use only to the principal that ended it.
const MAX_ENDED: usize = 100_000;

/// The keys of ended sessions, each with the moment its id expires by.
#[derive(Debug)]
pub(super) struct Ended(Cache<u128, UnixSeconds>);

// === impl Ended ===

impl Ended {
    pub(super) fn add(&self, session: u128, expires: UnixSeconds) {
        self.0.insert(session, expires);
    }

    pub(super) fn has(&self, session: u128) -> bool {
        self.0.contains_key(&session)
    }

    /// Forgets those whose ids have expired.
    pub(super) fn sweep(&self, now: UnixSeconds) {
        self.0.retain(|_, expires| *expires > now);
    }
}

impl Default for Ended {
    fn default() -> Self {
        Self(Cache::new(MAX_ENDED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_session_is_remembered_until_its_id_expires() {
        let ended = Ended::default();
        ended.add(1, UnixSeconds(10));
        ended.add(2, UnixSeconds(20));
        ended.sweep(UnixSeconds(10));
        assert_eq!((ended.has(1), ended.has(2), ended.has(3)), (false, true, false));
    }

    #[test]
    fn a_flood_of_ended_sessions_stays_within_bounds() {
        let ended = Ended::default();
        for session in 0..250_000 {
            ended.add(session, UnixSeconds(1));
        }
        assert!(ended.0.len() <= MAX_ENDED);
    }
}
