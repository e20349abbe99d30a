//! What a `PactEnvironment` says, parsed once.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{
        PactEnvironment,
        condition::is_true,
        environment::MEMBERS_LISTED,
        gate::{GateActions, GateMode, GatePolicy, InFlight, RollbackPolicy},
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
    /// What is done for each verdict.
    pub actions: GateActions,
    /// What is done about versions that were recorded before.
    pub rollback: RollbackPolicy,
    /// How versions count that are rolling out.
    pub in_flight: InFlight,
    ignore: Vec<(Ignored, Option<Timestamp>)>,
}

impl GateRules {
    /// Parses a gate block. An application to ignore whose name cannot be one is left out: it would be asked about all
    /// the same (the schema refuses such names).
    #[must_use]
    pub fn parse(policy: &GatePolicy) -> Self {
        let ignored = policy.ignore.iter().filter_map(|ignore| {
            let version = ignore.version.as_deref().map(Version::parse).transpose().ok()?;
            let ignored = Ignored { pacticipant: Pacticipant::parse(&ignore.pacticipant).ok()?, version };
            Some((ignored, ignore.until.as_ref().map(|until| until.0)))
        });
        let mut ignore: Vec<_> = ignored.collect();
        ignore.sort();
        Self {
            mode: policy.mode,
            actions: policy.actions.clone(),
            rollback: policy.rollback,
            in_flight: policy.in_flight,
            ignore,
        }
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
        let in_force = self.ignore.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        // Who asks about an ignored application itself asks about all of its pairs.
        let others = in_force.map(|(ignored, _)| ignored).filter(|ignored| ignored.pacticipant != *pacticipant);
        let mut ignore: Vec<_> = others.cloned().collect();
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
