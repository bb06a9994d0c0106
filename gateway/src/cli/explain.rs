//! `portcullis policy explain`

use std::net::IpAddr;

use clap::Args;
use portcullis_policies::yaml::closest;
use portcullis_policies::{CallFacts, Principal, Target, parse_arguments};
use serde_json::{Map, Value};

use super::ConfigArgs;
use super::check::lines;
use super::output::{Answer, Exit, Output};
use crate::auth::AuthSettings;
use crate::backends::tool::split_name;
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Who calls: `apiKey:NAME`, `jwt:ISSUER#SUBJECT` or `anonymous`.
    #[arg(long, value_name = "NAME")]
    principal: String,
    /// A role of theirs. Without any: those that the configuration gives an API
    /// key or anonymous callers.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A claim of their token. What is not JSON is text.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = assignment)]
    claims: Vec<(String, Value)>,
    /// The tool, by the name that clients see.
    #[arg(long)]
    tool: String,
    /// The call's arguments, a JSON object.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// Where they call from.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
}

/// Explains one decision.
pub(super) fn run(args: &ExplainArgs, output: Output) -> anyhow::Result<Answer> {
    let config = match args.config.load()? {
        Ok(config) => config,
        Err(faults) => return Ok(Answer::none(lines(&faults), Exit::Misconfigured)),
    };
    let arguments = match parse_arguments(args.args.as_bytes()) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(Answer::none(format!("--args: {error}"), Exit::Misconfigured)),
    };
    let roles = if args.roles.is_empty() { known_roles(&config.auth, &args.principal) } else { args.roles.clone() };
    let claims: Map<String, Value> = args.claims.iter().cloned().collect();
    let principal = Principal::new(args.principal.as_str()).with_roles(roles).with_claims(claims);
    let facts = CallFacts { ip: args.ip, args: Some(&arguments) };
    let explanation = config.policies.explain(&principal, Target::Tool(&args.tool), &facts);
    let exit = if explanation.decision.is_allowed() { Exit::Ok } else { Exit::Denied };
    let answer = match output {
        Output::Text => Answer::new(explanation.to_string(), exit),
        Output::Json => Answer::json(&explanation, exit),
    };
    Ok(Answer { remarks: strangers(&config, args), ..answer })
}

/// What was asked about and is not there: policies decide about it all the
/// same, and yet it was hardly meant.
fn strangers(config: &Config, args: &ExplainArgs) -> String {
    let mut remarks = String::new();
    let mut stranger = |what: &str, name: &str, known: Vec<&str>| {
        if !known.contains(&name) {
            let meant = closest(name, known).map(|meant| format!("; did you mean `{meant}`?"));
            remarks.push_str(&format!("the configuration has no {what} `{name}`{}\n", meant.unwrap_or_default()));
        }
    };
    if let Some(name) = args.principal.strip_prefix("apiKey:") {
        let keys = config.auth.api_keys.iter().flat_map(|settings| &settings.keys);
        stranger("API key", name, keys.map(|key| key.name.as_str()).collect());
    }
    if config.models.iter().any(|model| *model.name == args.tool) {
        return remarks;
    }
    let upstream = split_name(&args.tool, &config.separator).map_or(args.tool.as_str(), |(upstream, _)| upstream);
    stranger("upstream", upstream, config.upstreams.iter().map(|upstream| &*upstream.name).collect());
    remarks
}

/// The roles that the configuration gives this principal.
fn known_roles(auth: &AuthSettings, principal: &str) -> Vec<String> {
    if principal == "anonymous" {
        return auth.anonymous.clone().unwrap_or_default();
    }
    let name = principal.strip_prefix("apiKey:");
    let keys = auth.api_keys.iter().flat_map(|settings| &settings.keys);
    keys.filter(|key| Some(key.name.as_str()) == name).flat_map(|key| key.roles.clone()).collect()
}

/// `NAME=VALUE`, where the value is JSON if it reads as such, else text.
pub(super) fn assignment(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is missing: write NAME=VALUE".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}
