//! How much memory a training may take: of the machine, of its cgroup, of its address space.

use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes that this process may still take; none where the system does not say.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| kib_of(&text, "MemAvailable:"));
    let group = read("/proc/self/cgroup").and_then(|text| left_in_group(&text));
    let space = read("/proc/self/limits")
        .zip(read("/proc/self/status"))
        .and_then(|(limits, status)| left_of_address_space(&limits, &status));
    [machine, group, space].into_iter().flatten().min()
}

/// The number of KiB after `key` at the start of a line, in bytes.
fn kib_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// What is left of the narrowest limit among this process's cgroups, `text` being
/// `/proc/self/cgroup`.
fn left_in_group(text: &str) -> Option<u64> {
    text.lines()
        .flat_map(group_folders)
        .filter_map(|folder| left_in_folder(&folder))
        .min()
}

/// The folders of a line `hierarchy:controllers:path`: the group's and all above it. The last is
/// that of the mount itself, which inside a container is the group's own.
fn group_folders(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    let mount = match controllers {
        "" => PathBuf::from(CGROUPS),
        names if names.split(',').any(|name| name == "memory") => Path::new(CGROUPS).join("memory"),
        _ => return Vec::new(),
    };
    Path::new(path.trim_start_matches('/'))
        .ancestors()
        .map(|path| mount.join(path))
        .collect()
}

/// What is left of a cgroup's limit, version 2 or 1; none without a limit.
fn left_in_folder(folder: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    let (limit, used) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?),
        None => (
            number("memory.limit_in_bytes")?,
            number("memory.usage_in_bytes")?,
        ),
    };
    // Cached files count as used, but go when memory is asked for.
    let cached = read("memory.stat").map_or(0, |text| inactive_file(&text));
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

fn inactive_file(stat: &str) -> u64 {
    let value = |key: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    };
    // Version 1 has the sum over the groups below under a name of its own.
    value("total_inactive_file ")
        .or_else(|| value("inactive_file "))
        .unwrap_or(0)
}

/// What is left of `ulimit -v`; none when it is unlimited.
fn left_of_address_space(limits: &str, status: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(kib_of(status, "VmSize:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_is_read_in_kib() {
        let text = "MemTotal:       24000000 kB\nMemAvailable:   20000000 kB\n";
        assert_eq!(kib_of(text, "MemAvailable:"), Some(20_000_000 * 1024));
        assert_eq!(kib_of("MemAvailable: many kB", "MemAvailable:"), None);
        assert_eq!(kib_of("", "MemAvailable:"), None);
    }

    #[test]
    fn a_group_and_all_above_it_are_looked_at() {
        let folders = group_folders("0::/user.slice/run.scope");
        let names: Vec<_> = folders.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "/sys/fs/cgroup/user.slice/run.scope",
                "/sys/fs/cgroup/user.slice",
                "/sys/fs/cgroup/"
            ]
        );
        assert_eq!(group_folders("5:cpu,memory:/a").len(), 2);
        assert!(group_folders("5:cpuset:/a").is_empty());
        assert!(group_folders("nonsense").is_empty());
    }

    #[test]
    fn what_is_left_of_a_group_counts_cached_files_as_free() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(left_in_folder(folder.path()), None);
        write("memory.limit_in_bytes", "500\n");
        write("memory.usage_in_bytes", "200\n");
        assert_eq!(left_in_folder(folder.path()), Some(300));
        write("memory.max", "1000\n");
        write("memory.current", "900\n");
        write("memory.stat", "anon 500\ninactive_file 300\n");
        assert_eq!(left_in_folder(folder.path()), Some(400));
    }

    #[test]
    fn a_group_without_a_limit_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(left_in_folder(folder.path()), None);
    }

    #[test]
    fn the_limit_of_the_address_space_counts() {
        let limits =
            "Limit  Soft  Hard\nMax address space         1000000              2000000    bytes\n";
        assert_eq!(
            left_of_address_space(limits, "VmSize:     400 kB\n"),
            Some(1_000_000 - 400 * 1024)
        );
        let unlimited = "Max address space         unlimited            unlimited  bytes\n";
        assert_eq!(left_of_address_space(unlimited, "VmSize: 4 kB\n"), None);
    }
}
