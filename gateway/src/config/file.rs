//! The configuration file as it is written.
//!
//! Mirrors the YAML and nothing else: what a key means together with others is
//! settled in [`config`](super). The doc comments here are what an editor
//! shows beside a key.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use self::auth::AuthFile;
use self::model::ModelFile;
use self::upstream::UpstreamFile;
use super::entries::Entries;
use super::scalar::ByteSize;
use super::secret::SecretFile;
use super::written::Written;
use crate::middleware::origin::WebOrigin;

pub(super) mod auth;
pub(super) mod model;
pub(super) mod upstream;

/// The configuration of Portcullis.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "Portcullis configuration")]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    /// Where clients connect.
    pub(super) listen: Written<SocketAddr>,
    /// What clients call us, where that differs from `listen`: behind a proxy
    /// or a name. The resource that access tokens are for.
    pub(super) public_url: Option<Written<Url>>,
    /// Serves HTTPS.
    pub(super) tls: Option<TlsFile>,
    /// The web pages that may call us from a browser and read the answers
    /// (CORS). A gateway on loopback takes calls of this machine's pages, too.
    pub(super) allowed_origins: Vec<Written<WebOrigin>>,
    /// Which addresses may connect at all.
    pub(super) network: NetworkFile,
    /// What one request, and all of them together, may take.
    pub(super) limits: LimitsFile,
    /// Metrics and health, for operators.
    pub(super) admin: AdminFile,
    /// How callers prove who they are. Without it nobody enters.
    pub(super) auth: AuthFile,
    /// What clients keep of their sessions for us.
    pub(super) sessions: SessionsFile,
    /// Several processes that serve as one, behind anything that spreads
    /// requests over them.
    pub(super) replicas: Option<ReplicasFile>,
    /// The policy files: paths or globs, from this file's folder.
    pub(super) policies: Vec<String>,
    /// The MCP servers behind us, by name. Their tools are NAME__TOOL.
    pub(super) upstreams: Entries<UpstreamFile>,
    /// The same as `upstreams`: what an MCP client's file says can be pasted here.
    pub(super) mcp_servers: Entries<UpstreamFile>,
    /// The language models in this process, by the names of their tools.
    pub(super) models: Entries<ModelFile>,
    /// How tools are named towards clients.
    pub(super) naming: NamingFile,
    /// Logs.
    pub(super) telemetry: TelemetryFile,
}

/// `tls`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TlsFile {
    /// The certificate chain, PEM.
    pub(super) cert: String,
    /// Its private key, PEM.
    pub(super) key: String,
    /// The authorities of client certificates, PEM: with it, only clients that
    /// hold a certificate of theirs can connect.
    pub(super) client_ca: Option<String>,
}

/// `network`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NetworkFile {
    /// Only these may connect. Absent: all.
    pub(super) allow: Vec<Written<IpNet>>,
    /// These may not, even where `allow` says so.
    pub(super) deny: Vec<Written<IpNet>>,
    /// Only these may name the caller in `X-Forwarded-For`.
    pub(super) trusted_proxies: Vec<Written<IpNet>>,
}

/// `limits`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    /// The largest request body.
    pub(super) max_body: Written<ByteSize>,
    /// How long one request may take.
    pub(super) request_timeout: Written<Duration>,
    /// How many requests may run at once.
    pub(super) max_concurrent_requests: NonZeroU32,
    /// How long running calls may go on after we were told to end.
    pub(super) drain_timeout: Written<Duration>,
}

/// `admin`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct AdminFile {
    /// Where metrics and health are served.
    pub(super) listen: Written<SocketAddr>,
}

/// `sessions`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct SessionsFile {
    /// What session ids are sealed with: the first key seals, all of them open.
    /// Replicas have the same. Absent: a key made for each run.
    #[schemars(length(min = 1, max = 16))]
    pub(super) keys: Option<Vec<SecretFile>>,
}

/// `replicas`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReplicasFile {
    /// Where the others pass on what belongs here. It takes the word of whoever
    /// has the `sessions.keys`.
    pub(super) listen: Written<SocketAddr>,
    /// Where they reach it: an address or a name, with or without a port; also
    /// `{env: NAME}` or `{file: PATH}`. Absent: `listen`, unless that is every
    /// address.
    pub(super) advertise: Option<SecretFile>,
}

/// `naming`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct NamingFile {
    /// What stands between an upstream's name and its tool's.
    pub(super) separator: String,
}

/// `telemetry`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct TelemetryFile {
    /// The log on standard error.
    pub(super) log: LogFile,
    /// The audit log: one line a call, each bound to the one before it.
    pub(super) audit: Option<AuditFile>,
}

/// `telemetry.log`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LogFile {
    /// How a line looks.
    pub(super) format: LogFormatFile,
    /// The least grave that is logged.
    pub(super) level: LogLevelFile,
}

/// `telemetry.log.format`
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum LogFormatFile {
    /// One JSON object a line.
    #[default]
    Json,
    /// For reading.
    Text,
}

/// `telemetry.log.level`
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum LogLevelFile {
    /// Nothing.
    Off,
    /// An operator must act.
    Error,
    /// Something failed and was recovered.
    Warn,
    /// Starts, ends, and one line a call.
    #[default]
    Info,
    /// Decisions.
    Debug,
    /// Everything.
    Trace,
}

/// `telemetry.audit`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AuditFile {
    /// Where it is written.
    pub(super) file: String,
    /// Whether the arguments of calls stand in it.
    #[serde(default)]
    pub(super) arguments: bool,
}

// === impl ConfigFile ===

impl Default for ConfigFile {
    fn default() -> Self {
        Self {
            listen: Written(SocketAddr::from(([127, 0, 0, 1], 8080))),
            public_url: None,
            tls: None,
            allowed_origins: Vec::new(),
            network: NetworkFile::default(),
            limits: LimitsFile::default(),
            admin: AdminFile::default(),
            auth: AuthFile::default(),
            sessions: SessionsFile::default(),
            replicas: None,
            policies: Vec::new(),
            upstreams: Entries::default(),
            mcp_servers: Entries::default(),
            models: Entries::default(),
            naming: NamingFile::default(),
            telemetry: TelemetryFile::default(),
        }
    }
}

// === impl LimitsFile ===

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            max_body: Written(ByteSize(4 << 20)),
            request_timeout: Written(Duration::from_secs(60)),
            max_concurrent_requests: NonZeroU32::new(1024).expect("1024 is not zero"),
            drain_timeout: Written(Duration::from_secs(30)),
        }
    }
}

// === impl AdminFile ===

impl Default for AdminFile {
    fn default() -> Self {
        Self { listen: Written(SocketAddr::from(([127, 0, 0, 1], 9090))) }
    }
}

// === impl NamingFile ===

impl Default for NamingFile {
    fn default() -> Self {
        Self { separator: "__".to_owned() }
    }
}
