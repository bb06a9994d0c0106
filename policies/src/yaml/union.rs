//! Faults in a value that may be written in several ways.
//!
//! A secret is text, `{env: …}` or `{file: …}`. A validator reports that none
//! of the three fits, which helps nobody: here the way that was probably meant
//! is found, and what is wrong with it is said.

use super::{
    check::{Checker, join, type_in_words},
    schema::follow,
    suggestion::closest,
};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;

/// Explains why `error.instance()` fits none of its schema's branches, where
/// `context` holds the errors of each branch.
pub(super) fn explain(
    checker: &mut Checker<'_>,
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
) {
    let at = error.instance_path().as_str();
    let value = error.instance().as_ref();
    let schema = checker.schema;
    let branches = branches(schema, error.schema_path().as_str());

    let choices: Option<Vec<_>> = branches.iter().map(|branch| choices(branch)).collect();
    if let Some(choices) = choices.filter(|_| !branches.is_empty()) {
        return checker.no_choice(at, value, &choices.concat());
    }

    let fitting: Vec<usize> = (0..context.len()).filter(|index| has_right_type(&context[*index], at)).collect();
    let meant = match fitting.as_slice() {
        [only] => Some(*only),
        several => by_keys(&branches, several, value),
    };
    if let Some(index) = meant {
        context[index].iter().for_each(|inner| checker.explain(inner));
        return;
    }

    let mut expected: Vec<_> = branches.iter().flat_map(|branch| describe(schema, branch)).collect();
    expected.dedup();
    let expected = join(&expected, "or");
    match (fitting.is_empty(), value.as_object()) {
        (false, Some(object)) => {
            let known: Vec<&str> = fitting
                .iter()
                .filter_map(|index| branches.get(*index)?.get("properties")?.as_object())
                .flat_map(|properties| properties.keys().map(String::as_str))
                .collect();
            let misspelt = object.keys().find_map(|key| closest(key, known.iter().copied()).map(|_| key));
            match misspelt {
                Some(key) => checker.unknown_key(at, key, &known),
                None => checker.fault(at, format!("must be {expected}")),
            }
        }
        (false, None) => checker.fault(at, format!("must be {expected}")),
        (true, _) => checker.wrong_type(at, &expected, value),
    }
}

/// The alternatives of the `anyOf` or `oneOf` at `pointer`, references followed.
fn branches<'a>(schema: &'a Value, pointer: &str) -> Vec<&'a Value> {
    schema
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(|branches| branches.iter().map(|branch| follow(schema, branch)).collect())
        .unwrap_or_default()
}

/// The values of a branch that is nothing but a choice of values.
fn choices(branch: &Value) -> Option<Vec<&Value>> {
    match (branch.get("const"), branch.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    }
}

/// Whether a branch failed only in what is inside the value at `at`.
fn has_right_type(errors: &[ValidationError<'_>], at: &str) -> bool {
    errors.iter().all(|error| {
        if error.instance_path().as_str() != at {
            return true;
        }
        match error.kind() {
            ValidationErrorKind::Type { .. }
            | ValidationErrorKind::Enum { .. }
            | ValidationErrorKind::Constant { .. } => false,
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                context.iter().any(|inner| has_right_type(inner, at))
            }
            _ => true,
        }
    })
}

/// The one branch of `indices` whose required keys the value has.
fn by_keys(branches: &[&Value], indices: &[usize], value: &Value) -> Option<usize> {
    let object = value.as_object()?;
    let mut named = indices.iter().copied().filter(|index| {
        branches.get(*index).is_some_and(|branch| required(branch).any(|key| object.contains_key(key)))
    });
    let first = named.next()?;
    named.next().is_none().then_some(first)
}

fn required(branch: &Value) -> impl Iterator<Item = &str> {
    branch.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// How each way of writing a branch looks.
fn describe(schema: &Value, branch: &Value) -> Vec<String> {
    if let Some(inner) = branch.get("anyOf").or_else(|| branch.get("oneOf")) {
        return inner
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|inner| describe(schema, follow(schema, inner)))
            .collect();
    }
    if let Some(values) = choices(branch) {
        return values.iter().map(|value| format!("`{value}`")).collect();
    }
    let keys: Vec<_> = required(branch).map(|key| format!("{key}: …")).collect();
    if !keys.is_empty() {
        return vec![format!("{{{}}}", keys.join(", "))];
    }
    match branch.get("type") {
        Some(Value::String(name)) => vec![type_in_words(name).to_owned()],
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).map(|name| type_in_words(name).to_owned()).collect()
        }
        _ => Vec::new(),
    }
}
