//! What the suite found, from the files it leaves: one directory for each
//! scenario, with `checks.json` unless the scenario itself broke.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use portcullis_tests::Value;

/// As long as the time in a directory's name: `-2026-11-21T19-04-31-123Z`.
const TIME: usize = 25;

/// What was said of each check, named `scenario:check`.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many passed; a check may be made several times.
    pub(crate) passed: usize,
    good: BTreeSet<String>,
    bad: Failures,
}

/// The checks that are not right, and what is wrong.
pub(crate) type Failures = BTreeMap<String, String>;

// === impl Outcome ===

impl Outcome {
    /// Reads what the suite left.
    ///
    /// # Panics
    ///
    /// When it did not come to its end.
    pub(crate) fn read(results: &Path, log: &str) -> Self {
        assert!(log.contains("=== SUMMARY ==="), "the suite did not come to its end:\n{log}");
        let mut outcome = Self::default();
        for entry in fs::read_dir(results).unwrap().map(Result::unwrap) {
            let directory = entry.file_name().into_string().unwrap();
            let Some(scenario) = directory.strip_prefix("server-").filter(|_| entry.path().is_dir()) else { continue };
            let scenario = &scenario[..scenario.len() - TIME];
            match fs::read(entry.path().join("checks.json")) {
                Ok(checks) => outcome.count(scenario, &serde_json::from_slice(&checks).unwrap()),
                Err(_) => drop(outcome.bad.insert(format!("{scenario}:{scenario}"), "the scenario broke".to_owned())),
            }
        }
        outcome
    }

    /// What is wrong, compared with what the upstream alone is good for: a
    /// scenario that gives up early, or takes another turn, checks less.
    pub(crate) fn failures(&self, alone: Option<&Self>) -> Failures {
        let mut failures = self.bad.clone();
        for check in alone.into_iter().flat_map(|alone| &alone.good).filter(|check| !self.good.contains(*check)) {
            failures.entry(check.clone()).or_insert_with(|| "did not come to this".to_owned());
        }
        failures
    }

    fn count(&mut self, scenario: &str, checks: &Value) {
        for check in checks.as_array().unwrap() {
            let text = |field: &str| check[field].as_str().unwrap_or_default();
            let name = format!("{scenario}:{}", text("id"));
            match text("status") {
                "SUCCESS" => {
                    self.passed += 1;
                    self.good.insert(name);
                }
                "FAILURE" | "WARNING" => drop(self.bad.entry(name).or_insert_with(|| text("errorMessage").to_owned())),
                _ => {}
            }
        }
    }
}
