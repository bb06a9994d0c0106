//! Where the configuration comes from.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::key::NewKey;

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// This file, which is watched.
    File(PathBuf),
    /// Nowhere: the built-in default.
    BuiltIn {
        /// The key for this run.
        key: NewKey,
        /// Writes what is said once the listeners are bound.
        banner: Banner,
    },
}

/// Writes the banner, given where clients connect, where metrics are, and the key.
pub type Banner = fn(listen: SocketAddr, admin: SocketAddr, key: &str) -> String;
