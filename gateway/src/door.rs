//! The paths of the main listener, and what stands behind each.

use std::sync::Arc;

/// Where a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/mcp`: every backend behind one endpoint.
    Mcp,
    /// `/servers/{name}/mcp`: one upstream alone.
    Server(Arc<str>),
    /// `/ws`: MCP over WebSocket.
    WebSocket,
    /// `/sse`: the stream of HTTP+SSE.
    EventSource,
    /// `/messages`: where its clients post.
    EventSourcePost,
    /// `/mcp/v1/tools` (also `v2`).
    RestTools,
    /// `/mcp/v1/tools/invoke` (also `v2`).
    RestInvoke,
    /// `/v1/chat/completions`, as OpenAI has it.
    ChatCompletions,
    /// `/v1/models`, as OpenAI has it.
    Models,
    /// `/v1/models/{model}`, as OpenAI has it.
    Model(Arc<str>),
    /// Another path of OpenAI's interface: nothing, said in its words.
    OpenAi,
    /// `/.well-known/oauth-protected-resource` and what follows it (RFC 9728 §3.1).
    ResourceMetadata,
    /// The health paths.
    Health,
    /// Nothing of ours.
    Unknown,
}

const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// Whether an upstream could have this name. It is quoted in a header, so
/// that nothing else may stand in it.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether a model could have this name.
fn is_model_name(text: &str) -> bool {
    is_name(&text.replace('.', "-"))
}

// === impl Door ===

impl Door {
    /// The door of a path.
    #[must_use]
    pub fn at(path: &str) -> Self {
        match path {
            "/mcp" | "/mcp/" => Self::Mcp,
            "/ws" => Self::WebSocket,
            "/sse" => Self::EventSource,
            "/messages" => Self::EventSourcePost,
            "/health" | "/healthz" | "/health/ready" | "/readyz" => Self::Health,
            "/mcp/v1/tools" | "/mcp/v2/tools" => Self::RestTools,
            "/mcp/v1/tools/invoke" | "/mcp/v2/tools/invoke" => Self::RestInvoke,
            "/v1/chat/completions" => Self::ChatCompletions,
            "/v1/models" => Self::Models,
            _ => {
                if let Some(rest) = path.strip_prefix(RESOURCE_METADATA)
                    && (rest.is_empty() || rest.starts_with('/'))
                {
                    return Self::ResourceMetadata;
                }
                if path.starts_with("/v1/") {
                    let name = path.strip_prefix("/v1/models/").filter(|name| is_model_name(name));
                    return name.map_or(Self::OpenAi, |name| Self::Model(name.into()));
                }
                match path.strip_prefix("/servers/").and_then(|rest| rest.strip_suffix("/mcp")) {
                    Some(name) if is_name(name) => Self::Server(name.into()),
                    _ => Self::Unknown,
                }
            }
        }
    }

    /// Its name in logs and metrics; never the path as it was written.
    #[must_use]
    pub const fn pattern(&self) -> &'static str {
        match self {
            Self::Mcp => "/mcp",
            Self::Server(_) => "/servers/{name}/mcp",
            Self::WebSocket => "/ws",
            Self::EventSource => "/sse",
            Self::EventSourcePost => "/messages",
            Self::RestTools => "/mcp/v1/tools",
            Self::RestInvoke => "/mcp/v1/tools/invoke",
            Self::ChatCompletions => "/v1/chat/completions",
            Self::Models => "/v1/models",
            Self::Model(_) => "/v1/models/{model}",
            Self::OpenAi => "/v1",
            Self::ResourceMetadata => RESOURCE_METADATA,
            Self::Health => "/health",
            Self::Unknown => "other",
        }
    }

    /// The value of `Allow` where the method does not fit.
    #[must_use]
    pub const fn allow(&self) -> &'static str {
        match self {
            Self::Mcp | Self::Server(_) => "GET, POST, DELETE",
            Self::EventSourcePost | Self::RestInvoke | Self::ChatCompletions => "POST",
            Self::WebSocket | Self::EventSource | Self::RestTools | Self::Models | Self::Model(_) => "GET",
            Self::ResourceMetadata | Self::Health | Self::Unknown | Self::OpenAi => "GET, HEAD",
        }
    }

    /// Whether clients of OpenAI's interface come in here.
    #[must_use]
    pub const fn is_openai(&self) -> bool {
        matches!(self, Self::ChatCompletions | Self::Models | Self::Model(_) | Self::OpenAi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_their_doors() {
        for (path, door) in [
            ("/mcp", Door::Mcp),
            ("/servers/crm/mcp", Door::Server("crm".into())),
            ("/servers//mcp", Door::Unknown),
            ("/servers/a/b/mcp", Door::Unknown),
            ("/servers/a\",scope=\"all/mcp", Door::Unknown),
            ("/ws", Door::WebSocket),
            ("/sse", Door::EventSource),
            ("/messages", Door::EventSourcePost),
            ("/mcp/v2/tools", Door::RestTools),
            ("/v1/chat/completions", Door::ChatCompletions),
            ("/v1/models", Door::Models),
            ("/v1/models/qwen-0.5b", Door::Model("qwen-0.5b".into())),
            ("/v1/models/", Door::OpenAi),
            ("/v1/models/a/b", Door::OpenAi),
            ("/v1/completions", Door::OpenAi),
            ("/v1", Door::Unknown),
            ("/.well-known/oauth-protected-resource/servers/crm/mcp", Door::ResourceMetadata),
            ("/.well-known/oauth-protected-resources", Door::Unknown),
            ("/readyz", Door::Health),
            ("/", Door::Unknown),
        ] {
            assert_eq!(Door::at(path), door, "{path}");
        }
    }
}
