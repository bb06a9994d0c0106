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
    /// The callers there may be, by name; one that ends with `#` begins the
    /// names of all that an issuer vouches for.
    pub principals: Option<Vec<String>>,
}

// === impl Surroundings ===

impl Surroundings {
    pub(super) fn check(&self, policy: &Linted<'_>, warnings: &mut Vec<Fault>) {
        for (part, glob) in policy.tool_globs() {
            if let Some((message, suggestion)) = self.unknown(glob) {
                warnings.push(policy.warning(&part, message).suggesting(suggestion));
            }
        }
        let Some(subjects) = &policy.entry.subjects else { return };
        let mut unknown = |part: &str, globs: &[Glob], known: &Option<Vec<String>>, what: &str| {
            let Some(known) = known else { return };
            for (index, glob) in globs.iter().enumerate() {
                if !known.iter().any(|known| may_be(glob, known)) {
                    let suggestion = closest(glob.as_str(), known.iter().map(String::as_str));
                    let at = format!("/subjects/{part}/{index}");
                    warnings.push(policy.warning(&at, format!("{what} `{glob}`")).suggesting(suggestion));
                }
            }
        };
        unknown("roles", &subjects.roles, &self.roles, "no credential has the role");
        unknown("principals", &subjects.principals, &self.principals, "no credential makes anybody");
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

/// Whether `glob` may fit a name that is `known`, or begins so where that ends
/// with `#`.
fn may_be(glob: &Glob, known: &str) -> bool {
    let fixed = glob.as_str().split(['*', '?']).next().unwrap_or_default();
    glob.matches(known)
        || known.ends_with('#') && (fixed.starts_with(known) || (!glob.is_literal() && known.starts_with(fixed)))
}
