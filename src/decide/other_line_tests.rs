use super::*;
use crate::{
    api::deployment::Recorded,
    decide::record::fixtures::{at, member, progressing},
    workload::RolloutState,
};

fn pacticipant(name: &str) -> Pacticipant {
    Pacticipant::parse(name).unwrap()
}

fn runs(name: &str, version: &str, image: &str) -> MemberView {
    let image = Some(image).filter(|image| !image.is_empty()).map(Box::from);
    MemberView { image, ..member(name, Ok(version), RolloutState::Complete) }
}

#[test]
fn a_proxy_changes_no_line() {
    for (one, other, same) in [
        ("shop/orders", "shop/orders", true),
        ("shop/orders", "proxy/shop/orders", true),
        ("proxy/hub/postgres", "postgres", true),
        ("shop/orders", "shop/myorders", false),
        ("orders", "myorders", false),
        ("shop/orders", "crm/orders", false),
        ("shop/orders", "postgres", false),
    ] {
        assert_eq!((same_line(one, other), same_line(other, one)), (same, same), "{one} and {other}");
    }
}

#[test]
fn an_image_is_named_as_its_pacticipant_is_whatever_stands_between_the_words() {
    for (image, name, named) in [
        ("shop/orders", "orders", true),
        ("shop/order-service", "Order Service", true),
        ("order_service", "OrderService", true),
        ("acme/orders", "acme/orders", true),
        ("postgres", "orders", false),
        ("orders/postgres", "orders", false),
    ] {
        assert_eq!(named_like(image, &pacticipant(name)), named, "{image} and {name}");
    }
}

#[test]
fn members_of_different_repositories_and_versions_are_named_with_what_they_run() {
    let orders = || runs("orders", "1.2.3", "shop/orders");
    let postgres = || runs("postgres", "16.2", "postgres");
    let redis = || runs("redis", "7", "redis");
    let hint = of_members(&[orders(), postgres(), redis()], &[]).unwrap();
    assert_eq!(
        hint,
        "Deployment shop/orders runs shop/orders, Deployment shop/postgres runs postgres, Deployment shop/redis runs \
         redis: images of different repositories. A common annotation (Kustomize's commonAnnotations, one that a chart \
         gives all its objects) may have put the name there"
    );
    let many = [orders(), postgres(), redis(), runs("nats", "2", "nats"), runs("vault", "1", "hashicorp/vault")];
    assert!(of_members(&many, &[]).unwrap().contains(" and 2 more: images"));

    for (what, members, recorded) in [
        ("the same repository", vec![orders(), runs("orders-b", "1.2.4", "proxy/shop/orders")], vec![]),
        ("the same version", vec![orders(), runs("postgres", "1.2.3", "postgres")], vec![]),
        ("an image that nobody knows", vec![orders(), runs("b", "2", "")], vec![]),
        (
            "no version",
            vec![orders(), MemberView { version: Err(crate::workload::VersionProblem::NoContainers), ..postgres() }],
            vec![],
        ),
        (
            "recorded together before, as web and worker are",
            vec![runs("web", "2", "shop/orders-web"), runs("worker", "1", "shop/orders-worker")],
            vec!["shop/orders-web".to_owned(), "shop/orders-worker".to_owned()],
        ),
    ] {
        assert_eq!(of_members(&members, &recorded), None, "{what}");
    }
}

#[test]
fn only_images_of_other_names_are_remembered_and_they_stay_while_a_rollout_is_under_way() {
    let recorded = Recorded {
        version: "1".into(),
        uuid: None,
        at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)),
        found: false,
        would_deny: None,
    };
    let finding = |truth| [crate::api::condition::Finding::new("Recorded", truth, "Any", "")];
    let conditions = |truth| crate::api::condition::conditions(&[], &finding(truth), None, at(1));
    let mut status = PactDeploymentStatus {
        recorded: Some(recorded),
        conditions: conditions(true),
        ..PactDeploymentStatus::default()
    };
    let orders = pacticipant("orders");
    remember(
        &mut status,
        &[runs("a", "1", "shop/orders"), runs("b", "1", "shop/worker"), runs("c", "2", "redis")],
        &orders,
    );
    assert_eq!(status.recorded_images, ["shop/worker"]);
    remember(&mut status, &[runs("a", "1", "")], &orders);
    assert_eq!(status.recorded_images, ["shop/worker"], "nobody knows the image");
    status.conditions = conditions(false);
    let rolls_out = MemberView { rollout: progressing(), ..runs("a", "1", "shop/orders") };
    remember(&mut status, &[rolls_out], &orders);
    assert_eq!(status.recorded_images, ["shop/worker"], "while it is under way");
    status.conditions = conditions(true);
    remember(&mut status, &[runs("a", "1", "shop/orders")], &orders);
    assert!(status.recorded_images.is_empty(), "named as the pacticipant is");
    status.recorded_images = vec!["x".into()];
    status.recorded = None;
    remember(&mut status, &[], &orders);
    assert!(status.recorded_images.is_empty(), "nothing is recorded");
}

#[test]
fn a_workload_is_of_another_line_unless_its_image_is_known_under_the_name() {
    let none = BTreeSet::new();
    let worker = BTreeSet::from(["shop/worker".to_owned()]);
    let orders = pacticipant("orders");
    for (image, before, recorded, other) in [
        (Some("postgres"), None, &none, Some("postgres")),
        (Some("postgres"), None, &worker, Some("postgres")),
        (Some("shop/orders"), None, &none, None),
        (Some("shop/worker"), None, &worker, None),
        (Some("proxy/shop/worker"), None, &worker, None),
        (Some("shop/api"), Some("shop/api"), &none, None),
        (None, None, &none, None),
    ] {
        assert_eq!(of_workload(image, before, &orders, recorded), other, "{image:?} after {before:?}, {recorded:?}");
    }
    let hint = hint(&"p".repeat(300), &pacticipant(&"o".repeat(255)));
    assert!(hint.chars().count() <= HINT, "{hint}");
}
