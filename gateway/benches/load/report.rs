//! The whole run, and the table that comes of it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser as _;

use crate::cpus::Cpus;
use crate::options::Options;
use crate::process::Memory;
use crate::round::Measured;
use crate::scenario::{Scenario, scenarios};
use crate::setup::Setup;

/// What a gateway without calls does after its start is over by then.
const SETTLING: Duration = Duration::from_secs(1);

/// Runs all that was asked for and prints it.
pub(crate) async fn run(options: &Options, cpus: Cpus) -> anyhow::Result<ExitCode> {
    let setup = Setup::start(options, cpus).await?;
    let starts = setup.start_times().await?;
    tokio::time::sleep(SETTLING).await;
    let idle = setup.gateway_memory()?;

    println!("{}, {} rounds of {} ms\n", options.binary.display(), options.rounds, options.window);
    if cfg!(debug_assertions) {
        println!("A debug build: the figures mean nothing.\n");
    }
    println!(
        "| mode | connections | message | beside | CPU µs | ratio | calls/s | ratio | p99 ms | ratio | CPUs busy | errors | RSS MiB | PSS MiB |"
    );
    println!("|---|--:|--:|---|--:|---|--:|---|--:|---|--:|--:|--:|--:|");
    let mut errors = 0;
    for scenario in scenarios(&options.modes, &options.connections, options.message) {
        let rounds = setup.rounds(options, scenario).await?;
        errors += errors_of(&rounds);
        print_row(scenario, &rounds);
    }
    println!("\nidle: RSS {:.1} MiB, PSS {:.1} MiB", idle.resident, idle.proportional);
    println!("listening after {} ms", spread(&starts, 1));
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every mode for a moment and prints nothing.
pub(crate) async fn rehearse() -> anyhow::Result<ExitCode> {
    let options = Options::parse_from(["load", "--rounds", "1", "--window", "10", "--connections", "2"]);
    let setup = Setup::start(&options, Cpus::share()).await?;
    for scenario in scenarios(&options.modes, &options.connections, options.message) {
        let rounds = setup.rounds(&options, scenario).await?;
        ensure!(errors_of(&rounds) == 0, "a call went wrong: {scenario:?}");
    }
    Ok(ExitCode::SUCCESS)
}

fn print_row(Scenario { mode, connections, message }: Scenario, rounds: &[(Measured, Measured)]) {
    // The subject's median and the baseline's.
    let both = |figure: fn(&Measured) -> f64, digits: usize| {
        let subject: Vec<f64> = rounds.iter().map(|(subject, _)| figure(subject)).collect();
        let baseline: Vec<f64> = rounds.iter().map(|(_, baseline)| figure(baseline)).collect();
        format!("{:.digits$} / {:.digits$}", median(&subject), median(&baseline))
    };
    let ratio = |figure: fn(&Measured) -> f64| {
        let ratios: Vec<f64> = rounds.iter().map(|(subject, baseline)| figure(subject) / figure(baseline)).collect();
        spread(&ratios, 2)
    };
    let most =
        |figure: fn(&Memory) -> f64| rounds.iter().map(|(subject, _)| figure(&subject.memory)).fold(0.0, f64::max);
    println!(
        "| {} | {connections} | {message} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
        mode.as_str(),
        mode.baseline().as_str(),
        both(|measured| measured.cpu_micros, 1),
        ratio(|measured| measured.cpu_micros),
        both(|measured| measured.calls_per_second, 0),
        ratio(|measured| measured.calls_per_second),
        both(|measured| measured.p99_millis, 2),
        ratio(|measured| measured.p99_millis),
        both(|measured| measured.busy, 2),
        errors_of(rounds),
        most(|memory| memory.resident),
        most(|memory| memory.proportional),
    );
}

fn errors_of(rounds: &[(Measured, Measured)]) -> u64 {
    rounds.iter().map(|(subject, baseline)| subject.errors + baseline.errors).sum()
}

/// The median, with the least and the most.
fn spread(figures: &[f64], digits: usize) -> String {
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} ({least:.digits$}–{most:.digits$})", median(figures))
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}
