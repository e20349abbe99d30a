//! Keys that look like the operator's and mean nothing where they are (case 85): a misspelt annotation, a label, an
//! annotation on the pod template, or one that says nothing without the pacticipant.

use std::collections::BTreeMap;

use crate::api::annotations;

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Among the annotations of the workload.
    Annotation,
    /// Among its labels.
    Label,
    /// Among the annotations or labels of its pod template.
    PodTemplate,
}

/// A key that looks like the operator's and means nothing where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrayKey {
    /// Where it is.
    pub place: Place,
    /// The key.
    pub key: Box<str>,
}

/// Whether whoever wrote a key meant the operator: by its prefix, or by what it names. The chart's condition for calling
/// the webhook says the same (`charts/pact-operator/templates/_gate.tpl`).
#[must_use]
pub fn looks_ours(key: &str) -> bool {
    key.starts_with("pact-operator") || names_pacticipant(key)
}

/// Whether a key has the name of the annotation for the pacticipant, under whatever prefix.
fn names_pacticipant(key: &str) -> bool {
    key.rsplit('/').next() == Some("pacticipant")
}

/// The keys and values of one part of an object.
pub(super) type Entries = BTreeMap<String, String>;

/// The stray keys of a workload, by its annotations, its labels, and the annotations and labels of its pod template.
///
/// Another tool's key for the pacticipant counts only where ours is missing. What the pod template repeats from the
/// workload is left out: it does no harm, and tools such as Kustomize's `commonAnnotations` write it.
#[must_use]
pub(super) fn stray_keys(annotations: &Entries, labels: &Entries, pod_template: [&Entries; 2]) -> Box<[StrayKey]> {
    let annotated = annotations.contains_key(annotations::PACTICIPANT);
    let ours = |key: &&String| key.starts_with("pact-operator") || (!annotated && names_pacticipant(key));
    // The operator writes that of a hold itself, and keeps it while the pacticipant is not named.
    let alone = |key: &str| [annotations::SELF_TEST, annotations::HELD].contains(&key);
    let means_something = |key: &str| annotations::READ.contains(&key) && (annotated || alone(key));
    let stray = |place| move |key: &String| StrayKey { place, key: key.as_str().into() };
    let on_workload = annotations.keys().filter(ours).filter(|key| !means_something(key)).map(stray(Place::Annotation));
    let as_labels = labels.keys().filter(ours).map(stray(Place::Label));
    let repeated =
        |(key, value): &(&String, &String)| annotations.get(*key).or_else(|| labels.get(*key)) == Some(*value);
    let on_pods = pod_template.into_iter().flatten().filter(|it| !repeated(it)).map(|(key, _)| key);
    let on_pods = on_pods.filter(ours).map(stray(Place::PodTemplate));
    on_workload.chain(as_labels).chain(on_pods).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACTICIPANT: &str = annotations::PACTICIPANT;

    fn entries(keys: &[&str]) -> Entries {
        keys.iter().map(|key| ((*key).to_owned(), "orders".to_owned())).collect()
    }

    fn found(annotations: &[&str], labels: &[&str], on_pods: &[&str]) -> Vec<(Place, String)> {
        let (annotations, labels, on_pods) = (entries(annotations), entries(labels), entries(on_pods));
        let found = stray_keys(&annotations, &labels, [&on_pods, &Entries::new()]);
        found.iter().map(|stray| (stray.place, stray.key.to_string())).collect()
    }

    #[test]
    fn case_85_keys_that_mean_nothing_where_they_are_are_found() {
        let (annotation, label, pods) = (Place::Annotation, Place::Label, Place::PodTemplate);
        for key in [
            "pact-operator.dev/pacticipent",
            "pact-operator.dev/Pacticipant",
            "pact-operator.io/pacticipant",
            "pact-operator/pacticipant",
            "pact_operator.dev/pacticipant",
            "pacticipant",
            "pact-operator.dev/applicationInstance",
        ] {
            assert_eq!(found(&[key], &[], &[]), [(annotation, key.to_owned())], "{key}");
            assert_eq!(found(&[], &[key], &[]), [(label, key.to_owned())], "{key}");
            assert_eq!(found(&[], &[], &[key]), [(pods, key.to_owned())], "{key}");
        }
        assert_eq!(found(&[], &[PACTICIPANT], &[]), [(label, PACTICIPANT.to_owned())]);
        assert_eq!(found(&[], &[], &[PACTICIPANT]), [(pods, PACTICIPANT.to_owned())]);
        assert_eq!(found(&[annotations::VERSION], &[], &[]), [(annotation, annotations::VERSION.to_owned())], "alone");
        let misspelt = "pact-operator.dev/versoin";
        assert_eq!(found(&[PACTICIPANT, misspelt], &[], &[]), [(annotation, misspelt.to_owned())]);
    }

    #[test]
    fn case_85_keys_that_are_read_and_those_of_others_are_not_stray() {
        let none: [(Place, String); 0] = [];
        assert_eq!(found(&annotations::READ, &[], &[]), none);
        assert_eq!(found(&[annotations::SELF_TEST], &[], &[]), none);
        assert_eq!(found(&[annotations::HELD], &[], &[]), none, "the operator's own");
        assert_eq!(found(&[PACTICIPANT, "broker.example.com/pacticipant"], &[], &[]), none, "another tool's");
        assert_eq!(found(&[PACTICIPANT], &[], &[PACTICIPANT]), none, "repeated");
        let others = ["app.kubernetes.io/version", "example.com/pacticipants", "impact-operator.dev/version"];
        assert_eq!(found(&others, &others, &others), none);
    }
}
