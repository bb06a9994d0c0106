//! Checks for strings with a form of their own: rates, sizes, globs.

use std::{collections::BTreeMap, fmt, sync::Arc};

type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The checks behind the `format` keywords of a schema, by name.
///
/// A check that fails says what is wrong and what would be right:
/// `"100/fortnight" is not a rate: write 100/second, /minute, /hour or /day`.
#[derive(Clone, Default)]
pub struct Formats {
    checks: BTreeMap<&'static str, Check>,
}

// === impl Formats ===

impl Formats {
    /// No formats.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds, or replaces, the check for the format `name`.
    #[must_use]
    pub fn with(
        mut self,
        name: &'static str,
        check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.insert(name, Arc::new(check));
        self
    }

    /// What is wrong with `text` as a `format`; `None` if nothing is, or if
    /// no such format is known here.
    pub(super) fn complaint(&self, format: &str, text: &str) -> Option<String> {
        self.checks.get(format)?(text).err()
    }

    /// Whether there is a check for the format.
    pub(super) fn knows(&self, format: &str) -> bool {
        self.checks.contains_key(format)
    }

    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&'static str, impl Fn(&str) -> bool + Send + Sync + 'static)> + '_ {
        self.checks.iter().map(|(name, check)| {
            let check = Arc::clone(check);
            (*name, move |text: &str| check(text).is_ok())
        })
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.checks.keys()).finish()
    }
}
