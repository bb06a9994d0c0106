//! `portcullis keygen`

use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Value, json};

use super::output::{Answer, Exit, Output};
use crate::config::NewKey;

#[derive(Debug, Args)]
pub(super) struct KeygenArgs {
    /// Who will hold it. The principal is `apiKey:NAME`.
    #[arg(long, default_value = "key", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// A role that it gives.
    #[arg(long = "role", value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    roles: Vec<String>,
}

/// Makes a key.
pub(super) fn run(args: &KeygenArgs, output: Output) -> anyhow::Result<Answer> {
    let key = NewKey::generate().context("no random numbers for a key")?;
    if output == Output::Json {
        let entry = json!({"name": args.name, "sha256": key.sha256_hex(), "roles": args.roles});
        return Ok(Answer::json(&json!({"key": key.text.expose(), "entry": entry}), Exit::Ok));
    }
    let entry = entry(args, &key.sha256_hex());
    Ok(Answer {
        text: format!("{}\n\nauth:\n  apiKeys:\n    keys:\n      - {entry}", key.text.expose()),
        remarks: "The key is shown this once; the configuration holds its hash alone:".to_owned(),
        exit: Exit::Ok,
    })
}

/// The entry of the configuration. JSON text is YAML text too, whatever is in it.
fn entry(args: &KeygenArgs, sha256: &str) -> String {
    let quoted = |text: &str| {
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !matches!(text.to_ascii_lowercase().as_str(), "null" | "true" | "false");
        if plain { text.to_owned() } else { Value::from(text).to_string() }
    };
    let roles: Vec<String> = args.roles.iter().map(|role| quoted(role)).collect();
    format!("{{name: {}, sha256: \"{sha256}\", roles: [{}]}}", quoted(&args.name), roles.join(", "))
}
