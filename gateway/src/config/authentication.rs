//! Who may enter, and how they prove it.

use std::collections::HashMap;
use std::time::SystemTime;

use http::{HeaderName, Uri, header};
use jsonwebtoken::jwk::JwkSet;
use url::Url;

use super::check::Check;
use super::file::auth::{ApiKeysFile, AuthFile, JwksFile, JwtFile};
use super::place::Place;
use super::written::{Scalar, Written};
use crate::auth::{ApiKeySetting, ApiKeySettings, AuthSettings, JwksSource, JwtSettings};

/// `auth`
pub(super) fn authentication(check: &mut Check<'_>, file: &AuthFile, endpoints: &[String]) -> AuthSettings {
    let place = Place::root("auth");
    let mut issuers = HashMap::new();
    let mut jwt = Vec::new();
    for (index, entry) in file.jwt.iter().enumerate() {
        let place = place.key("jwt").index(index);
        if let Some(first) = issuers.insert(entry.issuer.as_str(), index) {
            check.fault(&place.key("issuer"), format!("the same issuer as auth.jwt[{first}]"));
        }
        jwt.extend(token_issuer(check, &place, entry, endpoints));
    }
    AuthSettings {
        anonymous: file.anonymous.as_ref().map(|anonymous| anonymous.roles.clone()),
        api_keys: file.api_keys.as_ref().map(|keys| api_keys(check, &place.key("apiKeys"), keys)),
        jwt,
    }
}

fn api_keys(check: &mut Check<'_>, place: &Place, file: &ApiKeysFile) -> ApiKeySettings {
    let header = file.header.0.clone();
    if is_taken(&header) {
        let why = if header == header::AUTHORIZATION {
            "`Authorization: Bearer KEY` is accepted anyway: name another header or leave the key out"
        } else {
            "this header has another meaning: name one of your own, such as X-API-Key"
        };
        check.fault(&place.key("header"), why);
    }
    let (mut names, mut digests) = (HashMap::new(), HashMap::new());
    let mut keys = Vec::with_capacity(file.keys.len());
    for (index, key) in file.keys.iter().enumerate() {
        let place = place.key("keys").index(index);
        if key.name.trim() != key.name || key.name.chars().any(char::is_control) {
            check.fault(&place.key("name"), "must not begin or end with white space, nor hold control characters");
        }
        if let Some(first) = names.insert(key.name.as_str(), index) {
            let message = format!("`{}` is the name of auth.apiKeys.keys[{first}] already", key.name);
            check.fault(&place.key("name"), message);
        }
        if let Some(first) = digests.insert(key.sha256.0.0, index) {
            check.fault(&place.key("sha256"), format!("the same key as auth.apiKeys.keys[{first}]"));
        }
        let expires = key.expires.as_ref().map(|Written(moment)| *moment);
        if let Some(moment) = expires.filter(|moment| *moment <= SystemTime::now()) {
            check.warn(&place.key("expires"), format!("the key `{}` expired at {}", key.name, moment.write()));
        }
        keys.push(ApiKeySetting { name: key.name.clone(), sha256: key.sha256.0.0, roles: key.roles.clone(), expires });
    }
    ApiKeySettings { header, keys }
}

/// Headers that HTTP or MCP need for something else.
fn is_taken(name: &HeaderName) -> bool {
    let known = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        header::ORIGIN,
        header::ACCEPT,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ];
    known.contains(name) || name.as_str().starts_with("mcp-") || name.as_str().starts_with("x-forwarded-")
}

fn token_issuer(check: &mut Check<'_>, place: &Place, file: &JwtFile, endpoints: &[String]) -> Option<JwtSettings> {
    let audiences = match &file.audiences {
        Some(audiences) => audiences.clone(),
        None if !endpoints.is_empty() => endpoints.to_vec(),
        None => {
            check.fault(
                place,
                "nothing says whom tokens must be for: write `audiences`, or `publicUrl` at the top of the file",
            );
            Vec::new()
        }
    };
    if file.leeway.0 > JwtSettings::MAX_LEEWAY {
        let message = format!("must not be longer than {}", JwtSettings::MAX_LEEWAY.write());
        check.fault(&place.key("leeway"), message);
    }
    Some(JwtSettings {
        issuer: file.issuer.clone(),
        audiences,
        jwks: key_source(check, place, file)?,
        algorithms: file.algorithms.iter().map(|Written(algorithm)| *algorithm).collect(),
        roles_claim: file.roles_claim.clone(),
        required_scopes: file.required_scopes.clone(),
        leeway: file.leeway.0,
    })
}

fn key_source(check: &mut Check<'_>, place: &Place, file: &JwtFile) -> Option<JwksSource> {
    let jwks = place.key("jwks");
    match &file.jwks {
        Some(JwksFile::Url(source)) => web_address(check, &jwks.key("url"), &source.url.0).map(JwksSource::Url),
        Some(JwksFile::File(source)) => {
            let (place, path) = (jwks.key("file"), check.path(&source.file));
            match check.read_unwatched(&path) {
                Err(error) => {
                    check.fault(&place, format!("`{}` cannot be read: {error}", path.display()));
                    return None;
                }
                Ok(content) => {
                    if let Err(error) = serde_json::from_slice::<JwkSet>(&content) {
                        let message = format!("`{}` is not a JSON Web Key Set: {error}", path.display());
                        check.fault(&place, message);
                        return None;
                    }
                }
            }
            Some(JwksSource::File(path))
        }
        None => {
            let place = place.key("issuer");
            match Url::parse(&file.issuer) {
                Ok(issuer) => web_address(check, &place, &issuer).map(|_| JwksSource::Discovery),
                Err(_) => {
                    check.fault(
                        &place,
                        "without `jwks` the keys are found through the issuer, which must be a URL then",
                    );
                    None
                }
            }
        }
    }
}

/// A URL to fetch keys from.
fn web_address(check: &mut Check<'_>, place: &Place, url: &Url) -> Option<Uri> {
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => check.warn(place, "over http:// whoever sits between can put in keys of their own: use https://"),
        _ => {
            check.fault(place, format!("must begin with https:// or http://, not {}://", url.scheme()));
            return None;
        }
    }
    let uri = url.as_str().parse();
    if uri.is_err() {
        check.fault(place, "is not a URL that HTTP can ask for");
    }
    uri.ok()
}
