//! The `auth` section.

use std::time::{Duration, SystemTime};

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::auth::{Algorithm, ApiKeySettings, JwtSettings};
use crate::config::scalar::Sha256;
use crate::config::written::Written;

/// `auth`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::config) struct AuthFile {
    /// Lets callers in who present no credential.
    pub(in crate::config) anonymous: Option<AnonymousFile>,
    /// Keys that we issued.
    pub(in crate::config) api_keys: Option<ApiKeysFile>,
    /// Access tokens of identity providers. Each issuer once.
    pub(in crate::config) jwt: Vec<JwtFile>,
}

/// `auth.anonymous`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::config) struct AnonymousFile {
    /// The roles they have.
    pub(in crate::config) roles: Vec<String>,
}

/// `auth.apiKeys`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ApiKeysFile {
    /// The header that holds a key; `Authorization: Bearer KEY` is accepted too.
    #[serde(default = "x_api_key")]
    pub(in crate::config) header: Written<HeaderName>,
    /// The keys, as `portcullis keygen` prints them.
    #[schemars(length(min = 1))]
    pub(in crate::config) keys: Vec<ApiKeyFile>,
}

/// One entry of `auth.apiKeys.keys`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ApiKeyFile {
    /// Who holds it. The principal is `apiKey:NAME`.
    #[schemars(length(min = 1, max = 128))]
    pub(in crate::config) name: String,
    /// The key's SHA-256.
    pub(in crate::config) sha256: Written<Sha256>,
    /// The roles it gives.
    #[serde(default)]
    pub(in crate::config) roles: Vec<String>,
    /// From when on it is refused.
    pub(in crate::config) expires: Option<Written<SystemTime>>,
}

/// One entry of `auth.jwt`
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct JwtFile {
    /// The `iss` of its tokens, letter for letter.
    #[schemars(length(min = 1))]
    pub(in crate::config) issuer: String,
    /// Whom a token must be for: one of these in its `aud`. Absent: the
    /// URLs of our endpoints, `publicUrl` with `/mcp` and `/servers/NAME/mcp`.
    #[schemars(length(min = 1))]
    pub(in crate::config) audiences: Option<Vec<String>>,
    /// Where the issuer's public keys are. Absent: where its OpenID Connect
    /// metadata says.
    pub(in crate::config) jwks: Option<JwksFile>,
    /// The signatures that are accepted.
    #[serde(default = "common_algorithms")]
    #[schemars(length(min = 1))]
    pub(in crate::config) algorithms: Vec<Written<Algorithm>>,
    /// The claim that holds the caller's roles: its name, or a dotted path such
    /// as `realm_access.roles`.
    #[schemars(length(min = 1))]
    pub(in crate::config) roles_claim: Option<String>,
    /// Scopes a token must have, all of them.
    #[serde(default)]
    pub(in crate::config) required_scopes: Vec<String>,
    /// How far the issuer's clock may be from ours.
    #[serde(default = "default_leeway")]
    pub(in crate::config) leeway: Written<Duration>,
}

/// `auth.jwt[].jwks`
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum JwksFile {
    /// Fetched.
    Url(JwksUrlFile),
    /// Read from a file.
    File(JwksPathFile),
}

/// `{url: …}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JwksUrlFile {
    /// Where the keys are fetched from.
    pub(in crate::config) url: Written<Url>,
}

/// `{file: …}`
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct JwksPathFile {
    /// A file with a JSON Web Key Set.
    pub(in crate::config) file: String,
}

fn x_api_key() -> Written<HeaderName> {
    Written(ApiKeySettings::DEFAULT_HEADER)
}

fn common_algorithms() -> Vec<Written<Algorithm>> {
    [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(Written).into()
}

fn default_leeway() -> Written<Duration> {
    Written(JwtSettings::DEFAULT_LEEWAY)
}
