//! What the gateway costs beside the least that a proxy can do.
//!
//! One process after another is put in front of the same fast MCP server and
//! given the same load: a bare reverse proxy (the floor) and the real binary
//! with API key, policy, limit, metrics and access log on. Rounds alternate
//! between them, so what else the machine does falls on both alike, and what
//! is reported is their ratio.
//!
//! ```text
//! cargo bench -p portcullis-gateway --bench load -- --help
//! ```
//!
//! Server and floor are this same program, started again. Everything listens
//! on loopback and ends with the run.

mod child;
mod client;
mod conversation;
mod cpus;
mod floor;
mod gateway;
mod latency;
mod message;
mod options;
mod process;
mod report;
mod round;
mod scenario;
mod setup;
mod upstream;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;

use self::cpus::Cpus;
use self::options::Options;

/// As in the gateway itself, so that floor and gateway differ in their work alone.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(upstream::ROLE) => return upstream::run().map(|()| ExitCode::SUCCESS),
        Some(floor::ROLE) => return floor::run(&arguments[1..]).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // The arguments are those of a test, where `cargo test` runs it.
    let is_test = !given("--bench") || given("--test");
    let is_other_test = given("--list") || arguments.iter().any(|argument| !argument.starts_with('-'));
    if is_test && (is_other_test || !cfg!(target_os = "linux")) {
        return Ok(ExitCode::SUCCESS);
    }
    // One thread, so that it leaves the proxies their CPUs.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let run = async {
        if is_test {
            return report::rehearse().await;
        }
        let options = Options::parse();
        let cpus = if options.pin { Cpus::divide()? } else { Cpus::share() };
        report::run(&options, cpus).await
    };
    runtime.block_on(async {
        tokio::select! {
            ended = run => ended,
            // Dropping the run ends the processes it started.
            _ = child::told_to_stop() => Ok(ExitCode::FAILURE),
        }
    })
}
