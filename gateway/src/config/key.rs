//! Makes API keys.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;

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
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut random = [0; 32];
        rand::fill(&mut random)?;
        let text = format!("{PREFIX}{}", base64url(&random));
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

/// Base64 with the URL-safe alphabet and without padding (RFC 4648 §5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * position) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 §10, without padding.
    #[test]
    fn base64url_follows_the_test_vectors() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64url(plain.as_bytes()), encoded);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let (one, other) = (NewKey::generate().unwrap(), NewKey::generate().unwrap());
        assert_ne!(one.text, other.text);
        assert_eq!(one.text.expose().len(), PREFIX.len() + 43);
        assert_eq!(Sha256::parse(&one.sha256_hex()), Ok(Sha256(one.sha256)));
        assert!(!format!("{one:?}").contains(one.text.expose()));
    }
}
