//! What a token's claims must say, and the principal they make.

use std::sync::Arc;

use portcullis_policies::Principal;
use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::settings::JwtSettings;

/// The longest subject. OpenID Connect Core 1.0 §2 allows 255 characters;
/// twice as many, because names travel into logs and quotas.
const MAX_SUBJECT_BYTES: usize = 512;

/// The rules of one issuer for the claims of its tokens.
#[derive(Debug)]
pub(crate) struct ClaimRules {
    issuer: String,
    audiences: Vec<String>,
    roles_claim: Option<String>,
    required_scopes: Arc<[String]>,
    leeway: u64,
}

// === impl ClaimRules ===

impl ClaimRules {
    pub(crate) fn new(settings: &JwtSettings) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audiences: settings.audiences.clone(),
            roles_claim: settings.roles_claim.clone(),
            required_scopes: settings.required_scopes.clone().into(),
            leeway: settings.leeway.as_secs(),
        }
    }

    /// Checks audience and times (RFC 7519 §4.1.3 to §4.1.5), `now` in Unix
    /// seconds, and returns the second from which the token is no longer good.
    pub(crate) fn check(&self, claims: &Map<String, Value>, now: u64) -> Result<u64, Refusal> {
        if !words(claims.get("aud"), false).any(|audience| self.audiences.iter().any(|ours| ours == audience)) {
            return Err(Refusal::Audience);
        }
        let expiry = claims.get("exp").and_then(numeric_date).ok_or(Refusal::NoExpiry)?;
        let end = expiry.saturating_add(self.leeway);
        if now >= end {
            return Err(Refusal::Expired);
        }
        if let Some(not_before) = claims.get("nbf") {
            let not_before = numeric_date(not_before).ok_or(Refusal::NotYetValid)?;
            if now.saturating_add(self.leeway) < not_before {
                return Err(Refusal::NotYetValid);
            }
        }
        Ok(end)
    }

    /// The principal that the claims of a verified token make.
    pub(crate) fn principal(&self, claims: Map<String, Value>) -> Result<Principal, Refusal> {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| is_name(subject));
        let name = format!("jwt:{}#{}", self.issuer, subject.ok_or(Refusal::Subject)?);
        // `scope` is RFC 8693 §4.2; `scp` is what some issuers write instead.
        let scopes = owned(claims.get("scope").or_else(|| claims.get("scp")));
        if self.required_scopes.iter().any(|required| !scopes.contains(required)) {
            return Err(Refusal::ScopeMissing(Arc::clone(&self.required_scopes)));
        }
        let roles = owned(self.roles_claim.as_deref().and_then(|path| lookup(&claims, path)));
        // Claims last: each step looks at all that is known so far.
        Ok(Principal::new(name).with_roles(roles).with_scopes(scopes).with_claims(claims))
    }
}

fn is_name(subject: &str) -> bool {
    !subject.is_empty() && subject.len() <= MAX_SUBJECT_BYTES && !subject.chars().any(char::is_control)
}

/// When a token with these claims expires, in Unix seconds.
pub(super) fn expiry(claims: &Map<String, Value>) -> Option<u64> {
    claims.get("exp").and_then(numeric_date)
}

/// Whole seconds; a fraction is allowed and dropped (RFC 7519 §2).
fn numeric_date(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)?;
        Some(seconds as u64)
    })
}

/// The claim of this name, else the one at the end of the dotted path. The
/// name comes first because namespaced claims have dots in theirs.
fn lookup<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut names = path.split('.');
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.as_object()?.get(name))
}

/// The strings of an array, or those of a string: split at spaces if `split`.
fn words(value: Option<&Value>, split: bool) -> impl Iterator<Item = &str> {
    let (array, text) = match value {
        Some(Value::Array(values)) => (values.as_slice(), None),
        Some(Value::String(text)) => (&[][..], Some(text.as_str())),
        _ => (&[][..], None),
    };
    let whole = text.filter(|_| !split);
    let parts = text.filter(|_| split).unwrap_or_default().split_ascii_whitespace();
    array.iter().filter_map(Value::as_str).chain(whole).chain(parts)
}

fn owned(value: Option<&Value>) -> Vec<String> {
    words(value, true).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::auth::settings::{Algorithm, JwksSource};

    const NOW: u64 = 1_000_000;

    fn rules(change: impl FnOnce(&mut JwtSettings)) -> ClaimRules {
        let mut settings = JwtSettings {
            issuer: "https://idp.example.com".into(),
            audiences: vec!["https://mcp.example.com/mcp".into(), "second".into()],
            jwks: JwksSource::Discovery,
            algorithms: vec![Algorithm::ES256],
            roles_claim: None,
            required_scopes: Vec::new(),
            leeway: Duration::from_secs(60),
        };
        change(&mut settings);
        ClaimRules::new(&settings)
    }

    fn check(claims: &Value) -> Result<u64, Refusal> {
        rules(|_| ()).check(claims.as_object().unwrap(), NOW)
    }

    fn principal(roles_claim: &str, claims: &Value) -> Principal {
        rules(|settings| settings.roles_claim = Some(roles_claim.into()))
            .principal(claims.as_object().unwrap().clone())
            .unwrap()
    }

    #[test]
    fn one_of_the_audiences_is_enough_and_needed() {
        let exp = NOW + 1;
        assert!(check(&json!({"aud": "second", "exp": exp})).is_ok());
        assert!(check(&json!({"aud": ["other", "second"], "exp": exp})).is_ok());
        for aud in [json!("other"), json!([]), json!(null), json!([1]), json!("other second"), json!({"second": 1})] {
            assert_eq!(check(&json!({"aud": aud, "exp": exp})), Err(Refusal::Audience), "{aud}");
        }
        assert_eq!(check(&json!({"exp": exp})), Err(Refusal::Audience));
    }

    #[test]
    fn expiry_is_required_and_reached_after_the_leeway() {
        assert_eq!(check(&json!({"aud": "second", "exp": NOW - 59})), Ok(NOW + 1));
        assert_eq!(check(&json!({"aud": "second", "exp": NOW - 60})), Err(Refusal::Expired));
        assert_eq!(check(&json!({"aud": "second", "exp": (NOW as f64) + 0.5})), Ok(NOW + 60));
        assert_eq!(check(&json!({"aud": "second", "exp": u64::MAX})), Ok(u64::MAX));
        for exp in [json!("1e9"), json!(null), json!(-1), json!([NOW])] {
            assert_eq!(check(&json!({"aud": "second", "exp": exp})), Err(Refusal::NoExpiry), "{exp}");
        }
        assert_eq!(check(&json!({"aud": "second"})), Err(Refusal::NoExpiry));
    }

    #[test]
    fn a_token_is_refused_before_its_time() {
        let at = |nbf: Value| check(&json!({"aud": "second", "exp": NOW + 1000, "nbf": nbf}));
        assert!(at(json!(NOW + 60)).is_ok());
        assert_eq!(at(json!(NOW + 61)), Err(Refusal::NotYetValid));
        assert_eq!(at(json!("now")), Err(Refusal::NotYetValid));
    }

    #[test]
    fn a_subject_is_required() {
        let rules = rules(|_| ());
        let long = "s".repeat(MAX_SUBJECT_BYTES + 1);
        for sub in [json!(null), json!(""), json!(7), json!("a\nb"), json!(long)] {
            let claims = json!({"sub": sub});
            assert_eq!(rules.principal(claims.as_object().unwrap().clone()).unwrap_err(), Refusal::Subject, "{sub}");
        }
    }

    #[test]
    fn the_principal_is_named_by_issuer_and_subject_and_keeps_all_claims() {
        let claims = json!({"sub": "alice", "department": "finance"});
        let principal = principal("roles", &claims);
        assert_eq!(principal.name(), "jwt:https://idp.example.com#alice");
        assert_eq!(principal.claims()["department"], "finance");
        assert!(principal.roles().is_empty());
    }

    #[test]
    fn roles_are_found_by_name_or_path_as_array_or_string() {
        let claims = json!({
            "sub": "a",
            "groups": ["x", 1, "y"],
            "line": "x  y",
            "realm_access": {"roles": ["x", "y"]},
            "https://example.com/roles": ["x", "y"],
        });
        for path in ["groups", "line", "realm_access.roles", "https://example.com/roles"] {
            assert_eq!(principal(path, &claims).roles(), ["x", "y"], "{path}");
        }
        for path in ["", "realm_access", "groups.x", "realm_access.roles.x", "absent.roles"] {
            assert!(principal(path, &claims).roles().is_empty(), "{path}");
        }
    }

    #[test]
    fn scopes_come_from_scope_or_scp() {
        for claims in [
            json!({"sub": "a", "scope": "mcp read"}),
            json!({"sub": "a", "scp": ["mcp", "read"]}),
            json!({"sub": "a", "scp": "mcp read"}),
        ] {
            assert_eq!(principal("r", &claims).scopes(), ["mcp", "read"], "{claims}");
        }
    }

    #[test]
    fn all_required_scopes_are_needed() {
        let rules = rules(|settings| settings.required_scopes = vec!["mcp".into(), "read".into()]);
        let with = |scope: &str| rules.principal(json!({"sub": "a", "scope": scope}).as_object().unwrap().clone());
        assert!(with("read x mcp").is_ok());
        for scope in ["", "mcp", "mcpread", "mcp READ"] {
            let needed: Arc<[String]> = vec!["mcp".into(), "read".into()].into();
            assert_eq!(with(scope).unwrap_err(), Refusal::ScopeMissing(needed), "{scope}");
        }
    }
}
