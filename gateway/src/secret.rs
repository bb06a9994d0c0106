//! Values that must never be printed.

use std::fmt;

/// A secret: a token, a key, a password.
///
/// `Debug` redacts it and there is no `Display`, so that it reaches a log
/// only through [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

// === impl Secret ===

impl<T> Secret<T> {
    /// Wraps a value that is not to be printed.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Hands out the value, for the one place that must send or compare it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_value() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }
}
