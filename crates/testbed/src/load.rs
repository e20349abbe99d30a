//! How busy the machine is.

/// The load average, when it is above four for each processor. Programs then wait for a processor for longer than their
/// reserves of time, and a late answer proves nothing about them.
pub fn overload() -> Option<f64> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = load.split(' ').next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().ok()?.get();
    (load > 4.0 * f64::from(u16::try_from(processors).ok()?)).then_some(load)
}
