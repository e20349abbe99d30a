//! What of an installed gate is not in force: who is not asked, and where nothing is denied. `helm test` prints it.
//!
//! These are facts, not faults: each may be wanted. They come from the objects in the cluster, because those count, not
//! the values of the chart.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration},
    apimachinery::pkg::apis::meta::v1::Condition,
};

use operator_kit::review_path;

use super::{
    EnvironmentPolicy,
    admission::{ServiceAccountName, decision::in_force},
    namespaces,
};
use crate::{
    api::{PactEnvironment, condition::is_true, environment::MEMBERS_LISTED, gate::GateMode},
    workload::{BrokenRules, NamespaceSelector, SelectorError},
};

/// The name of the chart's `ValidatingWebhookConfiguration`.
pub const CONFIGURATION: &str = "pact-operator";
/// The name of its webhook.
const WEBHOOK: &str = "gate.pact-operator.dev";
/// The names of the chart's own matchConditions: what they leave out changes no version, was judged elsewhere, or states a
/// bypass.
const OWN_CONDITIONS: [&str; 6] = [
    "has-pod-template",
    "annotated",
    "version-may-change",
    "not-controlled",
    "not-the-diff-of-argo-cd",
    "not-bypassed",
];
/// How many names a note lists, but for the namespaces that are claimed and left out.
const SHOWN: usize = 8;

/// What is in the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    /// The [`CONFIGURATION`], if it is there.
    pub configuration: Option<&'a ValidatingWebhookConfiguration>,
    /// The service accounts whose bypass statements count.
    pub bypass_accounts: &'a [ServiceAccountName],
    /// All `PactEnvironment`s.
    pub environments: &'a [PactEnvironment],
    /// All namespaces, with their labels.
    pub namespaces: &'a BTreeMap<String, BTreeMap<String, String>>,
}

/// What is not in force, a line each, the worst first: namespaces that an environment claims and that are never asked
/// about. Each line names the thing, the cause and the remedy.
#[must_use]
pub fn notes(installation: &Installation<'_>) -> Vec<String> {
    let mut notes = notes_of_webhook(installation);
    let environments: Vec<_> = installation.environments.iter().map(Environment::of).collect();
    if environments.is_empty() {
        notes.push("PactEnvironments: there is none yet, so nothing is asked about or recorded; create one".to_owned());
    }
    notes.extend(environments.iter().flat_map(|environment| environment.notes(installation.namespaces)));
    notes
}

/// The same, as far as it is about the webhook: what the statuses of the environments say is left out.
#[must_use]
pub fn notes_of_webhook(installation: &Installation<'_>) -> Vec<String> {
    let webhooks = installation.configuration.and_then(|configuration| configuration.webhooks.as_deref());
    let webhook = webhooks.into_iter().flatten().find(|webhook| webhook.name == WEBHOOK);
    let environments: Vec<_> = installation.environments.iter().map(Environment::of).collect();
    let mut notes = Vec::new();
    match webhook.map(|webhook| (webhook, asked_about(webhook))) {
        None => notes.push(format!(
            "webhook: asked about nothing, because no ValidatingWebhookConfiguration {CONFIGURATION} has the webhook \
             {WEBHOOK}; helm upgrade restores it"
        )),
        Some((webhook, Err(error))) => {
            notes.push(format!("webhook: which namespaces it is asked about is not known: {error}"));
            notes.extend(of_webhook(webhook, installation.bypass_accounts));
        }
        Some((webhook, Ok(asked_about))) => {
            let left_out: Vec<_> =
                installation.namespaces.iter().filter(|(name, labels)| !asked_about.matches(name, labels)).collect();
            notes.extend(environments.iter().filter_map(|environment| environment.never_asked(&left_out)));
            notes.extend(not_asked(&left_out));
            notes.extend(of_webhook(webhook, installation.bypass_accounts));
        }
    }
    notes
}

/// Which namespaces the webhook is asked about: unlike an environment's claim, an empty selector selects all.
fn asked_about(webhook: &ValidatingWebhook) -> Result<NamespaceSelector, SelectorError> {
    let selector = webhook.namespace_selector.as_ref();
    let selects_all = selector.is_none_or(|selector| {
        selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
    });
    NamespaceSelector::parse([], selector, selects_all)
}

/// A namespace, with its labels.
type Namespace<'a> = (&'a String, &'a BTreeMap<String, String>);

fn not_asked(left_out: &[Namespace<'_>]) -> Option<String> {
    let names = listed(left_out.iter().map(|(name, _)| name.as_str()))?;
    Some(format!(
        "webhook: not asked about {names}, because of its namespaceSelector (webhook.excludedNamespaces, \
         webhook.namespaceSelector)"
    ))
}

/// What the webhook's configuration says besides its namespaces.
fn of_webhook(webhook: &ValidatingWebhook, bypass_accounts: &[ServiceAccountName]) -> Vec<String> {
    let mut notes = Vec::new();
    if webhook.failure_policy.as_deref() == Some("Ignore") {
        notes.push(
            "webhook: not asked while no replica answers: its failurePolicy Ignore admits all then; \
             webhook.failurePolicy=Fail blocks it"
                .to_owned(),
        );
    }
    if !review_path::has_secret(&webhook.client_config) {
        notes.push(
            "webhook: whoever reaches its port gets whole answers, unless it asks for client certificates \
             (webhook.clientCA): its path holds no secret; its log says why"
                .to_owned(),
        );
    }
    let conditions = webhook.match_conditions.iter().flatten().map(|condition| condition.name.as_str());
    if let Some(names) = listed(conditions.filter(|name| !OWN_CONDITIONS.contains(name))) {
        notes.push(format!(
            "webhook: not asked about what further matchConditions leave out: {names} (webhook.matchConditions)"
        ));
    }
    if let Some(names) = listed(bypass_accounts.iter().map(ServiceAccountName::as_str)) {
        notes.push(format!(
            "webhook: bypass statements of service accounts that hold the verb bypass count: {names} \
             (webhook.bypassServiceAccounts)"
        ));
    }
    notes
}

/// A `PactEnvironment` and what is in force of it.
struct Environment<'a> {
    name: &'a str,
    mode: GateMode,
    policy: Result<EnvironmentPolicy, Box<BrokenRules>>,
    conditions: &'a [Condition],
}

impl<'a> Environment<'a> {
    fn of(object: &'a PactEnvironment) -> Self {
        Self {
            name: object.metadata.name.as_deref().unwrap_or_default(),
            mode: object.spec.gate.mode,
            policy: EnvironmentPolicy::parse(object),
            conditions: object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default(),
        }
    }

    /// Which namespaces it claims, if that can be read.
    fn claim(&self) -> Option<&NamespaceSelector> {
        match &self.policy {
            Ok(policy) => Some(&policy.rules.claim.selector),
            Err(broken) => broken.claim.as_ref().map(|claim| &claim.selector),
        }
    }

    fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }

    /// The namespaces that it claims and that the webhook leaves out.
    fn never_asked(&self, left_out: &[Namespace<'_>]) -> Option<String> {
        let claim = self.claim()?;
        let both = left_out.iter().filter(|(name, labels)| claim.matches(name, labels));
        // Each of them: this is the worst that there is to be said.
        let names = both.map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        (!names.is_empty()).then(|| {
            format!(
                "PactEnvironment {}: claimed, but never asked about: {} (the webhook's namespaceSelector leaves that \
                 out); correct webhook.excludedNamespaces, webhook.namespaceSelector or the labels of the namespace",
                self.name,
                names.join(", ")
            )
        })
    }

    fn notes(&self, all: &BTreeMap<String, BTreeMap<String, String>>) -> Vec<String> {
        let notes = [self.claims_nothing(all), self.broken(), self.denies_nothing()];
        notes.into_iter().flatten().map(|note| format!("PactEnvironment {}: {note}", self.name)).collect()
    }

    fn claims_nothing(&self, all: &BTreeMap<String, BTreeMap<String, String>>) -> Option<String> {
        let claim = self.claim()?;
        if all.iter().any(|(name, labels)| claim.matches(name, labels)) {
            return None;
        }
        let found = namespaces::found(claim, all.keys().map(String::as_str), 0);
        Some(format!("claims no namespace: {}", found.message))
    }

    fn broken(&self) -> Option<String> {
        match (self.condition("Ready"), &self.policy) {
            (Some(ready), _) if ready.status != "True" => {
                Some(format!("not Ready ({}): {}", ready.reason, ready.message))
            }
            // Its status is about an earlier generation, or there is none.
            (_, Err(broken)) => Some(format!("its spec cannot be followed: {}", broken.problem)),
            (Some(_), Ok(_)) => None,
            (None, Ok(_)) => Some(
                "not Ready: no controller has looked at it; see that a pod of pact-operator-controller runs".to_owned(),
            ),
        }
    }

    fn denies_nothing(&self) -> Option<String> {
        if self.mode != GateMode::Enforce {
            return Some(format!("its gate.mode is {}, which denies nothing; Enforce denies", self.mode.name()));
        }
        let in_force = in_force(self.mode, is_true(self.conditions, MEMBERS_LISTED));
        let why = self.condition(MEMBERS_LISTED).map(|condition| format!(": {}", condition.message));
        (in_force != self.mode).then(|| {
            let why = why.unwrap_or_default();
            format!("Enforce awaits the list of what runs, and behaves as {} until then{why}", in_force.name())
        })
    }
}

/// The first of the names, and how many more there are; `None` if there are none.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<_> = names.collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        all if all > SHOWN => Some(format!("{shown} and {} more", all - SHOWN)),
        _ => Some(shown),
    }
}

#[cfg(test)]
#[path = "not_in_force_tests.rs"]
mod tests;
