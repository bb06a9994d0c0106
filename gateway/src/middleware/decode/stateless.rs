//! What a stateless request must carry, checked in order (MCP 2026-07-28,
//! "Streamable HTTP", request validation).

use http::{HeaderMap, HeaderName};

use super::headers::NamedVersion;
use crate::mcp::envelope::Envelope;
use crate::mcp::mirror;
use crate::mcp::params::Params;
use crate::mcp::version::{Era, Version};
use crate::rejection::Rejection;

/// Whether a message is of a stateless client: what its body says counts, and
/// a header only where the body says nothing.
pub(super) fn is_stateless(envelope: &Envelope<'_>, version: &NamedVersion) -> bool {
    envelope.params.meta.names_version || envelope.method() != Some("initialize") && names_stateless(version)
}

/// Whether `MCP-Protocol-Version` names a stateless revision.
pub(super) fn names_stateless(version: &NamedVersion) -> bool {
    matches!(version, Ok(Some(version)) if version.era() == Era::Modern)
}

/// Checks a request and says which revision it speaks. Without HTTP there are
/// no headers that repeat anything.
pub(super) fn check(envelope: &Envelope<'_>, headers: Option<&HeaderMap>) -> Result<Version, Rejection> {
    let meta = &envelope.params.meta;
    let Some(requested) = &meta.protocol_version else {
        return Err(Rejection::MalformedMeta {
            detail: "_meta must have io.modelcontextprotocol/protocolVersion, a string",
        });
    };
    if meta.client_capabilities.is_none() {
        return Err(Rejection::MalformedMeta {
            detail: "_meta must have io.modelcontextprotocol/clientCapabilities, an object",
        });
    }
    // A header that contradicts the body is worse than a revision we lack,
    // and that is worse than no header.
    if let Some(headers) = headers.filter(|headers| headers.contains_key(mirror::PROTOCOL_VERSION)) {
        equal(headers, &mirror::PROTOCOL_VERSION, requested)?;
    }
    let version = served(requested)?;
    let Some(headers) = headers else { return Ok(version) };
    equal(headers, &mirror::PROTOCOL_VERSION, requested)?;
    let method = envelope.method().unwrap_or_default();
    equal(headers, &mirror::METHOD, method)?;
    if let Some(name) = mirrored_name(method, &envelope.params) {
        equal(headers, &mirror::NAME, name)?;
    }
    Ok(version)
}

/// Checks a notification, whose body need not say which revision it speaks.
pub(super) fn check_notification(envelope: &Envelope<'_>, headers: Option<&HeaderMap>) -> Result<(), Rejection> {
    let Some(headers) = headers else { return Ok(()) };
    let requested = envelope.params.meta.protocol_version.as_deref().unwrap_or(Version::MODERN.as_str());
    equal(headers, &mirror::PROTOCOL_VERSION, requested)?;
    served(requested)?;
    equal(headers, &mirror::METHOD, envelope.method().unwrap_or_default())
}

/// The stateless revision of this name.
fn served(requested: &str) -> Result<Version, Rejection> {
    Version::parse(requested)
        .filter(|version| version.era() == Era::Modern)
        .ok_or_else(|| Rejection::UnsupportedVersion { requested: requested.chars().take(64).collect() })
}

/// What `Mcp-Name` repeats.
fn mirrored_name<'p>(method: &str, params: &'p Params) -> Option<&'p str> {
    match method {
        "tools/call" | "prompts/get" => params.name.as_ref().map(|name| &*name.text),
        "resources/read" => params.uri().map(|uri| &*uri.text),
        "tasks/get" | "tasks/update" | "tasks/cancel" => params.task_id().map(|id| &*id.text),
        _ => None,
    }
}

fn equal(headers: &HeaderMap, name: &HeaderName, expected: &str) -> Result<(), Rejection> {
    let given = mirror::read(headers, name).map_err(|detail| Rejection::HeaderMismatch { detail })?;
    if given == expected {
        Ok(())
    } else {
        Err(Rejection::HeaderMismatch { detail: format!("the header {name} differs from the body") })
    }
}

/// The `Mcp-Param-*` headers, which are compared once the tool is known.
pub(super) fn mirrored_params(headers: &HeaderMap) -> HeaderMap {
    let mut found = HeaderMap::new();
    for (name, value) in headers {
        if name.as_str().starts_with(mirror::PARAM_PREFIX) {
            found.append(name, value.clone());
        }
    }
    found
}
