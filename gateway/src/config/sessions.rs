//! `sessions`: the keys that tokens are sealed with.

use std::collections::HashSet;

use super::check::Check;
use super::file::SessionsFile;
use super::place::Place;
use super::secret::Plain;
use crate::secret::Secret;

/// What 32 random bytes have at least, however they are written.
const MIN_BYTES: usize = 32;
/// 32 bytes in base64, without padding.
const MIN_BASE64: usize = 43;
/// 32 bytes in hexadecimal digits.
const MIN_HEX: usize = 64;
/// Text of random bytes has more distinct characters, save once in many
/// billion times.
const MIN_DISTINCT: usize = 8;

/// `sessions.keys`
pub(super) fn keys(check: &mut Check<'_>, file: &SessionsFile) -> Vec<Secret<String>> {
    let place = Place::root("sessions").key("keys");
    let mut keys: Vec<Secret<String>> = Vec::new();
    for (index, key) in file.keys.iter().flatten().enumerate() {
        let place = place.index(index);
        let Some(key) = key.resolve(check, &place, Plain::Warn) else { continue };
        if let Some(wrong) = weakness(key.expose()) {
            check.fault(&place, format!("{wrong}: make one with `openssl rand -base64 32`"));
        }
        if keys.contains(&key) {
            check.fault(&place, "the same key stands before it already");
        }
        keys.push(key);
    }
    keys
}

/// Why a key could be guessed. Its text is taken as it stands, so that nothing
/// depends on how it is written; what it would be decoded to says how much is in
/// it.
fn weakness(key: &str) -> Option<&'static str> {
    let all = |fits: fn(&u8) -> bool| key.as_bytes().iter().all(fits);
    let least = if all(u8::is_ascii_hexdigit) {
        MIN_HEX
    } else if all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte)) {
        MIN_BASE64
    } else {
        MIN_BYTES
    };
    if key.trim_end_matches('=').len() < least {
        Some("holds less than 32 random bytes")
    } else if key.bytes().collect::<HashSet<_>>().len() < MIN_DISTINCT {
        Some("is not random")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_random_bytes_however_it_is_written() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        for (key, is_taken) in [
            (hex, true),
            (&hex[1..], false),
            (&hex.to_uppercase(), true),
            ("n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", true),
            ("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg", true),
            ("n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCg==", false),
            ("N7#q!z 0pL;w:e{4tY}u?I<o>P|s^d%fG", true),
            ("correct horse battery staple", false),
            ("", false),
            (&"0".repeat(64), false),
            (&"abc!".repeat(16), false),
        ] {
            assert_eq!(weakness(key).is_none(), is_taken, "{key}");
        }
    }
}
