//! What one principal may do with one target.
//!
//! All that depends on the two alone is decided when an [`Access`] is made:
//! which policies fit and which of their rules match. Mostly that settles the
//! matter; what is left depends on the address or the arguments of each call.

use crate::{
    compile::Policy,
    condition::Facts,
    decision::{Decision, Outcome, Rule},
    explanation::Fit,
    limit::Limit,
    principal::Principal,
    tool::{Glob, Target},
};
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};

/// What one [`Principal`] may do with one [`Target`], until policies change.
#[derive(Debug)]
pub struct Access(State);

/// What is known of a call only when it comes.
#[derive(Clone, Copy, Default)]
pub struct CallFacts<'a> {
    /// Where it comes from. Unknown, no policy with a `network` can be decided,
    /// and such a policy denies.
    pub ip: Option<IpAddr>,
    /// Its arguments, as [`parse_arguments`](crate::parse_arguments) reads them;
    /// `{}` for a call without. Looked at only if [`Access::needs_arguments`];
    /// missing then, the conditions that ask for them deny.
    pub args: Option<&'a Value>,
}

#[derive(Debug)]
enum State {
    Settled(Decision),
    Open(Box<Open>),
}

/// Something depends on the call.
#[derive(Debug)]
struct Open {
    principal: Principal,
    tool: Box<str>,
    entries: Vec<Entry>,
    needs_arguments: bool,
}

/// A policy that fits the principal and says something about the target.
#[derive(Debug)]
pub(crate) struct Entry {
    policy: Arc<Policy>,
    pub(crate) deny: Option<Glob>,
    pub(crate) allow: Option<Glob>,
    pub(crate) limits: Vec<Arc<Limit>>,
}

// === impl Access ===

impl Access {
    pub(crate) fn new(
        principal: &Principal,
        target: Target<'_>,
        policies: impl IntoIterator<Item = Arc<Policy>>,
    ) -> Self {
        let entries: Vec<_> = policies.into_iter().filter_map(|policy| Entry::new(policy, target)).collect();
        if let Some(decision) = settle(&entries) {
            return Self(State::Settled(decision));
        }
        let tool = match target {
            Target::Tool(name) => name,
            Target::Resource(_) | Target::Prompt(_) => "",
        };
        Self(State::Open(Box::new(Open {
            principal: principal.clone(),
            tool: tool.into(),
            needs_arguments: entries.iter().any(Entry::needs_arguments),
            entries,
        })))
    }

    /// Decides a call.
    pub fn decide(&self, facts: &CallFacts<'_>) -> Decision {
        match &self.0 {
            State::Settled(decision) => decision.clone(),
            State::Open(open) => combine(&open.entries, |entry| entry.fit(&open.facts(facts))),
        }
    }

    /// The decision, if it is the same for every call.
    pub fn settled(&self) -> Option<&Decision> {
        match &self.0 {
            State::Settled(decision) => Some(decision),
            State::Open(_) => None,
        }
    }

    /// Whether every call is decided alike.
    pub fn is_settled(&self) -> bool {
        self.settled().is_some()
    }

    /// Whether a decision looks at [`CallFacts::args`].
    pub fn needs_arguments(&self) -> bool {
        match &self.0 {
            State::Settled(_) => false,
            State::Open(open) => open.needs_arguments,
        }
    }

    /// The limits of a settled access. Where it is not settled they come with
    /// each [`Decision`].
    pub fn limits(&self) -> &[Arc<Limit>] {
        self.settled().map_or(&[], |decision| &decision.limits)
    }

    /// Whether the target may be shown to the principal at `ip`: whether some
    /// arguments could make the call pass.
    pub fn may_list(&self, ip: Option<IpAddr>) -> bool {
        let open = match &self.0 {
            State::Settled(decision) => return decision.is_allowed(),
            State::Open(open) => open,
        };
        let facts = open.facts(&CallFacts { ip, args: None });
        let mut allowed = false;
        for entry in &open.entries {
            // One that asks for arguments may hold for some and not for others:
            // its allow may come to bear, its deny need not.
            let (fit, depends) = match entry.network_fit(ip) {
                Some(Fit::No) => continue,
                Some(unknown @ Fit::Unknown(_)) => (unknown, false),
                _ if entry.needs_arguments() => (Fit::Yes, true),
                _ => (entry.condition_fit(&facts).unwrap_or(Fit::Yes), false),
            };
            match fit {
                Fit::No => {}
                Fit::Unknown(_) => return false,
                Fit::Yes if !depends && entry.deny.is_some() => return false,
                // Its own deny wins wherever its allow would count.
                Fit::Yes => allowed |= entry.allow.is_some() && entry.deny.is_none(),
            }
        }
        allowed
    }

    /// About how much memory this takes, in units of a small settled one.
    pub(crate) fn weight(&self) -> u64 {
        match &self.0 {
            State::Settled(decision) => 1 + decision.limits.len() as u64 / 8,
            State::Open(open) => 2 + open.entries.len() as u64 / 2,
        }
    }
}

// === impl Open ===

impl Open {
    fn facts<'a>(&'a self, call: &CallFacts<'a>) -> Facts<'a> {
        Facts { principal: &self.principal, tool: &self.tool, ip: call.ip, args: call.args }
    }
}

// === impl Entry ===

impl Entry {
    /// What `policy` says about `target`, if it says anything.
    pub(crate) fn new(policy: Arc<Policy>, target: Target<'_>) -> Option<Self> {
        let rules = policy.rules(target);
        let deny = rules.deny.first_fit(target).cloned();
        let allow = rules.allow.first_fit(target).cloned();
        let limits = policy.limits_for(target);
        (deny.is_some() || allow.is_some() || !limits.is_empty()).then_some(Self { policy, deny, allow, limits })
    }

    fn is_unconditional(&self) -> bool {
        self.policy.network.is_none() && self.policy.condition.is_none()
    }

    fn needs_arguments(&self) -> bool {
        let condition = self.policy.condition.as_ref();
        condition.is_some_and(|condition| condition.uses_args())
    }

    /// Whether the policy counts for a call.
    pub(crate) fn fit(&self, facts: &Facts<'_>) -> Fit {
        match self.network_fit(facts.ip) {
            None | Some(Fit::Yes) => self.condition_fit(facts).unwrap_or(Fit::Yes),
            Some(other) => other,
        }
    }

    fn network_fit(&self, ip: Option<IpAddr>) -> Option<Fit> {
        network_fit(&self.policy, ip)
    }

    fn condition_fit(&self, facts: &Facts<'_>) -> Option<Fit> {
        condition_fit(&self.policy, facts)
    }
}

/// Whether the address fits; nothing if the policy does not care.
pub(crate) fn network_fit(policy: &Policy, ip: Option<IpAddr>) -> Option<Fit> {
    let network = policy.network.as_ref()?;
    Some(match ip {
        Some(ip) if network.admits(ip) => Fit::Yes,
        Some(_) => Fit::No,
        None => Fit::Unknown("the caller's address is not known".into()),
    })
}

/// Whether the condition holds; nothing if there is none.
pub(crate) fn condition_fit(policy: &Policy, facts: &Facts<'_>) -> Option<Fit> {
    let condition = policy.condition.as_ref()?;
    Some(match condition.evaluate(facts) {
        Ok(true) => Fit::Yes,
        Ok(false) => Fit::No,
        Err(failure) => Fit::Unknown(failure.to_string().into()),
    })
}

/// The decision that no call can change, if there is one.
fn settle(entries: &[Entry]) -> Option<Decision> {
    let always_denied = entries.iter().any(|entry| entry.deny.is_some() && entry.is_unconditional());
    let never_allowed = entries.iter().all(|entry| entry.allow.is_none());
    let constant = always_denied || never_allowed || entries.iter().all(Entry::is_unconditional);
    constant.then(|| {
        combine(entries, |entry| match entry.is_unconditional() {
            true => Fit::Yes,
            false => Fit::No,
        })
    })
}

/// Deny over undecided over allow over nothing.
pub(crate) fn combine<'a>(entries: impl IntoIterator<Item = &'a Entry>, fit: impl Fn(&Entry) -> Fit) -> Decision {
    let mut undecided = None;
    let mut allowed = None;
    let mut limits = Vec::new();
    for entry in entries {
        let policy = || Some(Arc::clone(&entry.policy.name));
        match (fit(entry), &entry.deny, &entry.allow) {
            (Fit::No, ..) => {}
            (Fit::Unknown(reason), ..) => {
                undecided.get_or_insert((policy(), Rule::Undecided(reason)));
            }
            (Fit::Yes, Some(deny), _) => return Decision::deny(policy(), Rule::Deny(deny.clone())),
            (Fit::Yes, None, allow) => {
                if let (Some(allow), None) = (allow, &allowed) {
                    allowed = Some((policy(), Rule::Allow(allow.clone())));
                }
                limits.extend(entry.limits.iter().cloned());
            }
        }
    }
    match (undecided, allowed) {
        (Some((policy, rule)), _) => Decision::deny(policy, rule),
        (None, Some((policy, rule))) => Decision { outcome: Outcome::Allow, policy, rule, limits: limits.into() },
        (None, None) => Decision::no_policy_allows(),
    }
}
