//! The URIs of resources where several upstreams stand behind one endpoint.
//!
//! An upstream's own URI becomes `UPSTREAM+URI`, and `ui://x` becomes
//! `ui://UPSTREAM/x`, because clients know applications by that scheme. Both
//! ways are total, and one undoes the other. `http` and `https` stay as they
//! are: clients may fetch them, and who has such a resource is looked up.

use std::borrow::Cow;
use std::sync::Arc;

use url::Url;

use crate::mcp::operation::ResourceUri;

/// The scheme of MCP Apps' resources.
const APPLICATION: &str = "ui://";

/// The part of a URI that names an upstream. Schemes know no case (RFC 3986
/// §3.1) and no `_`, so that an upstream's name is written in what they have.
#[must_use]
pub fn label(upstream: &str) -> String {
    upstream.to_ascii_lowercase().replace('_', ".")
}

/// The URI under which clients of all upstreams know an upstream's resource.
#[must_use]
pub fn public<'a>(label: &str, own: &'a str) -> Cow<'a, str> {
    if let Some(rest) = own.strip_prefix(APPLICATION) {
        return [APPLICATION, label, "/", rest].concat().into();
    }
    if is_web(own) { own.into() } else { [label, "+", own].concat().into() }
}

/// The label of the upstream and its own URI, taken out of a public one;
/// `None` where it names no upstream.
#[must_use]
pub fn own(public: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if is_web(public) {
        return None;
    }
    if let Some(rest) = public.strip_prefix(APPLICATION) {
        let (label, rest) = rest.split_once('/')?;
        return Some((label.into(), [APPLICATION, rest].concat().into()));
    }
    let (label, own) = public.split_once('+')?;
    // Clients may write a scheme in any case.
    let label = if label.bytes().any(|byte| byte.is_ascii_uppercase()) {
        label.to_ascii_lowercase().into()
    } else {
        label.into()
    };
    Some((label, own.into()))
}

/// What a client means: one that knows `server` alone, or all upstreams.
#[must_use]
pub fn of(server: Option<&str>, text: &Arc<str>) -> ResourceUri {
    server.map_or_else(|| of_all(text), |server| of_one(server, text))
}

/// What a client means that knows all upstreams. However it is spelt, policy
/// sees the one name there is.
#[must_use]
pub fn of_all(text: &Arc<str>) -> ResourceUri {
    match own(text) {
        Some((label, own)) => ResourceUri {
            public: public(&label, &own).into(),
            own: own.as_ref().into(),
            upstream: Some(label.as_ref().into()),
        },
        None => ResourceUri { own: Arc::clone(text), public: Arc::clone(text), upstream: None },
    }
}

/// What a client means that knows one upstream alone.
#[must_use]
pub fn of_one(upstream: &str, text: &Arc<str>) -> ResourceUri {
    let label = label(upstream);
    let public = match public(&label, text) {
        Cow::Borrowed(_) => Arc::clone(text),
        Cow::Owned(public) => public.into(),
    };
    ResourceUri { own: Arc::clone(text), public, upstream: Some(label.into()) }
}

/// Whether a URI is one of the web's, which looks the same everywhere.
#[must_use]
pub fn is_web(uri: &str) -> bool {
    uri.split_once(':')
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
}

/// Whether two URIs of the web are the same: some clients write them anew,
/// with a slash behind the host, say.
#[must_use]
pub fn same_web(one: &str, other: &str) -> bool {
    one == other || matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether a URI could be made of a template (RFC 6570): whether the texts
/// between its expressions stand in it, in their order.
#[must_use]
pub fn fits(template: &str, uri: &str) -> bool {
    let mut texts = template.split('{');
    let Some(mut rest) = texts.next().and_then(|begin| uri.strip_prefix(begin)) else { return false };
    let mut ends_open = false;
    for part in texts {
        let Some((_, text)) = part.split_once('}') else { return false };
        ends_open = text.is_empty();
        let Some(at) = rest.find(text) else { return false };
        rest = &rest[at + text.len()..];
    }
    rest.is_empty() || ends_open
}

#[cfg(test)]
mod tests;
