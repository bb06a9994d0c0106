//! JSON that says little and is written in many ways.

/// Values whose text is not what a writer of JSON would make of them again.
pub(super) const ODD: [&str; 25] = [
    "1.0",
    "1e2",
    "1E+2",
    "-0",
    "-0.0",
    "12345678901234567890",
    "-123456789012345678901234567890",
    "0.1e-7",
    "1.10",
    "null",
    "true",
    r#""""#,
    r#""\u0041\u00e9\ud83d\ude00\/\b\f\n\r\t\\\"""#,
    "\"é😀\u{7f}\u{2028}\"",
    r#""</script>&amp;{}[],:""#,
    "[ ]",
    "{ }",
    "[1 , 2,\t3 ]",
    r#"{"b":1,"a":2}"#,
    r#"{"":"" ," ":[], "\u0041":0,"a":1}"#,
    r#"{"id":3,"jsonrpc":"1.0","method":"x","name":"n","uri":"odd:other","_meta":{"progressToken":7},"requestState":"s"}"#,
    r#"{"type":"text","isError":true,"resultType":"x","ttlMs":1,"cacheScope":"y","nextCursor":"","taskId":"t"}"#,
    r#"[[[[{"a":[{}]}]]]]"#,
    r#"{"twice":1,"twice":2.0,"TWICE":3}"#,
    r#"{"A":1,"\u0041":0}"#,
];

/// How many of them have no key twice. In arguments that are checked against a
/// schema a repeated key is refused.
const PLAIN: usize = 23;

/// All of them in one object.
pub(super) fn odd() -> String {
    object(&ODD)
}

/// The same as arguments of a tool.
pub(super) fn odd_arguments() -> String {
    object(&ODD[..PLAIN])
}

fn object(values: &[&str]) -> String {
    let members = values.iter().enumerate().map(|(index, value)| format!("\"k{index}\" : {value}"));
    format!("{{{} }}", members.collect::<Vec<_>>().join(" ,"))
}
