//! The cost of a process so far, from `/proc`. Shared by the benches of this folder.
#![allow(dead_code, reason = "each of the benches that include this module uses a part of it")]

use std::time::Duration;

/// The unit of times in `/proc/PID/stat`: `USER_HZ`, which is 100 on every Linux that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Time on a CPU, in user and kernel, all threads together.
pub fn cpu(pid: Option<u32>) -> Duration {
    let stat = read(pid, "stat");
    // The second field is the program's name in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    Duration::from_secs_f64(ticks / TICKS_PER_SECOND)
}

/// The same in nanoseconds, for what takes less than a tick. Threads that have ended are not in it.
pub fn exact_cpu(pid: Option<u32>) -> Duration {
    let folder = format!("/proc/{}/task", pid.expect("the process runs"));
    let threads = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let on_cpu = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(on_cpu).sum())
}

/// Resident memory in bytes.
pub fn resident(pid: Option<u32>) -> u64 {
    field(pid, "VmRSS:")
}

/// The most that was ever resident, in bytes.
pub fn most_resident(pid: Option<u32>) -> u64 {
    field(pid, "VmHWM:")
}

/// Resident memory in bytes now, and the most that it was.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub rest: u64,
    /// The most.
    pub most: u64,
}

impl Memory {
    /// Of a process that runs.
    pub fn of(pid: Option<u32>) -> Self {
        Self { rest: resident(pid), most: most_resident(pid) }
    }
}

fn field(pid: Option<u32>, name: &str) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux has the field");
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn read(pid: Option<u32>, file: &str) -> String {
    let path = format!("/proc/{}/{file}", pid.expect("the process runs"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
