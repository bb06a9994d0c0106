//! Why a call is decided as it is, policy by policy.

use crate::{
    access::{CallFacts, Entry, combine, condition_fit, network_fit},
    compile::Policy,
    condition::Facts,
    decision::{Decision, Rule},
    limit::Limit,
    principal::Principal,
    tool::Target,
};
use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};

/// A decision with what each policy contributed to it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Who asks.
    pub principal: String,
    /// For what.
    pub target: String,
    /// Every policy, in the order of files.
    pub policies: Vec<PolicyExplanation>,
    /// What comes of it.
    pub decision: Decision,
}

/// What one policy has to say about a call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyExplanation {
    /// The policy's name.
    pub policy: Arc<str>,
    /// Whether its subjects fit the caller.
    pub subjects: bool,
    /// Whether its network fits the address; nothing if it has none.
    pub network: Option<Fit>,
    /// Whether its condition holds; nothing if it has none.
    pub when: Option<Fit>,
    /// Its rule that matches the target, the deny before the allow.
    pub rule: Option<Rule>,
    /// Its limits for the target.
    pub limits: Vec<Arc<Limit>>,
    /// Whether all that fits, so that the rule and the limits bear on the call.
    pub counts: bool,
}

/// Whether some part of a policy fits a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be told, and why.
    Unknown(Arc<str>),
}

/// Explains the decision of `policies` about one call.
pub(crate) fn explain(
    policies: &[Arc<Policy>],
    principal: &Principal,
    target: Target<'_>,
    call: &CallFacts<'_>,
) -> Explanation {
    let facts = Facts {
        principal,
        tool: match target {
            Target::Tool(name) => name,
            Target::Resource(_) | Target::Prompt(_) => "",
        },
        ip: call.ip,
        args: call.args,
    };
    let fitting = |policy: &Policy| {
        let subjects = policy.subjects.as_ref();
        subjects.is_none_or(|subjects| subjects.fit(principal))
    };
    let explained = policies.iter().map(|policy| {
        let subjects = fitting(policy);
        let network = network_fit(policy, call.ip);
        let when = condition_fit(policy, &facts);
        let entry = Entry::new(Arc::clone(policy), target);
        let holds = |fit: &Option<Fit>| matches!(fit, None | Some(Fit::Yes));
        PolicyExplanation {
            policy: Arc::clone(&policy.name),
            subjects,
            counts: subjects && holds(&network) && holds(&when),
            network,
            when,
            rule: entry.as_ref().and_then(|entry| {
                let deny = entry.deny.clone().map(Rule::Deny);
                deny.or_else(|| entry.allow.clone().map(Rule::Allow))
            }),
            limits: entry.map(|entry| entry.limits).unwrap_or_default(),
        }
    });
    let entries: Vec<_> = policies
        .iter()
        .filter(|policy| fitting(policy))
        .filter_map(|policy| Entry::new(Arc::clone(policy), target))
        .collect();
    Explanation {
        principal: principal.name().to_owned(),
        target: target.to_string(),
        policies: explained.collect(),
        decision: combine(&entries, |entry| entry.fit(&facts)),
    }
}

// === impl Explanation ===

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} calls {}", self.principal, self.target)?;
        for policy in &self.policies {
            writeln!(f, "  {policy}")?;
        }
        write!(f, "{}", self.decision)?;
        for limit in &*self.decision.limits {
            write!(f, "\n  limited to {limit}")?;
        }
        Ok(())
    }
}

// === impl PolicyExplanation ===

impl fmt::Display for PolicyExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.policy)?;
        let misfit = |fit: &Option<Fit>| fit.clone().filter(|fit| *fit != Fit::Yes);
        if !self.subjects {
            return f.write_str("is not for this caller");
        }
        match misfit(&self.network) {
            Some(Fit::Unknown(reason)) => return write!(f, "network cannot be told: {reason}"),
            Some(_) => return f.write_str("is not for this address"),
            None => {}
        }
        match misfit(&self.when) {
            Some(Fit::Unknown(reason)) => {
                return write!(f, "condition failed to evaluate: {reason}");
            }
            Some(_) => return f.write_str("condition is false"),
            None => {}
        }
        match (&self.rule, self.limits.as_slice()) {
            (Some(rule), _) => write!(f, "{rule}"),
            (None, []) => f.write_str("says nothing about it"),
            (None, _) => f.write_str("limits it"),
        }
    }
}

// === impl Fit ===

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("yes"),
            Self::No => f.write_str("no"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
        }
    }
}

impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
