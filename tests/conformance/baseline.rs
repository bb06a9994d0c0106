//! What is known to fail, under the reason for it.

use std::fs;
use std::path::PathBuf;

use portcullis_tests::peer::tests_directory;

use crate::outcome::Failures;

const HEAD: &str = "\
# What is known to fail, in the suite's own format; the comment above an entry is its reason.
# `make conformance` takes out what passes by now.
";

/// The entries of one file, in its order.
#[derive(Debug, Default)]
pub(crate) struct Baseline {
    path: PathBuf,
    groups: Vec<Group>,
}

/// Checks, as `scenario:check`, that fail for one reason.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) reason: String,
    pub(crate) entries: Vec<String>,
}

// === impl Baseline ===

impl Baseline {
    /// Nothing may fail.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Reads the file of a run.
    ///
    /// # Panics
    ///
    /// When it is missing, or an entry has no reason.
    pub(crate) fn read(run: &str) -> Self {
        let path = tests_directory().join(format!("conformance/{run}.yml"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut groups: Vec<Group> = Vec::new();
        for line in text.lines() {
            if let Some(reason) = line.strip_prefix("  # ") {
                groups.push(Group { reason: reason.to_owned(), ..Group::default() });
            } else if let Some(entry) = line.strip_prefix("  - ") {
                let group = groups.last_mut().unwrap_or_else(|| panic!("{run}: no reason above {entry}"));
                group.entries.push(entry.to_owned());
            }
        }
        Self { path, groups }
    }

    /// Passes when exactly what is known fails.
    ///
    /// # Panics
    ///
    /// Otherwise; but what passes by now is taken out when this is about writing.
    pub(crate) fn judge(self, failures: &Failures, writing: bool) {
        let known = |check: &str| self.groups.iter().any(|group| group.entries.iter().any(|entry| entry == check));
        let unknown = failures.iter().filter(|(check, _)| !known(check));
        let unknown: Vec<String> = unknown.map(|(check, why)| format!("  - {check}\n      {why}")).collect();
        assert!(unknown.is_empty(), "failed unexpectedly:\n{}", unknown.join("\n"));
        let entries = self.groups.iter().flat_map(|group| &group.entries);
        let passing: Vec<_> = entries.filter(|entry| !failures.contains_key(*entry)).collect();
        if passing.is_empty() {
            return;
        }
        assert!(writing, "fails no longer, and `make conformance` takes it out: {passing:#?}");
        let path = self.path.clone();
        // In one step, because another test may read it.
        let draft = path.with_extension("draft");
        fs::write(&draft, render(&self.still_failing(failures))).unwrap();
        fs::rename(draft, path).unwrap();
    }

    /// What of this still fails.
    pub(crate) fn still_failing(mut self, failures: &Failures) -> Vec<Group> {
        for group in &mut self.groups {
            group.entries.retain(|entry| failures.contains_key(entry));
        }
        self.groups.retain(|group| !group.entries.is_empty());
        self.groups
    }
}

fn render(groups: &[Group]) -> String {
    if groups.is_empty() {
        return format!("{HEAD}server: []\n");
    }
    let lines = groups.iter().map(|group| {
        let entries = group.entries.iter().map(|entry| format!("  - {entry}\n"));
        format!("  # {}\n{}", group.reason, entries.collect::<String>())
    });
    format!("{HEAD}server:\n{}", lines.collect::<String>())
}
