//! Rules that other rules leave nothing to do.

use super::Linted;
use crate::{
    document::{PolicyEntry, RulesEntry},
    tool::Glob,
    yaml::Fault,
};

/// Which rules of a policy are compared, and where they stand.
type Select = (&'static str, fn(&PolicyEntry) -> &RulesEntry);

const KINDS: [Select; 3] =
    [("/tools", |entry| &entry.tools), ("/resources", |entry| &entry.resources), ("/prompts", |entry| &entry.prompts)];

pub(super) fn check(policy: &Linted<'_>, all: &[Linted<'_>], warnings: &mut Vec<Fault>) {
    shadowed_allows(policy, all, warnings);
    unreachable_limits(policy, all, warnings);
}

/// An allow all of whose names are denied, by the same policy or by one that
/// counts for every call.
fn shadowed_allows(policy: &Linted<'_>, all: &[Linted<'_>], warnings: &mut Vec<Fault>) {
    for (part, rules) in KINDS {
        for (index, allow) in rules(policy.entry).allow.iter().enumerate() {
            let denying = all.iter().find_map(|other| {
                let bears = std::ptr::eq(other.entry, policy.entry) || always_counts(other);
                let mut deny = rules(other.entry).deny.iter().filter(|_| bears);
                deny.find(|deny| deny.covers(allow)).map(|deny| (deny, other))
            });
            if let Some((deny, other)) = denying {
                let at = format!("{part}/allow/{index}");
                let message = format!("never matches: `{deny}` is denied by `{}`", other.entry.name);
                warnings.push(policy.warning(&at, message));
            }
        }
    }
}

fn always_counts(policy: &Linted<'_>) -> bool {
    let entry = policy.entry;
    entry.subjects.is_none() && entry.network.is_none() && entry.when.is_none()
}

/// A limit on tools that no policy allows.
fn unreachable_limits(policy: &Linted<'_>, all: &[Linted<'_>], warnings: &mut Vec<Fault>) {
    let allowed = |glob: &Glob| all.iter().flat_map(|other| &other.entry.tools.allow).any(|allow| allow.meets(glob));
    for (index, limit) in policy.entry.rate_limits.iter().enumerate() {
        let globs = limit.tools.iter().flatten().enumerate();
        for (glob_index, glob) in globs.filter(|(_, glob)| !allowed(glob)) {
            let at = format!("/rateLimits/{index}/tools/{glob_index}");
            let message = format!("never matches: no policy allows `{glob}`");
            warnings.push(policy.warning(&at, message));
        }
    }
}
