//! Many records that vanish at once are not taken back until a person confirms it (case 101): a label, a selector or a
//! credential that is wrong looks like many workloads that are gone.

use k8s_openapi::jiff::Timestamp;

/// So many records may vanish within a grace in any case.
const FEW: usize = 5;
/// And so many of all: one in this number.
const SMALL_PART: usize = 5;
/// How many records a message names.
const NAMED: usize = 5;

/// What vanished in an environment: records that no workload runs any more, and that were not taken back yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vanished {
    /// Each record, with since when no workload runs it; by name.
    pub orphaned: Vec<(String, Timestamp)>,
    /// How many more have no workload, which is not noted in their status yet: a change of many is noted one by one.
    pub unnoted: usize,
    /// How many records the environment has in all.
    pub recorded: usize,
    /// Up to when a person confirmed that what vanished may be taken back.
    pub confirmed: Option<Timestamp>,
}

impl Vanished {
    /// Whether so many vanished at once that a mistake is likely.
    #[must_use]
    pub fn too_many(&self) -> bool {
        let gone = self.orphaned.len() + self.unnoted;
        gone > FEW && gone * SMALL_PART > self.recorded
    }

    /// Whether the record of a workload that vanished then must stay.
    #[must_use]
    pub fn holds(&self, since: Timestamp) -> bool {
        self.too_many() && self.confirmed.is_none_or(|confirmed| since > confirmed)
    }

    /// What is held, why, and how a person confirms it, for the `PactEnvironment` of this name; `None` while nothing is.
    #[must_use]
    pub fn message(&self, object: &str) -> Option<String> {
        let held: Vec<_> = self.orphaned.iter().filter(|(_, since)| self.holds(*since)).collect();
        let latest = held.iter().map(|(_, since)| *since).max()?;
        let mut names: Vec<_> = held.iter().take(NAMED).map(|(name, _)| name.as_str()).collect();
        let more = format!("{} more", held.len().saturating_sub(NAMED));
        if held.len() > NAMED {
            names.push(&more);
        }
        Some(format!(
            "{} of {} records have no workload any more ({}): they stay until the workloads return, or somebody confirms: \
             kubectl annotate --overwrite pactenv {object} {}={latest}",
            held.len(),
            self.recorded,
            names.join(", "),
            crate::api::annotations::CONFIRM_UNDEPLOY
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::record::fixtures::at;

    fn vanished(count: usize, recorded: usize, confirmed: Option<i64>) -> Vanished {
        let orphaned = (100..).take(count).map(|second| (format!("app-{}", second - 100), at(second))).collect();
        Vanished { orphaned, unnoted: 0, recorded, confirmed: confirmed.map(at) }
    }

    #[test]
    fn case_101_more_than_five_and_more_than_a_fifth_is_too_many() {
        for (count, recorded, expected) in [
            (0, 0, false),
            (5, 5, false),
            (6, 6, true),
            (6, 29, true),
            (6, 30, false),
            (20, 99, true),
            (20, 100, false),
        ] {
            assert_eq!(vanished(count, recorded, None).too_many(), expected, "{count} of {recorded}");
        }
    }

    #[test]
    fn case_101_what_is_not_noted_yet_counts() {
        let first = Vanished { unnoted: 5, ..vanished(1, 6, None) };
        assert!(first.holds(at(100)), "the grace of the first may have passed before the others are noted");
        assert!(!Vanished { unnoted: 4, ..first }.holds(at(100)));
    }

    #[test]
    fn case_101_what_vanished_up_to_the_confirmed_time_is_taken_back_and_what_vanished_later_is_not() {
        let all = vanished(20, 40, Some(109));
        assert!(!all.holds(at(100)) && !all.holds(at(109)) && all.holds(at(110)));
        let few_left = vanished(5, 40, None);
        assert!(!few_left.holds(at(104)), "what is left are few");
    }

    #[test]
    fn case_101_the_message_names_what_is_held_and_the_command_that_confirms_it() {
        assert_eq!(
            vanished(7, 9, None).message("production").unwrap(),
            "7 of 9 records have no workload any more (app-0, app-1, app-2, app-3, app-4, 2 more): they stay until the \
             workloads return, or somebody confirms: kubectl annotate --overwrite pactenv production \
             pact-operator.dev/confirm-undeploy=1970-01-01T00:01:46Z"
        );
        assert_eq!(vanished(7, 9, Some(106)).message("production"), None);
        assert_eq!(vanished(5, 5, None).message("production"), None);
    }
}
