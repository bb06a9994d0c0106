//! How grave what a server logs is (RFC 5424, §6.2.1, by MCP's names).

use std::sync::atomic::{AtomicU8, Ordering};

use super::json::Members;
use super::scanner::string;

/// A level; what is graver is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Of use to who looks for a fault.
    Debug,
    /// What goes on.
    Info,
    /// Normal and worth knowing.
    Notice,
    /// Not yet a fault.
    Warning,
    /// A fault.
    Error,
    /// A part fails.
    Critical,
    /// Something must be done at once.
    Alert,
    /// Nothing works.
    Emergency,
}

/// The lowest level that somebody wants to hear, once that is said.
#[derive(Debug, Default)]
pub struct Threshold(AtomicU8);

// === impl LogLevel ===

impl LogLevel {
    /// Every level, the least grave first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// As MCP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// The level of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// Whether who wants to hear what is as grave hears a message with these
    /// `params`; one that does not say how grave it is is heard.
    #[must_use]
    pub fn admits(self, params: Option<&str>) -> bool {
        params.and_then(Self::of_message).is_none_or(|level| level >= self)
    }

    /// The level in the `params` of `notifications/message`.
    fn of_message(params: &str) -> Option<Self> {
        Self::parse(&string(Members::get(params, "level")?)?)
    }
}

// === impl Threshold ===

impl Threshold {
    /// What was said last; `None` where nothing was.
    pub fn get(&self) -> Option<LogLevel> {
        let index = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        LogLevel::ALL.get(usize::from(index)).copied()
    }

    /// Takes back what was said.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Says it.
    pub fn set(&self, level: LogLevel) {
        self.0.store(level as u8 + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_told_by_their_names_and_ordered_by_gravity() {
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
        assert!(LogLevel::ALL.is_sorted());
        for other in ["", "Debug", "warn", "fatal"] {
            assert_eq!(LogLevel::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_says_its_level() {
        assert_eq!(LogLevel::of_message(r#"{"data":1,"level":"notice"}"#), Some(LogLevel::Notice));
        for params in ["{}", r#"{"level":7}"#, r#"{"level":"loud"}"#, "[]"] {
            assert_eq!(LogLevel::of_message(params), None, "{params}");
        }
    }

    #[test]
    fn a_threshold_is_what_was_said_last() {
        let threshold = Threshold::default();
        assert_eq!(threshold.get(), None);
        for level in LogLevel::ALL {
            threshold.set(level);
            assert_eq!(threshold.get(), Some(level));
        }
        threshold.clear();
        assert_eq!(threshold.get(), None);
    }
}
