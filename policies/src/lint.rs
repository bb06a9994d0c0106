//! What a policy file may say but hardly means.
//!
//! Everything here is a warning: the policies work as written. Each check finds
//! only what it is sure of.

mod reach;
mod surroundings;

#[cfg(test)]
mod tests;

pub use self::surroundings::Surroundings;

use crate::{
    document::{PolicyEntry, PolicyFile, formats},
    network::Network,
    tool::Glob,
    yaml::{Document, Fault},
};

/// Warnings about `documents`, in the order of files and lines. A document with
/// faults has none: compiling it reports what matters first.
pub fn lint(documents: &[Document], surroundings: &Surroundings) -> Vec<Fault> {
    let formats = formats();
    let files: Vec<(&Document, PolicyFile)> =
        documents.iter().filter_map(|document| Some((document, document.decode(&formats).ok()?))).collect();
    let policies: Vec<Linted<'_>> = files
        .iter()
        .flat_map(|(document, file)| {
            let entries = file.policies.iter().enumerate();
            entries.map(move |(index, entry)| Linted { document, entry, at: format!("/policies/{index}") })
        })
        .collect();
    let mut warnings = Vec::new();
    for policy in &policies {
        let found = warnings.len();
        policy.says_something(&mut warnings);
        policy.can_count(&mut warnings);
        policy.judges_what_is_there(&mut warnings);
        reach::check(policy, &policies, &mut warnings);
        surroundings.check(policy, &mut warnings);
        warnings[found..].sort_by_key(|warning| (warning.line, warning.column));
    }
    warnings
}

/// A policy with where it stands.
struct Linted<'a> {
    document: &'a Document,
    entry: &'a PolicyEntry,
    at: String,
}

// === impl Linted ===

impl Linted<'_> {
    fn warning(&self, part: &str, message: impl Into<String>) -> Fault {
        self.document.warning_at(&format!("{}{part}", self.at), message)
    }

    fn says_something(&self, warnings: &mut Vec<Fault>) {
        let entry = self.entry;
        let rules = [&entry.tools, &entry.resources, &entry.prompts];
        let silent = rules.iter().all(|rules| rules.allow.is_empty() && rules.deny.is_empty());
        if silent && entry.rate_limits.is_empty() {
            warnings.push(self.warning("", "does nothing: it allows, denies and limits nothing"));
        }
    }

    fn can_count(&self, warnings: &mut Vec<Fault>) {
        let network = self.entry.network.clone().map(Network::from);
        if network.is_some_and(|network| network.admits_nobody()) {
            let message = "never matches: every allowed address is denied as well";
            warnings.push(self.warning("/network", message));
        }
        if self.entry.when.as_deref().map(str::trim) == Some("false") {
            warnings.push(self.warning("/when", "never matches: the condition is always false"));
        }
    }

    fn judges_what_is_there(&self, warnings: &mut Vec<Fault>) {
        let Some(when) = &self.entry.when else { return };
        let Ok(condition) = crate::condition::Condition::compile(when) else {
            return;
        };
        let resources = &self.entry.resources;
        if condition.uses_args() && !(resources.allow.is_empty() && resources.deny.is_empty()) {
            let message = "asks for `args`, which reading a resource has none of: \
                           give resources a policy of their own";
            warnings.push(self.warning("/when", message));
        }
    }

    /// Every pattern over tool names, with where it stands.
    fn tool_globs(&self) -> impl Iterator<Item = (String, &Glob)> {
        let at = |part: &'static str| move |(index, glob)| (format!("{part}/{index}"), glob);
        let tools = &self.entry.tools;
        let allow = tools.allow.iter().enumerate().map(at("/tools/allow"));
        let deny = tools.deny.iter().enumerate().map(at("/tools/deny"));
        let limits = self.entry.rate_limits.iter().enumerate();
        let limits = limits.flat_map(|(limit, entry)| {
            let globs = entry.tools.iter().flatten().enumerate();
            globs.map(move |(index, glob)| (format!("/rateLimits/{limit}/tools/{index}"), glob))
        });
        allow.chain(deny).chain(limits)
    }
}
