//! Whose a prompt or resource is.

use std::sync::Arc;

use tokio::time::Instant;

use super::{DEADLINE, failed};
use crate::backends::item::ItemName;
use crate::backends::{Backend, Backends, uri};
use crate::mcp::operation::{ItemKind, ResourceUri};
use crate::mcp::request::McpRequest;
use crate::metrics::CallStatus;
use crate::rejection::Rejection;

/// The backend that has a prompt, and its name there.
pub(super) async fn prompt(
    backends: &Backends,
    request: &McpRequest,
    full_name: &str,
) -> Result<(Arc<dyn Backend>, Arc<str>), Rejection> {
    let unknown = || {
        request.record.set_status(CallStatus::Denied);
        Rejection::UnknownPrompt { prompt: request.called_name().to_owned() }
    };
    let backend = backends.of_name(full_name).ok_or_else(unknown)?;
    let found = backend.find_prompt(full_name, request.deadline).await;
    let own = found.map_err(|failure| failed(request, backend, failure))?.ok_or_else(unknown)?;
    let _ = request.record.upstream.set(Arc::clone(backend.name()));
    Ok((Arc::clone(backend), own))
}

/// The upstream that has a resource, and its URI there.
pub(super) async fn resource(
    backends: &Backends,
    request: &McpRequest,
    uri: &ResourceUri,
) -> Result<(Arc<dyn Backend>, Arc<str>), Rejection> {
    let backend = match &uri.upstream {
        Some(label) => backends.labelled(label).cloned(),
        None if uri::is_web(&uri.own) => owner(backends, &uri.own, request.deadline).await,
        None => None,
    };
    let backend = backend.ok_or_else(|| {
        request.record.set_status(CallStatus::Denied);
        Rejection::UnknownResource { uri: request.called_name().to_owned() }
    })?;
    let _ = request.record.upstream.set(Arc::clone(backend.name()));
    Ok((backend, Arc::clone(&uri.own)))
}

/// The first upstream that lists a resource of this address, or else a
/// template that fits it.
async fn owner(backends: &Backends, address: &str, deadline: Instant) -> Option<Arc<dyn Backend>> {
    let deadline = deadline.min(Instant::now() + DEADLINE);
    let lists = async |kind| {
        let all = backends.all().iter().map(|backend| super::listing::items(backend.as_ref(), kind, deadline));
        futures_util::future::join_all(all).await
    };
    let has = |own: &str, kind| match kind {
        ItemKind::Template => uri::fits(own, address),
        _ => uri::same_web(own, address),
    };
    for kind in [ItemKind::Resource, ItemKind::Template] {
        let found = lists(kind).await.into_iter().position(|list| {
            list.is_ok_and(|list| {
                list.items.iter().any(|item| matches!(&item.name, ItemName::Resource(uri) if has(&uri.own, kind)))
            })
        });
        if let Some(index) = found {
            return Some(Arc::clone(&backends.all()[index]));
        }
    }
    None
}
