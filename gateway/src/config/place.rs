//! Names a part of the configuration file, as a JSON pointer (RFC 6901).

use std::fmt;

/// A part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(String);

// === impl Place ===

impl Place {
    /// The member `key` of the file's root.
    pub(super) fn root(key: &str) -> Self {
        Self::default().key(key)
    }

    /// The member `key` of this part.
    pub(super) fn key(&self, key: &str) -> Self {
        Self(format!("{}/{}", self.0, key.replace('~', "~0").replace('/', "~1")))
    }

    /// The entry `index` of this part, counted from 0.
    pub(super) fn index(&self, index: usize) -> Self {
        self.key(&index.to_string())
    }

    /// The pointer.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_a_key_are_escaped() {
        assert_eq!(Place::root("headers").key("a/b~c").index(2).as_str(), "/headers/a~1b~0c/2");
    }
}
