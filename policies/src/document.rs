//! The policy file as written.
//!
//! Mirrors the YAML and nothing else; what it means stands in
//! [the crate's documentation](crate).

use crate::{
    limit::{Per, Rate},
    network::AddressRange,
    tool::Glob,
    yaml::{Formats, schema_of},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, num::NonZeroU32};

/// A file of policies.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// The policies. Their order means nothing: all that fit count, and a deny
    /// wins.
    pub policies: Vec<PolicyEntry>,
}

/// One policy: to whom it applies, and what they may do.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    /// What it is called in decisions, logs and metrics; no two policies share
    /// a name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Whom it is for; absent, it is for every caller that got in.
    pub subjects: Option<SubjectsEntry>,
    /// The tools it allows and denies, by the names that clients see.
    #[serde(default)]
    pub tools: RulesEntry,
    /// The resources it allows and denies, by URI.
    #[serde(default)]
    pub resources: RulesEntry,
    /// The prompts it allows and denies, by the names that clients see.
    #[serde(default)]
    pub prompts: RulesEntry,
    /// A CEL expression over `principal`, `tool`, `args` and `request.ip`: the
    /// policy counts only where it is true. One that fails to evaluate denies.
    #[schemars(length(min = 1), extend("format" = "cel"))]
    pub when: Option<String>,
    /// From where it counts.
    pub network: Option<NetworkEntry>,
    /// How often tools may be called.
    #[serde(default)]
    pub rate_limits: Vec<LimitEntry>,
}

/// Callers; any one of the three suffices.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SubjectsEntry {
    /// Any of these roles; `*` and `?` are wildcards.
    pub roles: Vec<Glob>,
    /// Any of these callers, such as `apiKey:ci` or
    /// `jwt:https://idp.example.com#alice`; `*` and `?` are wildcards.
    pub principals: Vec<Glob>,
    /// All of these token claims. A list means any of its values; a claim that
    /// is a list fits when it contains the value.
    pub claims: BTreeMap<String, ClaimEntry>,
}

/// What a claim must be.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimEntry {
    /// This value.
    One(ScalarEntry),
    /// Any of these values.
    AnyOf(Vec<ScalarEntry>),
}

/// A single value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ScalarEntry {
    /// Text.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
}

/// Patterns that allow and patterns that deny; a deny wins.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RulesEntry {
    /// What is allowed; `*` and `?` are wildcards.
    pub allow: Vec<Glob>,
    /// What is denied, whatever any policy allows.
    pub deny: Vec<Glob>,
}

/// Addresses from which a policy counts.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkEntry {
    /// Addresses and ranges; absent, all that are not denied.
    #[schemars(length(min = 1))]
    pub allow: Option<Vec<AddressRange>>,
    /// Addresses and ranges from which it does not count.
    #[schemars(length(min = 1))]
    pub deny: Option<Vec<AddressRange>>,
}

/// How often some tools may be called.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitEntry {
    /// The tools it is for, each with a quota of its own; absent, all.
    #[schemars(length(min = 1))]
    pub tools: Option<Vec<Glob>>,
    /// How often, such as `100/minute`.
    pub limit: Rate,
    /// How many calls may come at once; absent, as many as `limit` has.
    pub burst: Option<NonZeroU32>,
    /// What is counted together.
    #[serde(default)]
    pub per: Per,
}

// === impl ScalarEntry ===

impl From<ScalarEntry> for Value {
    fn from(scalar: ScalarEntry) -> Self {
        match scalar {
            ScalarEntry::Text(text) => Value::String(text),
            ScalarEntry::Bool(value) => Value::Bool(value),
            ScalarEntry::Number(number) => Value::Number(number),
        }
    }
}

/// The JSON Schema (draft 2020-12) of a policy file, for editors.
pub fn schema() -> Value {
    schema_of::<PolicyFile>()
}

/// The string formats that policy files use: `rate`, `cidr` and `glob`. A file
/// of another kind that has them too adds its own to these.
pub fn formats() -> Formats {
    Formats::new().with("rate", parses::<Rate>).with("cidr", parses::<AddressRange>).with("glob", parses::<Glob>)
}

fn parses<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}
