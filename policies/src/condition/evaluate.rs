//! Runs an expression over one call.
//!
//! Strings are borrowed from the call, not copied; what the expression does not
//! mention is not built.

use super::{Condition, ENVIRONMENT};
use crate::principal::Principal;
use cel::{
    Context, ExecutionError, Value as CelValue,
    common::{
        types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt},
        value::Val,
    },
};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a condition may ask about a call.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) tool: &'a str,
    pub(crate) ip: Option<IpAddr>,
    pub(crate) args: Option<&'a Value>,
}

/// Why a condition has no answer. Never tells what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the arguments are not known")]
    NoArguments,
    #[error("the arguments are too large for an expression with loops")]
    TooLarge,
    #[error("`{0}` is not there")]
    Missing(String),
    #[error("the result is neither true nor false")]
    NotBool,
    #[error("values of the wrong type or out of range")]
    Mismatch,
    #[error("the interpreter failed")]
    Panicked,
}

type Boxed<'v> = Box<dyn Val + 'v>;

// === impl Condition ===

impl Condition {
    /// Whether the condition holds for a call.
    pub(crate) fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, Failure> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        if self.uses_args {
            let args = facts.args.ok_or(Failure::NoArguments)?;
            weigh(args, self.max_args_weight).ok_or(Failure::TooLarge)?;
            context.add_variable_as_val("args", value(args));
        }
        if self.uses_principal {
            context.add_variable_as_val("principal", principal(facts.principal));
        }
        context.add_variable_as_val("tool", text(facts.tool));
        context.add_variable_as_val("request", request(facts.ip));
        // Nothing outlives the call, so a panic leaves nothing half done.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.program.execute(&context)));
        match outcome.map_err(|_| Failure::Panicked)? {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(_) => Err(Failure::NotBool),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &ExecutionError) -> Failure {
        match error {
            // Only what the policy names is said, never what the caller does.
            ExecutionError::NoSuchKey(key) if self.members.contains(key.as_str()) => Failure::Missing(key.to_string()),
            _ => Failure::Mismatch,
        }
    }
}

fn principal(principal: &Principal) -> Boxed<'_> {
    mapping([
        ("name", text(principal.name())),
        ("roles", list(principal.roles().iter().map(|role| text(role)))),
        ("scopes", list(principal.scopes().iter().map(|scope| text(scope)))),
        ("claims", object(principal.claims())),
    ])
}

fn request<'v>(ip: Option<IpAddr>) -> Boxed<'v> {
    let ip = ip.map(|ip| ip.to_canonical().to_string());
    mapping(ip.map(|ip| ("ip", Box::new(CelString::from(ip)) as Boxed<'v>)))
}

fn value(json: &Value) -> Boxed<'_> {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Number(number) => {
            if let Some(number) = number.as_i64() {
                Box::new(CelInt::from(number))
            } else if let Some(number) = number.as_u64() {
                Box::new(CelUInt::from(number))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
        Value::String(string) => text(string),
        Value::Array(items) => list(items.iter().map(value)),
        Value::Object(members) => object(members),
    }
}

fn object(members: &Map<String, Value>) -> Boxed<'_> {
    mapping(members.iter().map(|(key, member)| (key.as_str(), value(member))))
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

fn list<'v>(items: impl Iterator<Item = Boxed<'v>>) -> Boxed<'v> {
    Box::new(CelList::from(items.collect::<Vec<_>>()))
}

fn mapping<'v>(members: impl IntoIterator<Item = (&'v str, Boxed<'v>)>) -> Boxed<'v> {
    let members: HashMap<CelMapKey<'v>, Boxed<'v>> =
        members.into_iter().map(|(key, value)| (CelMapKey::from(key), value)).collect();
    Box::new(CelMap::from(members))
}

/// What is left of `budget` after `json`; nothing if that is too heavy.
fn weigh(json: &Value, budget: usize) -> Option<usize> {
    let budget = budget.checked_sub(1)?;
    match json {
        Value::String(text) => budget.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(budget, |left, item| weigh(item, left)),
        Value::Object(members) => {
            members.iter().try_fold(budget, |left, (key, member)| weigh(member, left.checked_sub(key.len())?))
        }
        _ => Some(budget),
    }
}
