use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

/// The text's one value, if it is JSON.
fn scanned(text: &str) -> Result<&str, Fault> {
    let mut scanner = Scanner::new(text);
    let value = scanner.value()?;
    scanner.end()?;
    Ok(value)
}

/// Text that is often JSON and else almost.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(
        &[
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\\",
            " ",
            "\n",
            "\t",
            "\r",
            "0",
            "-",
            "12",
            ".5",
            "e",
            "E+1",
            "true",
            "false",
            "null",
            "\"a\"",
            "\"a\":",
            "\\n",
            "\\u00e9",
            "\\ud800",
            "\\u12",
            "é",
            "\u{1f600}",
            "\0",
            "\u{1f}",
            "\u{7f}",
            "tru",
            "[]",
            "{}",
            "\"long enough for words\"",
            "\"\\\\\\\"\"",
            "\u{feff}",
        ][..],
    );
    let tokens = prop::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat());
    let json = any::<(i64, f64, String, bool)>().prop_map(|(integer, float, text, flag)| {
        let mut object = Map::new();
        object.insert(text.clone(), vec![Value::from(integer), float.into(), flag.into(), Value::Null].into());
        object.insert("nested".to_owned(), serde_json::json!({"a": {"b": [[], {}, [text]]}}));
        serde_json::to_string_pretty(&object).unwrap()
    });
    let damaged = (json, any::<prop::sample::Index>(), tokens.clone()).prop_map(|(mut text, at, token)| {
        let at = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        text.insert_str(at, &token);
        text
    });
    prop_oneof![tokens, damaged]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_takes_what_serde_json_takes(text in nearly_json()) {
        let judged = serde_json::from_str::<IgnoredAny>(&text);
        prop_assert_eq!(scanned(&text).is_ok(), judged.is_ok(), "{}", text);
        if let Ok(value) = scanned(&text) {
            prop_assert_eq!(value, text.trim_matches([' ', '\n', '\r', '\t']));
        }
    }

    #[test]
    fn members_are_those_that_serde_json_reads(members in prop::collection::hash_map(".{0,12}", ".{0,12}", 0..6), pretty: bool) {
        let object: Map<String, Value> = members.into_iter().map(|(key, value)| (key, value.into())).collect();
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let mut read = Map::new();
        let mut scanner = Scanner::new(&text);
        let whole = scanner.object(|scanner, key| {
            read.insert(key.into_owned(), serde_json::from_str(scanner.value()?).unwrap());
            Ok(())
        });
        prop_assert_eq!(whole, Ok(text.as_str()));
        prop_assert_eq!(read, object);
    }

    #[test]
    fn special_bytes_are_found_wherever_they_stand(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let by_hand = bytes.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\');
        prop_assert_eq!(plain_bytes(&bytes), by_hand.unwrap_or(bytes.len()));
    }
}

#[test]
fn numbers_and_words_are_taken_as_the_grammar_has_them() {
    for text in ["0", "-0", "10", "1.50", "1e5", "1E-5", "-1.0e+10", "true", "false", "null", "1e999"] {
        assert_eq!(scanned(text), Ok(text));
    }
    for text in ["", "-", "01", "+1", "1.", ".5", "1e", "1e+", "0x1", "NaN", "tru", "nulls", "True", "1 2", "'a'"] {
        assert_eq!(scanned(text), Err(Fault::Malformed), "{text}");
    }
}

#[test]
fn nesting_is_bounded_where_it_should_be_and_only_outside_strings() {
    let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
    let read = |text: &str| Scanner::bounded(text, 3).value().map(drop);
    assert_eq!(read(&nested(3)), Ok(()));
    assert_eq!(read(&nested(4)), Err(Fault::TooDeep));
    assert_eq!(read(r#"[[["[[[{{{\"[[["]],{},{"a":[]}]"#), Ok(()));
    assert!(scanned(&nested(100_000)).is_ok());
    assert_eq!(scanned(&"[".repeat(100_000)), Err(Fault::Malformed));
    // An object that is read counts as one that is passed over.
    let object = |text: &str| Scanner::bounded(text, 2).object(|scanner, _| scanner.value().map(drop)).map(drop);
    assert_eq!(object(r#"{"a":[],"b":[]}"#), Ok(()));
    assert_eq!(object(r#"{"a":[[]]}"#), Err(Fault::TooDeep));
}

#[test]
fn what_is_no_object_has_no_members() {
    for text in ["[]", "1", "{", "{1:2}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1 \"b\":2}"] {
        let read = Scanner::new(text).object(|scanner, _| scanner.value().map(drop));
        assert_eq!(read, Err(Fault::Malformed), "{text}");
    }
}

#[test]
fn the_place_of_a_fault_is_where_reading_stopped() {
    let mut scanner = Scanner::new("{\n \"a\": x}");
    assert!(scanner.value().is_err());
    assert_eq!(scanner.place(), (2, 7));
}

#[test]
fn a_string_is_decoded_and_nothing_else_is_one() {
    for (text, decoded) in [
        (r#""a/b é""#, Some("a/b é")),
        (r#""\u0061\n""#, Some("a\n")),
        (r#""""#, Some("")),
        (r#""\ud800""#, None),
        ("null", None),
        ("7", None),
    ] {
        assert_eq!(string(text).as_deref(), decoded, "{text}");
    }
}
