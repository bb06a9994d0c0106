//! When lists changed, so that whoever was told of one change is told of the
//! next.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::meta::subscription_tag;

/// A moment of this process: what comes later is greater. Without a clock, so
/// that no two changes are at the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

/// When each kind of list last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes([Moment; Kind::ALL.len()]);

/// What clients are told of apart. Templates are resources to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list` and `resources/templates/list`.
    Resources,
}

static CLOCK: AtomicU64 = AtomicU64::new(0);

// === impl Moment ===

impl Moment {
    /// Before everything.
    pub const BEGINNING: Self = Self(0);
    /// After everything.
    pub const END: Self = Self(u64::MAX);

    /// One that no other event has.
    #[must_use]
    pub fn next() -> Self {
        Self(CLOCK.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// The last one there was.
    #[must_use]
    pub fn now() -> Self {
        Self(CLOCK.load(Ordering::Acquire))
    }
}

// === impl Changes ===

impl Changes {
    /// All of them at this moment.
    #[must_use]
    pub const fn all(at: Moment) -> Self {
        Self([at; Kind::ALL.len()])
    }

    /// When this kind last changed.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> Moment {
        self.0[kind as usize]
    }

    /// Notes that this kind changed.
    pub fn note(&mut self, kind: Kind, at: Moment) {
        self.0[kind as usize] = at;
    }

    /// The later of both, kind by kind.
    #[must_use]
    pub fn latest(self, other: Self) -> Self {
        let mut latest = self;
        for kind in Kind::ALL {
            latest.note(kind, self.of(kind).max(other.of(kind)));
        }
        latest
    }
}

// === impl Kind ===

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The kind whose lists a notification says to have changed.
    #[must_use]
    pub fn of_notification(method: &str) -> Option<Self> {
        match method {
            "notifications/tools/list_changed" => Some(Self::Tools),
            "notifications/prompts/list_changed" => Some(Self::Prompts),
            "notifications/resources/list_changed" => Some(Self::Resources),
            _ => None,
        }
    }

    /// The capability of servers that have such lists.
    #[must_use]
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
        }
    }

    /// By what a stateless client asks to be told (MCP 2026-07-28,
    /// `SubscriptionFilter`).
    #[must_use]
    pub const fn opted_into_by(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }

    /// What a stateless client is told that asked for it with the request of
    /// this id (JSON).
    #[must_use]
    pub fn tagged_notification(self, id: &str) -> Bytes {
        let (list, tag) = (self.capability(), subscription_tag(id));
        format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed","params":{{"_meta":{{{tag}}}}}}}"#)
            .into()
    }

    /// What a client is told.
    #[must_use]
    pub const fn notification(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Tools => br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            Self::Prompts => br#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#,
            Self::Resources => br#"{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}"#,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::meta::SUBSCRIPTION_ID;

    #[test]
    fn what_comes_later_is_greater() {
        let first = Moment::next();
        assert!(Moment::BEGINNING < first && first <= Moment::now());
        assert!(Moment::now() < Moment::next() && Moment::now() < Moment::END);
    }

    #[test]
    fn the_latest_is_told_kind_by_kind() {
        let [old, new] = [Moment::next(), Moment::next()];
        let (mut one, mut other) = (Changes::all(old), Changes::default());
        other.note(Kind::Prompts, new);
        one = one.latest(other);
        assert_eq!(Kind::ALL.map(|kind| one.of(kind)), [old, new, old]);
    }

    #[test]
    fn notifications_are_known_by_what_is_told() {
        for kind in Kind::ALL {
            let told: serde_json::Value = serde_json::from_slice(&kind.notification()).unwrap();
            assert_eq!(Kind::of_notification(told["method"].as_str().unwrap()), Some(kind));
            let tagged: serde_json::Value = serde_json::from_slice(&kind.tagged_notification("\"l\"")).unwrap();
            assert_eq!(tagged["method"], told["method"]);
            assert_eq!(tagged["params"]["_meta"][SUBSCRIPTION_ID], "l");
        }
        assert_eq!(Kind::of_notification("notifications/message"), None);
    }
}
