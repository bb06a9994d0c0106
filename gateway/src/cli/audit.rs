//! `portcullis audit`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::output::{Answer, Exit, Output};
use crate::audit::VerifyError;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Checks that no line of an audit log was changed or taken out.
    Verify {
        /// The audit log.
        file: PathBuf,
    },
}

/// Answers a question about an audit log.
pub(super) fn run(command: &AuditCommand, output: Output) -> Answer {
    let AuditCommand::Verify { file } = command;
    let name = file.display();
    match (output, crate::audit::verify(file)) {
        (Output::Text, Ok(log)) => Answer::ok(format!(
            "{name}: entries: {}, the chain is whole\nlast: {} {}",
            log.entries, log.last_seq, log.last_hash
        )),
        (Output::Text, Err(error)) => Answer::new(format!("{name}: {:#}", anyhow::Error::new(error)), Exit::Failed),
        (Output::Json, Ok(log)) => {
            let last = json!({"seq": log.last_seq, "hash": log.last_hash});
            let answer = json!({
                "valid": true, "entries": log.entries, "last": last,
                "continues": log.continues, "tornLines": log.torn_lines,
            });
            Answer::json(&answer, Exit::Ok)
        }
        (Output::Json, Err(error)) => {
            let line = match &error {
                VerifyError::Line { line, .. } => Some(*line),
                _ => None,
            };
            let reason = format!("{:#}", anyhow::Error::new(error));
            Answer::json(&json!({"valid": false, "line": line, "reason": reason}), Exit::Failed)
        }
    }
}
