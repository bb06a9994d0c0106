//! What the log says of one call.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;

use crate::metrics::CallStatus;
use crate::record::CallRecord;

/// Arguments that are longer are not recorded, only their length.
const MAX_ARGUMENTS_BYTES: usize = 16 * 1024;

/// One call, for the audit log. Making it is cheap: it is written out, and
/// hashed, by the log's own thread.
#[derive(Clone, Debug)]
pub struct AuditEntry {
    record: Arc<CallRecord>,
    time: SystemTime,
    duration: Duration,
    outcome: Option<CallStatus>,
    arguments: Arguments,
}

#[derive(Clone)]
enum Arguments {
    Absent,
    Given(Box<[u8]>),
    TooLong(usize),
}

// === impl AuditEntry ===

impl AuditEntry {
    /// The call of `record` as it stands now. `arguments` is their JSON text,
    /// to be given only where [the operator wants them](super::AuditSettings::include_arguments).
    #[must_use]
    pub fn new(record: Arc<CallRecord>, arguments: Option<&[u8]>) -> Self {
        Self {
            time: SystemTime::now(),
            duration: record.started.elapsed(),
            outcome: record.status(),
            arguments: match arguments {
                None => Arguments::Absent,
                Some(json) if json.len() > MAX_ARGUMENTS_BYTES => Arguments::TooLong(json.len()),
                Some(json) => Arguments::Given(json.into()),
            },
            record,
        }
    }

    pub(super) const fn time(&self) -> SystemTime {
        self.time
    }

    /// Writes the members of the entry's line.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let record = &*self.record;
        text(out, "request_id", Some(record.request_id()));
        let principal = record.principal.get();
        text(out, "principal", principal.map(|principal| principal.name()));
        if let Some(principal) = principal {
            json(out, "roles", principal.roles());
        }
        text(out, "method", record.rpc_method.get().copied());
        text(out, "tool", record.tool.get().map(AsRef::as_ref));
        text(out, "prompt", record.prompt.get().map(AsRef::as_ref));
        text(out, "resource", record.resource.get().map(AsRef::as_ref));
        text(out, "upstream", record.upstream.get().map(AsRef::as_ref));
        if let Some(decision) = record.decision.get() {
            write!(out, ",\"decision\":{{\"outcome\":\"{}\"", decision.outcome).expect("writing to memory succeeds");
            text(out, "policy", decision.policy.as_deref());
            json(out, "rule", &decision.rule);
            out.push(b'}');
        }
        text(out, "outcome", self.outcome.map(CallStatus::as_str));
        let micros = self.duration.as_micros();
        write!(out, ",\"duration_ms\":{}.{:03}", micros / 1000, micros % 1000).expect("writing to memory succeeds");
        if let Some(address) = record.client_ip.get() {
            write!(out, ",\"client_ip\":\"{address}\"").expect("writing to memory succeeds");
        }
        self.arguments.write(out);
    }
}

// === impl Arguments ===

impl Arguments {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => {}
            Self::TooLong(bytes) => {
                write!(out, ",\"arguments_omitted_bytes\":{bytes}").expect("writing to memory succeeds");
            }
            Self::Given(text) => {
                // Raw text that is not JSON would break the line.
                let Ok(arguments) = serde_json::from_slice::<&RawValue>(text) else { return };
                out.extend_from_slice(b",\"arguments\":");
                // In JSON, line ends stand between values only (RFC 8259 §7).
                let one_line =
                    arguments.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte });
                out.extend(one_line);
            }
        }
    }
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What a caller sent stays out of logs.
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Given(_) => "Given",
            Self::TooLong(_) => "TooLong",
        })
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        json(out, key, value);
    }
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, key: &str, value: &T) {
    write!(out, ",\"{key}\":").expect("writing to memory succeeds");
    serde_json::to_writer(out, value).expect("text can be written to memory");
}
