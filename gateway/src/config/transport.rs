//! How one upstream is reached.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Uri, header};
use url::Url;

use super::check::Check;
use super::entries::Entries;
use super::file::upstream::{BuiltinFile, TransportFile, UpstreamAuthFile, UpstreamFile};
use super::place::Place;
use super::secret::{Plain, SecretFile, sounds_secret};
use crate::backends::settings::{HttpSettings, StdioSettings, TransportSettings};
use crate::secret::Secret;

/// `url`, `command` or `builtin`, with what belongs to it.
pub(super) fn transport(check: &mut Check<'_>, place: &Place, file: &UpstreamFile) -> Option<TransportSettings> {
    let named = named(check, place, file);
    let misplaced = |check: &mut Check<'_>, keys: &[(&str, bool)], belongs: &str| {
        for (key, _) in keys.iter().filter(|(_, given)| *given) {
            check.fault(&place.key(key), format!("belongs to an upstream with `{belongs}`"));
        }
    };
    let of_http = [("headers", !file.headers.is_empty()), ("auth", file.auth.is_some())];
    let of_stdio = [("args", !file.args.is_empty()), ("env", !file.env.is_empty()), ("cwd", file.cwd.is_some())];
    match (&file.url, &file.command, file.builtin) {
        (Some(url), None, None) => {
            misplaced(check, &of_stdio, "command");
            remote(check, place, &url.0, named, file)
        }
        (None, Some(command), None) => {
            misplaced(check, &of_http, "url");
            stdio(check, place, command, file).map(TransportSettings::Stdio)
        }
        (None, None, Some(BuiltinFile::Demo)) => {
            misplaced(check, &of_http, "url");
            misplaced(check, &of_stdio, "command");
            Some(TransportSettings::Demo)
        }
        (None, None, None) => {
            check.fault(place, "nothing says how it is reached: write `url` or `command`");
            None
        }
        _ => {
            check.fault(place, "is reached in one way only: write one of `url`, `command` and `builtin`");
            None
        }
    }
}

/// The transport that is named, if that is what the other keys say.
fn named(check: &mut Check<'_>, place: &Place, file: &UpstreamFile) -> Option<TransportFile> {
    for (key, named) in [("type", file.kind), ("transport", file.transport)] {
        let place = place.key(key);
        match named {
            None => {}
            Some(TransportFile::Stdio) if file.command.is_none() => check.fault(&place, "`stdio` needs `command`"),
            Some(TransportFile::Stdio) => {}
            Some(_) if file.url.is_none() => check.fault(&place, "this transport needs `url`"),
            Some(_) => {}
        }
    }
    file.kind.or(file.transport)
}

/// A server at a URL, whose scheme may tell the transport as well.
fn remote(
    check: &mut Check<'_>,
    place: &Place,
    url: &Url,
    named: Option<TransportFile>,
    file: &UpstreamFile,
) -> Option<TransportSettings> {
    let is_websocket = matches!(url.scheme(), "ws" | "wss");
    let transport = match named {
        None if is_websocket => TransportSettings::WebSocket,
        Some(TransportFile::Ws | TransportFile::WebSocket) => TransportSettings::WebSocket,
        Some(_) if is_websocket => {
            let message = format!("{}:// is WebSocket, which `type` contradicts: leave that out", url.scheme());
            check.fault(&place.key("url"), message);
            return None;
        }
        Some(TransportFile::Sse) => TransportSettings::EventSource,
        _ => TransportSettings::Http,
    };
    http(check, place, url, file).map(transport)
}

fn http(check: &mut Check<'_>, place: &Place, url: &Url, file: &UpstreamFile) -> Option<HttpSettings> {
    let url = endpoint(check, &place.key("url"), url);
    let mut headers = Vec::new();
    for (name, value) in file.headers.iter() {
        headers.extend(header(check, &place.key("headers").key(name), name, value));
    }
    if let Some(auth) = &file.auth {
        let (place, name, value) = credential(check, &place.key("auth"), auth)?;
        if headers.iter().any(|(given, _)| *given == name) {
            check.fault(&place, format!("`{name}` stands under `headers` already"));
        }
        headers.push((name, value));
    }
    Some(HttpSettings { url: url?, headers })
}

fn endpoint(check: &mut Check<'_>, place: &Place, url: &Url) -> Option<Uri> {
    // A WebSocket begins as a request of HTTP (RFC 6455 §4.1).
    let scheme = match url.scheme() {
        "http" | "ws" => "http",
        "https" | "wss" => "https",
        other => {
            check.fault(place, format!("must begin with https://, http://, wss:// or ws://, not {other}://"));
            return None;
        }
    };
    let rest = url.as_str().split_once(':').map_or("", |(_, rest)| rest);
    let uri = format!("{scheme}:{rest}").parse();
    if uri.is_err() {
        check.fault(place, "is not a URL that HTTP can ask for");
    }
    uri.ok()
}

fn header(check: &mut Check<'_>, place: &Place, name: &str, value: &SecretFile) -> Option<(HeaderName, HeaderValue)> {
    let parsed = name.parse::<HeaderName>();
    match &parsed {
        Ok(parsed) if is_ours(parsed) => check.fault(place, format!("`{name}` is set by the gateway itself")),
        Ok(_) => {}
        Err(_) => check.fault(place, format!("`{name}` is not a header name: write letters, digits and `-`")),
    }
    let plain = if sounds_secret(name) { Plain::Warn } else { Plain::Fine };
    let value = value.resolve(check, place, plain)?;
    let value = header_value(check, place, value.expose())?;
    Some((parsed.ok()?, value))
}

/// Headers that HTTP and MCP set for each request.
fn is_ours(name: &HeaderName) -> bool {
    let known = [
        header::HOST,
        header::ACCEPT,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
    ];
    known.contains(name) || ["mcp-", "sec-websocket-"].iter().any(|ours| name.as_str().starts_with(ours))
}

fn credential(
    check: &mut Check<'_>,
    place: &Place,
    file: &UpstreamAuthFile,
) -> Option<(Place, HeaderName, HeaderValue)> {
    match file {
        UpstreamAuthFile::Bearer(file) => {
            let place = place.key("bearer");
            let token = file.bearer.resolve(check, &place, Plain::Warn)?;
            let value = header_value(check, &place, &format!("Bearer {}", token.expose()))?;
            Some((place, header::AUTHORIZATION, value))
        }
        UpstreamAuthFile::ApiKey(file) => {
            let place = place.key("apiKey");
            let name = file.api_key.header.0.clone();
            if is_ours(&name) {
                check.fault(&place.key("header"), format!("`{name}` is set by the gateway itself"));
            }
            let key = file.api_key.key.resolve(check, &place.key("key"), Plain::Warn)?;
            let value = header_value(check, &place.key("key"), key.expose())?;
            Some((place, name, value))
        }
    }
}

fn header_value(check: &mut Check<'_>, place: &Place, text: &str) -> Option<HeaderValue> {
    let Ok(mut value) = HeaderValue::from_str(text) else {
        check.fault(place, "cannot be sent in a header: it holds a line break or another control character");
        return None;
    };
    value.set_sensitive(true);
    Some(value)
}

fn stdio(check: &mut Check<'_>, place: &Place, command: &str, file: &UpstreamFile) -> Option<StdioSettings> {
    let env = variables(check, &place.key("env"), &file.env);
    let cwd = file.cwd.as_deref().map(|path| check.path(path));
    if let Some(folder) = cwd.as_ref().filter(|path| !path.is_dir()) {
        check.fault(&place.key("cwd"), format!("`{}` is not a folder", folder.display()));
    }
    Some(StdioSettings { command: command.to_owned(), args: file.args.clone(), env: env?, cwd })
}

fn variables(
    check: &mut Check<'_>,
    place: &Place,
    file: &Entries<SecretFile>,
) -> Option<BTreeMap<String, Secret<String>>> {
    let mut variables = BTreeMap::new();
    let mut complete = true;
    for (name, value) in file.iter() {
        let place = place.key(name);
        if name.is_empty() || name.contains(['=', '\0']) {
            check.fault(&place, format!("`{name}` is not a name for a variable"));
        }
        let plain = if sounds_secret(name) { Plain::Warn } else { Plain::Fine };
        match value.resolve(check, &place, plain) {
            Some(value) => drop(variables.insert(name.to_owned(), value)),
            None => complete = false,
        }
    }
    complete.then_some(variables)
}
