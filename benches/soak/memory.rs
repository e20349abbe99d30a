//! The memory of the processes, a sample a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::{Clock, minute};
use crate::report::Spread;

/// A process by what it does. Controllers change their role: each stands by for a minute, leads for the next one, and is
/// killed at its end. So the leaders of two minutes are of the same age and have done the same work, and so have the standbys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The first webhook, one process in the whole run.
    FirstWebhook,
    /// The second webhook, one process in the whole run.
    SecondWebhook,
    /// The controller that leads, or takes over once the Lease of the one killed has run out.
    Leader,
    /// The other controller, which was started when the leader before was killed.
    Standby,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FirstWebhook, Self::SecondWebhook, Self::Leader, Self::Standby];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstWebhook => "webhook 1",
            Self::SecondWebhook => "webhook 2",
            Self::Leader => "leading controller",
            Self::Standby => "standby controller",
        }
    }
}

/// Which process has which role now, by its id.
#[derive(Clone, Default)]
pub struct Roster(Arc<Mutex<BTreeMap<Role, u32>>>);

impl Roster {
    /// The process has this role from now on; `None`: nobody has it.
    pub fn set(&self, role: Role, pid: Option<u32>) {
        let mut roster = self.0.lock().unwrap();
        match pid {
            Some(pid) => drop(roster.insert(role, pid)),
            None => drop(roster.remove(&role)),
        }
    }

    fn all(&self) -> BTreeMap<Role, u32> {
        self.0.lock().unwrap().clone()
    }
}

/// What was resident at one moment, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From the start of the run.
    pub at: Duration,
    /// Whose.
    pub role: Role,
    /// `VmRSS`.
    pub resident: u64,
    /// `RssAnon`, the part of it that is no file: heap and stacks.
    pub anonymous: u64,
}

/// The samples of a run.
pub struct Memory(pub Vec<Sample>);

impl Memory {
    /// Takes samples until the run is over.
    pub async fn sampled(roster: &Roster, clock: Clock) -> Self {
        let mut samples = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while clock.elapsed() < clock.length() {
            tick.tick().await;
            let at = clock.elapsed();
            for (role, pid) in roster.all() {
                // A process that is being killed has no memory any more.
                if let Some((resident, anonymous)) = resident(pid) {
                    samples.push(Sample { at, role, resident, anonymous });
                }
            }
        }
        Self(samples)
    }

    /// The median of a minute, in bytes; `None` without samples.
    pub fn median(&self, role: Role, of_minute: u32, figure: impl Fn(&Sample) -> u64) -> Option<u64> {
        let samples = self.0.iter().filter(|sample| sample.role == role && minute(sample.at) == of_minute);
        let figures: Vec<f64> = samples.map(|sample| figure(sample) as f64).collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of bytes")]
        let median = |figures| Spread::of(figures).median() as u64;
        (!figures.is_empty()).then(|| median(figures))
    }
}

/// `VmRSS` and `RssAnon` in bytes; `None` when the process does not run.
fn resident(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some((field("VmRSS:")?, field("RssAnon:")?))
}
