//! The JSON of an answer: at the top what all environments together come to, below each of them, in the words of
//! `pact-operator check --output json`.

use serde_json::{Value, json};

use super::question::Question;
use crate::decide::{Finding, Subject, admission::Cause, messages};

/// What one environment says.
#[derive(Clone, Debug)]
pub(super) enum Check {
    /// The version is recorded there; whether owners were left out.
    Recorded(Subject, bool),
    /// The broker, or the policy, was asked.
    Found {
        /// What was found.
        finding: Box<Finding>,
        /// Where people see the matrix.
        link: Option<String>,
        /// Whether owners were left out: the pacticipant has some, and no namespace is named.
        owned: bool,
    },
    /// The `PactEnvironment` of this name cannot be read.
    Unreadable(String),
}

/// The answer: as its weightiest check says, which is a no before what is not known before a yes.
pub(super) fn document(question: &Question, checks: &[Check]) -> Value {
    let mut shown: Vec<Value> = checks.iter().map(Check::shown).collect();
    shown.sort_by_key(|check| weight(&check["deployable"]));
    let mut document = shown.first().cloned().unwrap_or_else(|| unmapped(question));
    document["checks"] = Value::Array(shown);
    document
}

/// The order of answers, the weightiest first.
fn weight(deployable: &Value) -> u8 {
    match deployable.as_bool() {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    }
}

/// Nothing is judged there. The gate would admit it; but whoever asks expects an environment, so it is no yes.
fn unmapped(question: &Question) -> Value {
    let reason = match (&question.asked.namespace, &question.environment) {
        (Some(namespace), None) => format!("the namespace {namespace} lies in no environment"),
        (Some(namespace), Some(environment)) => {
            format!("the namespace {namespace} does not lie in the environment {environment}")
        }
        (None, environment) => {
            format!("there is no environment {}", environment.as_deref().unwrap_or("of that name"))
        }
    };
    json!({"deployable": null, "verdict": "Unmapped", "reason": reason, "pairs": [], "link": null})
}

impl Check {
    fn shown(&self) -> Value {
        match self {
            Self::Unreadable(object) => json!({
                "environment": object, "deployable": null, "verdict": "InvalidEnvironment", "pairs": [], "link": null,
                "reason": format!("the PactEnvironment {object} cannot be read: kubectl get pactenv {object}"),
            }),
            Self::Recorded(subject, owned) => {
                let environment = &subject.environment_ref.environment;
                let mut shown = subject_of(subject);
                shown["deployable"] = true.into();
                shown["verdict"] = "Recorded".into();
                shown["reason"] = format!("this version is recorded in {environment}").into();
                shown["pairs"] = json!([]);
                shown["cautions"] = json!(of_owners(*owned));
                shown["link"] = Value::Null;
                shown
            }
            Self::Found { finding, link, owned } => {
                let pairs = match &finding.cause {
                    Cause::Judged(judgement) => judgement.pairs.as_slice(),
                    Cause::Problem(_) | Cause::Unclear(_) => &[],
                };
                let deployable = finding.deployable();
                let mut shown = subject_of(&finding.subject);
                shown["deployable"] = json!(deployable);
                shown["verdict"] = finding.cause.name().into();
                shown["reason"] = messages::why(finding).into();
                if deployable != Some(true) {
                    shown["remedy"] = messages::one_line(&messages::remedy(finding)).into();
                }
                shown["pairs"] = json!(pairs);
                let cautions = [messages::cautions_about(finding), of_owners(*owned)].concat();
                shown["cautions"] = json!(cautions);
                shown["link"] = json!(link);
                shown["gate"] = json!({"mode": finding.mode, "action": finding.action, "wanted": finding.wanted});
                shown
            }
        }
    }
}

/// What to know where owners were left out.
fn of_owners(left_out: bool) -> Vec<String> {
    let caution =
        "the environment says which namespaces may speak for this pacticipant: name the namespace to have it checked";
    left_out.then(|| caution.to_owned()).into_iter().collect()
}

/// What a check is about.
fn subject_of(subject: &Subject) -> Value {
    let environment = subject.environment_ref.environment.as_str();
    match &subject.identified {
        Ok(it) => {
            json!({"pacticipant": it.pacticipant.as_str(), "version": it.version.as_str(), "environment": environment})
        }
        Err(_) => json!({"version": null, "environment": environment}),
    }
}
