//! What processes with the same keys know each other by: a key pair made of
//! each secret (Ed25519, RFC 8032). Nothing of it is kept anywhere.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

use super::{Key, KeyRing, Take};

/// Bytes of a seed (RFC 8032 §5.1.5).
const SEED_LEN: usize = 32;
/// Tells these seeds from all else that is made of a secret.
const LABEL: &[u8] = b"identity";

/// A key pair, as TLS wants it.
pub struct Identity {
    /// The private key: PKCS#8, version 1, in DER (RFC 8410 §7).
    pub private: Vec<u8>,
    /// The public key: `SubjectPublicKeyInfo` in DER (RFC 8410 §4).
    pub public: Vec<u8>,
}

// === impl KeyRing ===

impl KeyRing {
    /// The identity that belongs to the key which seals.
    ///
    /// # Errors
    ///
    /// If the cryptographic library has no memory left.
    pub fn identity(&self) -> Result<Identity, Unspecified> {
        self.keys.load().first().unwrap_or(&self.own).identity()
    }

    /// Whether a public key, of which this is the SHA-256, belongs to one of
    /// the keys.
    #[must_use]
    pub fn knows(&self, public_key: &[u8; 32]) -> bool {
        self.keys.load().iter().any(|key| key.fingerprint() == Some(public_key))
    }
}

// === impl Key ===

impl Key {
    fn identity(&self) -> Result<Identity, Unspecified> {
        let mut seed = [0; SEED_LEN];
        self.derived.expand(&[LABEL], Take(SEED_LEN))?.fill(&mut seed)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_: KeyRejected| Unspecified)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
        Ok(Identity { private: pair.to_pkcs8v1()?.as_ref().to_vec(), public: public.as_ref().to_vec() })
    }

    /// SHA-256 of the public key, made when it is first asked for.
    fn fingerprint(&self) -> Option<&[u8; 32]> {
        let made = self.fingerprint.get_or_init(|| Some(fingerprint(&self.identity().ok()?.public)));
        made.as_ref()
    }
}

fn fingerprint(public_key: &[u8]) -> [u8; 32] {
    digest(&SHA256, public_key).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn ring(secrets: &[&str]) -> KeyRing {
        let ring = KeyRing::new().unwrap();
        ring.replace(&secrets.iter().map(|secret| Secret::new((*secret).to_owned())).collect::<Vec<_>>());
        ring
    }

    fn shown(ring: &KeyRing) -> [u8; 32] {
        fingerprint(&ring.identity().unwrap().public)
    }

    #[test]
    fn rings_with_a_secret_in_common_know_each_other() {
        let (old, both, new) = (ring(&["old"]), ring(&["new", "old"]), ring(&["new"]));
        assert!(old.knows(&shown(&old)) && both.knows(&shown(&old)) && both.knows(&shown(&new)));
        assert_eq!(shown(&both), shown(&new), "the first is shown");
        assert!(!new.knows(&shown(&old)) && !old.knows(&shown(&new)));
        // A key made for the run is nobody else's.
        assert!(!ring(&[]).knows(&shown(&ring(&[]))));
    }

    #[test]
    fn a_key_that_was_taken_out_is_not_known_any_more() {
        let ring = ring(&["new", "old"]);
        let old = shown(&self::ring(&["old"]));
        assert!(ring.knows(&old));
        ring.replace(&[Secret::new("new".to_owned())]);
        assert!(!ring.knows(&old));
    }
}
