//! One log line in the making, in either format.
//!
//! Whatever a value holds, a line stays one line and its members stay apart:
//! JSON strings are escaped (RFC 8259 §7), and text that is not plain is
//! quoted with its control characters escaped.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tracing::Level;

use super::LogFormat;
use crate::decimal::{push_decimal, push_digits};
use crate::record::CallRecord;
use crate::timestamp::push_rfc3339;

/// Appends one line to a buffer.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    format: LogFormat,
}

// === impl Line ===

impl<'a> Line<'a> {
    /// Begins a line.
    pub(super) fn begin(out: &'a mut Vec<u8>, format: LogFormat, level: Level, target: &str) -> Self {
        match format {
            LogFormat::Json => {
                out.extend_from_slice(b"{\"timestamp\":\"");
                push_rfc3339(out, SystemTime::now());
                out.extend_from_slice(b"\",\"level\":\"");
                out.extend_from_slice(lower_case(level).as_bytes());
                out.push(b'"');
            }
            LogFormat::Text => {
                push_rfc3339(out, SystemTime::now());
                out.push(b' ');
                out.extend_from_slice(level.as_str().as_bytes());
            }
        }
        let mut line = Self { out, format };
        line.target(target);
        line
    }

    fn target(&mut self, target: &str) {
        match self.format {
            LogFormat::Json => self.text("target", target),
            LogFormat::Text => {
                self.out.push(b' ');
                self.out.extend_from_slice(target.as_bytes());
                self.out.push(b':');
            }
        }
    }

    /// The line's constant text.
    pub(super) fn message(&mut self, message: &str) {
        match self.format {
            LogFormat::Json => self.text("message", message),
            LogFormat::Text => {
                self.out.push(b' ');
                if message.contains(char::is_control) {
                    self.push_quoted(message);
                } else {
                    self.out.extend_from_slice(message.as_bytes());
                }
            }
        }
    }

    /// A member with text.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        match self.format {
            LogFormat::Json if needs_no_escape(value) => {
                self.out.push(b'"');
                self.out.extend_from_slice(value.as_bytes());
                self.out.push(b'"');
            }
            LogFormat::Json => {
                serde_json::to_writer(&mut *self.out, value).expect("a string can be written to memory");
            }
            LogFormat::Text if is_plain(value) => self.out.extend_from_slice(value.as_bytes()),
            LogFormat::Text => self.push_quoted(value),
        }
    }

    /// A member with one of our own words, in which nothing is to be escaped.
    pub(super) fn word(&mut self, key: &str, word: &'static str) {
        self.key(key);
        let quote: &[u8] = if self.format == LogFormat::Json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        self.out.extend_from_slice(word.as_bytes());
        self.out.extend_from_slice(quote);
    }

    /// A member whose value reads the same in both formats: a number, `true`, `false`.
    pub(super) fn literal(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        write!(self.out, "{value}").expect("writing to memory succeeds");
    }

    /// A member with a whole number.
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        push_decimal(self.out, value);
    }

    /// A member with a duration in milliseconds, exact to the microsecond.
    pub(super) fn millis(&mut self, key: &str, duration: Duration) {
        self.key(key);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        push_decimal(self.out, micros / 1000);
        self.out.push(b'.');
        push_digits(self.out, micros % 1000, 3);
    }

    /// A member with an address, which needs no escaping.
    pub(super) fn address(&mut self, key: &str, address: IpAddr) {
        self.key(key);
        let quote: &[u8] = if self.format == LogFormat::Json { b"\"" } else { b"" };
        self.out.extend_from_slice(quote);
        match address {
            IpAddr::V4(address) => {
                for (index, octet) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        self.out.push(b'.');
                    }
                    push_decimal(self.out, octet.into());
                }
            }
            IpAddr::V6(address) => write!(self.out, "{address}").expect("writing to memory succeeds"),
        }
        self.out.extend_from_slice(quote);
    }

    /// The ids of the request that the line is about.
    pub(super) fn ids(&mut self, record: &CallRecord) {
        self.text("request_id", record.request_id());
        if let Some(traceparent) = record.traceparent.as_ref().and_then(|value| value.to_str().ok()) {
            self.text("traceparent", traceparent);
        }
    }

    /// Ends the line.
    pub(super) fn end(self) {
        if self.format == LogFormat::Json {
            self.out.push(b'}');
        }
        self.out.push(b'\n');
    }

    fn key(&mut self, key: &str) {
        match self.format {
            LogFormat::Json => {
                // Keys are field names in our code, never input.
                self.out.extend_from_slice(b",\"");
                self.out.extend_from_slice(key.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
            LogFormat::Text => {
                self.out.push(b' ');
                self.out.extend_from_slice(key.as_bytes());
                self.out.push(b'=');
            }
        }
    }

    fn push_quoted(&mut self, value: &str) {
        // `Debug` escapes what could end the line or command a terminal.
        write!(self.out, "{value:?}").expect("writing to memory succeeds");
    }
}

/// Whether a JSON string may hold the text as it is (RFC 8259 §7).
fn needs_no_escape(value: &str) -> bool {
    // To the end and without a branch: values are short, and so it is done
    // many bytes at a time.
    !value.bytes().fold(false, |escapes, byte| escapes | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

/// Whether text can stand unquoted.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'))
}

fn lower_case(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// What `Debug` says, into a string that is used again.
pub(super) fn debug_into(scratch: &mut String, value: &dyn std::fmt::Debug) {
    scratch.clear();
    // A `Debug` that fails says what it said until then.
    let _ = write!(scratch, "{value:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, value: &str) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, format, Level::WARN, "portcullis::test");
        line.message("it happened");
        line.text("value", value);
        line.literal("count", 3);
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_values_cannot_leave_their_string() {
        let nasty = "a\"b\\c\n{\"level\":\"error\"}\u{0}\u{7f}\u{2028}é";
        let text = line(LogFormat::Json, nasty);
        assert_eq!(text.matches('\n').count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["value"], nasty);
        assert_eq!(parsed["level"], "warn");
        assert_eq!(parsed["message"], "it happened");
        assert_eq!(parsed["count"], 3);
    }

    #[test]
    fn text_values_cannot_leave_their_line() {
        let text = line(LogFormat::Text, "a b\n\u{1b}[31m\u{9b}0m x=\"y\"");
        assert!(
            text.ends_with(concat!(
                " WARN portcullis::test: it happened value=",
                r#""a b\n\u{1b}[31m\u{9b}0m x=\"y\"" count=3"#,
                "\n"
            )),
            "{text}"
        );
        assert!(line(LogFormat::Text, "plain").ends_with(" value=plain count=3\n"));
    }
}
