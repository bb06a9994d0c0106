use super::{evaluate::Failure, *};
use crate::principal::Principal;
use serde_json::{Value, json};

fn alice() -> Principal {
    let Value::Object(claims) = json!({"department": "finance", "groups": ["a", "b"]}) else {
        unreachable!("an object was written")
    };
    Principal::new("jwt:x#alice").with_roles(["analyst".to_owned()]).with_scopes(["mcp".to_owned()]).with_claims(claims)
}

fn evaluate(source: &str, args: Option<&Value>) -> Result<bool, Failure> {
    let condition = Condition::compile(source).unwrap_or_else(|faults| panic!("{source}: {faults:?}"));
    condition.evaluate(&Facts {
        principal: &alice(),
        tool: "crm__search",
        ip: Some("::ffff:10.0.0.1".parse().unwrap()),
        args,
    })
}

/// What is wrong with `source`, suggestions in brackets.
fn faults(source: &str) -> Vec<String> {
    let faults = Condition::compile(source).err().unwrap_or_default();
    let show = |fault: ConditionFault| match fault.suggestion {
        Some(suggestion) => format!("{} [{suggestion}]", fault.message),
        None => fault.message,
    };
    faults.into_iter().map(show).collect()
}

#[test]
fn condition_sees_principal_tool_args_and_address() {
    let args = json!({
        "limit": 50, "big": u64::MAX, "ratio": 0.5, "name": "acme", "tags": ["x", "y"],
        "deep": {"list": [{"id": 1}, {"id": 2}]}, "none": null, "on": true,
    });
    for (source, expected) in [
        ("true", true),
        ("principal.name == 'jwt:x#alice'", true),
        ("'analyst' in principal.roles && 'mcp' in principal.scopes", true),
        ("principal.claims.department == \"finance\"", true),
        ("'b' in principal.claims.groups", true),
        ("tool.startsWith('crm__')", true),
        ("request.ip == '10.0.0.1'", true),
        ("args.limit <= 100", true),
        ("args.limit <= 49", false),
        ("args.limit <= 50.5", true),
        ("args.big > 100", true),
        ("args.ratio < 1.0 && args.ratio < 1", true),
        ("args.name.matches('^a[a-z]+$')", true),
        ("args['name'] == 'acme'", true),
        ("args.deep.list.all(item, item.id < 3)", true),
        ("args.deep.list.exists(item, item.id == 3)", false),
        ("args.deep.list.map(item, item.id) == [1, 2]", true),
        ("args.tags.all(a, args.tags.exists(b, a == b))", true),
        ("has(args.limit) && !has(args.offset)", true),
        ("args.none == null && args.on", true),
        ("type(args.limit) == int && type(args.name) == string", true),
        ("size(args.tags) == 2 && args.name.size() == 4", true),
        ("args == {'limit': 1}", false),
        ("!has(args.missing) || args.missing > 3", true),
        ("timestamp('2027-01-01T00:00:00Z').getFullYear() == 2027", true),
    ] {
        assert_eq!(evaluate(source, Some(&args)), Ok(expected), "{source}");
    }
}

#[test]
fn condition_without_answer_fails() {
    let args = json!({"limit": "many", "key": "s3cret"});
    for (source, failure) in [
        ("args.offset > 1", Failure::Missing("offset".into())),
        ("args.limit <= 100", Failure::Mismatch),
        ("args.limit", Failure::NotBool),
        ("1 / 0 == 1", Failure::Mismatch),
        ("principal.claims[args.key] == 'x'", Failure::Mismatch),
        ("9223372036854775807 + size(tool) > 0", Failure::Mismatch),
    ] {
        assert_eq!(evaluate(source, Some(&args)), Err(failure), "{source}");
    }
    assert_eq!(evaluate("args.limit == 1", None), Err(Failure::NoArguments));
}

#[test]
fn arguments_are_asked_for_only_when_named() {
    assert!(Condition::compile("args.limit < 1").unwrap().uses_args());
    assert!(Condition::compile("has(args.limit)").unwrap().uses_args());
    for source in ["tool == 'args'", "[1].all(args, args > 0)", "principal.claims.args == 1"] {
        assert!(!Condition::compile(source).unwrap().uses_args(), "{source}");
    }
    assert_eq!(evaluate("tool == 'crm__search'", None), Ok(true));
}

#[test]
fn unknown_names_are_faults_with_suggestions() {
    for (source, expected) in [
        ("arg.limit < 1", "there is no variable `arg`: there are principal, tool, args and request [args]"),
        ("principal.role == 'a'", "`principal` has no `role`, only name, roles, scopes, claims [roles]"),
        ("request.addr == 'a'", "`request` has no `addr`, only ip"),
        ("tool.startswith('a')", "there is no function `startswith` [startsWith]"),
        ("args.list.all(x, y > 1)", "there is no variable `y`: there are principal, tool, args and request"),
        ("Account{id: 1} == args", "there is no type `Account` here"),
    ] {
        assert_eq!(faults(source), [expected], "{source}");
    }
    assert_eq!(faults("a && b").len(), 2);
}

#[test]
fn syntax_fault_tells_the_place() {
    let found = faults("args.limit <= ");
    assert!(found[0].starts_with("not readable as CEL at column "), "{found:?}");
    let found = faults("true &&\n  ) true");
    assert!(found[0].starts_with("not readable as CEL at line 2"), "{found:?}");
    for source in ["", " ", "\"", "a..b", "1 +* 2", "\u{0}", "a.?b == 1"] {
        assert!(!faults(source).is_empty(), "{source:?}");
    }
}

#[test]
fn expression_is_bounded_in_length_depth_and_loops() {
    assert!(faults(&format!("'{}' == tool", "x".repeat(5000)))[0].contains("at most 4096 bytes"));
    for (source, message) in [
        ("(".repeat(1000) + "true" + &")".repeat(1000), "not readable as CEL at column 97: nested too deep"),
        ("1+".repeat(2000) + "1 == 1", "more than 32 operations within one another"),
        ("tool".to_owned() + &".a".repeat(2000), "more than 32 operations within one another"),
        ("[".repeat(90) + &"]".repeat(90), "more than 32 operations within one another"),
    ] {
        let found = faults(&source);
        assert!(found.iter().any(|fault| fault == message), "{found:?}");
    }
    assert!(!faults(&"(".repeat(4096)).is_empty());
    assert!(!faults(&"{".repeat(4096)).is_empty());
    assert_eq!(evaluate(&("1+".repeat(28) + "1 == 29"), None), Ok(true));
    assert_eq!(evaluate(&("true&&".repeat(600) + "true"), None), Ok(true));
    let nested = "args.a.all(x, args.a.all(y, args.a.all(z, x == z)))";
    assert_eq!(faults(nested), ["loops are nested at most two deep"]);
}

#[test]
fn loops_judge_only_arguments_small_enough() {
    let large = json!({"a": vec![0; 70_000]});
    let medium = json!({"a": vec![0; 3_000]});
    assert_eq!(evaluate("size(args.a) == 70000", Some(&large)), Ok(true));
    assert_eq!(evaluate("args.a.all(x, x == 0)", Some(&large)), Err(Failure::TooLarge));
    assert_eq!(evaluate("args.a.all(x, x == 0)", Some(&medium)), Ok(true));
    let nested = "args.a.all(x, args.a.all(y, x == y))";
    assert_eq!(evaluate(nested, Some(&medium)), Err(Failure::TooLarge));
    assert_eq!(evaluate(nested, Some(&json!({"a": [0, 0]}))), Ok(true));
}

#[test]
fn pattern_is_never_the_callers() {
    assert_eq!(faults("tool.matches(args.pattern)"), ["the pattern of `matches` must be written out"]);
    assert_eq!(faults("tool.matches('(')"), ["\"(\" is not a regular expression"]);
}

#[test]
fn failure_tells_nothing_of_the_arguments() {
    let args = json!({"key": "s3cret", "value": "s3cret"});
    for source in [
        // The policy has the word too, and yet it is the caller who said it.
        "principal.claims[args.key] == 's3cret'",
        "principal.claims[args.key] == principal.claims['s3cret']",
        "[args.key].all(key, principal.claims[key] == 's3cret')",
        "{'a': 1}[args.key] == principal.claims.s3cret",
        "principal.claims[args.key] == 'x'",
        "args.value + 1 == 2",
        "int(args.value) == 1",
    ] {
        let failure = evaluate(source, Some(&args)).unwrap_err();
        assert!(!format!("{failure} {failure:?}").contains("s3cret"), "{source}");
    }
}
