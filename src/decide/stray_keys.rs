//! What is said about keys that look like the operator's and mean nothing where they are (case 85).

use super::near_miss::nearest;
use crate::{
    api::annotations::{PACTICIPANT, READ},
    workload::stray_keys::{Place, StrayKey},
};

/// What is wrong with a stray key, as a sentence without a full stop.
#[must_use]
pub fn sentence(stray: &StrayKey) -> String {
    let key = &stray.key;
    match stray.place {
        Place::Label => format!("the label {key} is not read: make it an annotation"),
        Place::PodTemplate => format!("{key} on the pod template is not read: annotate the workload itself"),
        Place::Annotation if READ.contains(&&**key) => {
            format!("the annotation {key} says nothing without {PACTICIPANT}")
        }
        Place::Annotation => match nearest(key, READ.into_iter()) {
            Some(meant) => format!("the annotation {key} is not read: {meant} is"),
            None => format!("the annotation {key} is not read: correct or remove it"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::messages;

    #[test]
    fn case_85_what_is_wrong_with_a_key_is_said_with_what_was_meant() {
        for (place, key, expected) in [
            (
                Place::Annotation,
                "pact-operator.dev/pacticipent",
                "the annotation pact-operator.dev/pacticipent is not read: pact-operator.dev/pacticipant is",
            ),
            (
                Place::Annotation,
                "pact-operator.io/pacticipant",
                "the annotation pact-operator.io/pacticipant is not read: pact-operator.dev/pacticipant is",
            ),
            (
                Place::Annotation,
                "pact-operator.dev/owner-of-everything",
                "the annotation pact-operator.dev/owner-of-everything is not read: correct or remove it",
            ),
            (
                Place::Annotation,
                "pact-operator.dev/version",
                "the annotation pact-operator.dev/version says nothing without pact-operator.dev/pacticipant",
            ),
            (
                Place::Label,
                "pact-operator.dev/pacticipant",
                "the label pact-operator.dev/pacticipant is not read: make it an annotation",
            ),
            (
                Place::PodTemplate,
                "pact-operator.dev/pacticipant",
                "pact-operator.dev/pacticipant on the pod template is not read: annotate the workload itself",
            ),
        ] {
            let found = sentence(&StrayKey { place, key: key.into() });
            assert_eq!(found, expected);
            assert!(messages::warning(&found).chars().count() <= messages::WARNING);
        }
    }
}
