use std::collections::BTreeSet;

use kube::Resource;
use serde::Deserialize;
use serde_json::json;

use super::*;

/// What a kind reports of itself, and of an object of its kind.
struct Described;

impl Dispatch for Described {
    type Output = (WorkloadKind, [String; 4], String);

    fn with<K: Kind>(self) -> Self::Output {
        let of = [View::<K>::kind(&()), View::<K>::group(&()), View::<K>::api_version(&()), View::<K>::plural(&())];
        let object = json!({"metadata": {"name": "orders", "namespace": "shop"}});
        let view: View<K> = serde_json::from_value(object).unwrap();
        let reference = view.observe(k8s_openapi::jiff::Timestamp::UNIX_EPOCH).reference;
        (K::KIND, of.map(std::borrow::Cow::into_owned), reference.to_string())
    }
}

#[test]
fn every_row_names_the_kind_of_its_file() {
    for kind in WorkloadKind::ALL {
        let (of_file, names, reference) = kind.dispatch(Described);
        assert_eq!(of_file, kind);
        assert_eq!(names, [kind.kind(), kind.group(), kind.api_version(), kind.resource()]);
        assert_eq!(reference, format!("{kind} shop/orders"));
        assert_eq!(WorkloadKind::named(kind.kind()), Some(kind));
    }
    assert_eq!(WorkloadKind::named("Pod"), None);
}

#[test]
fn every_row_has_the_names_of_kubernetes() {
    fn of<R: k8s_openapi::Resource>() -> [&'static str; 4] {
        [R::KIND, R::GROUP, R::API_VERSION, R::URL_PATH_SEGMENT]
    }
    use k8s_openapi::api::{apps::v1, batch::v1 as batch};
    let known = [
        of::<v1::Deployment>(),
        of::<v1::StatefulSet>(),
        of::<v1::DaemonSet>(),
        // Of Argo Rollouts' own definition.
        ["Rollout", "argoproj.io", "argoproj.io/v1alpha1", "rollouts"],
        of::<batch::CronJob>(),
        of::<batch::Job>(),
    ];
    let rows = WorkloadKind::ALL.map(|kind| [kind.kind(), kind.group(), kind.api_version(), kind.resource()]);
    assert_eq!(rows, known);
}

#[test]
fn only_a_job_is_not_recorded_and_only_rollouts_need_a_definition() {
    let judged: Vec<_> = WorkloadKind::ALL.into_iter().filter(|kind| !kind.recorded()).collect();
    assert_eq!(judged, [WorkloadKind::Job]);
    assert_eq!(WorkloadKind::RECORDED.len() + judged.len(), WorkloadKind::ALL.len());
    assert!(WorkloadKind::RECORDED.iter().all(|kind| kind.recorded()));
    let definitions: Vec<_> = WorkloadKind::ALL.into_iter().filter_map(WorkloadKind::definition).collect();
    assert_eq!(definitions, ["rollouts.argoproj.io"]);
}

/// Some kinds of one group and version in the chart's list.
#[derive(Deserialize)]
struct Listed {
    group: String,
    version: String,
    resources: Vec<String>,
    recorded: bool,
}

#[test]
fn the_chart_lists_every_kind_and_no_other() {
    let listed: Vec<Listed> =
        serde_json::from_str(include_str!("../../../charts/pact-operator/files/kinds.json")).unwrap();
    let listed: BTreeSet<_> = listed
        .iter()
        .flat_map(|one| {
            let Listed { group, version, recorded, .. } = one;
            one.resources.iter().map(move |resource| format!("{group}/{version} {resource} {recorded}"))
        })
        .collect();
    let known = WorkloadKind::ALL.map(|kind| format!("{} {} {}", kind.api_version(), kind.resource(), kind.recorded()));
    assert_eq!(listed, BTreeSet::from(known));
}
