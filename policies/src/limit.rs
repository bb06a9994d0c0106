//! How often.

use crate::tool::Globs;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

/// Fastest rate, in calls a second: closer spacing than a nanosecond is beyond
/// what a limiter counts with.
const MAX_PER_SECOND: u64 = 1_000_000_000;

/// So many calls in so much time, written `100/minute`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: NonZeroU32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

/// Why a text is no [`Rate`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// Not a number, a stroke and a unit.
    #[error("{0:?} is not a rate: write 100/second, /minute, /hour or /day")]
    Malformed(String),
    /// A limit of nothing is a deny.
    #[error("a rate of 0 lets no call through: use `deny` for that")]
    Zero,
    /// More than can be told from no limit.
    #[error("{0:?} is faster than {MAX_PER_SECOND} a second: leave the limit out")]
    TooFast(String),
}

/// What is counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Per {
    /// Each caller has its own quota.
    #[default]
    Principal,
    /// Each address has its own quota.
    Ip,
    /// All callers together have one.
    Policy,
}

/// Names a [`Limit`]: the same text gives the same name, in this process and in
/// every replica of the same build, so that quotas outlive a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LimitId(pub u64);

/// What a policy states about how often some tools may be called.
///
/// Every tool has a quota of its own: `tools: ["crm__*"]` at `100/minute` is a
/// hundred calls of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    id: LimitId,
    policy: Arc<str>,
    tools: Globs,
    rate: Rate,
    burst: NonZeroU32,
    per: Per,
}

// === impl Rate ===

impl Rate {
    /// The number of calls.
    pub fn count(self) -> NonZeroU32 {
        self.count
    }

    /// The time they are spread over.
    pub fn period(self) -> Duration {
        Duration::from_secs(self.unit.seconds())
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let malformed = || RateError::Malformed(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(malformed)?;
        let unit = match unit {
            "second" => Unit::Second,
            "minute" => Unit::Minute,
            "hour" => Unit::Hour,
            "day" => Unit::Day,
            _ => return Err(malformed()),
        };
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        let too_fast = || RateError::TooFast(text.to_owned());
        let count: u32 = count.parse().map_err(|_| too_fast())?;
        if u64::from(count) > MAX_PER_SECOND * unit.seconds() {
            return Err(too_fast());
        }
        let count = NonZeroU32::new(count).ok_or(RateError::Zero)?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => "second",
            Unit::Minute => "minute",
            Unit::Hour => "hour",
            Unit::Day => "day",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "rate",
            "examples": ["100/minute"],
            "description": "So many calls in so much time: 100/second, /minute, /hour or /day.",
        })
    }
}

// === impl Unit ===

impl Unit {
    fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

// === impl Limit ===

impl Limit {
    /// A limit stated by `policy` for `tools`. Without `burst`, as many calls as
    /// `rate` has may come at once.
    pub fn new(policy: impl Into<Arc<str>>, tools: Globs, rate: Rate, burst: Option<NonZeroU32>, per: Per) -> Self {
        let policy = policy.into();
        let burst = burst.unwrap_or(rate.count);
        let mut hasher = DefaultHasher::new();
        (&policy, &tools, rate, burst, per).hash(&mut hasher);
        Self { id: LimitId(hasher.finish()), policy, tools, rate, burst, per }
    }

    /// Names this limit among all others.
    pub fn id(&self) -> LimitId {
        self.id
    }

    /// The policy that states it.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The tools it is for.
    pub fn tools(&self) -> &Globs {
        &self.tools
    }

    /// How often each of them may be called.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many calls may come at once.
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    /// What is counted together.
    pub fn per(&self) -> Per {
        self.per
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = match self.per {
            Per::Principal => "principal",
            Per::Ip => "ip",
            Per::Policy => "policy",
        };
        write!(f, "{} per {per}", self.rate)?;
        if self.burst != self.rate.count {
            write!(f, ", bursts of {}", self.burst)?;
        }
        write!(f, " ({})", self.policy)
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_reads_back_as_written() {
        for (text, count, seconds) in
            [("1/second", 1, 1), ("100/minute", 100, 60), ("1000/hour", 1000, 3600), ("5/day", 5, 86400)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.count().get(), count);
            assert_eq!(rate.period(), Duration::from_secs(seconds));
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn text_that_is_no_rate_says_what_is() {
        let error = |text: &str| text.parse::<Rate>().unwrap_err().to_string();
        assert_eq!(error("100/fortnight"), "\"100/fortnight\" is not a rate: write 100/second, /minute, /hour or /day");
        for text in ["", "100", "/minute", "-1/minute", "+1/minute", "1 / minute", "1/min"] {
            assert!(error(text).contains("is not a rate"), "{text}");
        }
        assert!(error("0/minute").contains("lets no call through"));
        assert!(error("1000000001/second").contains("faster than"));
        assert!(error("99999999999/day").contains("faster than"));
    }

    #[test]
    fn burst_defaults_to_the_count() {
        let limit = |burst| {
            let rate = "100/minute".parse().unwrap();
            Limit::new("p", Globs::default(), rate, burst, Per::Principal)
        };
        assert_eq!(limit(None).burst().get(), 100);
        assert_eq!(limit(NonZeroU32::new(20)).burst().get(), 20);
        assert_eq!(limit(NonZeroU32::new(20)).to_string(), "100/minute per principal, bursts of 20 (p)");
    }

    #[test]
    fn id_follows_what_the_limit_says() {
        let limit = |policy: &str, per| Limit::new(policy, Globs::default(), "1/day".parse().unwrap(), None, per).id();
        assert_eq!(limit("a", Per::Ip), limit("a", Per::Ip));
        assert_ne!(limit("a", Per::Ip), limit("a", Per::Policy));
        assert_ne!(limit("a", Per::Ip), limit("b", Per::Ip));
    }
}
