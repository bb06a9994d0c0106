use super::*;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

/// A small configuration with one of everything.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Config {
    listen: String,
    #[serde(default)]
    max_body: Option<u64>,
    #[schemars(extend("format" = "rate"))]
    rate: Option<String>,
    level: Option<Level>,
    token: Option<Secret>,
    #[serde(default)]
    upstreams: BTreeMap<String, Upstream>,
    #[schemars(length(min = 1))]
    allow: Option<Vec<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
enum Level {
    /// Everything.
    Debug,
    /// The usual.
    Info,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
struct Upstream {
    url: String,
    auth: Option<Auth>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code)]
enum Auth {
    Bearer(Secret),
    Passthrough(bool),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum Secret {
    Plain(String),
    Env(EnvSecret),
    File(FileSecret),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct EnvSecret {
    env: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct FileSecret {
    file: String,
}

fn parse(text: &str) -> Result<Document, Vec<String>> {
    Document::parse(text, "c.yaml").map_err(|faults| shown(&faults))
}

fn shown(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn formats() -> Formats {
    Formats::new().with("rate", |text| match text {
        "1/second" => Ok(()),
        other => Err(format!("{other:?} is not a rate: write 1/second")),
    })
}

/// The faults of `text` as a [`Config`].
fn faults(text: &str) -> Vec<String> {
    let document = parse(text).unwrap();
    match document.decode::<Config>(&formats()) {
        Ok(_) => Vec::new(),
        Err(faults) => shown(&faults),
    }
}

#[test]
fn document_becomes_its_type() {
    let text = "
listen: 127.0.0.1:8080
maxBody: 4
rate: 1/second
level: info
token: {env: TOKEN}
upstreams:
  crm: {url: http://crm, auth: {bearer: {file: /run/token}}}
allow: [a]
";
    let document = parse(text).unwrap();
    let config: Config = document.decode(&formats()).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080");
    assert_eq!(config.max_body, Some(4));
    assert!(matches!(config.token, Some(Secret::Env(_))));
}

#[test]
fn every_fault_is_reported_with_line_and_path() {
    let text = "
lsiten: 127.0.0.1:8080
maxBody: lots
rate: 100/fortnight
level: debgu
upstreams:
  crm:
    uri: http://crm
allow: []
";
    assert_eq!(
        faults(text),
        [
            "c.yaml:2: lsiten: unknown key; did you mean `listen`?",
            "c.yaml:2: the key `listen` is missing",
            "c.yaml:3: maxBody: must be a whole number, not text",
            "c.yaml:4: rate: \"100/fortnight\" is not a rate: write 1/second",
            "c.yaml:5: level: `debgu` is not one of `debug` and `info`; did you mean `debug`?",
            "c.yaml:7: upstreams.crm: the key `url` is missing",
            "c.yaml:8: upstreams.crm.uri: unknown key; did you mean `url`?",
            "c.yaml:9: allow: must not be empty: fill it or leave the key out",
        ]
    );
}

#[test]
fn what_fits_can_be_looked_at_beside_what_does_not() {
    let text = "\nmaxBody: lots\nupstreams: {crm: {uri: x}, b: {url: http://b, auth: 5}}\nallow: [a, 5, b]\n";
    let document = parse(text).unwrap();
    let Salvage { value, faults, stand_ins } = document.salvage::<Config>(&formats());
    let value = value.unwrap();
    assert!(!faults.is_empty());
    assert_eq!(value.upstreams["b"].url, "http://b");
    let allow = value.allow.unwrap();
    assert_eq!((allow.len(), &*allow[0], &*allow[2]), (3, "a", "b"), "entries keep their numbers");
    for (pointer, explained) in [
        ("/listen", true),
        ("/maxBody", true),
        ("/upstreams/crm/url", true),
        ("/upstreams/crm", false),
        ("/upstreams/b/auth/bearer/env", true),
        ("/upstreams/b/url", false),
        ("/allow/0", false),
        ("/allow/1", true),
        ("/allow/10", false),
        ("/allow", false),
        ("", false),
    ] {
        assert_eq!(stand_ins.explain(&document.fault_at(pointer, "wrong")), explained, "{pointer}");
    }
    let whole = parse("[]").unwrap().salvage::<Config>(&formats());
    assert!(whole.value.is_some() && whole.stand_ins.explain(&document.fault_at("/allow/1", "wrong")));
}

#[test]
fn union_fault_speaks_of_what_was_meant() {
    for (token, expected) in [
        ("[a]", "token: must be text, {env: …} or {file: …}, not a list"),
        ("5", "token: must be text, {env: …} or {file: …}, not a number: put it in quotes"),
        ("{env: 5}", "token.env: must be text, not a number: put it in quotes"),
        ("{envv: A}", "token.envv: unknown key; did you mean `env`?"),
        ("{vault: A}", "token: must be text, {env: …} or {file: …}"),
        ("{env: A, default: B}", "token.default: unknown key: there are `env`"),
    ] {
        assert_eq!(faults(&format!("listen: a\ntoken: {token}")), [format!("c.yaml:2: {expected}")], "{token}");
    }
}

#[test]
fn tagged_union_fault_names_the_key() {
    let text = "listen: a\nupstreams: {crm: {url: b, auth: {baerer: x}}}";
    assert_eq!(faults(text), ["c.yaml:2: upstreams.crm.auth.baerer: unknown key; did you mean `bearer`?"]);
    let text = "listen: a\nupstreams: {crm: {url: b, auth: {bearer: [x]}}}";
    assert_eq!(faults(text), ["c.yaml:2: upstreams.crm.auth.bearer: must be text, {env: …} or {file: …}, not a list"]);
}

#[test]
fn text_left_unquoted_is_told_to_be_quoted() {
    assert_eq!(faults("listen: 8080"), ["c.yaml:1: listen: must be text, not a number: put it in quotes"]);
}

#[test]
fn number_that_quotes_would_not_mend_is_told_its_form() {
    assert_eq!(faults("listen: a\nrate: 60"), ["c.yaml:2: rate: \"60\" is not a rate: write 1/second"]);
    assert_eq!(faults("listen: a\nrate: [60]"), ["c.yaml:2: rate: must be text, not a list"]);
}

#[test]
fn secret_value_never_reaches_a_message() {
    let text = "listen: a\ntoken: {env: hunter2, vault: hunter2}\nallow: hunter2\nmaxBody: hunter2";
    let all = faults(text).join("\n");
    assert!(!all.is_empty() && !all.contains("hunter2"), "{all}");
}

#[test]
fn duplicate_keys_are_faults() {
    assert_eq!(
        parse("a: 1\nb:\n  c: 1\n  c: 2\na: 2").unwrap_err(),
        ["c.yaml:4: b.c: given twice, first in line 3", "c.yaml:5: a: given twice, first in line 1",]
    );
    assert_eq!(parse("a: 1\n\"a\": 2").unwrap_err(), ["c.yaml:2: a: given twice, first in line 1"]);
}

#[test]
fn key_without_value_is_a_fault() {
    assert_eq!(
        parse("subjects:\n  # roles: [a]\ntools: [~]").unwrap_err(),
        [
            "c.yaml:1: subjects: has no value: write one or leave the key out",
            "c.yaml:3: tools[0]: has no value: write one or leave the key out",
        ]
    );
}

#[test]
fn what_is_wrong_with_the_text_hides_no_other_fault() {
    let text = "
listen: a
listen: b
maxBody: lots
upstreams:
  crm: {url: http://crm, auth: {bearer: }}
  crm: {uri: x}
  billing:
  docs: {uri: x}
token: {env: }
level: !mine debug
";
    assert_eq!(parse(text).unwrap_err().len(), 6);
    let document = Document::parse_leniently(text, "c.yaml").unwrap();
    assert_eq!(
        shown(&document.decode::<Config>(&formats()).unwrap_err()),
        [
            "c.yaml:3: listen: given twice, first in line 2",
            "c.yaml:4: maxBody: must be a whole number, not text",
            "c.yaml:6: upstreams.crm.auth.bearer: has no value: write one or leave the key out",
            "c.yaml:7: upstreams.crm: given twice, first in line 6",
            "c.yaml:8: upstreams.billing: has no value: write one or leave the key out",
            "c.yaml:9: upstreams.docs: the key `url` is missing",
            "c.yaml:9: upstreams.docs.uri: unknown key; did you mean `url`?",
            "c.yaml:10: token.env: has no value: write one or leave the key out",
            "c.yaml:11: level: the tag !mine has no meaning here",
        ]
    );
    assert!(Document::parse_leniently("a: 1\na: 2\nb: [", "c.yaml").unwrap_err().len() == 2);
}

#[test]
fn what_yaml_allows_beyond_settings_is_refused() {
    for (text, expected) in [
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: !secret x", "has no meaning here"),
        ("a: !!binary x", "has no meaning here"),
        ("? [a]\n: b", "a key is text"),
        ("1: b", "a key is text: put it in quotes"),
        ("a: [1", "not readable as YAML"),
        ("a: b\n c: d", "not readable as YAML"),
        ("a: *b", "not readable as YAML"),
    ] {
        let faults = parse(text).unwrap_err().join("\n");
        assert!(faults.contains(expected), "{text}: {faults}");
    }
}

#[test]
fn empty_file_is_an_empty_mapping() {
    for text in ["", "# only a comment\n", "---\n", "\u{feff}"] {
        assert_eq!(parse(text).unwrap().value(), &json!({}), "{text:?}");
    }
}

#[test]
fn scalars_keep_their_type() {
    let text = "a: 12\nb: \"12\"\nc: !!str 12\nd: true\ne: |\n  x\n  y\nf: yes\n\"7\": x";
    assert_eq!(
        parse(text).unwrap().value(),
        &json!({"a": 12, "b": "12", "c": "12", "d": true, "e": "x\ny\n", "f": "yes", "7": "x"})
    );
}

#[test]
fn alias_stands_for_what_was_anchored() {
    let document = parse("a: &x [1, {b: c}]\nd: *x").unwrap();
    assert_eq!(document.value(), &json!({"a": [1, {"b": "c"}], "d": [1, {"b": "c"}]}));
    assert_eq!(document.fault_at("/d/1/b", "x").line, 2);
}

#[test]
fn deep_nesting_is_refused_without_deep_recursion() {
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        let faults = parse(&text).unwrap_err().join("\n");
        let refused = ["nested deeper", "recursion limit"];
        assert!(refused.iter().any(|why| faults.contains(why)), "{faults}");
    }
}

#[test]
fn alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let before = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 8].join(", "));
    }
    let faults = parse(&text).unwrap_err().join("\n");
    assert!(faults.contains("aliases make the file too large"), "{faults}");

    let long = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a, ".repeat(100_000));
    let faults = parse(&long).unwrap_err().join("\n");
    assert!(faults.contains("aliases make the file too large"), "{faults}");
}

#[test]
fn oversized_file_is_refused() {
    let faults = parse(&"#".repeat((8 << 20) + 1)).unwrap_err();
    assert_eq!(faults, ["c.yaml:1: the file is larger than 8 MiB"]);
}

#[test]
fn fault_stands_where_its_part_does() {
    let document = parse("a:\n  - b: 1\n    c: 2\n  - d").unwrap();
    for (pointer, line, column) in
        [("", 1, 1), ("/a", 1, 1), ("/a/0/c", 3, 5), ("/a/1", 4, 5), ("/a/1/missing/deeper", 4, 5), ("/nowhere", 1, 1)]
    {
        let fault = document.fault_at(pointer, "x");
        assert_eq!((fault.line, fault.column), (line, column), "{pointer}");
    }
}

#[test]
fn fault_serializes_for_programs() {
    let fault = parse("a: 1").unwrap().warning_at("/a", "odd").suggesting(Some("b"));
    assert_eq!(
        serde_json::to_value(fault).unwrap(),
        json!({"file": "c.yaml", "line": 1, "column": 1, "path": "a", "message": "odd",
               "suggestion": "b", "severity": "warning"})
    );
}

#[test]
fn schema_offers_no_null() {
    let schema = schema_of::<Config>().to_string();
    assert!(!schema.contains("null"), "{schema}");
}
