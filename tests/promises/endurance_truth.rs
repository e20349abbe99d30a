//! The truth of an endurance proof: what was rolled out and deleted, in order, for each key; and whether the writes at the
//! broker, in their order, can follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use testbed::standin::{Write, WriteKind};

/// A pacticipant in an environment.
pub(crate) type Key = (String, String);

/// One thing that was done to a workload: a version was rolled out, or (`None`) it was deleted.
#[derive(Clone, Debug)]
struct Step {
    began: Instant,
    version: Option<String>,
}

/// Everything that was done.
#[derive(Debug, Default)]
pub(crate) struct Truth(Mutex<BTreeMap<Key, Vec<Step>>>);

impl Truth {
    fn steps(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<Step>>> {
        self.0.lock().unwrap()
    }

    /// The rollout of a version, or (`None`) a deletion begins.
    pub(crate) fn begins(&self, key: &Key, version: Option<&str>) {
        let step = Step { began: Instant::now(), version: version.map(str::to_owned) };
        self.steps().entry(key.clone()).or_default().push(step);
    }

    /// What each key must end with: a version, or no row.
    pub(crate) fn last(&self) -> BTreeMap<Key, Option<String>> {
        let steps = self.steps();
        let last = steps.iter().filter_map(|(key, steps)| Some((key.clone(), steps.last()?.version.clone())));
        last.collect()
    }

    /// The versions of a key that were rolled out so far.
    pub(crate) fn versions(&self, key: &Key) -> Vec<String> {
        let versions: BTreeSet<_> =
            self.steps().get(key).into_iter().flatten().filter_map(|step| step.version.clone()).collect();
        versions.into_iter().collect()
    }

    /// How many rollouts began, of all keys.
    pub(crate) fn rollouts(&self) -> usize {
        self.steps().values().flatten().filter(|step| step.version.is_some()).count()
    }

    /// Asserts that no write moved a key back: each writes something that was done no earlier than what the write before
    /// it wrote, and that had begun by then. So an older version after a newer one is wrong, unless it was rolled back to.
    pub(crate) fn assert_never_back(&self, writes: &[Write]) {
        self.check(writes).unwrap_or_else(|wrong| panic!("{wrong}"));
    }

    fn check(&self, writes: &[Write]) -> Result<(), String> {
        let steps = self.steps();
        let mut at: BTreeMap<Key, usize> = BTreeMap::new();
        for write in writes {
            let key = (write.environment.clone(), write.pacticipant.clone());
            let steps = steps.get(&key).ok_or_else(|| format!("nobody rolled this out: {write:?}"))?;
            let written = match write.kind {
                WriteKind::Deployed => Some(&write.version),
                WriteKind::Undeployed => None,
                other => return Err(format!("a write {other:?} of {key:?}")),
            };
            let from = at.get(&key).copied().unwrap_or_default();
            let begun = steps.iter().take_while(|step| step.began <= write.at);
            let step = begun.enumerate().skip(from).find(|(_, step)| step.version.as_ref() == written);
            let Some((step, _)) = step else {
                let all = writes.iter().filter(|one| one.environment == key.0 && one.pacticipant == key.1);
                let all: Vec<_> = all.map(|one| format!("{:?} {}", one.kind, one.version)).collect();
                let done: Vec<_> = steps.iter().map(|step| step.version.as_deref().unwrap_or("deleted")).collect();
                let last = format!("{:?} {}", write.kind, write.version);
                return Err(format!("{key:?} moved back with {last}: {all:?} after {done:?}"));
            };
            at.insert(key, step);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn write(at: Instant, version: &str, kind: WriteKind) -> Write {
        let (pacticipant, environment) = ("orders".to_owned(), "test".to_owned());
        Write {
            at,
            wall: SystemTime::now(),
            pacticipant,
            version: version.to_owned(),
            environment,
            instance: None,
            kind,
            by: String::new(),
        }
    }

    fn is_right(done: &[Option<&str>], written: &[&str]) -> bool {
        let truth = Truth::default();
        for version in done {
            truth.begins(&("test".to_owned(), "orders".to_owned()), *version);
        }
        let at = Instant::now();
        let kind = |version: &&str| if version.is_empty() { WriteKind::Undeployed } else { WriteKind::Deployed };
        let writes: Vec<_> = written.iter().map(|version| write(at, version, kind(version))).collect();
        truth.check(&writes).is_ok()
    }

    #[test]
    fn the_truth_knows_a_move_back() {
        let done = [Some("1"), Some("2"), Some("3")];
        assert!(is_right(&done, &["1", "2", "3"]) && is_right(&done, &["2", "3", "3"]) && is_right(&done, &[]));
        assert!(!is_right(&done, &["1", "3", "2"]) && !is_right(&done, &["4"]) && !is_right(&done, &["1", ""]));
        let back = [Some("1"), Some("2"), Some("1")];
        assert!(is_right(&back, &["1", "2", "1"]) && !is_right(&back, &["2", "1", "2"]));
        let gone = [Some("1"), None, Some("2")];
        assert!(is_right(&gone, &["1", "", "2"]) && !is_right(&gone, &["1", "", "1"]));
    }

    #[test]
    fn the_truth_knows_a_write_before_its_rollout() {
        let truth = Truth::default();
        let early = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        truth.begins(&("test".to_owned(), "orders".to_owned()), Some("1"));
        let writes = [write(early, "1", WriteKind::Deployed)];
        assert!(truth.check(&writes).is_err());
    }
}
