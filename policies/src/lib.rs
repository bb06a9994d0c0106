//! Who may call what, how often and from where.
//!
//! Pure: no I/O, no clock, no HTTP. The gateway reads the files and asks; this
//! crate parses ([`yaml`], [`document`]), compiles ([`PolicySet::compile`]),
//! decides ([`PolicySet::access`], [`Access::decide`]) and explains itself
//! ([`PolicySet::explain`]).
//!
//! # How a call is decided
//!
//! A policy *counts* for a call when its `subjects` fit the caller, its
//! `network` fits the caller's address and its `when` is true. Over all the
//! policies that count:
//!
//! 1. a matching `deny` of any of them denies the call;
//! 2. else a matching `allow` of any of them allows it;
//! 3. else it is denied.
//!
//! What cannot be decided denies: when the `when` of a policy fails to
//! evaluate, and the policy fits the caller and names the tool (in an `allow`,
//! a `deny` or a rate limit), the call is denied whatever else allows it. So
//! does a `network` when the caller's address is unknown.
//!
//! The rate limits of every policy that counts apply to the tools their globs
//! match, whichever policy it was that allowed the call.
//!
//! ```
//! use portcullis_policies::{CallFacts, PolicySet, Principal, Target, yaml::Document};
//!
//! let text = r#"
//! policies:
//!   - name: analysts
//!     subjects: {roles: [analyst]}
//!     tools: {allow: ["crm__*"], deny: ["crm__delete_*"]}
//! "#;
//! let document = Document::parse(text, "policies/a.yaml").unwrap();
//! let policies = PolicySet::compile(&[document]).unwrap();
//!
//! let alice = Principal::new("jwt:https://idp.example.com#alice")
//!     .with_roles(["analyst".to_owned()]);
//! let facts = CallFacts { ip: None, args: None };
//! let search = policies.access(&alice, Target::Tool("crm__search"));
//! assert!(search.decide(&facts).is_allowed());
//! let delete = policies.access(&alice, Target::Tool("crm__delete_account"));
//! assert_eq!(delete.decide(&facts).to_string(), "denied by analysts: deny \"crm__delete_*\"");
//! ```

pub mod document;
pub mod yaml;

mod access;
mod arguments;
mod compile;
mod condition;
mod decision;
mod explanation;
mod limit;
mod lint;
mod network;
mod policy_set;
mod principal;
mod subjects;
mod tool;

pub use self::{
    access::{Access, CallFacts},
    arguments::{ArgumentsError, parse_arguments},
    decision::{Decision, Outcome, Rule},
    document::{formats, schema},
    explanation::{Explanation, Fit, PolicyExplanation},
    limit::{Limit, LimitId, Per, Rate, RateError},
    lint::{Surroundings, lint},
    network::{AddressRange, AddressRangeError, Network},
    policy_set::PolicySet,
    principal::{Fingerprint, Principal},
    tool::{Glob, GlobError, Globs, Target},
};
