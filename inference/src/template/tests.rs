use time::macros::datetime;

use super::*;
use crate::chat::Role;

fn compiled(source: &str) -> Template {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    Template::new(source, tokens, || datetime!(2026-01-02 03:04:05 UTC)).unwrap()
}

fn rendered_within(source: &str, content: &str, most_bytes: usize) -> Result<String, TemplateError> {
    let message = Message { role: Role::User, content: content.to_owned() };
    compiled(source).render([(&message, content)], true, most_bytes)
}

fn rendered(source: &str) -> String {
    rendered_within(source, "content", 10_000).unwrap()
}

fn failed(source: &str) -> TemplateError {
    rendered_within(source, "content", 10_000).unwrap_err()
}

#[test]
fn blocks_are_trimmed_as_transformers_sets_it() {
    assert_eq!(rendered("a\n  {% if true %}\n    b\n  {% endif %}\nc\n"), "a\n    b\nc");
    assert_eq!(rendered("{% generation %}\n{{ bos_token }}x\n{% endgeneration %}\n{{ eos_token }}"), "<s>x\n</s>");
}

#[test]
fn variables_are_those_of_transformers() {
    assert_eq!(
        rendered("{{ messages[0].role }} {{ messages[0]['content'] }} {{ add_generation_prompt }}"),
        "user content True"
    );
    assert_eq!(rendered("{{ tools is none }} {{ tools is defined }} {{ pad_token is defined }}"), "True True False");
    assert_eq!(rendered("{{ messages[0].tool_calls is defined }}{{ messages[0].get('name', '-') }}"), "False-");
}

#[test]
fn dates_are_written_as_python_does() {
    assert_eq!(rendered("{{ strftime_now('%d %b %Y') }}"), "02 Jan 2026");
    assert_eq!(
        rendered("{{ strftime_now('%A, %B %d, %Y %H:%M:%S %j %%') }}"),
        "Friday, January 02, 2026 03:04:05 002 %"
    );
    assert_eq!(rendered("{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%-d') }}"), "2026-01-02 2");
    assert!(matches!(failed("{{ strftime_now('%') }}"), TemplateError::Failed { .. }));
}

#[test]
fn json_is_written_as_python_does() {
    let value = "{'b': [1, 2.5, none, true, '<é\"\\n>'], 'a': {}, 'c': []}";
    let json = |arguments: &str| rendered(&format!("{{{{ {value} | tojson{arguments} }}}}"));
    assert_eq!(json(""), r#"{"b": [1, 2.5, null, true, "<é\"\n>"], "a": {}, "c": []}"#);
    assert_eq!(
        json("(ensure_ascii=true, sort_keys=true)"),
        r#"{"a": {}, "b": [1, 2.5, null, true, "<\u00e9\"\n>"], "c": []}"#
    );
    assert_eq!(json("(separators=(',', ':'))"), r#"{"b":[1,2.5,null,true,"<é\"\n>"],"a":{},"c":[]}"#);
    let indented =
        "{\n  \"b\": [\n    1,\n    2.5,\n    null,\n    true,\n    \"<é\\\"\\n>\"\n  ],\n  \"a\": {},\n  \"c\": []\n}";
    assert_eq!(json("(indent=2)"), indented);
}

#[test]
fn an_objection_is_passed_on_and_bounded() {
    let objection = |source: &str| match failed(source) {
        TemplateError::Objection(text) => text,
        error => panic!("{error}"),
    };
    assert_eq!(objection("{{ raise_exception('no ' + messages[0].role) }}"), "no user");
    assert_eq!(objection("{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}"), "deep");
    assert_eq!(objection("{{ raise_exception('x' * 100000) }}").len(), MAX_OBJECTION);
}

#[test]
fn failures_say_where_and_nothing_of_the_messages() {
    let error = failed("\n{{ messages[0].content.nothing() }}");
    assert_eq!(error.to_string(), "the chat template failed in line 2: unknown method");
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn a_template_that_does_not_end_is_stopped() {
    let loops = "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}";
    assert!(matches!(failed(loops), TemplateError::Failed { kind: ErrorKind::OutOfFuel, .. }));
    let recurses = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(matches!(failed(recurses), TemplateError::Failed { .. }));
}

#[test]
fn a_template_that_writes_too_much_is_stopped() {
    let writes = "{% for a in range(1000) %}{{ messages[0].content }}{% endfor %}";
    assert!(matches!(rendered_within(writes, "0123456789", 9_999), Err(TemplateError::TooLong(9_999))));
    assert_eq!(rendered_within(writes, "0123456789", 10_000).unwrap().len(), 10_000);
}

#[test]
fn a_wrong_template_is_refused_at_once() {
    let none: [(&str, &str); 0] = [];
    let refused = Template::new("{% if %}", none, OffsetDateTime::now_utc).unwrap_err();
    assert!(matches!(refused, TemplateError::Syntax(_)));
}
