//! What a completion refers to (MCP 2025-11-25, "Completion", reference types).

use super::params::{Named, differs_in_case};
use super::scanner::{Fault, Scanner, string};

/// What is to be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `ref/prompt`: an argument of the prompt of this name.
    Prompt(Named),
    /// `ref/resource`: a variable of the template of this URI.
    Resource(Named),
}

/// What two readers of an object could understand differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubtful {
    /// A member is given twice.
    Repeated,
    /// A member is a known one but for its case.
    Misspelt,
}

/// The members that are read.
const KNOWN: [&str; 3] = ["type", "name", "uri"];

// === impl Reference ===

impl Reference {
    /// The name or URI.
    #[must_use]
    pub const fn subject(&self) -> &Named {
        match self {
            Self::Prompt(named) | Self::Resource(named) => named,
        }
    }

    /// Reads a reference of `message`; `None` where it is of no kind we know.
    ///
    /// # Errors
    ///
    /// [`Fault`]
    pub(super) fn read(scanner: &mut Scanner<'_>, message: &str) -> Result<(Option<Self>, Option<Doubtful>), Fault> {
        if scanner.peek() != b'{' {
            return scanner.value().map(|_| (None, None));
        }
        let (mut values, mut doubtful) = ([None; KNOWN.len()], None);
        scanner.object(|scanner, key| {
            let value = scanner.value()?;
            match KNOWN.iter().position(|known| *known == key.as_ref()) {
                Some(index) if values[index].replace(value).is_some() => doubtful = Some(Doubtful::Repeated),
                None if KNOWN.iter().any(|known| differs_in_case(&key, known)) => doubtful = Some(Doubtful::Misspelt),
                _ => {}
            }
            Ok(())
        })?;
        let [kind, name, uri] = values;
        let named = |value: Option<&str>| value.and_then(|value| Named::read(value, message));
        let reference = match kind.and_then(string).as_deref() {
            Some("ref/prompt") => named(name).map(Self::Prompt),
            Some("ref/resource") => named(uri).map(Self::Resource),
            _ => None,
        };
        Ok((reference, doubtful))
    }
}
