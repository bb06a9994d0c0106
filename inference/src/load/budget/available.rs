//! How much memory may still be taken.

use std::fs;

/// The least of what the machine and this process's control groups leave;
/// `None` where the system does not say.
pub(super) fn bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|info| machine(&info));
    machine.into_iter().chain(control_groups()).min()
}

/// What the kernel takes to be available without swapping.
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the limits of control groups leave (version 2): of the process's own
/// and of all above it.
fn control_groups() -> Option<u64> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?.trim_matches('/').to_owned();
    let mut groups = vec![String::new()];
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let group = format!("{}/{name}", groups[groups.len() - 1]);
        groups.push(group);
    }
    let read = |group: &str, file: &str| fs::read_to_string(format!("/sys/fs/cgroup{group}/{file}")).ok();
    let left = |group: &String| {
        left(&read(group, "memory.max")?, &read(group, "memory.current")?, &read(group, "memory.stat")?)
    };
    groups.iter().filter_map(left).min()
}

/// What one group leaves. Files that are cached count as used, and give way.
fn left(limit: &str, used: &str, statistics: &str) -> Option<u64> {
    let limit = limit.trim().parse::<u64>().ok()?;
    let used = used.trim().parse::<u64>().ok()?;
    let cached = |name: &str| {
        let line = statistics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let kept = used.saturating_sub(cached("active_file") + cached("inactive_file"));
    Some(limit.saturating_sub(kept))
}

#[cfg(test)]
mod tests {
    use super::{bytes, left, machine};

    #[test]
    fn the_machine_says_it_in_kibibytes() {
        assert_eq!(machine("MemTotal:  100 kB\nMemAvailable:     3 kB\n"), Some(3072));
        assert_eq!(machine("MemTotal:  100 kB\n"), None);
    }

    #[test]
    fn cached_files_are_not_in_the_way() {
        let statistics = "anon 5\nfile 400\ninactive_file 300\nactive_file 100\n";
        assert_eq!(left("1000\n", "600\n", statistics), Some(800));
        assert_eq!(left("max\n", "600\n", statistics), None, "no limit");
        assert_eq!(left("100\n", "600\n", statistics), Some(0));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_says_it() {
        assert!(bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
