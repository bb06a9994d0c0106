//! `portcullis serve`

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::ConfigArgs;
use super::banner::banner;
use super::tools::secret;
use crate::app::{self, Front};
use crate::config::{NewKey, Source};
use crate::secret::Secret;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Serve one client over standard input and output, and listen nowhere.
    #[arg(long)]
    stdio: bool,
    /// With `--stdio`: the client's API key or token.
    #[arg(long, env = "PORTCULLIS_KEY", hide_env_values = true, value_parser = secret)]
    key: Option<Secret<String>>,
}

/// Runs the gateway until it is told to end.
pub(super) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let front = if args.stdio { Front::Stdio { key: args.key.clone() } } else { Front::Listeners };
    let file = args.config.file();
    let source = match file {
        Some(path) => Source::File(path),
        None => Source::BuiltIn { key: NewKey::generate().context("no random numbers for a key")?, banner },
    };
    app::serve(source, front)
}
