//! `portcullis check`

use std::path::Path;

use portcullis_policies::yaml::Fault;
use serde_json::json;

use super::output::{Answer, Exit, Output};
use crate::config::{Config, is_error};

/// Checks the file, or says that there is none.
pub(super) fn run(file: Option<&Path>, output: Output) -> Answer {
    let Some(path) = file else {
        let mut answer = report(&[], "the built-in default", output);
        answer.remarks = "no configuration file was named, and ./portcullis.yaml does not exist".to_owned();
        return answer;
    };
    let found = match Config::check(path) {
        Ok(config) => config.warnings,
        Err(faults) => faults,
    };
    report(&found, &path.display().to_string(), output)
}

fn report(found: &[Fault], name: &str, output: Output) -> Answer {
    let errors = found.iter().filter(|fault| is_error(fault)).count();
    let exit = if errors == 0 { Exit::Ok } else { Exit::Misconfigured };
    if output == Output::Json {
        return Answer::json(&json!({"valid": errors == 0, "faults": found}), exit);
    }
    let mut text = lines(found);
    let warnings = found.len() - errors;
    text.push_str(&match (errors, warnings) {
        (0, 0) => format!("{name}: all is well"),
        (0, warnings) => format!("{name}: can be used, {}", count(warnings, "warning")),
        (errors, 0) => format!("{name}: {}", count(errors, "fault")),
        (errors, warnings) => format!("{name}: {}, {}", count(errors, "fault"), count(warnings, "warning")),
    });
    Answer::new(text, exit)
}

/// One line for each.
pub(super) fn lines(found: &[Fault]) -> String {
    let line = |fault: &Fault| match is_error(fault) {
        true => format!("{fault}\n"),
        false => format!("warning: {fault}\n"),
    };
    found.iter().map(line).collect()
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
