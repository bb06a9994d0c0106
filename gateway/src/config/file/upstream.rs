//! One entry of `upstreams` or `mcpServers`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderName;
use portcullis_policies::Glob;
use portcullis_policies::document::LimitEntry;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::config::entries::Entries;
use crate::config::secret::SecretFile;
use crate::config::written::Written;

/// One upstream: exactly one of `url`, `command` and `builtin`.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct UpstreamFile {
    /// Its MCP endpoint: http or https, or ws or wss for WebSocket.
    pub(in crate::config) url: Option<Written<Url>>,
    /// The program to start, which speaks MCP over its standard input and output.
    #[schemars(length(min = 1))]
    pub(in crate::config) command: Option<String>,
    /// Something that lives in this process.
    pub(in crate::config) builtin: Option<BuiltinFile>,
    /// How it is spoken to, as client files say it. `url` and `command` tell as much.
    #[serde(rename = "type")]
    pub(in crate::config) kind: Option<TransportFile>,
    /// Another word for `type`.
    pub(in crate::config) transport: Option<TransportFile>,
    /// Leaves it out.
    #[serde(default)]
    pub(in crate::config) disabled: bool,
    /// A client's own: what it need not ask its user about. Means nothing here.
    pub(in crate::config) auto_approve: Option<Vec<String>>,
    /// Another word for `autoApprove`.
    pub(in crate::config) always_allow: Option<Vec<String>>,
    /// Sent with every request.
    #[serde(default)]
    pub(in crate::config) headers: Entries<SecretFile>,
    /// The credential we present.
    pub(in crate::config) auth: Option<UpstreamAuthFile>,
    /// The program's arguments.
    #[serde(default)]
    pub(in crate::config) args: Vec<String>,
    /// Variables added to the program's small environment.
    #[serde(default)]
    pub(in crate::config) env: Entries<SecretFile>,
    /// The program's working directory.
    pub(in crate::config) cwd: Option<String>,
    /// How long it may stay silent while it owes an answer.
    #[serde(default = "default_timeout")]
    pub(in crate::config) timeout: Written<Duration>,
    /// When a request that was surely not processed is sent again.
    #[serde(default)]
    pub(in crate::config) retry: RetryFile,
    /// Which of its tools are shown, and under which names.
    #[serde(default)]
    pub(in crate::config) tools: ToolsFile,
    /// How often its tools may be called, whatever policies say besides. Globs
    /// over the names of its tools, without its prefix.
    #[serde(default)]
    pub(in crate::config) rate_limits: Vec<LimitEntry>,
    /// Who answers when it asks for a message of a language model.
    pub(in crate::config) sampling: Option<SamplingFile>,
}

/// `sampling`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct SamplingFile {
    /// The model of this process that answers where the client cannot, within
    /// what the caller may do with its tool.
    pub(in crate::config) answer_with: String,
}

/// `builtin`
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) enum BuiltinFile {
    /// A few harmless tools to try things out.
    Demo,
}

/// `type` or `transport`
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(in crate::config) enum TransportFile {
    /// Streamable HTTP.
    #[serde(rename = "http")]
    Http,
    /// Streamable HTTP.
    #[serde(rename = "streamable-http")]
    StreamableHttp,
    /// Streamable HTTP.
    #[serde(rename = "streamableHttp")]
    StreamableHttpCamel,
    /// Streamable HTTP.
    #[serde(rename = "streamable_http")]
    StreamableHttpSnake,
    /// A program.
    #[serde(rename = "stdio")]
    Stdio,
    /// HTTP+SSE, the transport of 2024-11-05.
    #[serde(rename = "sse")]
    Sse,
    /// WebSocket.
    #[serde(rename = "ws")]
    Ws,
    /// WebSocket.
    #[serde(rename = "websocket")]
    WebSocket,
}

/// `auth` of an upstream
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum UpstreamAuthFile {
    /// `Authorization: Bearer …`
    Bearer(BearerFile),
    /// A header of its own.
    ApiKey(ApiKeyFile),
}

/// `{bearer: …}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamBearer")]
pub(in crate::config) struct BearerFile {
    /// The token.
    pub(in crate::config) bearer: SecretFile,
}

/// `{apiKey: …}`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "UpstreamApiKey")]
pub(in crate::config) struct ApiKeyFile {
    /// The header and the key.
    pub(in crate::config) api_key: HeaderKeyFile,
}

/// `{header: …, key: …}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HeaderKeyFile {
    /// The header that holds the key.
    pub(in crate::config) header: Written<HeaderName>,
    /// The key.
    pub(in crate::config) key: SecretFile,
}

/// `retry`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::config) struct RetryFile {
    /// Attempts in all.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) max_attempts: NonZeroU32,
    /// The pause after the first failure; each further one doubles.
    pub(in crate::config) initial: Written<Duration>,
    /// No pause is longer.
    pub(in crate::config) max: Written<Duration>,
}

/// `tools`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::config) struct ToolsFile {
    /// Globs over the upstream's own names; a tool must match one.
    pub(in crate::config) include: Vec<Glob>,
    /// Globs; a tool that matches one is hidden.
    pub(in crate::config) exclude: Vec<Glob>,
    /// The upstream's name for a tool, and the name clients see.
    pub(in crate::config) rename: BTreeMap<String, String>,
}

fn default_timeout() -> Written<Duration> {
    Written(Duration::from_secs(30))
}

// === impl RetryFile ===

impl Default for RetryFile {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroU32::new(5).expect("5 is not zero"),
            initial: Written(Duration::from_secs(1)),
            max: Written(Duration::from_secs(60)),
        }
    }
}

// === impl ToolsFile ===

impl Default for ToolsFile {
    fn default() -> Self {
        let all = "*".parse().expect("`*` is a pattern");
        Self { include: vec![all], exclude: Vec::new(), rename: BTreeMap::new() }
    }
}
