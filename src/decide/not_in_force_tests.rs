//! What is not in force, for each thing that may be so in a cluster.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;

/// The webhook that asks about every namespace but kube-system, and that blocks when no replica answers.
fn webhook() -> Value {
    json!({
        "name": WEBHOOK, "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://gate.test/gate/0123456789abcdef0123456789abcdef"},
        "namespaceSelector": {"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"]},
        ]},
        "matchConditions": OWN_CONDITIONS.map(|name| json!({"name": name, "expression": "true"})),
    })
}

/// A `PactEnvironment` with everything in force: it enforces, it is ready, and what runs is listed.
fn environment(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "gate": {"mode": "Enforce"},
        },
        "status": {"conditions": [condition("Ready", "True", ""), condition(MEMBERS_LISTED, "True", "")]},
    })
}

fn condition(type_: &str, status: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": "Why", "message": message,
        "lastTransitionTime": "2025-01-01T00:00:00Z",
    })
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

/// The notes about a configuration with these webhooks, and about these environments, in a cluster with the namespaces
/// kube-system, shop, and bank, which has the label stage: production.
fn said(webhooks: &[Value], accounts: &[&str], environments: &[Value]) -> Vec<String> {
    let configuration =
        serde_json::from_value(json!({"metadata": {"name": CONFIGURATION}, "webhooks": webhooks})).unwrap();
    let environments: Vec<PactEnvironment> = environments
        .iter()
        .map(|object| {
            let mut object = object.clone();
            object["apiVersion"] = json!("pact-operator.dev/v1alpha1");
            object["kind"] = json!("PactEnvironment");
            serde_json::from_value(object).unwrap()
        })
        .collect();
    assert!(environments.iter().all(|environment| !environment.name_any().is_empty()));
    let accounts: Vec<ServiceAccountName> = accounts.iter().map(|account| account.parse().unwrap()).collect();
    let namespaces = [("kube-system", None), ("shop", None), ("bank", Some("production"))].map(|(name, stage)| {
        let stage = stage.map(|stage| ("stage".to_owned(), stage.to_owned()));
        let labels = [("kubernetes.io/metadata.name".to_owned(), name.to_owned())].into_iter().chain(stage);
        (name.to_owned(), labels.collect())
    });
    notes(&Installation {
        configuration: Some(&configuration),
        bypass_accounts: &accounts,
        environments: &environments,
        namespaces: &BTreeMap::from(namespaces),
    })
}

/// What is said of the usual webhook, whatever the environments.
const LEFT_OUT: &str = "webhook: not asked about kube-system, because of its namespaceSelector \
                        (webhook.excludedNamespaces, webhook.namespaceSelector)";

#[test]
fn what_the_webhook_leaves_out_is_said() {
    let selector = |terms: Value| with(webhook(), "/namespaceSelector/matchExpressions", terms);
    let production = json!([{"key": "stage", "operator": "In", "values": ["production"]}]);
    let mut further = webhook();
    further["matchConditions"].as_array_mut().unwrap().push(json!({"name": "no-robots", "expression": "true"}));
    let never = "claimed, but never asked about: shop (the webhook's namespaceSelector leaves that out); correct \
                 webhook.excludedNamespaces, webhook.namespaceSelector or the labels of the namespace";
    let no_webhook = "webhook: asked about nothing, because no ValidatingWebhookConfiguration pact-operator has the \
                      webhook gate.pact-operator.dev; helm upgrade restores it";
    for (webhook, accounts, notes) in [
        (Some(webhook()), &[][..], vec![LEFT_OUT.to_owned()]),
        (None, &["ci:deployer"], vec![no_webhook.to_owned()]),
        (Some(with(webhook(), "/name", json!("other.example.com"))), &[], vec![no_webhook.to_owned()]),
        (Some(with(webhook(), "/namespaceSelector", Value::Null)), &[], vec![]),
        (Some(with(webhook(), "/namespaceSelector", json!({}))), &[], vec![]),
        (Some(selector(json!([]))), &[], vec![]),
        // The worst comes first: what is mapped and yet never asked about.
        (
            Some(selector(production)),
            &[],
            vec![format!("PactEnvironment production: {never}"), LEFT_OUT.replace("kube-system", "kube-system, shop")],
        ),
        (
            Some(selector(json!([{"key": "stage", "operator": "Near"}]))),
            &[],
            vec![
                "webhook: which namespaces it is asked about is not known: the namespace selector's operator \"Near\" \
                 for the key \"stage\" is unknown: use In, NotIn, Exists or DoesNotExist"
                    .to_owned(),
            ],
        ),
        (
            Some(with(webhook(), "/clientConfig/url", json!("https://gate.test/gate"))),
            &[],
            vec![
                LEFT_OUT.to_owned(),
                "webhook: whoever reaches its port gets whole answers, unless it asks for client certificates \
                 (webhook.clientCA): its path holds no secret; its log says why"
                    .to_owned(),
            ],
        ),
        (
            Some(with(webhook(), "/failurePolicy", json!("Ignore"))),
            &[],
            vec![
                LEFT_OUT.to_owned(),
                "webhook: not asked while no replica answers: its failurePolicy Ignore admits all then; \
                 webhook.failurePolicy=Fail blocks it"
                    .to_owned(),
            ],
        ),
        (
            Some(further),
            &["ci:deployer", "flux-system:kustomize-controller"],
            vec![
                LEFT_OUT.to_owned(),
                "webhook: not asked about what further matchConditions leave out: no-robots (webhook.matchConditions)"
                    .to_owned(),
                "webhook: bypass statements of service accounts that hold the verb bypass count: ci:deployer, \
                 flux-system:kustomize-controller (webhook.bypassServiceAccounts)"
                    .to_owned(),
            ],
        ),
    ] {
        let webhooks: Vec<_> = webhook.into_iter().collect();
        assert_eq!(said(&webhooks, accounts, &[environment("production")]), notes, "{webhooks:?} {accounts:?}");
    }
}

#[test]
fn what_an_environment_does_not_do_is_said() {
    let spec = |field: &str, value: Value| with(environment("production"), &format!("/spec/{field}"), value);
    let status = |conditions: &[Value]| with(environment("production"), "/status", json!({"conditions": conditions}));
    let (ready, listed) = (condition("Ready", "True", ""), condition(MEMBERS_LISTED, "True", ""));
    let mut broken = environment("production");
    broken["spec"]["version"] = json!({"tagPattern": "("});
    let awaits = "Enforce awaits the list of what runs, and behaves as Warn until then";
    for (object, notes) in [
        (environment("production"), vec![]),
        (spec("gate/mode", json!("Warn")), vec!["its gate.mode is Warn, which denies nothing; Enforce denies"]),
        (spec("gate/mode", json!("Audit")), vec!["its gate.mode is Audit, which denies nothing; Enforce denies"]),
        (spec("gate/mode", json!("Off")), vec!["its gate.mode is Off, which denies nothing; Enforce denies"]),
        (
            status(&[ready.clone(), condition(MEMBERS_LISTED, "False", "0 of 1 pacticipants")]),
            vec!["Enforce awaits the list of what runs, and behaves as Warn until then: 0 of 1 pacticipants"],
        ),
        (status(&[ready]), vec![awaits]),
        (
            with(environment("production"), "/status", Value::Null),
            vec!["not Ready: no controller has looked at it; see that a pod of pact-operator-controller runs", awaits],
        ),
        (
            status(&[condition("Ready", "False", "the broker main has no environment production"), listed.clone()]),
            vec!["not Ready (Why): the broker main has no environment production"],
        ),
        (status(&[condition("Ready", "Unknown", "who knows"), listed]), vec!["not Ready (Why): who knows"]),
        // Its status is about what it said before.
        (broken, vec!["its spec cannot be followed: spec.version.tagPattern: "]),
        (
            spec("namespaces", json!({"names": ["shpo"]})),
            vec!["claims no namespace: the namespace shpo (did you mean shop?) does not exist"],
        ),
        (
            spec("namespaces", json!({"selector": {"matchLabels": {"stage": "test"}}})),
            vec!["claims no namespace: no namespace has the labels that spec.namespaces.selector asks for"],
        ),
        (spec("namespaces", json!({"names": ["shpo"], "selector": {"matchLabels": {"stage": "production"}}})), vec![]),
    ] {
        let said = said(&[webhook()], &[], &[object]);
        assert_eq!((said[0].as_str(), said.len()), (LEFT_OUT, notes.len() + 1), "{said:?}");
        for (said, note) in said[1..].iter().zip(notes) {
            assert!(said.starts_with(&format!("PactEnvironment production: {note}")), "{said} is not {note}");
        }
    }
    let none = "PactEnvironments: there is none yet, so nothing is asked about or recorded; create one";
    assert_eq!(said(&[webhook()], &[], &[]), [LEFT_OUT, none]);
}

#[test]
fn what_claims_by_label_or_all_is_never_asked_about_either() {
    let left_out = json!({"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]});
    let webhook = with(webhook(), "/namespaceSelector", left_out);
    let claiming = |name: &str, claim: Value| with(environment(name), "/spec/namespaces", claim);
    let environments = [
        claiming("all", json!({"all": true})),
        claiming("label", json!({"selector": {"matchLabels": {"stage": "production"}}})),
        claiming("name", json!({"names": ["shop"]})),
    ];
    let said = said(&[webhook], &[], &environments);
    let never: Vec<_> = said.iter().filter(|note| note.contains("never asked")).collect();
    assert_eq!(never.len(), 2, "{said:?}");
    assert!(never[0].starts_with("PactEnvironment all: claimed, but never asked about: bank ("), "{said:?}");
    assert!(never[1].starts_with("PactEnvironment label: claimed, but never asked about: bank ("), "{said:?}");
}

#[test]
fn a_long_list_is_cut() {
    let names: Vec<_> = (1..=11).map(|number| format!("n{number}")).collect();
    let names = || names.iter().map(String::as_str);
    assert_eq!(listed(names().take(0)), None);
    assert_eq!(listed(names().take(8)).unwrap(), "n1, n2, n3, n4, n5, n6, n7, n8");
    assert_eq!(listed(names()).unwrap(), "n1, n2, n3, n4, n5, n6, n7, n8 and 3 more");
}
