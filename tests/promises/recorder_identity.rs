//! Which pacticipant at which version a Deployment runs, and that nothing is recorded where that cannot be determined.

use crate::objects::Objects as _;
use serde_json::{Value, json};

use pact_operator::api::annotations::{CONTAINER, PACTICIPANT, VERSION, VERSION_LABEL};

use super::recorder_asserts::{A_WHILE, changing_requests, published, stays};
use testbed::eventually::always;
use testbed::namespace;
use testbed::test_cluster::{TestCluster, annotated, image};

/// Runs a test with an environment that has these version rules.
async fn with_version_rules(cluster: &TestCluster, version: Value, test: impl AsyncFnOnce(String, String)) {
    namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let environment = cluster.environment(&[&namespace], json!({"version": version})).await;
        test(namespace, environment).await;
    })
    .await;
}

fn digest() -> String {
    format!("sha256:{}", "0123456789abcdef".repeat(4))
}

#[tokio::test]
async fn cases_12_13_and_17_an_image_that_names_no_build_is_never_recorded() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let cases = [
                ("latest", image("latest"), "VersionMutable"),
                ("branch", image("main"), "VersionMutable"),
                ("moving", image("stable"), "VersionMutable"),
                ("dirty", image("1.2.3-dirty"), "VersionMutable"),
                ("snapshot", image("0.0.0-SNAPSHOT"), "VersionMutable"),
                ("tagless", "registry.example.com:5000/shop".to_owned(), "VersionUnresolved"),
                ("pinned", format!("registry.example.com/shop@{}", digest()), "VersionUnresolved"),
            ];
            for (name, image, _) in &cases {
                let pacticipant = format!("nameless-{name}");
                // The broker would accept the version: only the rules prevent the record.
                let tag = image.rsplit_once(':').map_or("latest", |(_, tag)| tag);
                published(&cluster, &pacticipant, &[tag, "latest", &digest(), "5000/shop"]);
                annotated(name, &pacticipant, "1").image(image).apply(&cluster.client(), &namespace).await;
            }
            for (name, _, reason) in &cases {
                let pacticipant = format!("nameless-{name}");
                cluster.wait_condition(&environment, &pacticipant, ("Ready", "False", reason)).await;
                let note = cluster.wait_event(&namespace, name, reason).await;
                assert!(note.contains(&pacticipant), "{note}");
            }
            always("nothing is recorded", A_WHILE, async || {
                let rows = cluster.broker.store().current_in(&environment);
                if rows.is_empty() { Ok(()) } else { Err(format!("{rows:?}")) }
            })
            .await;
            for (name, ..) in &cases {
                assert_eq!(changing_requests(&cluster, &format!("nameless-{name}")), 0, "{name}");
            }
        })
        .await;
}

#[tokio::test]
async fn case_12_an_image_without_a_version_leaves_the_record_of_the_one_before() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "careless", &["1.0.0", "2.0.0", "latest"]);
            let live = annotated("careless", "careless", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "careless", "1.0.0").await;
            live.set_image(&image("latest")).await;
            live.wait_complete().await;
            cluster.wait_condition(&environment, "careless", ("Ready", "False", "VersionMutable")).await;
            stays(&cluster, &environment, "careless", Some("1.0.0"), "latest is no version").await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "careless", "2.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_13_a_pinned_image_is_recorded_under_its_tag_or_its_annotation() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "pinned-tag", &["1.2.3"]);
            published(&cluster, "pinned-stated", &["4.5.6"]);
            let pinned = annotated("tag", "pinned-tag", "1").image(&format!("{}@{}", image("1.2.3"), digest()));
            pinned.apply(&cluster.client(), &namespace).await;
            let digest_only = format!("registry.example.com/shop@{}", digest());
            let stated = annotated("stated", "pinned-stated", "1").image(&digest_only).annotation(VERSION, "4.5.6");
            stated.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "pinned-tag", "1.2.3").await;
            cluster.wait_recorded(&environment, "pinned-stated", "4.5.6").await;
        })
        .await;
}

#[tokio::test]
async fn case_14_an_annotation_that_disagrees_with_the_tag_is_reported_and_not_recorded() {
    let cluster = TestCluster::shared().await;
    with_version_rules(&cluster, json!({"tagPattern": "^v(?<version>.+)$"}), async |namespace, environment| {
        published(&cluster, "stale", &["1.0.0", "2.0.0", "v2.0.0"]);
        let live = annotated("stale", "stale", "v1.0.0").annotation(VERSION, "1.0.0");
        let live = live.apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&environment, "stale", "1.0.0").await;

        live.set_image(&image("v2.0.0")).await;
        live.wait_complete().await;
        let record = cluster.wait_condition(&environment, "stale", ("Ready", "False", "VersionMismatch")).await;
        assert_eq!(record.status.unwrap().members[0].problem.as_deref(), Some("VersionMismatch"));
        let note = cluster.wait_event(&namespace, "stale", "VersionMismatch").await;
        assert!(note.contains("1.0.0") && note.contains("2.0.0"), "{note}");
        stays(&cluster, &environment, "stale", Some("1.0.0"), "either may be the right one").await;
        live.annotate(VERSION, Some("2.0.0")).await;
        cluster.wait_recorded(&environment, "stale", "2.0.0").await;
        assert_eq!(cluster.writes(&environment, "stale"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_14_without_a_pattern_an_image_that_changes_under_its_annotation_is_warned_about() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "forgotten", &["1.0.0"]);
            let live = annotated("forgotten", "forgotten", "build-1").annotation(VERSION, "1.0.0");
            let live = live.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "forgotten", "1.0.0").await;
            assert_eq!(cluster.events(&namespace, "forgotten", "VersionAnnotationStale").await, Vec::<String>::new());
            live.set_image(&image("build-2")).await;
            let note = cluster.wait_event(&namespace, "forgotten", "VersionAnnotationStale").await;
            assert!(note.contains("1.0.0"), "{note}");
        })
        .await;
}

#[tokio::test]
async fn case_15_a_plus_in_the_version_and_its_spelling_in_the_tag_are_one_version() {
    let cluster = TestCluster::shared().await;
    with_version_rules(&cluster, json!({"tagPattern": "^(?<version>.+)$"}), async |namespace, environment| {
        for (name, tag) in [("under", "1.2.3_abc"), ("minus", "1.2.3-abc")] {
            let pacticipant = format!("plus-{name}");
            published(&cluster, &pacticipant, &["1.2.3+abc"]);
            let stated = annotated(name, &pacticipant, tag).annotation(VERSION, "1.2.3+abc");
            stated.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, &pacticipant, "1.2.3+abc").await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_15_names_and_versions_of_any_characters_are_recorded_exactly() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let cases = [
                ("spaces", "Order Service  (EU)", "release 1.2.3"),
                ("slashes", "org/team/orders", "feat/x/1.2.3"),
                ("pluses", "orders+returns", "1.2.3+abc.5"),
                ("unicode", "Größenänderung 🚀 日本", "1.0-ß-日本"),
                ("percent", "100%25 & more?#x", "50%2F;=@:\\\"'"),
            ];
            for (name, pacticipant, version) in cases {
                published(&cluster, pacticipant, &[version]);
                let stated = annotated(name, pacticipant, "x").annotation(VERSION, version);
                stated.apply(&cluster.client(), &namespace).await;
            }
            for (_, pacticipant, version) in cases {
                cluster.wait_recorded(&environment, pacticipant, version).await;
            }
            assert_eq!(cluster.broker.store().current_in(&environment).len(), cases.len());
        })
        .await;
}

#[tokio::test]
async fn case_16_a_short_sha_is_not_guessed_to_be_a_version_that_begins_with_it() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let whole = "4f2a9c1d00112233445566778899aabbccddeeff";
            published(&cluster, "short-sha", &[whole]);
            let live = annotated("short-sha", "short-sha", "4f2a9c1").apply(&cluster.client(), &namespace).await;
            cluster.wait_condition(&environment, "short-sha", ("VersionMissing", "True", "VersionMissing")).await;
            stays(&cluster, &environment, "short-sha", None, "nothing is guessed").await;
            // Stated in full it agrees with the tag.
            live.annotate(VERSION, Some(whole)).await;
            cluster.wait_recorded(&environment, "short-sha", whole).await;
        })
        .await;
}

#[tokio::test]
async fn case_17_an_environments_own_deny_list_counts() {
    let cluster = TestCluster::shared().await;
    with_version_rules(&cluster, json!({"denied": ["pr-*"]}), async |namespace, environment| {
        published(&cluster, "denied", &["pr-12", "dev"]);
        let live = annotated("denied", "denied", "pr-12").apply(&cluster.client(), &namespace).await;
        cluster.wait_condition(&environment, "denied", ("Ready", "False", "VersionMutable")).await;
        stays(&cluster, &environment, "denied", None, "the environment denies it").await;
        live.set_image(&image("dev")).await;
        cluster.wait_recorded(&environment, "denied", "dev").await;
    })
    .await;
}

#[tokio::test]
async fn case_22_a_sidecar_makes_the_version_ambiguous_until_a_container_is_named() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "sidecar", &["1.0.0", "9.9.9"]);
            let two = annotated("sidecar", "sidecar", "1.0.0").container("proxy", "registry.example.com/proxy:9.9.9");
            let live = two.apply(&cluster.client(), &namespace).await;
            cluster.wait_condition(&environment, "sidecar", ("Ready", "False", "AmbiguousContainer")).await;
            let note = cluster.wait_event(&namespace, "sidecar", "AmbiguousContainer").await;
            assert!(note.contains("proxy") && note.contains(CONTAINER), "{note}");
            stays(&cluster, &environment, "sidecar", None, "either may be meant").await;

            live.annotate(CONTAINER, Some("aap")).await;
            cluster.wait_condition(&environment, "sidecar", ("Ready", "False", "ContainerMissing")).await;
            live.annotate(CONTAINER, Some("app")).await;
            cluster.wait_recorded(&environment, "sidecar", "1.0.0").await;
            live.set_container_image("proxy", "registry.example.com/proxy:10.0.0").await;
            live.wait_complete().await;
            stays(&cluster, &environment, "sidecar", Some("1.0.0"), "only the sidecar changed").await;
            assert_eq!(cluster.writes(&environment, "sidecar"), ["Deployed 1.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_22_init_containers_are_not_containers_to_choose_from() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "prepared", &["1.0.0"]);
            let init = json!([{"name": "migrate", "image": "registry.example.com/migrate:7"}]);
            let rollout = annotated("prepared", "prepared", "1.0.0");
            let rollout = rollout.with(|manifest| manifest["spec"]["template"]["spec"]["initContainers"] = init);
            rollout.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "prepared", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn the_label_states_the_version_only_where_the_environment_says_so() {
    let cluster = TestCluster::shared().await;
    for (policy, wanted) in [("Ignore", None), ("Use", Some("3.2.1"))] {
        with_version_rules(&cluster, json!({"label": policy}), async |namespace, environment| {
            let pacticipant = format!("labelled-{policy}");
            published(&cluster, &pacticipant, &["3.2.1", "1.0.0", "main"]);
            let live = annotated("labelled", &pacticipant, "main").label(VERSION_LABEL, "3.2.1");
            let live = live.apply(&cluster.client(), &namespace).await;
            match wanted {
                Some(version) => cluster.wait_recorded(&environment, &pacticipant, version).await,
                None => {
                    cluster.wait_condition(&environment, &pacticipant, ("Ready", "False", "VersionMutable")).await;
                }
            }
            stays(&cluster, &environment, &pacticipant, wanted, "the policy says so").await;
            // The tag comes first wherever it states a version.
            live.set_image(&image("1.0.0")).await;
            cluster.wait_recorded(&environment, &pacticipant, "1.0.0").await;
        })
        .await;
    }
}

#[tokio::test]
async fn an_environment_may_refuse_annotated_versions() {
    let cluster = TestCluster::shared().await;
    with_version_rules(&cluster, json!({"annotation": "Refuse"}), async |namespace, environment| {
        published(&cluster, "refused", &["1.0.0", "2.0.0"]);
        let stated = annotated("refused", "refused", "1.0.0").annotation(VERSION, "2.0.0");
        let live = stated.apply(&cluster.client(), &namespace).await;
        cluster.wait_condition(&environment, "refused", ("Ready", "False", "AnnotationRefused")).await;
        cluster.wait_event(&namespace, "refused", "AnnotationRefused").await;
        stays(&cluster, &environment, "refused", None, "the annotation is refused, not ignored").await;
        live.annotate(VERSION, None).await;
        cluster.wait_recorded(&environment, "refused", "1.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn an_annotation_with_a_missing_name_is_reported_and_recorded_once_it_is_corrected() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "unnamed", &["1.0.0"]);
            let live = annotated("unnamed", "unnamed,,", "1.0.0").apply(&cluster.client(), &namespace).await;
            let note = cluster.wait_event(&namespace, "unnamed", "PacticipantEmpty").await;
            assert!(note.contains(PACTICIPANT), "{note}");
            stays(&cluster, &environment, "unnamed", None, "it is unknown which name is missing").await;
            live.annotate(PACTICIPANT, Some("unnamed")).await;
            cluster.wait_recorded(&environment, "unnamed", "1.0.0").await;
        })
        .await;
}
