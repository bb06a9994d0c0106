//! The `when` of a policy: a CEL expression, compiled once.
//!
//! It sees `principal` (`name`, `roles`, `scopes`, `claims`), `tool`, `args`
//! and `request.ip`. What it names beyond that is a fault when the file is
//! read, not a denied call at night.
//!
//! The work of one evaluation is bounded by more than the size of a request:
//! an expression that loops over the caller's arguments, or loops within a
//! loop, judges only arguments small enough for it (see [`MAX_ARGS_WEIGHT`]),
//! and a regular expression is never the caller's own.

mod evaluate;
mod inspect;

#[cfg(test)]
mod tests;

pub(crate) use self::evaluate::Facts;

use self::inspect::Inspection;
use cel::{Env, Program};
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
    thread,
};

/// Longest expression, in bytes.
const MAX_LENGTH: usize = 4096;

/// Stack for the parser, in bytes. It bounds its own recursion, to a depth that
/// takes some 20 MiB without optimisation: more than an ordinary thread has.
const PARSER_STACK: usize = 64 << 20;

/// Deepest tree of an expression. The interpreter recurses over it and stays
/// within the stack of an ordinary thread, even without optimisation.
const MAX_DEPTH: usize = 32;

/// How much `args` an expression may judge, by how deep its loops are nested:
/// each value counts one, each byte of text another. Without a loop, work grows
/// with the size of the request and that is bounded already; a loop whose body
/// reads the arguments again squares it.
const MAX_ARGS_WEIGHT: [usize; 3] = [usize::MAX, 64 << 10, 2 << 10];

/// The standard library of CEL without optional values.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A compiled condition.
pub(crate) struct Condition {
    program: Program,
    source: Box<str>,
    uses_args: bool,
    uses_principal: bool,
    /// The members it asks for, as far as their names are in the policy.
    members: BTreeSet<String>,
    max_args_weight: usize,
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConditionFault {
    pub(crate) message: String,
    pub(crate) suggestion: Option<&'static str>,
}

// === impl Condition ===

impl Condition {
    /// Compiles `source`.
    ///
    /// # Errors
    ///
    /// All that is wrong with it: syntax, unknown variables, fields and
    /// functions, patterns that are not written out, loops nested too deep.
    pub(crate) fn compile(source: &str) -> Result<Self, Vec<ConditionFault>> {
        if source.len() > MAX_LENGTH {
            let message = format!("an expression has at most {MAX_LENGTH} bytes");
            return Err(vec![ConditionFault::new(message)]);
        }
        let source = source.to_owned();
        // Joining also catches the parser's panics, if it has any.
        let parsed = thread::Builder::new()
            .stack_size(PARSER_STACK)
            .spawn(move || Self::parse(&source))
            .map(thread::JoinHandle::join);
        match parsed {
            Ok(Ok(parsed)) => parsed,
            Ok(Err(_)) => Err(vec![ConditionFault::new("not readable as CEL")]),
            Err(error) => {
                let message = format!("no thread to read it on: {error}");
                Err(vec![ConditionFault::new(message)])
            }
        }
    }

    fn parse(source: &str) -> Result<Self, Vec<ConditionFault>> {
        let program = ENVIRONMENT.compile(source).map_err(|errors| syntax_faults(source, &errors))?;
        let Inspection { faults, uses_args, uses_principal, members, computes_members, loops } =
            inspect::inspect(&program);
        if !faults.is_empty() {
            return Err(faults);
        }
        let Some(max_args_weight) = MAX_ARGS_WEIGHT.get(loops).copied() else {
            let message = "loops are nested at most two deep";
            return Err(vec![ConditionFault::new(message)]);
        };
        // One that is not there cannot be told from one that the caller named.
        let members = if computes_members { BTreeSet::new() } else { members };
        Ok(Self { program, source: source.into(), uses_args, uses_principal, members, max_args_weight })
    }

    /// Whether the outcome depends on the arguments of the call.
    pub(crate) fn uses_args(&self) -> bool {
        self.uses_args
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.source).finish()
    }
}

// === impl ConditionFault ===

impl ConditionFault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None }
    }
}

fn syntax_faults(source: &str, errors: &cel::ParseErrors) -> Vec<ConditionFault> {
    let of_one_line = !source.trim_end().contains('\n');
    // The others mostly follow from the first.
    let faults = errors.errors.iter().take(1).map(|error| {
        let (line, column) = error.pos;
        let place = match (line, column, of_one_line) {
            (..1, ..) | (_, ..1, _) => String::new(),
            (_, _, true) => format!(" at column {column}"),
            (_, _, false) => format!(" at line {line}, column {column}"),
        };
        // What the parser says on giving up is meant for its own authors.
        let message = match error.msg.contains("OtherError") {
            true => "nested too deep",
            false => error.msg.as_str(),
        };
        ConditionFault::new(format!("not readable as CEL{place}: {message}"))
    });
    faults.collect()
}
