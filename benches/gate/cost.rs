//! The cost of a process so far, from `/proc`.

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

/// Resident memory in bytes.
pub fn resident(pid: Option<u32>) -> u64 {
    field(pid, "VmRSS:")
}

/// The most that was ever resident, in bytes.
pub fn most_resident(pid: Option<u32>) -> u64 {
    field(pid, "VmHWM:")
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
