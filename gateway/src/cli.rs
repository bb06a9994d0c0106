//! The command line.
//!
//! Answers go to standard output, everything else to standard error. Exit
//! codes: 0 it went well, 1 it failed, 2 the configuration or the command line
//! is wrong, 3 denied.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use portcullis_policies::yaml::Fault;

use self::audit::AuditCommand;
use self::explain::ExplainArgs;
use self::keygen::KeygenArgs;
use self::output::{Answer, Output};
use self::schema::SchemaOf;
use self::tools::ToolsCommand;
use crate::config::{Config, NewKey};

mod audit;
pub mod banner;
mod check;
mod explain;
mod keygen;
#[cfg(feature = "chat")]
mod models;
mod output;
mod schema;
mod serve;
mod tools;

#[cfg(test)]
mod tests;

/// An MCP gateway: authenticates every call, decides, limits, meters and
/// forwards it.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How answers are written.
    #[arg(long, value_enum, global = true, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway.
    Serve(serve::ServeArgs),
    #[command(flatten)]
    Question(Question),
}

/// A command that ends by itself, with an answer.
#[derive(Debug, Subcommand)]
enum Question {
    /// Validates configuration and policies, and looks for what is hardly meant.
    Check(ConfigArgs),
    /// Questions about policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Makes an API key: prints it once, with the entry that holds its hash.
    Keygen(KeygenArgs),
    /// Prints the JSON Schema of a file.
    Schema {
        /// Of which file.
        #[arg(value_enum)]
        of: SchemaOf,
    },
    /// A small MCP client.
    #[command(subcommand)]
    Tools(ToolsCommand),
    /// Questions about audit logs.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Says what the configured models run on, and which adapters there are.
    Models(ConfigArgs),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Which rule decides a call, and why. Exits with 0 if it is allowed, 3 if
    /// it is denied.
    Explain(ExplainArgs),
}

/// Which configuration is meant.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file. Without it: ./portcullis.yaml, else the built-in
    /// default.
    #[arg(short, long, value_name = "FILE", env = "PORTCULLIS_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command that this process was started with.
///
/// # Errors
///
/// What kept the command from being carried out, for people to read.
pub fn run() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Question(question) => Ok(answer(question, cli.output)?.give()?),
    }
}

fn answer(question: Question, output: Output) -> anyhow::Result<Answer> {
    match question {
        Question::Check(args) => Ok(check::run(args.file().as_deref(), output)),
        Question::Policy(PolicyCommand::Explain(args)) => explain::run(&args, output),
        Question::Keygen(args) => keygen::run(&args, output),
        Question::Schema { of } => Ok(schema::run(of)),
        Question::Tools(command) => tools::run(command, output),
        Question::Audit(command) => Ok(audit::run(&command, output)),
        Question::Models(args) => models(&args, output),
        Question::Completions { shell } => Ok(completions(shell)),
    }
}

#[cfg(feature = "chat")]
fn models(args: &ConfigArgs, output: Output) -> anyhow::Result<Answer> {
    models::run(args, output)
}

#[cfg(not(feature = "chat"))]
fn models(_: &ConfigArgs, _: Output) -> anyhow::Result<Answer> {
    Ok(Answer::none("this program was built without models: build it with the feature `chat`", output::Exit::Failed))
}

fn completions(shell: Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
    Answer::ok(String::from_utf8_lossy(&script))
}

// === impl ConfigArgs ===

impl ConfigArgs {
    /// The file that is meant; `None` for the built-in default.
    fn file(&self) -> Option<PathBuf> {
        let here = PathBuf::from("portcullis.yaml");
        self.config.clone().or_else(|| here.exists().then_some(here))
    }

    /// The configuration that is meant, or its faults.
    ///
    /// # Errors
    ///
    /// If there are no random numbers for the built-in default's key.
    fn load(&self) -> anyhow::Result<Result<Config, Vec<Fault>>> {
        Ok(match self.file() {
            Some(path) => Config::load(&path),
            None => Ok(Config::built_in(NewKey::generate().context("no random numbers for a key")?.sha256)),
        })
    }
}
