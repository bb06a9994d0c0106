//! What the demonstration server can do: say something back, add, tell the time.

use serde_json::{Map, Number, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a tool made of its arguments: the structured result and its text, or
/// which argument is wrong.
type Outcome = Result<(Value, String), String>;

/// The tools' definitions, in the order they are listed.
pub(super) fn definitions() -> Value {
    json!([
        {
            "name": "echo",
            "title": "Echo",
            "description": "Answers with the message it was given.",
            "inputSchema": object(&json!({
                "message": {"type": "string", "description": "What to say back."},
            })),
            "outputSchema": object(&json!({
                "message": {"type": "string", "description": "The message, unchanged."},
            })),
            "annotations": annotations(true),
        },
        {
            "name": "add",
            "title": "Add",
            "description": "Adds two numbers. Whole numbers are added exactly as far as 64 bits reach.",
            "inputSchema": object(&json!({
                "a": {"type": "number", "description": "The first number."},
                "b": {"type": "number", "description": "The second number."},
            })),
            "outputSchema": object(&json!({
                "sum": {"type": "number", "description": "a + b"},
            })),
            "annotations": annotations(true),
        },
        {
            "name": "time",
            "title": "Time",
            "description": "Tells the current time in UTC.",
            "inputSchema": object(&json!({})),
            "outputSchema": object(&json!({
                "time": {"type": "string", "format": "date-time", "description": "The time as in RFC 3339."},
            })),
            "annotations": annotations(false),
        },
    ])
}

/// Calls a tool with the JSON text of its arguments; `None` when there is no such tool.
pub(super) fn call(name: &str, arguments: &str) -> Option<Value> {
    let run = match name {
        "echo" => echo,
        "add" => add,
        "time" => time,
        _ => return None,
    };
    let outcome = serde_json::from_str(arguments)
        .map_err(|error| format!("`arguments` is not an object of valid strings and numbers: {error}"))
        .and_then(|mut arguments| run(&mut arguments));
    Some(match outcome {
        Ok((structured, text)) => json!({
            "resultType": "complete",
            "content": [{"type": "text", "text": text}],
            "structuredContent": structured,
        }),
        Err(fault) => json!({
            "resultType": "complete",
            "content": [{"type": "text", "text": fault}],
            "isError": true,
        }),
    })
}

fn echo(arguments: &mut Map<String, Value>) -> Outcome {
    let message = match take(arguments, "message")? {
        Value::String(message) => message,
        _ => return Err(mistyped("message", "a string")),
    };
    nothing_left(arguments)?;
    Ok((json!({"message": message}), message))
}

fn add(arguments: &mut Map<String, Value>) -> Outcome {
    let a = take_number(arguments, "a")?;
    let b = take_number(arguments, "b")?;
    nothing_left(arguments)?;
    let sum = sum(&a, &b).ok_or("the sum of the arguments `a` and `b` is beyond what a number can hold")?;
    let text = sum.to_string();
    Ok((json!({"sum": sum}), text))
}

fn time(arguments: &mut Map<String, Value>) -> Outcome {
    nothing_left(arguments)?;
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    let text = now.format(&Rfc3339).map_err(|_| "the clock shows a year beyond 9999".to_owned())?;
    Ok((json!({"time": text}), text))
}

/// Exact for whole numbers whose sum is one of 64 bits, else in floating point.
fn sum(a: &Number, b: &Number) -> Option<Number> {
    let exact = a.as_i128().zip(b.as_i128()).and_then(|(a, b)| Number::from_i128(a.checked_add(b)?));
    exact.or_else(|| Number::from_f64(a.as_f64()? + b.as_f64()?))
}

fn take(arguments: &mut Map<String, Value>, name: &str) -> Result<Value, String> {
    arguments.remove(name).ok_or_else(|| format!("the argument `{name}` is missing"))
}

fn take_number(arguments: &mut Map<String, Value>, name: &str) -> Result<Number, String> {
    match take(arguments, name)? {
        Value::Number(number) => Ok(number),
        _ => Err(mistyped(name, "a number")),
    }
}

fn mistyped(name: &str, expected: &str) -> String {
    format!("the argument `{name}` must be {expected}")
}

fn nothing_left(arguments: &Map<String, Value>) -> Result<(), String> {
    arguments.keys().next().map_or(Ok(()), |name| Err(format!("the argument `{name}` is unknown")))
}

/// A schema of an object with exactly these members.
fn object(properties: &Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(Map::keys).collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn annotations(idempotent: bool) -> Value {
    json!({
        "readOnlyHint": true,
        "destructiveHint": false,
        "idempotentHint": idempotent,
        "openWorldHint": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: &Value) -> &str {
        result["content"][0]["text"].as_str().unwrap()
    }

    fn added(a: &str, b: &str) -> String {
        let result = call("add", &format!(r#"{{"a":{a},"b":{b}}}"#)).unwrap();
        assert_eq!(result["structuredContent"]["sum"].to_string(), text(&result));
        text(&result).to_owned()
    }

    #[test]
    fn whole_numbers_add_exactly() {
        assert_eq!(added("2", "40"), "42");
        assert_eq!(added("-1", "1"), "0");
        assert_eq!(added("9007199254740993", "0"), "9007199254740993");
        assert_eq!(added("9223372036854775807", "9223372036854775808"), "18446744073709551615");
        assert_eq!(added("-9223372036854775808", "9223372036854775808"), "0");
    }

    #[test]
    fn beyond_64_bits_and_with_fractions_the_sum_is_floating_point() {
        assert_eq!(added("1.5", "1"), "2.5");
        assert_eq!(added("18446744073709551615", "1").parse(), Ok(18_446_744_073_709_551_616_f64));
        assert_eq!(added("-9223372036854775808", "-1").parse(), Ok(-9_223_372_036_854_775_809_f64));
    }

    #[test]
    fn a_sum_beyond_floating_point_is_a_fault_of_the_arguments() {
        let result = call("add", r#"{"a":1.7e308,"b":1.7e308}"#).unwrap();
        assert_eq!(result["isError"], true);
    }

    #[test]
    fn results_fit_the_declared_schemas() {
        let definitions = definitions();
        for (tool, arguments) in
            [("echo", r#"{"message":"naïve \u0000 👋"}"#), ("add", r#"{"a":1,"b":2}"#), ("time", "{}")]
        {
            let definition = definitions.as_array().unwrap().iter().find(|each| each["name"] == tool).unwrap();
            assert!(jsonschema::is_valid(&definition["inputSchema"], &serde_json::from_str(arguments).unwrap()));
            let result = call(tool, arguments).unwrap();
            assert!(jsonschema::is_valid(&definition["outputSchema"], &result["structuredContent"]), "{result}");
            assert_eq!(result.get("isError"), None);
            assert_eq!(result["resultType"], "complete");
        }
    }

    #[test]
    fn the_echo_is_the_message() {
        let result = call("echo", r#"{"message":"naïve \u0000 👋"}"#).unwrap();
        assert_eq!(text(&result), "naïve \u{0} 👋");
        assert_eq!(result["structuredContent"]["message"], text(&result));
    }

    #[test]
    fn the_time_is_now_as_in_rfc_3339() {
        let before = OffsetDateTime::now_utc().unix_timestamp();
        let result = call("time", "{}").unwrap();
        let told = OffsetDateTime::parse(text(&result), &Rfc3339).unwrap().unix_timestamp();
        assert!((before..=OffsetDateTime::now_utc().unix_timestamp()).contains(&told));
    }

    #[test]
    fn bad_arguments_are_a_result_that_names_the_argument() {
        for (tool, arguments, named) in [
            ("echo", "{}", "`message` is missing"),
            ("echo", r#"{"message":5}"#, "`message` must be a string"),
            ("echo", r#"{"message":"a","volume":11}"#, "`volume` is unknown"),
            ("echo", r#"{"message":"\ud800"}"#, "`arguments`"),
            ("add", r#"{"a":1}"#, "`b` is missing"),
            ("add", r#"{"a":"1","b":2}"#, "`a` must be a number"),
            ("time", r#"{"zone":"utc"}"#, "`zone` is unknown"),
            ("time", "[]", "`arguments`"),
        ] {
            let result = call(tool, arguments).unwrap();
            assert_eq!(result["isError"], true, "{tool} {arguments}");
            assert!(text(&result).contains(named), "{tool} {arguments}: {result}");
        }
    }
}
