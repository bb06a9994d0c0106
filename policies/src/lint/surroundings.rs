//! Names in policies that nothing around them bears.

use super::Linted;
use crate::{
    tool::Glob,
    yaml::{Fault, closest},
};

/// What the rest of the configuration has, as far as the caller of
/// [`lint`](super::lint) knows it. What is `None` is not checked.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// What stands between upstream and tool in a name; empty, upstreams are
    /// not checked.
    pub separator: String,
    /// The upstreams.
    pub upstreams: Option<Vec<String>>,
    /// Tools that bear no upstream's name, such as `chat`.
    pub models: Option<Vec<String>>,
    /// The roles that some credential has. Leave it out where roles come from
    /// outside, as with tokens.
    pub roles: Option<Vec<String>>,
}

// === impl Surroundings ===

impl Surroundings {
    pub(super) fn check(&self, policy: &Linted<'_>, warnings: &mut Vec<Fault>) {
        for (part, glob) in policy.tool_globs() {
            if let Some((message, suggestion)) = self.unknown(glob) {
                warnings.push(policy.warning(&part, message).suggesting(suggestion));
            }
        }
        let (Some(known), Some(subjects)) = (&self.roles, &policy.entry.subjects) else {
            return;
        };
        for (index, role) in subjects.roles.iter().enumerate() {
            if !known.iter().any(|known| role.matches(known)) {
                let message = format!("no credential has the role `{role}`");
                let suggestion = closest(role.as_str(), known.iter().map(String::as_str));
                let at = format!("/subjects/roles/{index}");
                warnings.push(policy.warning(&at, message).suggesting(suggestion));
            }
        }
    }

    /// What `glob` names that is not there, and what was probably meant.
    fn unknown(&self, glob: &Glob) -> Option<(String, Option<String>)> {
        let text = glob.as_str();
        let split = Some(self.separator.as_str())
            .filter(|separator| !separator.is_empty())
            .and_then(|separator| text.split_once(separator));
        match (split, &self.upstreams, &self.models) {
            (Some((prefix, rest)), Some(upstreams), _) => {
                let literal = !prefix.contains(['*', '?']);
                let names = || upstreams.iter().map(String::as_str);
                // An upstream's own name may hold the separator.
                let known = names().any(|name| text.starts_with(&format!("{name}{}", self.separator)));
                (literal && !known).then(|| {
                    let meant = closest(prefix, names());
                    let suggestion = meant.map(|name| format!("{name}{}{rest}", self.separator));
                    (format!("there is no upstream `{prefix}`"), suggestion)
                })
            }
            (None, _, Some(models)) if glob.is_literal() && !self.separator.is_empty() => {
                let names = || models.iter().map(String::as_str);
                let known = names().any(|name| name == text);
                (!known).then(|| {
                    let message = format!(
                        "there is no tool `{text}`: a tool of an upstream is called UPSTREAM{}TOOL",
                        self.separator
                    );
                    (message, closest(text, names()).map(str::to_owned))
                })
            }
            _ => None,
        }
    }
}
