//! What a tool asks before it acts, where there is no object to review yet: may this version, or this image, of a
//! pacticipant run in an environment?

use k8s_openapi::jiff::Timestamp;

use super::{
    Basis, EnvironmentPolicy, Finding, Identified, OpenSubject, Problem, RecordedVersions, Subject, Unclear,
    scope::Judge,
};
use crate::{
    api::names::{Pacticipant, Version},
    decide::Question,
    workload::{
        BrokenRules, Container, EnvironmentRef, EnvironmentRules, Owners, Ownership, PactAnnotations, RolloutState,
        Workload, WorkloadKind, WorkloadRef, version,
    },
};

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The pacticipant.
    pub pacticipant: Pacticipant,
    /// The version of it, or the image that would run.
    pub sought: Sought,
    /// The namespace in which it would run. Without one, nobody's ownership is looked at.
    pub namespace: Option<String>,
}

impl Asked {
    /// Whether these owners name the pacticipant, and nothing says for which namespace it is asked.
    #[must_use]
    pub fn leaves_owners_out(&self, owners: &Owners) -> bool {
        self.namespace.is_none() && owners.ownership(&self.pacticipant, "") != Ownership::Unruled
    }
}

/// How the version is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// As such.
    Version(Version),
    /// By an image reference, under the environment's rules for versions.
    Image(String),
}

/// What has to be asked, or what is known without asking.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// The version is recorded there: it may run there again whatever the broker says (case 3).
    Recorded(OpenSubject),
    /// Nothing can be asked; this is what comes of that.
    Finding(Box<Finding>),
    /// The broker has to be asked.
    Ask(OpenSubject, Question),
}

/// What there is to ask at `now` about an environment with this policy. `unclear` says why it is not known whether the
/// namespace lies there, if so. `None`: nothing of the `PactEnvironment` can be read.
#[must_use]
pub fn asked(
    asked: &Asked,
    policy: &Result<EnvironmentPolicy, Box<BrokenRules>>,
    unclear: Option<Unclear>,
    recorded: impl Fn(&EnvironmentRef, &Pacticipant) -> RecordedVersions,
    now: Timestamp,
) -> Option<Known> {
    let judge = Judge::of(policy, unclear)?;
    let identified = identified(asked, &judge.rules);
    let basis = match &identified {
        Ok(it) => recorded(&judge.rules.environment_ref, &it.pacticipant).basis(&it.version),
        Err(_) => Basis::New,
    };
    let open = judge.open(Subject {
        object: judge.rules.object.clone(),
        environment_ref: judge.rules.environment_ref.clone(),
        kind: WorkloadKind::Deployment,
        identified,
        basis,
        other_image: None,
    });
    Some(match open.question(now) {
        Err(cause) => Known::Finding(Box::new(open.finding(cause))),
        Ok(_) if basis == Basis::Recorded => Known::Recorded(open),
        Ok(question) => Known::Ask(open, question),
    })
}

/// Which pacticipant at which version it would be in an environment, or why that is not known.
fn identified(asked: &Asked, rules: &EnvironmentRules) -> Result<Identified, Problem> {
    let pacticipant = asked.pacticipant.clone();
    if let Some(objection) = asked.namespace.as_ref().and_then(|it| rules.owners.objection(&pacticipant, it)) {
        return Err(Problem::NotOwned(objection));
    }
    let version = match &asked.sought {
        Sought::Version(version) => version.clone(),
        Sought::Image(image) => match version::resolve(&workload(image), &rules.version) {
            Ok(resolved) => resolved.version,
            Err(problem) => return Err(Problem::Version { pacticipant, problem }),
        },
    };
    Ok(Identified { pacticipant, version })
}

/// A workload of which nothing is known but its only image.
fn workload(image: &str) -> Workload {
    Workload {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: String::new(), name: String::new() },
        uid: String::new(),
        generation: 0,
        annotations: PactAnnotations::default(),
        version_label: None,
        containers: vec![Container { name: String::new(), image: image.to_owned() }],
        default_container: None,
        stray_keys: Box::default(),
        rollout: RolloutState::ScaledToZero,
        paused: false,
        at_zero: false,
        without_pods: true,
        deleting: false,
        controlled: false,
        canary_owner: None,
        revisions: None,
        jobs: Box::default(),
    }
}

#[cfg(test)]
#[path = "asked_tests.rs"]
mod tests;
