//! Reads an expression before it ever runs.

use super::{ConditionFault, ENVIRONMENT, MAX_DEPTH};
use crate::yaml::closest;
use cel::{
    Context, IdedExpr, Program,
    common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators},
};
use std::collections::BTreeSet;

const VARIABLES: [&str; 4] = ["principal", "tool", "args", "request"];
const PRINCIPAL_FIELDS: [&str; 4] = ["name", "roles", "scopes", "claims"];
const REQUEST_FIELDS: [&str; 1] = ["ip"];
/// Names that stand for types, as in `type(args.id) == int`.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"];
/// The functions of the standard library, operators and macros aside.
const FUNCTIONS: [&str; 25] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// What an expression refers to, and what is wrong with it.
#[derive(Default)]
pub(super) struct Inspection {
    pub(super) faults: Vec<ConditionFault>,
    pub(super) uses_args: bool,
    pub(super) uses_principal: bool,
    /// The members it asks for by name.
    pub(super) members: BTreeSet<String>,
    /// Whether it asks for members whose names it computes.
    pub(super) computes_members: bool,
    /// How deep loops are nested.
    pub(super) loops: usize,
}

pub(super) fn inspect(program: &Program) -> Inspection {
    let mut inspector = Inspector::default();
    inspector.expression(program.expression());
    inspector.found
}

#[derive(Default)]
struct Inspector<'a> {
    found: Inspection,
    /// Variables of the loops around the current part.
    bound: Vec<&'a str>,
    loops: usize,
    depth: usize,
}

// === impl Inspector ===

impl<'a> Inspector<'a> {
    fn expression(&mut self, expression: &'a IdedExpr) {
        if self.depth == MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} operations within one another");
            return self.fault(message, None);
        }
        self.depth += 1;
        self.part(expression);
        self.depth -= 1;
    }

    fn part(&mut self, expression: &'a IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().for_each(|item| self.expression(item)),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.expression(&entry.key);
                        self.expression(&entry.value);
                    }
                }
            }
            Expr::Comprehension(comprehension) => {
                self.expression(&comprehension.iter_range);
                self.expression(&comprehension.accu_init);
                let outside = self.bound.len();
                self.bound.push(&comprehension.iter_var);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.bound.push(&comprehension.accu_var);
                self.loops += 1;
                self.found.loops = self.found.loops.max(self.loops);
                self.expression(&comprehension.loop_cond);
                self.expression(&comprehension.loop_step);
                self.expression(&comprehension.result);
                self.loops -= 1;
                self.bound.truncate(outside);
            }
            Expr::Struct(structure) => self.fault(format!("there is no type `{}` here", structure.type_name), None),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn variable(&mut self, name: &'a str) {
        if self.bound.contains(&name) || name.starts_with('@') {
            return;
        }
        match name.trim_start_matches('.') {
            "args" => self.found.uses_args = true,
            "principal" => self.found.uses_principal = true,
            "tool" | "request" => {}
            known if TYPES.contains(&known) => {}
            unknown => self.fault(
                format!("there is no variable `{unknown}`: there are principal, tool, args and request"),
                closest(unknown, VARIABLES),
            ),
        }
    }

    fn select(&mut self, select: &'a SelectExpr) {
        self.expression(&select.operand);
        self.found.members.insert(select.field.clone());
        let Expr::Ident(name) = &select.operand.expr else {
            return;
        };
        if self.bound.contains(&name.as_str()) {
            return;
        }
        let fields: &[&'static str] = match name.as_str() {
            "principal" => &PRINCIPAL_FIELDS,
            "request" => &REQUEST_FIELDS,
            _ => return,
        };
        let field = select.field.as_str();
        if !fields.contains(&field) {
            let message = format!("`{name}` has no `{field}`, only {}", fields.join(", "));
            self.fault(message, closest(field, fields.iter().copied()));
        }
    }

    fn call(&mut self, call: &'a CallExpr) {
        call.target.iter().for_each(|target| self.expression(target));
        call.args.iter().for_each(|argument| self.expression(argument));
        let name = call.func_name.as_str();
        let is_operator = name.starts_with(['_', '!', '-', '@']);
        if !is_operator && !FUNCTIONS.contains(&name) {
            let message = format!("there is no function `{name}`");
            self.fault(message, closest(name, FUNCTIONS));
        }
        match name {
            "matches" => self.pattern(call),
            operators::INDEX | operators::OPT_INDEX => self.index(call),
            _ => {}
        }
    }

    fn index(&mut self, call: &CallExpr) {
        match call.args.last().map(|key| &key.expr) {
            Some(Expr::Literal(LiteralValue::String(key))) => {
                self.found.members.insert(key.inner().to_owned());
            }
            Some(Expr::Literal(_)) => {}
            _ => self.found.computes_members = true,
        }
    }

    /// A regular expression made from what the caller sends could be made to
    /// cost much more than it weighs; one written in the policy is tried now.
    fn pattern(&mut self, call: &CallExpr) {
        let Some(Expr::Literal(LiteralValue::String(pattern))) = call.args.last().map(|argument| &argument.expr) else {
            return self.fault("the pattern of `matches` must be written out".into(), None);
        };
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.add_variable_from_value("pattern", pattern.inner().to_owned());
        let outcome = ENVIRONMENT.compile("''.matches(pattern)").map(|program| program.execute(&context));
        if !matches!(outcome, Ok(Ok(_))) {
            let message = format!("{:?} is not a regular expression", pattern.inner());
            self.fault(message, None);
        }
    }

    fn fault(&mut self, message: String, suggestion: Option<&'static str>) {
        let fault = ConditionFault { message, suggestion };
        if !self.found.faults.contains(&fault) {
            self.found.faults.push(fault);
        }
    }
}
