//! What the kernel counts of a process (`proc_pid_stat(5)`, `proc_pid_smaps(5)`).

use std::fs::read_to_string;

use anyhow::Context as _;

/// The kernel's unit of CPU time towards programs, `USER_HZ`: 100 on every
/// architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// All that is in memory, in MiB.
    pub(crate) resident: f64,
    /// The same, with pages that several processes share split among them.
    pub(crate) proportional: f64,
}

/// User and system time that the process has taken, in microseconds.
pub(crate) fn cpu_micros(pid: u32) -> anyhow::Result<f64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The program's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("a stat line")?;
    let tick = |field: usize| fields.split(' ').nth(field - 3).and_then(|text| text.parse::<u64>().ok());
    let ticks = tick(14).zip(tick(15)).map(|(user, system)| user + system).context("a stat line")?;
    Ok(f64::from(u32::try_from(ticks).context("a short run")?) * 1e6 / TICKS_PER_SECOND)
}

/// Memory that the process has now.
pub(crate) fn memory(pid: u32) -> anyhow::Result<Memory> {
    let rollup = read_to_string(format!("/proc/{pid}/smaps_rollup")).context("the process is gone")?;
    let mebibytes = |field: &str| {
        let value = rollup.lines().find_map(|line| line.strip_prefix(field))?;
        Some(value.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
    };
    let found = mebibytes("Rss:").zip(mebibytes("Pss:"));
    let (resident, proportional) = found.context("a kernel with smaps_rollup")?;
    Ok(Memory { resident, proportional })
}
