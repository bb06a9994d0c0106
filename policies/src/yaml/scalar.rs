//! Plain scalars as values: the core schema (YAML 1.2.2 §10.3.2).

use serde_json::{Number, Value};

/// Below this every whole number is its own `f64`: 2⁵³.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// What an unquoted scalar stands for.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    integer(text).or_else(|| float(text)).map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn integer(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(unsigned(digits)?, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(unsigned(digits)?, 8).ok().map(Number::from);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    unsigned(digits)?;
    let signed = text.strip_prefix('+').unwrap_or(text);
    signed.parse::<i64>().map(Number::from).or_else(|_| signed.parse::<u64>().map(Number::from)).ok()
}

/// Digits only: Rust's own parsers would take a second sign.
fn unsigned(digits: &str) -> Option<&str> {
    digits.starts_with(|c: char| c.is_ascii_hexdigit()).then_some(digits)
}

/// `[-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
///
/// Infinities and not-a-number stay text: JSON has no such numbers and no
/// setting wants one. What is whole is an integer however it is written (JSON
/// Schema 2020-12 §4.2.3).
fn float(text: &str) -> Option<Number> {
    let first = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = first.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && first.contains(|c: char| c.is_ascii_digit())
        && first.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-' | '+'));
    if !numeric {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let whole = (number.fract() == 0.0 && number.abs() < MAX_EXACT).then(|| format!("{number:.0}").parse::<i64>());
    whole.and_then(Result::ok).map(Number::from).or_else(|| Number::from_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("true", json!(true)),
            ("yes", json!("yes")),
            ("12", json!(12)),
            ("-3", json!(-3)),
            ("+3", json!(3)),
            ("--3", json!("--3")),
            ("+-3", json!("+-3")),
            ("18446744073709551615", json!(u64::MAX)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("0x+1", json!("0x+1")),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000)),
            ("1e23", json!(1e23)),
            (".inf", json!(".inf")),
            (".nan", json!(".nan")),
            ("1e999", json!("1e999")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("30s", json!("30s")),
            ("2027-01-01T00:00:00Z", json!("2027-01-01T00:00:00Z")),
            (".", json!(".")),
            ("e", json!("e")),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }
}
