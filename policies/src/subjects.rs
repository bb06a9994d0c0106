//! To whom a policy applies.

use crate::{
    document::{ClaimEntry, SubjectsEntry},
    principal::Principal,
    tool::Globs,
};
use serde_json::Value;

/// Callers, by role, name or claims; any one of the three suffices.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    roles: Globs,
    principals: Globs,
    /// All must fit; each claim must have one of its values.
    claims: Vec<(String, Vec<Value>)>,
}

// === impl Subjects ===

impl Subjects {
    pub(crate) fn new(entry: SubjectsEntry) -> Self {
        let claims = entry.claims.into_iter().map(|(name, claim)| {
            let values = match claim {
                ClaimEntry::One(value) => vec![value.into()],
                ClaimEntry::AnyOf(values) => values.into_iter().map(Into::into).collect(),
            };
            (name, values)
        });
        Self {
            roles: entry.roles.into_iter().collect(),
            principals: entry.principals.into_iter().collect(),
            claims: claims.collect(),
        }
    }

    /// Whether these name nobody, which can only be a mistake.
    pub(crate) fn is_empty(&self) -> bool {
        self.roles.as_slice().is_empty() && self.principals.as_slice().is_empty() && self.claims.is_empty()
    }

    pub(crate) fn fit(&self, principal: &Principal) -> bool {
        principal.roles().iter().any(|role| self.roles.matches(role))
            || self.principals.matches(principal.name())
            || (!self.claims.is_empty() && self.claims_fit(principal))
    }

    fn claims_fit(&self, principal: &Principal) -> bool {
        self.claims.iter().all(|(name, wanted)| {
            let found = principal.claims().get(name);
            found.is_some_and(|found| match found {
                Value::Array(items) => items.iter().any(|item| wanted.contains(item)),
                single => wanted.contains(single),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subjects(entry: Value) -> Subjects {
        Subjects::new(serde_json::from_value(entry).unwrap())
    }

    fn principal(name: &str, roles: &[&str], claims: Value) -> Principal {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        Principal::new(name).with_roles(roles.iter().map(ToString::to_string)).with_claims(claims)
    }

    #[test]
    fn any_of_role_name_or_claims_suffices() {
        let subjects = subjects(json!({
            "roles": ["analyst", "lead-*"],
            "principals": ["apiKey:ci", "jwt:https://idp.example.com#*"],
            "claims": {"department": "finance"},
        }));
        for (who, fits) in [
            (principal("x", &["analyst"], json!({})), true),
            (principal("x", &["lead-emea"], json!({})), true),
            (principal("apiKey:ci", &[], json!({})), true),
            (principal("jwt:https://idp.example.com#bob", &[], json!({})), true),
            (principal("x", &[], json!({"department": "finance"})), true),
            (principal("x", &["analysts"], json!({"department": "hr"})), false),
            (principal("apiKey:ci2", &[], json!({})), false),
        ] {
            assert_eq!(subjects.fit(&who), fits, "{who:?}");
        }
    }

    #[test]
    fn all_claims_must_fit_and_a_list_means_any() {
        let subjects = subjects(json!({
            "claims": {"department": ["finance", "audit"], "level": 3, "staff": true},
        }));
        for (claims, fits) in [
            (json!({"department": "audit", "level": 3, "staff": true}), true),
            (json!({"department": ["hr", "finance"], "level": [3], "staff": true}), true),
            (json!({"department": "audit", "level": 3}), false),
            (json!({"department": "audit", "level": "3", "staff": true}), false),
            (json!({"department": "hr", "level": 3, "staff": true}), false),
            (json!({"department": ["hr"], "level": 3, "staff": true}), false),
        ] {
            let who = principal("x", &[], claims.clone());
            assert_eq!(subjects.fit(&who), fits, "{claims}");
        }
    }

    #[test]
    fn subjects_without_claims_fit_nobody_by_claims() {
        let subjects = subjects(json!({"roles": ["a"]}));
        assert!(!subjects.fit(&principal("x", &[], json!({}))));
    }
}
