//! What can be asked for on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::scenario::Mode;

/// Compares the gateway with a bare proxy under load; prints a Markdown table.
#[derive(Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Rounds; each measures every process once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Milliseconds measured in each round, after a fifth of it to warm up
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub(crate) window: u64,
    /// Modes to run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Mode::all())]
    pub(crate) modes: Vec<Mode>,
    /// Connections, each with one call at a time; a mode may take fewer
    #[arg(long, value_delimiter = ',', default_values_t = [32, 256], value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) connections: Vec<u32>,
    /// Conversations that keep the model busy in the mode chat
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) conversations: u32,
    /// Bytes of the message that a call sends and gets back
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) message: u32,
    /// Keeps the proxies on the first CPU and all else on the others (taskset)
    #[arg(long)]
    pub(crate) pin: bool,
    /// The gateway to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_portcullis"))]
    pub(crate) binary: PathBuf,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

// === impl Options ===

impl Options {
    /// What is measured of each round.
    pub(crate) const fn measured(&self) -> Duration {
        Duration::from_millis(self.window)
    }
}
