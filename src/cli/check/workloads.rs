//! The check of manifests: every annotated workload in every environment that it maps to, judged as the gate judges it.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;

use super::{
    Asking,
    answer::{Answer, Effect, Outcome, Place, unanswered},
    manifests::Manifest,
    patiently,
    policy::Policy,
};
use crate::{
    api::gate::GateAction,
    broker::{Broker, Judge},
    cli::process::Failure,
    decide::{
        Finding, Judgement, Verdict,
        admission::{Cause, OpenSubject, Operation, Purpose, Review, Scope, Unjudged, User, scope},
        messages,
    },
    workload::{Workload, WorkloadKind, WorkloadRef},
};

/// How manifests are judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judging<'a> {
    /// Where a workload goes that does not say so.
    pub(super) namespace: &'a str,
    /// Whether every environment is asked about, and not only those that the namespace maps to.
    pub(super) everywhere: bool,
    /// Whether what the policy would deny counts as denied in the modes that only warn or audit.
    pub(super) strict: bool,
}

/// The namespaces that the workloads of manifests go to.
pub(super) fn namespaces(manifests: &[Manifest], namespace: &str) -> BTreeSet<String> {
    let workloads = manifests.iter().filter_map(|manifest| manifest.workload(namespace)?.1.ok());
    workloads.map(|workload| workload.reference.namespace).collect()
}

/// Judges every annotated workload among manifests.
///
/// # Errors
/// When a broker's client cannot be made.
pub(super) async fn judge(
    asking: &Asking,
    manifests: &[Manifest],
    policy: &mut Policy,
    judging: Judging<'_>,
) -> Result<Vec<Answer>, Failure> {
    let judges = judges(asking, policy)?;
    if policy.is_without_cluster() {
        let refs = policy.environment_refs().into_iter();
        let live =
            refs.filter_map(|at| judges.get(&at.broker).and_then(|it| it.as_ref().ok()).map(|(judge, _)| (at, judge)));
        // One that does not answer is found out again by each question.
        let read = live.map(async |(at, judge)| {
            judge.recorded(&at.environment).await.ok().flatten().map(|recorded| (at, recorded))
        });
        for (at, recorded) in join_all(read).await.into_iter().flatten() {
            policy.set_live(at, recorded);
        }
    }
    let policy = &*policy;
    let answers = manifests.iter().filter_map(|manifest| {
        let (kind, workload) = manifest.workload(judging.namespace)?;
        Some(one(asking, manifest, kind, workload, policy, judging, &judges))
    });
    Ok(join_all(answers).await.concat())
}

/// What asks each broker, or why it cannot be asked.
type Judges = BTreeMap<String, Result<(Judge, String), String>>;

fn judges(asking: &Asking, policy: &Policy) -> Result<Judges, Failure> {
    let names = policy.environment_refs().into_iter().map(|environment_ref| environment_ref.broker);
    let mut judges = Judges::new();
    for name in names {
        let judge = match asking.connection.url_or(|| policy.url(&name).map(str::to_owned))? {
            Ok(url) => {
                let broker = Broker::new(asking.connection.config(&url, "check")?)?;
                Ok((policy.judge(&name, broker), url))
            }
            Err(why) => Err(why),
        };
        judges.insert(name, judge);
    }
    Ok(judges)
}

async fn one(
    asking: &Asking,
    manifest: &Manifest,
    kind: WorkloadKind,
    workload: Result<Workload, String>,
    policy: &Policy,
    judging: Judging<'_>,
    judges: &Judges,
) -> Vec<Answer> {
    let reference = match &workload {
        Ok(workload) => workload.reference.clone(),
        Err(_) => WorkloadRef { kind, namespace: judging.namespace.to_owned(), name: manifest.name().to_owned() },
    };
    let place = Place { file: manifest.file.clone(), workload: reference.clone() };
    let review = Review {
        uid: String::new(),
        kind: manifest.kind(),
        subresource: false,
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
        operation: Operation::Create,
        user: User::default(),
        // What is to be found out is what the real request will be answered.
        dry_run: false,
        purpose: Purpose::Ordinary,
        field_manager: None,
        old: None,
        old_waits: false,
        new: workload,
    };
    let environments = policy.environments();
    let whereabouts = policy.whereabouts(&reference.namespace, judging.everywhere);
    let scope = scope(
        &review,
        &whereabouts,
        |object| environments.get(object),
        |at, pacticipant| policy.recorded(at, pacticipant),
    );
    match scope {
        Scope::Unjudged(Unjudged::Unannotated) => Vec::new(),
        Scope::Unjudged(why) => vec![unjudged(place, &why)],
        Scope::Judged { subjects, .. } if subjects.is_empty() => vec![not_asked(place)],
        Scope::Judged { subjects, .. } => {
            let asked = subjects.into_iter().map(|open| find(asking, open, judges));
            let findings = join_all(asked).await.into_iter();
            findings.map(|(finding, link)| of_finding(place.clone(), &finding, link, judging.strict)).collect()
        }
    }
}

async fn find(asking: &Asking, open: OpenSubject, judges: &Judges) -> (Finding, Option<String>) {
    let question = match open.question(Timestamp::now()) {
        Err(cause) => return (open.finding(cause), None),
        Ok(question) => question,
    };
    let broker = &open.subject.environment_ref.broker;
    let missing = || Err(format!("there is no PactBroker named {broker}"));
    match judges.get(broker).cloned().unwrap_or_else(missing) {
        Err(why) => (open.finding(Cause::Judged(Judgement::without_pairs(Verdict::BrokerUnavailable, why))), None),
        Ok((judge, url)) => {
            let judgement = patiently("check", asking, || judge.judge(&question)).await;
            let published = !judgement.verdict.is_unpublished();
            let link = published.then(|| messages::matrix_link(&url, &question.matrix_query()));
            (Finding { asked: Some(question), ..open.finding(Cause::Judged(judgement)) }, link)
        }
    }
}

fn of_finding(place: Place, finding: &Finding, link: Option<String>, strict: bool) -> Answer {
    let environment = finding.subject.environment_ref.environment.to_string();
    let (question, versions) = match &finding.subject.identified {
        Ok(it) => (
            format!("{} {} → {environment}", it.pacticipant, it.version),
            vec![(it.pacticipant.to_string(), Some(it.version.to_string()))],
        ),
        Err(_) => (format!("{} → {environment}", place.workload), Vec::new()),
    };
    let action = if strict { finding.wanted } else { finding.action };
    let outcome = match action {
        GateAction::Deny => Outcome::No,
        GateAction::Warn if unanswered(&finding.cause) => Outcome::NoAnswer,
        GateAction::Warn | GateAction::Allow => Outcome::Yes,
    };
    let pairs = match &finding.cause {
        Cause::Judged(judgement) => judgement.pairs.clone(),
        Cause::Problem(_) | Cause::Unclear(_) => Vec::new(),
    };
    Answer {
        question,
        versions,
        destination: environment,
        verdict: finding.cause.name(),
        deployable: finding.deployable(),
        reason: messages::why(finding),
        pairs,
        cautions: messages::cautions_about(finding),
        link,
        workload: Some(place),
        effect: Some(Effect { mode: finding.mode, action: finding.action, wanted: finding.wanted }),
        outcome,
    }
}

fn without_question(place: Place, verdict: &'static str, reason: String, outcome: Outcome) -> Answer {
    Answer {
        question: place.workload.to_string(),
        versions: Vec::new(),
        destination: "-".to_owned(),
        verdict,
        deployable: (outcome == Outcome::Yes).then_some(true),
        reason,
        pairs: Vec::new(),
        cautions: Vec::new(),
        link: None,
        workload: Some(place),
        effect: None,
        outcome,
    }
}

fn not_asked(place: Place) -> Answer {
    let reason = "each of its versions is recorded there already, or no gate is on".to_owned();
    without_question(place, "NotAsked", reason, Outcome::Yes)
}

fn unjudged(place: Place, why: &Unjudged) -> Answer {
    let unmapped = || format!("the namespace {} lies in no environment", place.workload.namespace);
    let reason = why.sentence().unwrap_or_else(unmapped);
    let outcome = if matches!(why, Unjudged::Unreadable { .. }) { Outcome::NoAnswer } else { Outcome::Yes };
    without_question(place, why.name(), reason, outcome)
}
