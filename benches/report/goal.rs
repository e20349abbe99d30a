//! A goal: what was measured as a number, and how it may be at most or must be at least.

/// See the module.
pub struct Goal {
    value: f64,
    limit: f64,
    unit: &'static str,
    at_least: bool,
}

impl Goal {
    /// The value may be so large.
    pub fn at_most(limit: f64, unit: &'static str, value: f64) -> Self {
        Self { value, limit, unit, at_least: false }
    }

    /// The value may be so small.
    pub fn at_least(limit: f64, unit: &'static str, value: f64) -> Self {
        Self { value, limit, unit, at_least: true }
    }

    /// None of these.
    pub fn none(unit: &'static str, count: usize) -> Self {
        Self::at_most(0.0, unit, count as f64)
    }

    /// Memory in mebibytes.
    pub fn at_most_mib(limit: f64, bytes: u64) -> Self {
        Self::at_most(limit, "MiB", bytes as f64 / f64::from(1 << 20))
    }

    /// The goal as it is written.
    pub fn shown(&self) -> String {
        let sign = if self.at_least { '≥' } else { '≤' };
        format!("{sign} {} {}", self.limit, self.unit).trim_end().to_owned()
    }

    /// Whether it was reached, or by how much it was missed.
    pub fn verdict(&self) -> String {
        let missed = if self.at_least { self.limit - self.value } else { self.value - self.limit };
        if missed <= 0.0 {
            "reached".to_owned()
        } else if self.limit == 0.0 {
            format!("missed by {} {}", self.value, self.unit)
        } else {
            // Rounded up: what is missed by a little is not missed by nothing.
            format!("missed by {:.0} %", (missed / self.limit.abs() * 100.0).ceil())
        }
    }
}
