//! Tokens that were verified lately, so that each is verified once.

use std::sync::Arc;

use portcullis_policies::Principal;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::auth::api_key::CredentialDigest;

/// How many bytes of tokens are remembered, measured as they came.
const CAPACITY_BYTES: u64 = 4 * 1024 * 1024;
/// How many tokens that is, as a guess.
const USUAL_TOKENS: usize = 4096;
/// The longest that a token is believed without another look at its issuer's
/// keys, in seconds: within this time the withdrawal of a key takes hold.
pub(crate) const MAX_SECONDS: u64 = 300;

/// A bounded memory of verified tokens, by digest: the tokens themselves are
/// not kept.
#[derive(Debug)]
pub(crate) struct VerifiedTokens(Cache<CredentialDigest, Verified, ByBytes>);

#[derive(Clone, Debug)]
struct Verified {
    principal: Arc<Principal>,
    /// Unix seconds: from when, and until before when, this counts.
    from: u64,
    until: u64,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct ByBytes;

// === impl VerifiedTokens ===

impl VerifiedTokens {
    /// The principal of a token that was verified and is still good.
    pub(crate) fn get(&self, digest: &CredentialDigest, now: u64) -> Option<Arc<Principal>> {
        let verified = self.0.get(digest)?;
        // A clock that was set back makes us look again.
        if (verified.from..verified.until).contains(&now) {
            return Some(verified.principal);
        }
        self.0.remove(digest);
        None
    }

    /// Remembers a token that was verified at `now` and expires at `expiry`.
    pub(crate) fn insert(
        &self,
        digest: CredentialDigest,
        principal: Arc<Principal>,
        bytes: usize,
        now: u64,
        expiry: u64,
    ) {
        let until = expiry.min(now.saturating_add(MAX_SECONDS));
        self.0.insert(digest, Verified { principal, from: now, until, bytes: bytes as u64 });
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self(Cache::with_weighter(USUAL_TOKENS, CAPACITY_BYTES, ByBytes))
    }
}

// === impl ByBytes ===

impl Weighter<CredentialDigest, Verified> for ByBytes {
    fn weight(&self, _: &CredentialDigest, verified: &Verified) -> u64 {
        verified.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal() -> Arc<Principal> {
        Arc::new(Principal::new("jwt:i#s"))
    }

    #[test]
    fn a_token_is_forgotten_when_it_expires() {
        let tokens = VerifiedTokens::default();
        tokens.insert([1; 32], principal(), 100, 1000, 1010);
        assert!(tokens.get(&[1; 32], 1009).is_some());
        assert!(tokens.get(&[1; 32], 1010).is_none());
        assert!(tokens.get(&[1; 32], 1009).is_none());
    }

    #[test]
    fn a_long_lived_token_is_looked_at_again_after_five_minutes() {
        let tokens = VerifiedTokens::default();
        tokens.insert([1; 32], principal(), 100, 1000, u64::MAX);
        assert!(tokens.get(&[1; 32], 1299).is_some());
        assert!(tokens.get(&[1; 32], 1300).is_none());
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_a_life() {
        let tokens = VerifiedTokens::default();
        tokens.insert([1; 32], principal(), 100, 1000, 1010);
        assert!(tokens.get(&[1; 32], 999).is_none());
    }

    #[test]
    fn memory_stays_bounded_under_a_flood_of_tokens() {
        let tokens = VerifiedTokens::default();
        let one = principal();
        for n in 0..2000_u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_be_bytes());
            tokens.insert(digest, Arc::clone(&one), 16 * 1024, 0, 100);
        }
        assert!(tokens.0.weight() <= CAPACITY_BYTES);
        assert!(!tokens.0.is_empty());
    }
}
