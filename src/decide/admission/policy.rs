//! What a `PactEnvironment` says, parsed once.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{
        PactEnvironment,
        condition::is_true,
        environment::MEMBERS_LISTED,
        gate::{DryRun, GateActions, GateMode, GatePolicy, HoldPolicy, Ignore, InFlight, RollbackPolicy},
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{Ignored, Question},
    workload::{BrokenRules, EnvironmentRules, environment_rules},
};

/// What one `PactEnvironment` says.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentPolicy {
    /// Which namespaces it claims, where it records, how versions are identified.
    pub rules: EnvironmentRules,
    /// Its gate block.
    pub gate: GateRules,
    /// Whether all that runs there was listed.
    pub members_listed: bool,
}

impl EnvironmentPolicy {
    /// Parses a `PactEnvironment`, with what its status says of the list of what runs.
    ///
    /// # Errors
    /// When its rules cannot be followed.
    pub fn parse(object: &PactEnvironment) -> Result<Self, Box<BrokenRules>> {
        let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        Ok(Self {
            rules: environment_rules::parse(object)?,
            gate: GateRules::parse(&object.spec.gate),
            members_listed: is_true(conditions, MEMBERS_LISTED),
        })
    }
}

/// What a `PactEnvironment` says about its gate, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateRules {
    /// How far it may go.
    pub mode: GateMode,
    /// How far it may go when a request is a dry-run.
    pub dry_run: DryRun,
    /// What is done for each verdict.
    pub actions: GateActions,
    /// What is done about versions that were recorded before.
    pub rollback: RollbackPolicy,
    /// How versions count that are rolling out.
    pub in_flight: InFlight,
    /// How a rollout is held whose verification is on its way, if it is.
    pub hold: Option<HoldPolicy>,
    ignore: Vec<IgnoreRule>,
}

/// What is left out when others are asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IgnoreRule {
    ignored: Ignored,
    /// Only when one of these is asked about; empty is whichever.
    applies_to: Vec<Pacticipant>,
    until: Option<Timestamp>,
}

impl IgnoreRule {
    /// `None` when one of its names cannot be one: it would leave out more than was meant, or nothing.
    fn parse(ignore: &Ignore) -> Option<Self> {
        let version = ignore.version.as_deref().map(Version::parse).transpose().ok()?;
        let applies_to =
            ignore.applies_to.iter().map(|name| Pacticipant::parse(name)).collect::<Result<_, _>>().ok()?;
        let ignored = Ignored { pacticipant: Pacticipant::parse(&ignore.pacticipant).ok()?, version };
        Some(Self { ignored, applies_to, until: ignore.until.as_ref().map(|until| until.0) })
    }

    /// Whether it counts when this pacticipant is asked about, at whatever time: never for the ignored one itself.
    fn applies(&self, asked_about: &Pacticipant) -> bool {
        self.ignored.pacticipant != *asked_about
            && (self.applies_to.is_empty() || self.applies_to.contains(asked_about))
    }
}

impl GateRules {
    /// Parses a gate block. An application to ignore whose name cannot be one is left out: it would be asked about all
    /// the same (the schema refuses such names).
    #[must_use]
    pub fn parse(policy: &GatePolicy) -> Self {
        let mut ignore: Vec<_> = policy.ignore.iter().filter_map(IgnoreRule::parse).collect();
        ignore.sort();
        Self {
            mode: policy.mode,
            dry_run: policy.dry_run,
            actions: policy.actions.clone(),
            rollback: policy.rollback,
            in_flight: policy.in_flight,
            hold: policy.hold.clone(),
            ignore,
        }
    }

    /// When the next of what is ignored for a pacticipant at `now` counts again.
    #[must_use]
    pub fn next_end(&self, pacticipant: &Pacticipant, now: Timestamp) -> Option<Timestamp> {
        let ends = self.ignore.iter().filter(|rule| rule.applies(pacticipant)).filter_map(|rule| rule.until);
        ends.filter(|until| now < *until).min()
    }

    /// The question about a version, with what is ignored at `now`.
    #[must_use]
    pub fn question(
        &self,
        pacticipant: &Pacticipant,
        version: &Version,
        environment: &EnvironmentName,
        now: Timestamp,
    ) -> Question {
        let in_force = self.ignore.iter().filter(|rule| rule.until.is_none_or(|until| now < until));
        let mut ignore: Vec<_> =
            in_force.filter(|rule| rule.applies(pacticipant)).map(|rule| rule.ignored.clone()).collect();
        ignore.dedup();
        Question {
            pacticipant: pacticipant.clone(),
            version: version.clone(),
            environment: environment.clone(),
            ignore,
            in_flight: self.in_flight,
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
