//! How busy the machine is.

/// The load, where the machine has far more to do than it can: then programs wait for their turn for longer than the
/// reserves that they keep, and what is late says nothing about them.
pub fn overload() -> Option<f64> {
    let load = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = load.split(' ').next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().ok()?.get();
    (load > 4.0 * f64::from(u16::try_from(processors).ok()?)).then_some(load)
}
