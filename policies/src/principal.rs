//! Who is calling, as proved by a credential.

use serde_json::{Map, Value};
use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, LazyLock},
};

/// A caller: its name, and what is known of it.
///
/// The name says how it was proved: `apiKey:ci`,
/// `jwt:https://idp.example.com#alice`, `anonymous`. Immutable, so that the
/// [`Fingerprint`] made when it was built stays true. Building one costs a pass
/// over the claims; keep it with the credential it came from.
#[derive(Clone)]
pub struct Principal {
    name: Arc<str>,
    roles: Arc<[String]>,
    scopes: Arc<[String]>,
    claims: Arc<Map<String, Value>>,
    fingerprint: Fingerprint,
}

/// Stands for everything known of a [`Principal`].
///
/// Two keyed 64-bit hashes under keys drawn at start, so that nobody who
/// chooses claims can aim at another principal's. Means nothing to another
/// process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u128);

// === impl Principal ===

impl Principal {
    /// A principal of whom nothing is known but the name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::build(name.into(), Arc::default(), Arc::default(), Arc::default())
    }

    /// The principal `anonymous`, with the roles granted to it.
    pub fn anonymous(roles: impl IntoIterator<Item = String>) -> Self {
        Self::new("anonymous").with_roles(roles)
    }

    /// The same with these roles instead.
    #[must_use]
    pub fn with_roles(self, roles: impl IntoIterator<Item = String>) -> Self {
        let roles = roles.into_iter().collect();
        Self::build(self.name, roles, self.scopes, self.claims)
    }

    /// The same with these scopes (RFC 6749 §3.3) instead.
    #[must_use]
    pub fn with_scopes(self, scopes: impl IntoIterator<Item = String>) -> Self {
        let scopes = scopes.into_iter().collect();
        Self::build(self.name, self.roles, scopes, self.claims)
    }

    /// The same with these token claims instead.
    #[must_use]
    pub fn with_claims(self, claims: Map<String, Value>) -> Self {
        Self::build(self.name, self.roles, self.scopes, Arc::new(claims))
    }

    fn build(name: Arc<str>, roles: Arc<[String]>, scopes: Arc<[String]>, claims: Arc<Map<String, Value>>) -> Self {
        let fingerprint = Fingerprint::of(&name, &roles, &scopes, &claims);
        Self { name, roles, scopes, claims, fingerprint }
    }

    /// How it is called in policies and logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name, shared.
    pub fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    /// Its roles.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Its OAuth scopes.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    /// The claims of its token; empty for a credential that has none.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Stands for all of the above.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl PartialEq for Principal {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.roles == other.roles
            && self.scopes == other.scopes
            && self.claims == other.claims
    }
}

impl fmt::Debug for Principal {
    /// Claims are personal and stay out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    fn of(name: &str, roles: &[String], scopes: &[String], claims: &Map<String, Value>) -> Self {
        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let half = |key: &RandomState| {
            let mut hasher = key.build_hasher();
            // Each part is hashed with its length, so none can pass for another.
            (name, roles, scopes).hash(&mut hasher);
            hash_members(claims, &mut hasher);
            u128::from(hasher.finish())
        };
        Self(half(&KEYS[0]) << 64 | half(&KEYS[1]))
    }
}

fn hash_members(members: &Map<String, Value>, hasher: &mut impl Hasher) {
    hasher.write_usize(members.len());
    for (key, value) in members {
        key.hash(hasher);
        hash_value(value, hasher);
    }
}

/// The kind goes in first, so that `"1"`, `1` and `[1]` differ.
fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Null => hasher.write_u8(0),
        Value::Bool(value) => (1u8, value).hash(hasher),
        Value::Number(number) => (2u8, number).hash(hasher),
        Value::String(text) => (3u8, text).hash(hasher),
        Value::Array(items) => {
            (4u8, items.len()).hash(hasher);
            items.iter().for_each(|item| hash_value(item, hasher));
        }
        Value::Object(members) => {
            hasher.write_u8(5);
            hash_members(members, hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_claims(claims: Value) -> Principal {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Principal::new("jwt:x").with_claims(claims)
    }

    #[test]
    fn same_facts_give_the_same_fingerprint() {
        let build = || {
            with_claims(json!({"department": "finance", "level": [1, 2, {"a": null}]}))
                .with_roles(["analyst".to_owned()])
                .with_scopes(["mcp".to_owned()])
        };
        assert_eq!(build().fingerprint(), build().fingerprint());
        assert_eq!(build(), build());
    }

    #[test]
    fn any_difference_changes_the_fingerprint() {
        let role = |role: &str| Principal::new("a").with_roles([role.to_owned()]);
        let all = [
            Principal::new("a"),
            Principal::new("b"),
            role("x"),
            role("y"),
            Principal::new("a").with_scopes(["x".to_owned()]),
            Principal::new("a").with_roles(["x".to_owned(), "y".to_owned()]),
            with_claims(json!({"a": 1})),
            with_claims(json!({"a": "1"})),
            with_claims(json!({"a": [1]})),
            with_claims(json!({"a": [[1]]})),
            with_claims(json!({"a": {"1": null}})),
            with_claims(json!({"a": true})),
            with_claims(json!({"a": 1.5})),
            with_claims(json!({"a": 1, "b": 1})),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a.fingerprint(), b.fingerprint(), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn debug_shows_no_claims() {
        let shown = format!("{:?}", with_claims(json!({"ssn": "078-05-1120"})));
        assert!(!shown.contains("078") && !shown.contains("ssn"), "{shown}");
    }
}
