//! Where clients connect, under which name and limits, and from where.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

use super::check::Check;
use super::file::{ConfigFile, LimitsFile, NetworkFile, TlsFile};
use super::place::Place;
use super::scalar::ByteSize;
use super::written::{Scalar, Written};
use crate::listener::{TlsAcceptor, TlsError, TlsSettings};
use crate::middleware::ip_allowlist::NetworkSettings;

/// What one request, and all of them together, may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How many requests may run at once.
    pub max_concurrent_requests: usize,
    /// How long running calls may go on after we were told to end.
    pub drain_timeout: Duration,
}

/// A body is held in memory, so there is a bound to what may be configured.
const MAX_BODY_BYTES: u64 = 1 << 30;
/// A smaller body could not hold a handshake.
const MIN_BODY_BYTES: u64 = 1 << 10;
const MAX_CONCURRENT_REQUESTS: u32 = 1_000_000;
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// `listen` and `admin.listen`, which must not be the same, nor open to the
/// network where nobody has to say who they are.
pub(super) fn listeners(check: &mut Check<'_>, file: &ConfigFile) -> (SocketAddr, SocketAddr) {
    let (listen, admin) = (file.listen.0, file.admin.listen.0);
    let auth = &file.auth;
    let guarded = auth.api_keys.is_some() || !auth.jwt.is_empty() || auth.anonymous.is_some();
    if !listen.ip().is_loopback() && !guarded {
        check.fault(
            &Place::root("listen"),
            format!(
                "{listen} can be reached from other machines, and no authentication is configured: \
                 add `auth.apiKeys` or `auth.jwt`, or say that anybody may enter with \
                 `auth: {{anonymous: {{roles: […]}}}}`"
            ),
        );
    } else if !guarded {
        check.warn(&Place::root("auth"), "no authentication is configured, so every call will be refused");
    }
    let place = Place::root("admin").key("listen");
    if listen == admin && listen.port() != 0 {
        check.fault(&place, format!("{admin} is what `listen` says already"));
    }
    if !admin.ip().is_loopback() {
        check.warn(&place, format!("{admin} can be reached from other machines, and asks nobody for a credential"));
    }
    (listen, admin)
}

/// `publicUrl`
pub(super) fn public_url(check: &mut Check<'_>, url: Option<&Written<Url>>) -> Option<Url> {
    let Written(url) = url?;
    let place = Place::root("publicUrl");
    if !matches!(url.scheme(), "http" | "https") {
        check.fault(&place, format!("must begin with https:// or http://, not {}://", url.scheme()));
    }
    if url.query().is_some() {
        check.fault(&place, "must not have a query: it is what paths are appended to");
    }
    Some(url.clone())
}

/// The URLs that clients call, where `publicUrl` says what they begin with.
pub(super) fn endpoints(file: &ConfigFile, public_url: Option<&Url>) -> Vec<String> {
    let Some(base) = public_url.map(|url| url.as_str().trim_end_matches('/')) else { return Vec::new() };
    let servers = file.upstreams.iter().chain(file.mcp_servers.iter());
    let servers = servers.map(|(name, _)| format!("{base}/servers/{name}/mcp"));
    std::iter::once(format!("{base}/mcp")).chain(servers).collect()
}

/// `tls`
pub(super) fn tls(check: &mut Check<'_>, file: &TlsFile) -> Option<TlsSettings> {
    let place = Place::root("tls");
    let settings = TlsSettings {
        cert: check.path(&file.cert),
        key: check.path(&file.key),
        client_ca: file.client_ca.as_deref().map(|path| check.path(path)),
    };
    // Each file by itself first: reading stops at the first that is not there.
    let files =
        [("cert", Some(&settings.cert)), ("key", Some(&settings.key)), ("clientCa", settings.client_ca.as_ref())];
    let mut readable = true;
    for (key, path) in files {
        let Some(path) = path else { continue };
        if let Err(error) = check.read_unwatched(path) {
            check.fault(&place.key(key), format!("`{}` cannot be read: {error}", path.display()));
            readable = false;
        }
    }
    if !readable {
        return None;
    }
    match TlsAcceptor::load(settings.clone()) {
        Ok(_) => Some(settings),
        Err(error) => {
            check.fault(&tls_place(&place, &settings, &error), with_causes(&error));
            None
        }
    }
}

fn tls_place(tls: &Place, settings: &TlsSettings, error: &TlsError) -> Place {
    let of = |path: &Path| match path {
        path if path == settings.cert => tls.key("cert"),
        path if path == settings.key => tls.key("key"),
        _ => tls.key("clientCa"),
    };
    match error {
        TlsError::Read { path, .. } | TlsError::Content { path, .. } => of(path),
        TlsError::ClientCa(_) | TlsError::Authority(_) => tls.key("clientCa"),
        TlsError::Pair(_) => tls.clone(),
    }
}

/// An error and what it comes from, on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// `network`
pub(super) fn network(file: &NetworkFile) -> NetworkSettings {
    let plain = |networks: &[Written<IpNet>]| networks.iter().map(|Written(network)| *network).collect();
    NetworkSettings {
        allow: plain(&file.allow),
        deny: plain(&file.deny),
        trusted_proxies: plain(&file.trusted_proxies),
    }
}

/// `limits`
pub(super) fn limits(check: &mut Check<'_>, file: &LimitsFile) -> Limits {
    let place = Place::root("limits");
    let body = file.max_body.0;
    if !(MIN_BODY_BYTES..=MAX_BODY_BYTES).contains(&body.0) {
        let (least, most) = (ByteSize(MIN_BODY_BYTES).write(), ByteSize(MAX_BODY_BYTES).write());
        check.fault(&place.key("maxBody"), format!("must lie between {least} and {most}"));
    }
    let concurrent = file.max_concurrent_requests.get();
    if concurrent > MAX_CONCURRENT_REQUESTS {
        check.fault(&place.key("maxConcurrentRequests"), format!("must not be more than {MAX_CONCURRENT_REQUESTS}"));
    }
    positive(check, &place.key("requestTimeout"), file.request_timeout.0);
    if file.drain_timeout.0 > MAX_TIMEOUT {
        check.fault(&place.key("drainTimeout"), "must not be longer than 24h");
    }
    Limits {
        max_body_bytes: usize::try_from(body.0).unwrap_or(usize::MAX),
        request_timeout: file.request_timeout.0,
        max_concurrent_requests: usize::try_from(concurrent).unwrap_or(usize::MAX),
        drain_timeout: file.drain_timeout.0,
    }
}

/// A wait that must last, though not for ever.
pub(super) fn positive(check: &mut Check<'_>, place: &Place, duration: Duration) {
    if duration.is_zero() {
        check.fault(place, "must be longer than nothing");
    } else if duration > MAX_TIMEOUT {
        check.fault(place, "must not be longer than 24h");
    }
}
