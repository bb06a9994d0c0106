//! `docs/conformance.md`, which is written from what the runs said.

use std::collections::BTreeMap;
use std::fs;

use portcullis_tests::Value;
use portcullis_tests::peer::tests_directory;

use crate::baseline::Group;
use crate::run::Run;
use crate::{alone, failures};

/// Compares the published page with the runs, or writes it anew.
pub(crate) fn check(runs: &[Run], writing: bool) {
    let path = tests_directory().join("../docs/conformance.md");
    let page = page(runs);
    if writing {
        fs::write(path, page).unwrap();
    } else {
        let published = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(published, page, "`make conformance` writes docs/conformance.md anew");
    }
}

fn page(runs: &[Run]) -> String {
    let rows: String = runs.iter().map(row).collect();
    let known: String = runs.iter().map(known_failures).collect();
    format!(
        "\
# Conformance

What the official conformance suite finds, in version {}. `make conformance` writes this page
from its runs, and a test compares it with them.

The suite is the client. The upstream is a server that the suite finds no fault with, pinned to one
era, so that the gateway translates wherever the two differ: *legacy* stands for the revisions up to
2025-11-25, *modern* for 2026-07-28. For 2025-11-25 and 2026-07-28 these are all scenarios of the
revision's requirements, with those that the suite itself does not score, such as the extension for
tasks; for the older revisions all scenarios there are.

| Client | Upstream | Checks passed through the gateway | By an upstream of the client's era alone | Known failures |
|---|---|---:|---:|---:|
{rows}
## Known failures

`tests/conformance/` has them check by check. A check that the upstream alone passes and that the
suite does not come to through the gateway counts as one. Whatever else fails breaks the build, and
so does a known failure that passes.
{known}",
        suite_version()
    )
}

fn row(run: &Run) -> String {
    let (passed, alone) = (run.outcome().passed, alone(run.client).outcome().passed);
    let known: usize = groups(run).iter().map(|group| group.entries.len()).sum();
    format!("| {} | {} | {passed} | {alone} | {known} |\n", run.client, run.upstream.name())
}

fn known_failures(run: &Run) -> String {
    let reasons: String = groups(run).iter().map(reason).collect();
    if reasons.is_empty() {
        return String::new();
    }
    format!("\n### Client of {}, {} upstream\n\n{reasons}", run.client, run.upstream.name())
}

fn groups(run: &Run) -> Vec<Group> {
    run.baseline().still_failing(&failures(run))
}

/// One reason with its scenarios and how many checks fail in each.
fn reason(group: &Group) -> String {
    let mut scenarios: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &group.entries {
        *scenarios.entry(entry.split(':').next().unwrap_or(entry)).or_default() += 1;
    }
    let scenario = |(name, checks): (&&str, &usize)| match checks {
        1 => format!("`{name}`"),
        _ => format!("`{name}` ({checks})"),
    };
    let scenarios: Vec<String> = scenarios.iter().map(scenario).collect();
    format!("- {} {}.\n", group.reason, scenarios.join(", "))
}

fn suite_version() -> String {
    let package = fs::read(tests_directory().join("peers/conformance/package.json")).unwrap();
    let package: Value = serde_json::from_slice(&package).unwrap();
    package["dependencies"]["@modelcontextprotocol/conformance"].as_str().unwrap().to_owned()
}
