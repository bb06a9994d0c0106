//! Tokens that clients keep for us, sealed: nobody else can read, change or
//! make one, or use it for anything but what it was made for.
//!
//! A token is `KEY.SEALED`: the id of a key, then, in base64url, the nonce,
//! ciphertext and tag of AES-256-GCM-SIV (RFC 8452), under which random nonces
//! are safe. Whoever holds the key can open it: this process after a restart,
//! and every other one with the same configuration. It says what we wrote into
//! it, and never who is calling.

mod identity;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

pub use self::identity::Identity;
use crate::secret::Secret;

/// Tells keys of ours from other uses of one secret (RFC 5869, section 3.1).
const SALT: &[u8] = b"portcullis sealed tokens 1";
/// Bytes of a secret made here.
const SECRET_LEN: usize = 32;
/// Bytes of a key's id, which are six characters of a token.
const ID_LEN: usize = 4;
const TAG_LEN: usize = 16;

/// The keys that tokens are sealed with: the first seals, all of them open.
/// One handle serves for as long as the process runs; a reload changes what
/// is in it.
pub struct KeyRing {
    keys: ArcSwap<Vec<Arc<Key>>>,
    /// Made for this run: it seals where no other is configured.
    own: Arc<Key>,
    /// Where the others with these keys reach this process.
    home: OnceLock<Arc<str>>,
}

/// What a token is for. Each has keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `Mcp-Session-Id`
    Session,
    /// `Last-Event-ID`
    Event,
    /// `requestState`
    State,
    /// Where a client of HTTP+SSE posts its messages.
    Post,
    /// `taskId`
    Task,
    /// `nextCursor`
    Cursor,
    /// For tests of what must not be taken for something else.
    #[cfg(test)]
    Test,
}

/// What a token is bound to: it opens for the same alone.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// What it is for.
    pub purpose: Purpose,
    /// The one upstream that the path names; `None` for the paths that lead to
    /// all of them.
    pub route: Option<&'a str>,
    /// The name of the principal it was made for.
    pub principal: &'a str,
}

/// A moment, in seconds since 1970: what processes on several machines can
/// agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

/// A token that is none of ours, is for something else or has expired: which of
/// these is not for its bearer to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token cannot be opened")]
pub struct Unsealable;

/// One secret, and what it is called in tokens.
struct Key {
    id: String,
    derived: Prk,
    /// Of its [identity](Identity).
    fingerprint: OnceLock<Option<[u8; 32]>>,
}

/// Takes so many bytes of what a secret gives.
struct Take(usize);

// === impl KeyRing ===

impl KeyRing {
    /// A ring with a key made for this run alone.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_LEN];
        getrandom::fill(&mut secret)?;
        let own = Arc::new(Key::of(&secret));
        Ok(Self { keys: ArcSwap::from_pointee(vec![Arc::clone(&own)]), own, home: OnceLock::new() })
    }

    /// Says where other processes reach this one, which is written into tokens
    /// that lead to something in its memory. The first word stays.
    pub fn settle(&self, home: Arc<str>) {
        let _ = self.home.set(home);
    }

    /// Where other processes reach this one, if they do.
    #[must_use]
    pub fn home(&self) -> Option<&Arc<str>> {
        self.home.get()
    }

    /// Puts in other keys: the first seals from now on. What the key of this
    /// run has sealed still opens.
    pub fn replace(&self, secrets: &[Secret<String>]) {
        let keys = secrets.iter().map(|secret| Arc::new(Key::of(secret.expose().as_bytes())));
        self.keys.store(Arc::new(keys.chain([Arc::clone(&self.own)]).collect()));
    }

    /// Seals `payload` until it `expires`. What comes out has only letters,
    /// digits, `-`, `_` and one `.`.
    ///
    /// # Panics
    ///
    /// If the system, which gave random numbers at the start, gives none now.
    #[must_use]
    pub fn seal(&self, to: Binding<'_>, expires: UnixSeconds, payload: &[u8]) -> String {
        let keys = self.keys.load();
        keys.first().unwrap_or(&self.own).seal(to, expires, payload)
    }

    /// What was sealed, if `token` is bound to the same and has not expired.
    ///
    /// # Errors
    ///
    /// [`Unsealable`]
    pub fn open(&self, to: Binding<'_>, token: &str, now: UnixSeconds) -> Result<Vec<u8>, Unsealable> {
        let (id, sealed) = token.split_once('.').ok_or(Unsealable)?;
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.id == id).ok_or(Unsealable)?;
        key.open(to, BASE64_URL_SAFE_NO_PAD.decode(sealed).map_err(|_| Unsealable)?, now)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("keys", &self.keys.load().len()).finish_non_exhaustive()
    }
}

// === impl Key ===

impl Key {
    fn of(secret: &[u8]) -> Self {
        let derived = Salt::new(HKDF_SHA256, SALT).extract(secret);
        let mut id = [0; ID_LEN];
        let filled = derived.expand(&[b"key id"], Take(ID_LEN)).and_then(|bytes| bytes.fill(&mut id));
        filled.expect("HKDF gives up to 8160 bytes");
        Self { id: BASE64_URL_SAFE_NO_PAD.encode(id), derived, fingerprint: OnceLock::new() }
    }

    /// The key for one purpose.
    fn of_purpose(&self, purpose: Purpose) -> LessSafeKey {
        let info = [b"seal ".as_slice(), purpose.label().as_bytes()];
        let key = self.derived.expand(&info, &AES_256_GCM_SIV).expect("HKDF gives up to 8160 bytes");
        LessSafeKey::new(UnboundKey::from(key))
    }

    fn seal(&self, to: Binding<'_>, expires: UnixSeconds, payload: &[u8]) -> String {
        let mut nonce = [0; NONCE_LEN];
        // Of the system: the generator of the cryptographic library first spends
        // some 30 ms on gathering its own.
        getrandom::fill(&mut nonce).expect("the system gave random numbers at the start");
        let mut sealed = Vec::with_capacity(NONCE_LEN + size_of::<u64>() + payload.len() + TAG_LEN);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&expires.0.to_be_bytes());
        sealed.extend_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = &mut sealed[NONCE_LEN..];
        let tag = self.of_purpose(to.purpose).seal_in_place_separate_tag(nonce, to.written(), plain);
        sealed.extend_from_slice(tag.expect("it is shorter than 64 GiB").as_ref());
        format!("{}.{}", self.id, BASE64_URL_SAFE_NO_PAD.encode(sealed))
    }

    fn open(&self, to: Binding<'_>, mut sealed: Vec<u8>, now: UnixSeconds) -> Result<Vec<u8>, Unsealable> {
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let opened = self.of_purpose(to.purpose).open_in_place(nonce, to.written(), sealed);
        let (expires, payload) = opened.map_err(|_| Unsealable)?.split_first_chunk().ok_or(Unsealable)?;
        if UnixSeconds(u64::from_be_bytes(*expires)) <= now {
            return Err(Unsealable);
        }
        Ok(payload.to_vec())
    }
}

// === impl Purpose ===

impl Purpose {
    /// Goes into its keys, and so must never change.
    const fn label(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Event => "event",
            Self::State => "state",
            Self::Post => "post",
            Self::Task => "task",
            Self::Cursor => "cursor",
            #[cfg(test)]
            Self::Test => "test",
        }
    }
}

// === impl Binding ===

impl Binding<'_> {
    /// The associated data. Each part says its length, so that no two bindings
    /// are written alike.
    fn written(&self) -> Aad<Vec<u8>> {
        let route = self.route.map(str::as_bytes);
        let mut written = vec![u8::from(route.is_some())];
        for part in [self.purpose.label().as_bytes(), route.unwrap_or_default(), self.principal.as_bytes()] {
            written.extend_from_slice(&(part.len() as u64).to_be_bytes());
            written.extend_from_slice(part);
        }
        Aad::from(written)
    }
}

// === impl UnixSeconds ===

impl UnixSeconds {
    /// The moment it is.
    #[must_use]
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl std::ops::Add<Duration> for UnixSeconds {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }
}

// === impl Take ===

impl KeyType for Take {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests;
