//! Allow or deny, by which policy and which rule.

use crate::{limit::Limit, tool::Glob};
use serde::{Serialize, Serializer, ser::SerializeStruct};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

/// What comes of a call, and why. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What comes of it.
    pub outcome: Outcome,
    /// The policy that decided; none where no policy allowed the call.
    pub policy: Option<Arc<str>>,
    /// What in that policy decided.
    pub rule: Rule,
    /// The limits that an allowed call counts against; none if it is denied.
    pub limits: Arc<[Arc<Limit>]>,
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

/// The part of a policy that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A pattern under `allow`.
    Allow(Glob),
    /// A pattern under `deny`.
    Deny(Glob),
    /// What the policy depends on could not be told, so the call is denied.
    Undecided(Arc<str>),
    /// No policy that counts allows the call.
    NoPolicyAllows,
}

// === impl Decision ===

impl Decision {
    /// The decision where no policy says anything.
    pub fn no_policy_allows() -> Self {
        Self::deny(None, Rule::NoPolicyAllows)
    }

    pub(crate) fn deny(policy: Option<Arc<str>>, rule: Rule) -> Self {
        static NO_LIMITS: LazyLock<Arc<[Arc<Limit>]>> = LazyLock::new(Arc::default);
        Self { outcome: Outcome::Deny, policy, rule, limits: Arc::clone(&NO_LIMITS) }
    }

    /// Whether the call may pass.
    pub fn is_allowed(&self) -> bool {
        self.outcome == Outcome::Allow
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outcome {
            Outcome::Allow => "allowed",
            Outcome::Deny => "denied",
        })?;
        if let Some(policy) = &self.policy {
            write!(f, " by {policy}")?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Decision", 4)?;
        fields.serialize_field("outcome", &self.outcome)?;
        fields.serialize_field("policy", &self.policy)?;
        fields.serialize_field("rule", &self.rule)?;
        fields.serialize_field("limits", &*self.limits)?;
        fields.end()
    }
}

// === impl Outcome ===

impl Outcome {
    /// `allow` or `deny`, as in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Rule ===

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(glob) => write!(f, "allow {:?}", glob.as_str()),
            Self::Deny(glob) => write!(f, "deny {:?}", glob.as_str()),
            Self::Undecided(reason) => write!(f, "condition failed to evaluate: {reason}"),
            Self::NoPolicyAllows => f.write_str("no policy allows it"),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
