//! How a line is bound to the one before it.
//!
//! A line is a JSON object on one line whose first member is `seq` and whose
//! last two are `prev` and `hash`:
//!
//! ```text
//! {"seq":7,"time":"…", … ,"prev":"<64 hex digits>","hash":"<64 hex digits>"}
//! ```
//!
//! `hash` is SHA-256, in lower-case hexadecimal, over the 64 characters of
//! `prev` followed by the bytes of the line from its `{` up to, and not
//! including, `,"hash":"`. `prev` is the `hash` of the line before; in the
//! very first line of a log it is 64 zeros. `seq` counts from 1, also across
//! rotated files.

use std::fmt;
use std::io::Write;
use std::time::SystemTime;

use aws_lc_rs::digest;
use serde::Deserialize;

use crate::timestamp::push_rfc3339;

/// The longest line, its end included. Entries stay far below it.
pub(super) const MAX_LINE_BYTES: usize = 256 * 1024;

const HASH_LEN: usize = 64;
const PREV_KEY: &[u8] = b",\"prev\":\"";
const HASH_KEY: &[u8] = b",\"hash\":\"";

/// The hash that ends a line, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash([u8; HASH_LEN]);

/// The end of a chain, where the next line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) next_seq: u64,
    pub(super) last: Hash,
}

/// What a line that is no call tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// A file begins here; `prev` is how the file before it ended.
    Opened,
    /// The line before was torn by a crash.
    Recovered,
}

/// A line that is whole and whose hash is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) event: Option<Event>,
    pub(super) torn_bytes: Option<u64>,
    pub(super) prev: Hash,
    pub(super) hash: Hash,
}

#[derive(Deserialize)]
struct Head {
    seq: u64,
    event: Option<Event>,
    torn_bytes: Option<u64>,
}

// === impl Hash ===

impl Hash {
    /// What stands before the first line.
    pub(super) const NONE: Self = Self([b'0'; HASH_LEN]);

    fn over(prev: Self, body: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&prev.0);
        context.update(body);
        let mut hex = [0; HASH_LEN];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(context.finish().as_ref()) {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(hex)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Chain ===

impl Chain {
    /// The chain of a log that has no line yet.
    pub(super) const EMPTY: Self = Self { next_seq: 1, last: Hash::NONE };

    /// Appends one line to `out`; `members` writes what stands between `time`
    /// and `prev`, each member with a comma before it.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, time: SystemTime, members: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write!(out, "{{\"seq\":{},\"time\":\"", self.next_seq).expect("writing to memory succeeds");
        push_rfc3339(out, time);
        out.push(b'"');
        members(out);
        out.extend_from_slice(PREV_KEY);
        out.extend_from_slice(&self.last.0);
        out.push(b'"');
        let hash = Hash::over(self.last, &out[start..]);
        out.extend_from_slice(HASH_KEY);
        out.extend_from_slice(&hash.0);
        out.extend_from_slice(b"\"}\n");
        *self = Self { next_seq: self.next_seq + 1, last: hash };
    }

    /// Appends the line that begins a file.
    pub(super) fn push_opened(&mut self, out: &mut Vec<u8>) {
        self.push(out, SystemTime::now(), |out| out.extend_from_slice(b",\"event\":\"opened\""));
    }

    /// Appends the line that follows one which a crash tore.
    pub(super) fn push_recovered(&mut self, out: &mut Vec<u8>, torn_bytes: usize) {
        self.push(out, SystemTime::now(), |out| {
            write!(out, ",\"event\":\"recovered\",\"torn_bytes\":{torn_bytes}").expect("writing to memory succeeds");
        });
    }
}

// === impl Link ===

impl Link {
    /// Reads a line without its end; `None` if it is not an entry or its hash
    /// is not right.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let rest = line.strip_suffix(b"\"}")?;
        let (rest, hash) = split_hash(rest)?;
        let body = rest.strip_suffix(HASH_KEY)?;
        let (rest, prev) = split_hash(body.strip_suffix(b"\"")?)?;
        rest.strip_suffix(PREV_KEY)?;
        if Hash::over(prev, body) != hash {
            return None;
        }
        let Head { seq, event, torn_bytes } = serde_json::from_slice(line).ok()?;
        Some(Self { seq, event, torn_bytes, prev, hash })
    }

    /// The chain that ends with this line.
    pub(super) const fn chain(&self) -> Chain {
        Chain { next_seq: self.seq.saturating_add(1), last: self.hash }
    }
}

fn split_hash(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    let (rest, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH_LEN)?)?;
    Some((rest, Hash(hash.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_hashed_as_documented() {
        let (mut out, mut chain) = (Vec::new(), Chain::EMPTY);
        chain.push_opened(&mut out);
        let line = String::from_utf8(out).unwrap();
        let (body, rest) = line.split_once(",\"hash\":\"").unwrap();
        let input = format!("{}{body}", "0".repeat(64));
        let digest = digest::digest(&digest::SHA256, input.as_bytes());
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(rest, format!("{hex}\"}}\n"));
        assert_eq!(chain.last.to_string(), hex);
        assert_eq!(Link::parse(line.trim_end().as_bytes()).unwrap().chain(), chain);
    }

    #[test]
    fn no_byte_of_a_line_can_be_changed() {
        let mut out = Vec::new();
        Chain::EMPTY.clone().push_recovered(&mut out, 7);
        out.pop();
        assert!(Link::parse(&out).is_some());
        for at in 0..out.len() {
            let mut changed = out.clone();
            changed[at] ^= 1;
            assert_eq!(Link::parse(&changed), None, "byte {at}");
        }
    }

    #[test]
    fn what_is_no_line_does_not_parse() {
        for line in [&b""[..], b"{}", b"\"}", &[b'"'; 300], &[b'0'; 200]] {
            assert_eq!(Link::parse(line), None);
        }
    }
}
