//! What a run takes of the machine, logged beside its losses: processor, memory, disk, as Linux
//! tells them in `/proc`. Elsewhere nothing is logged.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ferrotype_core::id::RunId;
use ferrotype_store::Writer;

/// Time from the start to the first point: a short run has a curve too.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Over less than this a load is told too coarsely by ticks, unless nothing else was told.
const SHORTEST: Duration = Duration::from_millis(200);

/// Time between two points.
const INTERVAL: Duration = Duration::from_secs(10);

/// Ticks in a second of `/proc`'s processor times, on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

const MEGABYTE: f64 = 1e6;

/// Logs the machine's load on a thread of its own: what memory is taken at the start, all of it
/// after a second, then every ten seconds, and once more at the end, when it is dropped.
pub(crate) struct SystemMetrics {
    step: Arc<AtomicU64>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SystemMetrics {
    /// Begins to log for a run that stands at `step`.
    pub(crate) fn start(writer: Writer, run: RunId, step: u64) -> Self {
        let step = Arc::new(AtomicU64::new(step));
        let (stop, stopped) = channel();
        let seen = Arc::clone(&step);
        let sample = move || {
            let log = |points: &[(&'static str, f64)]| {
                let step = seen.load(Ordering::Relaxed);
                for (key, value) in points {
                    // A store that cannot be written stops the training where its losses are logged.
                    let _ = writer.log_metric(run, key, step, *value);
                }
            };
            let Some(mut before) = Reading::now() else {
                return;
            };
            log(&before.memory());
            let mut interval = FIRST_INTERVAL;
            let mut is_told = false;
            loop {
                let is_last = stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout);
                let Some(now) = Reading::now() else { return };
                log(&now.memory());
                if !is_told || now.at - before.at >= SHORTEST {
                    log(&now.load_since(&before));
                }
                if is_last {
                    return;
                }
                before = now;
                interval = INTERVAL;
                is_told = true;
            }
        };
        let thread = thread::Builder::new()
            .name("system-metrics".into())
            .spawn(sample)
            .ok();
        Self {
            step,
            stop: Some(stop),
            thread,
        }
    }

    /// Says at which step the points that follow are.
    pub(crate) fn at_step(&self, step: u64) {
        self.step.store(step, Ordering::Relaxed);
    }
}

impl Drop for SystemMetrics {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Bytes of memory that this process has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResidentMemory {
    pub(crate) now_bytes: u64,
    /// The most it has had.
    pub(crate) peak_bytes: u64,
}

/// The memory of this process; none where there is no `/proc`.
pub(crate) fn resident_memory() -> Option<ResidentMemory> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(ResidentMemory {
        now_bytes: number_after(&status, "VmRSS:")? * 1024,
        peak_bytes: number_after(&status, "VmHWM:")? * 1024,
    })
}

/// Bytes of memory that could be taken without swapping: what the machine has left, or what the
/// process's control group and its limit on address space leave it.
pub(crate) fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let machine = number_after(&text, "MemAvailable:")? * 1024;
    let bounds = [cgroup_memory_left(), address_space_left()];
    Some(bounds.into_iter().flatten().fold(machine, u64::min))
}

/// What the limit of a control group leaves, of version 2 or 1.
fn cgroup_memory_left() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of_version_1 = groups
        .lines()
        .find_map(|line| line.split_once(":memory:"))
        .map(|(_, path)| format!("/sys/fs/cgroup/memory{path}"));
    let of_version_2 = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .map(|path| format!("/sys/fs/cgroup{path}"));
    let left = |folder: String, limit: &str, usage: &str| {
        let text = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
        let number = |name| text(name)?.trim().parse::<u64>().ok();
        // What the system may drop at any time counts as used there.
        let dropped = text("memory.stat").and_then(|stat| number_after(&stat, "inactive_file "));
        let free = number(limit)?.saturating_sub(number(usage)?);
        Some(free.saturating_add(dropped.unwrap_or(0)))
    };
    of_version_1
        .and_then(|folder| left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes"))
        .or_else(|| left(of_version_2?, "memory.max", "memory.current"))
}

/// What a limit on the address space (`ulimit -v`) leaves.
fn address_space_left() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    Some(limit.saturating_sub(number_after(&status, "VmSize:")? * 1024))
}

/// The number after a name in a file of lines such as `Name:   123 kB`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Counters that only grow, and what memory is taken now.
#[derive(Debug, Clone, PartialEq)]
struct Reading {
    at: Instant,
    /// Ticks of all processors, and those of them that were busy.
    machine: [f64; 2],
    /// Ticks that this process had.
    process: f64,
    /// Bytes that this process had read from and written to a disk.
    disk: [f64; 2],
    resident_bytes: f64,
    available_bytes: f64,
}

impl Reading {
    fn now() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let kilobytes = |text: &str, name| number_after(text, name).map(|value| value as f64);
        let io = read("/proc/self/io").unwrap_or_default();
        // Bytes, not kilobytes; not every container lets it be read.
        let bytes = |name| kilobytes(&io, name).unwrap_or(0.0);
        Some(Self {
            at: Instant::now(),
            machine: machine_ticks(&read("/proc/stat")?)?,
            process: process_ticks(&read("/proc/self/stat")?)?,
            disk: [bytes("read_bytes:"), bytes("write_bytes:")],
            resident_bytes: kilobytes(&read("/proc/self/status")?, "VmRSS:")? * 1024.0,
            available_bytes: kilobytes(&read("/proc/meminfo")?, "MemAvailable:")? * 1024.0,
        })
    }

    /// The memory that is taken and left now.
    fn memory(&self) -> [(&'static str, f64); 2] {
        [
            ("system/memory_mb", self.resident_bytes / MEGABYTE),
            (
                "system/memory_available_mb",
                self.available_bytes / MEGABYTE,
            ),
        ]
    }

    /// The load between a reading before and this one.
    fn load_since(&self, before: &Self) -> [(&'static str, f64); 4] {
        let seconds = (self.at - before.at).as_secs_f64().max(1e-3);
        let [all, busy] = [0, 1].map(|at| self.machine[at] - before.machine[at]);
        let per_second = |at: usize| (self.disk[at] - before.disk[at]) / seconds / MEGABYTE;
        let process = (self.process - before.process) / TICKS_PER_SECOND / seconds;
        [
            ("system/cpu_percent", 100.0 * busy / all.max(1.0)),
            ("system/process_cpu_percent", 100.0 * process),
            ("system/disk_read_mb_per_second", per_second(0)),
            ("system/disk_write_mb_per_second", per_second(1)),
        ]
    }
}

/// All ticks, and the busy ones, of `/proc/stat`'s first line: user, nice, system, idle, iowait, irq,
/// softirq, steal.
fn machine_ticks(stat: &str) -> Option<[f64; 2]> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .take(8)
        .map_while(|number| number.parse().ok())
        .collect();
    let idle: f64 = ticks.get(3..5)?.iter().sum();
    let all: f64 = ticks.iter().sum();
    Some([all, all - idle])
}

/// Ticks of a process in user and kernel mode: the 14th and 15th field of `/proc/self/stat`. The
/// second is the program's name in parentheses, which may hold anything.
fn process_ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = fields.get(11..13)?.iter().map(|field| field.parse::<f64>());
    ticks.sum::<Result<f64, _>>().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_times_are_told_apart_from_idling() {
        let stat = "cpu  10 0 5 80 4 0 1 0 0 0\ncpu0 10 0 5 80 4 0 1 0 0 0\n";
        assert_eq!(machine_ticks(stat), Some([100.0, 16.0]));
        assert_eq!(machine_ticks("intr 5"), None);
    }

    #[test]
    fn a_programs_name_does_not_shift_the_fields() {
        let stat = "42 (a b) c) R 1 1 1 0 -1 4194304 100 0 0 0 70 30 0 0 20 0 9 0 100";
        assert_eq!(process_ticks(stat), Some(100.0));
        assert_eq!(process_ticks("42"), None);
    }

    #[test]
    fn load_is_what_lies_between_two_readings() {
        let before = Reading {
            at: Instant::now(),
            machine: [100.0, 50.0],
            process: 10.0,
            disk: [0.0, 0.0],
            resident_bytes: 0.0,
            available_bytes: 0.0,
        };
        let now = Reading {
            at: before.at + Duration::from_secs(2),
            machine: [500.0, 350.0],
            process: 310.0,
            disk: [4e6, 2e6],
            resident_bytes: 5e6,
            available_bytes: 7e6,
        };
        let load = now.load_since(&before).map(|(_, value)| value);
        assert_eq!(load, [75.0, 150.0, 2.0, 1.0]);
        assert_eq!(now.memory().map(|(_, value)| value), [5.0, 7.0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        let reading = Reading::now().unwrap();
        assert!(reading.resident_bytes > 1e6);
        assert!(available_memory().unwrap() > 1 << 20);
        let resident = resident_memory().unwrap();
        assert!(resident.now_bytes > 1 << 20 && resident.peak_bytes >= resident.now_bytes);
    }
}
