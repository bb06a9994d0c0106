//! The configuration: read whole, checked whole, right or not there at all.
//!
//! [`file`] mirrors the YAML; everything else here turns it into the settings
//! that each part of the gateway defines for itself, so that no part knows
//! YAML and none meets a setting that is wrong. Faults are collected, never
//! stopped at: whoever fixes one should not find the next only then.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use portcullis_policies::yaml::Fault;
use portcullis_policies::{Limit, PolicySet};
use url::Url;

use crate::audit::AuditSettings;
use crate::auth::AuthSettings;
use crate::backends::settings::{ModelSettings, UpstreamSettings};
use crate::listener::TlsSettings;
use crate::middleware::ip_allowlist::NetworkSettings;
use crate::middleware::origin::WebOrigin;
use crate::replicas::ReplicaSettings;
use crate::secret::Secret;
use crate::telemetry::LogSettings;

pub use self::key::NewKey;
pub use self::listening::Limits;
pub use self::load::is_error;
pub use self::reloads::Reloads;
pub use self::source::{Banner, Source};

mod authentication;
mod built_in;
mod check;
mod entries;
mod file;
mod key;
mod lint;
mod listening;
mod load;
mod models;
mod place;
mod policy_files;
mod reloads;
mod replicas;
mod scalar;
mod secret;
mod sessions;
mod source;
mod transport;
mod upstreams;
mod written;

#[cfg(test)]
mod tests;

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics and health are served.
    pub admin_listen: SocketAddr,
    /// What clients call us, where that differs from `listen`.
    pub public_url: Option<Url>,
    /// Serves HTTPS.
    pub tls: Option<TlsSettings>,
    /// The web pages that may call us.
    pub allowed_origins: Vec<WebOrigin>,
    /// Which addresses may connect at all.
    pub network: NetworkSettings,
    /// What one request, and all of them together, may take.
    pub limits: Limits,
    /// Who may enter.
    pub auth: AuthSettings,
    /// What session ids are sealed with; the first seals, all open. None: a key
    /// made for this run.
    pub session_keys: Vec<Secret<String>>,
    /// How this process is one of several.
    pub replicas: Option<ReplicaSettings>,
    /// What they may do.
    pub policies: Arc<PolicySet>,
    /// The MCP servers behind us, in the order of the file.
    pub upstreams: Vec<UpstreamSettings>,
    /// The language models in this process, in the order of the file.
    pub models: Vec<ModelSettings>,
    /// What upstreams state about how often their tools may be called: the
    /// upstream's name, and a limit over the names without its prefix.
    pub upstream_limits: Vec<(Arc<str>, Limit)>,
    /// What stands between an upstream's name and its tool's.
    pub separator: String,
    /// The log.
    pub log: LogSettings,
    /// The audit log.
    pub audit: Option<AuditSettings>,
    /// What was hardly meant.
    pub warnings: Vec<Fault>,
    /// The files and folders it rests on.
    pub watched: Vec<PathBuf>,
    /// A digest of everything that was read for it.
    fingerprint: [u8; 32],
}

/// The JSON Schema (draft 2020-12) of the configuration file, for editors.
#[must_use]
pub fn schema() -> serde_json::Value {
    portcullis_policies::yaml::schema_of::<file::ConfigFile>()
}
