//! Keeping the proxies apart from what loads them.
//!
//! `taskset` does it, because a program can only move itself without it.

use std::ffi::OsStr;
use std::fs::read_to_string;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// Which CPUs are whose.
#[derive(Debug)]
pub(crate) struct Cpus {
    /// None where all share all.
    proxy: Option<String>,
}

// === impl Cpus ===

impl Cpus {
    /// Leaves it to the scheduler who runs where.
    pub(crate) const fn share() -> Self {
        Self { proxy: None }
    }

    /// Moves this process, and what it starts, to all CPUs but the first of
    /// those that it may use. That one is for the proxies.
    pub(crate) fn divide() -> anyhow::Result<Self> {
        let status = read_to_string("/proc/self/status").context("this is Linux")?;
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = numbers(allowed.context("which CPUs are there")?.trim()).context("a list of CPUs")?;
        let Some((proxy, rest)) = allowed.split_first() else { anyhow::bail!("there is no CPU") };
        ensure!(!rest.is_empty(), "there is one CPU alone: nothing can be kept apart");
        let (pid, rest) = (std::process::id().to_string(), rest.join(","));
        let moved = Command::new("taskset").args(["-a", "-c", "-p", &rest, &pid]).stdout(Stdio::null()).status();
        ensure!(moved.context("taskset does not start")?.success(), "taskset could not move this process");
        Ok(Self { proxy: Some(proxy.clone()) })
    }

    /// A command that runs where the proxies do; its process id is the program's.
    pub(crate) fn of_proxies(&self, program: &OsStr) -> Command {
        let Some(proxy) = &self.proxy else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.args(["-c", proxy]).arg(program);
        command
    }
}

/// The numbers of a list such as `0-2,5`.
fn numbers(list: &str) -> Option<Vec<String>> {
    let mut numbers = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend((first.parse::<u32>().ok()?..=last.parse().ok()?).map(|number| number.to_string()));
    }
    Some(numbers)
}
