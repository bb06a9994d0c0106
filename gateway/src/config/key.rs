//! Makes API keys.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::scalar::Sha256;
use super::written::Scalar;
use crate::secret::Secret;

/// What every key begins with, so that scanners for lost secrets know it.
const PREFIX: &str = "pcl_";

/// An API key that nobody knows yet.
///
/// 256 random bits: nothing can be guessed, so its plain SHA-256 may stand in a
/// file.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The key.
    pub text: Secret<String>,
    /// The SHA-256 of `text`.
    pub sha256: [u8; 32],
}

// === impl NewKey ===

impl NewKey {
    /// Makes one, of the system's own random numbers: the generator of the
    /// cryptographic library first spends some 30 ms on gathering its own.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        let text = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Ok(Self { text: Secret::new(text), sha256 })
    }

    /// The digest in hexadecimal digits, as the configuration holds it.
    #[must_use]
    pub fn sha256_hex(&self) -> String {
        Sha256(self.sha256).write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_are_the_same() {
        let (one, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!(one.text.expose().len(), PREFIX.len() + 43);
        assert_eq!(Sha256::parse(&one.sha256_hex()), Ok(Sha256(one.sha256)));
        assert!(!format!("{one:?}").contains(one.text.expose()));
    }
}
