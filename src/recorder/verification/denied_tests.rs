use serde_json::json;

use super::*;
use crate::{api::annotations::DENIED, decide::announcement::Denial};

/// The Event of the denial of a version in a namespace at a second.
fn event(uid: &str, namespace: &str, version: &str, second: i64) -> KubeEvent {
    let denial = Denial {
        broker: "main".into(),
        environment: "production".into(),
        pacticipant: "orders".into(),
        version: version.into(),
        user: "dev".into(),
    };
    let event = json!({
        "metadata": {
            "name": uid, "namespace": namespace, "uid": uid, "annotations": {DENIED: denial.text()},
            "creationTimestamp": Timestamp::from_second(second).unwrap().to_string(),
        },
        "regarding": {"kind": "Deployment", "name": "orders"},
    });
    serde_json::from_value(event).unwrap()
}

/// Denied versions, where some namespaces are not in the environment.
#[derive(Default)]
struct Followed(Denied);

impl Followed {
    fn apply(&self, reason: Reason, event: &KubeEvent) -> Option<String> {
        self.0.apply(reason, event, |namespace, _| !namespace.starts_with("elsewhere"))
    }

    /// So many versions are denied in a namespace, one in a second.
    fn denied(&self, namespace: &str, versions: std::ops::Range<i64>) {
        for version in versions {
            let (uid, version_name) = (format!("{namespace}-{version}"), version.to_string());
            self.apply(Reason::RolloutDenied, &event(&uid, namespace, &version_name, version));
        }
    }

    /// How many versions of a namespace are looked after.
    fn of(&self, namespace: &str) -> usize {
        self.0.known().keys().filter(|place| place.namespace == namespace).count()
    }

    fn knows(&self, uid: &str) -> bool {
        self.0.known().values().any(|one| one.uid == uid)
    }

    fn is_said(&self) -> bool {
        self.0.too_many.load(Ordering::Relaxed)
    }
}

const PER_NAMESPACE: i64 = 20;

#[tokio::test]
async fn what_is_new_is_looked_after_and_the_oldest_of_the_namespace_is_left_out() {
    let followed = Followed::default();
    followed.denied("shop", 0..PER_NAMESPACE);
    assert!(!followed.is_said());
    followed.denied("shop", PER_NAMESPACE..PER_NAMESPACE + 1);
    assert_eq!(followed.of("shop"), MOST_OF_A_NAMESPACE);
    assert!(followed.knows("shop-20") && !followed.knows("shop-0") && followed.is_said());
    // A list may be in any order.
    assert_eq!(followed.apply(Reason::RolloutDenied, &event("late", "shop", "late", 0)), None);
    assert_eq!(followed.of("shop"), MOST_OF_A_NAMESPACE);
    // Once there is room, it is said again the next time.
    followed.0.gone("shop-20");
    followed.denied("shop", 30..31);
    assert!(followed.knows("shop-30") && !followed.is_said());
}

#[tokio::test]
async fn one_that_lacks_nothing_makes_room_before_an_older_one() {
    let followed = Followed::default();
    followed.denied("shop", 0..PER_NAMESPACE);
    for one in followed.0.known().values_mut().filter(|one| one.uid == "shop-7") {
        one.missing = Some(Vec::new());
    }
    followed.denied("shop", 30..31);
    assert!(followed.knows("shop-30") && followed.knows("shop-0") && !followed.knows("shop-7"));
    assert!(!followed.is_said(), "nothing was left out that counts");
}

#[tokio::test]
async fn a_namespace_with_many_leaves_room_for_the_others() {
    let followed = Followed::default();
    for namespace in ["a", "b", "c", "d", "e"] {
        followed.denied(namespace, 100..100 + PER_NAMESPACE);
    }
    assert_eq!(followed.0.known().len(), MOST);
    followed.denied("shop", 0..5);
    assert_eq!((followed.of("shop"), followed.0.known().len()), (5, MOST));
    assert!(["a", "b", "c", "d", "e"].iter().all(|namespace| followed.of(namespace) == MOST_OF_A_NAMESPACE - 1));
}

#[tokio::test]
async fn events_of_namespaces_that_are_not_in_the_environment_keep_no_other_out() {
    let followed = Followed::default();
    for namespace in 0..5 {
        followed.denied(&format!("elsewhere-{namespace}"), 0..500);
    }
    assert!(followed.0.known().len() <= MOST && !followed.is_said());
    // There are more of a namespace that is in it.
    followed.denied("a", 0..2 * PER_NAMESPACE);
    followed.0.too_many.store(false, Ordering::Relaxed);
    followed.denied("elsewhere-0", 500..600);
    followed.denied("shop", 0..5);
    assert_eq!((followed.of("a"), followed.of("shop")), (MOST_OF_A_NAMESPACE, 5));
    assert!(!followed.is_said(), "nothing was left out that counts");
}

#[tokio::test]
async fn a_version_takes_one_place_however_many_events_are_about_it() {
    let followed = Followed::default();
    let first = || followed.apply(Reason::RolloutDenied, &event("first", "shop", "2", 1));
    assert_eq!(first().as_deref(), Some("first"));
    assert_eq!(followed.apply(Reason::RolloutHeld, &event("second", "shop", "2", 2)).as_deref(), Some("second"));
    assert_eq!(first(), None, "the newest counts");
    assert_eq!(followed.0.known().len(), 1);
    followed.0.gone("first");
    followed.0.retain(Reason::RolloutDenied, &HashSet::new());
    assert!(followed.knows("second"));
    followed.0.retain(Reason::RolloutHeld, &HashSet::from(["second".to_owned()]));
    assert!(followed.knows("second"));
    followed.0.gone("second");
    assert_eq!(followed.0.known().len(), 0);
    // Another namespace's Event about it is of that namespace.
    followed.denied("shop", 1..2);
    followed.denied("other", 1..2);
    assert_eq!(followed.0.known().len(), 2);
}
