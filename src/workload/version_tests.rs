use super::*;
use crate::workload::{DenyList, PactAnnotations, RolloutState, TagPattern, WorkloadKind, WorkloadRef};

/// A workload with one container per image, named c0, c1, …
fn workload(images: &[&str]) -> Workload {
    let container =
        |(index, image): (usize, &&str)| Container { name: format!("c{index}"), image: (*image).to_owned() };
    Workload {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: "orders".into() },
        uid: "u".into(),
        generation: 1,
        annotations: PactAnnotations { pacticipant: Some("orders".into()), ..PactAnnotations::default() },
        version_label: None,
        containers: images.iter().enumerate().map(container).collect(),

        default_container: None,
        stray_keys: Box::default(),
        rollout: RolloutState::Complete,
        paused: false,
        at_zero: false,
        without_pods: false,
        deleting: false,
        controlled: false,
        canary_owner: None,
        revisions: None,
        jobs: Box::default(),
    }
}

fn stating(version: &str, image: &str) -> Workload {
    let mut workload = workload(&[image]);
    workload.annotations.version = Some(version.to_owned());
    workload
}

fn with_pattern(pattern: &str) -> VersionRules {
    VersionRules { tag_pattern: Some(TagPattern::parse(pattern).unwrap()), ..VersionRules::default() }
}

fn no_annotations() -> VersionRules {
    VersionRules { annotation_allowed: false, ..VersionRules::default() }
}

fn labels_too() -> VersionRules {
    VersionRules { use_label: true, ..VersionRules::default() }
}

/// The version and its source, or the reason of the problem.
fn outcome(workload: &Workload, rules: &VersionRules) -> Result<(String, VersionSource), &'static str> {
    resolve(workload, rules).map(|found| (found.version.to_string(), found.source)).map_err(|problem| problem.reason())
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with an outcome")]
fn found(version: &str, source: VersionSource) -> Result<(String, VersionSource), &'static str> {
    Ok((version.to_owned(), source))
}

const SHA: &str = "4f2a9c1d0b7e8f6a5c4d3e2f1a0b9c8d7e6f5a4b";

#[test]
fn case_12_latest_is_never_a_version() {
    let nothing_denied = VersionRules { denied: DenyList::new([""; 0]), ..VersionRules::default() };
    for rules in [&VersionRules::default(), &nothing_denied] {
        for image in ["orders:latest", "orders:LATEST", "reg:5000/orders:latest@sha256:00"] {
            assert_eq!(outcome(&workload(&[image]), rules), Err("VersionMutable"), "{image}");
        }
        assert_eq!(outcome(&stating(" Latest ", "orders:1.2.3"), rules), Err("VersionMutable"), "not by annotation");
        let mut labelled = workload(&["orders"]);
        labelled.version_label = Some("latest".into());
        let rules = VersionRules { use_label: true, ..rules.clone() };
        assert_eq!(outcome(&labelled, &rules), Err("VersionMutable"), "not by label");
    }
    // Nor as the part that a pattern extracts from a tag.
    let part = VersionRules { denied: DenyList::new([""; 0]), ..with_pattern("^(?<version>[a-z]+)-alpine$") };
    assert_eq!(outcome(&workload(&["orders:latest-alpine"]), &part), Err("VersionMutable"));
}

#[test]
fn case_12_an_empty_tag_and_mutable_names_are_never_versions() {
    let rules = VersionRules::default();
    for image in ["orders", "orders:", "localhost:5000/orders", ""] {
        assert!(matches!(resolve(&workload(&[image]), &rules), Err(VersionProblem::NoTag { .. })), "{image}");
    }
    for name in ["main", "stable", "Master", "dev"] {
        assert_eq!(outcome(&workload(&[&format!("orders:{name}")]), &rules), Err("VersionMutable"), "{name}");
        assert_eq!(outcome(&stating(name, "orders:1.2.3"), &rules), Err("VersionMutable"), "{name}");
    }
}

#[test]
fn case_13_a_digest_is_never_a_version_and_the_tag_beside_it_is() {
    let rules = VersionRules::default();
    let digest = format!("sha256:{}", "0a".repeat(32));
    let tagged = workload(&[&format!("reg:5000/team/orders:1.2.3@{digest}")]);
    assert_eq!(outcome(&tagged, &rules), found("1.2.3", VersionSource::ImageTag));
    let bare = workload(&[&format!("orders@{digest}")]);
    assert!(matches!(resolve(&bare, &rules), Err(VersionProblem::DigestOnly { .. })));
    let stated = stating(&digest, "orders:1.2.3");
    assert!(matches!(resolve(&stated, &rules), Err(VersionProblem::BareDigest { .. })));
    let as_tag = workload(&[&format!("orders:{}", digest.replace(':', "-"))]);
    assert!(matches!(resolve(&as_tag, &rules), Err(VersionProblem::BareDigest { .. })));
}

#[test]
fn case_13_the_annotation_stands_for_an_image_pinned_by_a_digest_alone() {
    let image = format!("orders@sha256:{}", "0a".repeat(32));
    let expected = found("1.2.3", VersionSource::Annotation);
    assert_eq!(outcome(&stating("1.2.3", &image), &VersionRules::default()), expected);
    assert_eq!(outcome(&stating("1.2.3", &image), &with_pattern("^v(?<version>.+)$")), expected);
}

#[test]
fn case_14_an_annotation_that_disagrees_with_the_tag_is_a_mismatch() {
    let rules = with_pattern("^v?(?<version>.+)$");
    let agreeing = found("1.2.3", VersionSource::Annotation);
    assert_eq!(outcome(&stating("1.2.3", "orders:v1.2.3"), &rules), agreeing);
    let problem = resolve(&stating("1.2.3", "orders:v1.2.4"), &rules).unwrap_err();
    assert_eq!(problem, VersionProblem::Mismatch { annotation: "1.2.3".into(), tag: "1.2.4".into() });
    assert_eq!(problem.reason(), "VersionMismatch");
    assert!(problem.to_string().contains("update the annotation together with the image"), "{problem}");
    // Without a pattern the annotation cannot be checked: it is used (and `stale_source` warns).
    assert_eq!(outcome(&stating("1.2.3", "orders:v1.2.4"), &VersionRules::default()), agreeing);
}

#[test]
fn case_14_an_annotation_that_cannot_be_checked_is_a_mismatch() {
    let rules = with_pattern("^v(?<version>.+)$");
    // The tag does not match the pattern: the annotation is compared with the whole tag.
    assert_eq!(outcome(&stating("1.2.3", "orders:1.2.3"), &rules), found("1.2.3", VersionSource::Annotation));
    assert_eq!(outcome(&stating("1.2.3", "orders:build-7"), &rules), Err("VersionMismatch"));
    assert_eq!(outcome(&stating("1.2.3", "orders:main"), &rules), Err("VersionMutable"));
    assert_eq!(outcome(&stating("1.2.3", "orders:v1.2.3-dirty"), &rules), Err("VersionMutable"));
    assert_eq!(outcome(&stating("1.2.3", "orders"), &rules), Err("VersionUnresolved"));
    let mut two = workload(&["orders:v1.2.3", "proxy:v9"]);
    two.annotations.version = Some("1.2.3".into());
    assert_eq!(outcome(&two, &rules), Err("AmbiguousContainer"));
    two.annotations.container = Some("c0".into());
    assert_eq!(outcome(&two, &rules), found("1.2.3", VersionSource::Annotation));
}

#[test]
fn case_15_a_plus_may_be_spelled_otherwise_in_the_tag() {
    let rules = with_pattern("(?<version>.+)");
    for tag in ["1.2.3_abc", "1.2.3-abc"] {
        let workload = stating("1.2.3+abc", &format!("orders:{tag}"));
        assert_eq!(outcome(&workload, &rules), found("1.2.3+abc", VersionSource::Annotation), "{tag}");
    }
    assert_eq!(outcome(&stating("1.2.3+abc", "orders:1.2.3.abc"), &rules), Err("VersionMismatch"));
    assert_eq!(outcome(&stating("1.2.3_abc", "orders:1.2.3-abc"), &rules), Err("VersionMismatch"), "only for a plus");
}

#[test]
fn case_16_a_commit_and_its_prefix_agree_in_both_directions() {
    for (annotation, tag, agreed) in [
        (SHA, &SHA[..7], true),
        (&SHA[..7], SHA, true),
        (&SHA[..12], &SHA[..7], true),
        (&SHA[..6], SHA, false),
        (SHA, &SHA[..6], false),
        (SHA, "4f2a9c2", false),
        ("4F2A9C1", SHA, true),
        ("orders1", "orders12", false),
        ("20260101", "202601012", false),
        ("1234567", "1234567890123456789012345678901234567890", true),
        (SHA, "", false),
        ("größe12", "größe123", false),
    ] {
        assert_eq!(agrees(annotation, tag), agreed, "{annotation} and {tag}");
    }
}

#[test]
fn case_16_the_version_sent_is_exactly_the_one_stated() {
    let rules = with_pattern("-(?<version>[0-9a-f]{7,40})$");
    let short_tag = format!("orders:main-{}", &SHA[..7]);
    assert_eq!(outcome(&stating(SHA, &short_tag), &rules), found(SHA, VersionSource::Annotation));
    assert_eq!(outcome(&workload(&[&short_tag]), &rules), found(&SHA[..7], VersionSource::ImageTag));
}

#[test]
fn case_17_dirty_and_local_builds_have_no_version() {
    let rules = VersionRules::default();
    for tag in ["1.2.3-dirty", "4f2a9c1-DIRTY", "dev", "0.0.0-SNAPSHOT", "local"] {
        assert_eq!(outcome(&workload(&[&format!("orders:{tag}")]), &rules), Err("VersionMutable"), "{tag}");
    }
    let cuts_it_off = with_pattern(r"^(?<version>\d+\.\d+\.\d+)");
    assert_eq!(outcome(&workload(&["orders:1.2.3-dirty"]), &cuts_it_off), Err("VersionMutable"));
    assert_eq!(outcome(&workload(&["orders:1.2.3-fips"]), &cuts_it_off), found("1.2.3", VersionSource::ImageTag));
}

#[test]
fn case_18_an_annotation_may_name_the_last_published_equivalent() {
    let rules = VersionRules::default();
    assert_eq!(outcome(&stating(SHA, "orders:build-77"), &rules), found(SHA, VersionSource::Annotation));
}

#[test]
fn case_22_the_named_or_only_container_counts() {
    let rules = VersionRules::default();
    assert_eq!(outcome(&workload(&["orders:1"]), &rules), found("1", VersionSource::ImageTag));
    let mut two = workload(&["orders:1", "proxy:2"]);
    let problem = resolve(&two, &rules).unwrap_err();
    assert_eq!(problem, VersionProblem::AmbiguousContainer { names: vec!["c0".into(), "c1".into()] });
    assert!(problem.to_string().contains("pact-operator.dev/container"), "{problem}");
    two.annotations.container = Some(" c1 ".into());
    assert_eq!(outcome(&two, &rules), found("2", VersionSource::ImageTag));
    two.annotations.container = Some("c2".into());
    let problem = resolve(&two, &rules).unwrap_err();
    assert_eq!(problem.reason(), "ContainerMissing");
    assert!(problem.to_string().contains("\"c0\", \"c1\""), "{problem}");
    two.annotations.container = Some(String::new());
    assert_eq!(outcome(&two, &rules), Err("ContainerMissing"));
    assert_eq!(outcome(&workload(&[]), &rules), Err("VersionUnresolved"));
}

#[test]
fn case_87_the_default_container_of_the_owner_counts_where_several_are_and_ours_names_none() {
    let rules = VersionRules::default();
    let mut two = workload(&["orders:1", "proxy:2"]);
    two.default_container = Some("c1".into());
    assert_eq!(outcome(&two, &rules), found("2", VersionSource::ImageTag));
    two.annotations.container = Some("c0".into());
    assert_eq!(outcome(&two, &rules), found("1", VersionSource::ImageTag), "ours comes first");
    two.annotations.container = None;
    two.default_container = Some("gone".into());
    assert_eq!(outcome(&two, &rules), Err("AmbiguousContainer"), "one that is not there says nothing");
    let mut one = workload(&["orders:1"]);
    one.default_container = Some("gone".into());
    assert_eq!(outcome(&one, &rules), found("1", VersionSource::ImageTag));
}

#[test]
fn a_tag_outside_the_pattern_gives_no_version() {
    let problem = resolve(&workload(&["orders:7"]), &with_pattern("^v(?<version>.+)$")).unwrap_err();
    assert_eq!(problem, VersionProblem::PatternMismatch { tag: "7".into(), pattern: "^v(?<version>.+)$".into() });
}

#[test]
fn the_label_is_asked_last_and_only_where_the_rules_say_so() {
    let labelled = |image: &str| Workload { version_label: Some("1.2.3".into()), ..workload(&[image]) };
    let by_label = found("1.2.3", VersionSource::Label);
    assert_eq!(outcome(&labelled("orders:latest"), &VersionRules::default()), Err("VersionMutable"));
    for image in ["orders:latest", "orders", "orders@sha256:00", "orders:main"] {
        assert_eq!(outcome(&labelled(image), &labels_too()), by_label, "{image}");
    }
    assert_eq!(outcome(&labelled("orders:2"), &labels_too()), found("2", VersionSource::ImageTag));
    assert_eq!(outcome(&workload(&["orders:latest"]), &labels_too()), Err("VersionMutable"), "no label");
    let mut wrong = labelled("orders:latest");
    wrong.annotations.container = Some("gone".into());
    assert_eq!(outcome(&wrong, &labels_too()), Err("ContainerMissing"), "a mistake is not hidden by a label");
    let dirty = Workload { version_label: Some("1.2.3-dirty".into()), ..workload(&["orders"]) };
    assert_eq!(outcome(&dirty, &labels_too()), Err("VersionMutable"));
    let mut two = workload(&["orders:1", "proxy:2"]);
    two.version_label = Some("1.2.3".into());
    assert_eq!(outcome(&two, &labels_too()), by_label, "no container is named, but the label states the version");
}

#[test]
fn a_refused_annotation_is_neither_used_nor_silently_ignored() {
    let by_tag = found("1.2.3", VersionSource::ImageTag);
    assert_eq!(outcome(&stating(" 1.2.3 ", "orders:1.2.3"), &no_annotations()), by_tag, "it agrees with the tag");
    let problem = resolve(&stating("1.2.4", "orders:1.2.3"), &no_annotations()).unwrap_err();
    assert_eq!(problem.reason(), "AnnotationRefused");
    assert!(problem.to_string().contains("\"1.2.4\"") && problem.to_string().contains("\"1.2.3\""), "{problem}");
    let problem = resolve(&stating("1.2.4", "orders:latest"), &no_annotations()).unwrap_err();
    assert!(problem.to_string().contains("there is none") && problem.to_string().contains("latest"), "{problem}");
}

#[test]
fn texts_that_no_broker_could_hold_are_problems() {
    let rules = VersionRules::default();
    for text in ["", "  ", "1\n2", "a\u{0}b", &"x".repeat(10_240)] {
        for pattern in [rules.clone(), with_pattern("(?<version>.+)")] {
            assert_eq!(outcome(&stating(text, "orders:1"), &pattern), Err("VersionInvalid"), "{text:?}");
        }
        assert_eq!(outcome(&stating(text, "orders:1"), &no_annotations()), Err("AnnotationRefused"), "{text:?}");
    }
    assert_eq!(outcome(&workload(&["orders:1\u{7}2"]), &rules), Err("VersionInvalid"));
}

#[test]
fn every_problem_is_one_short_line() {
    let nasty = format!("\u{1b}[31m\n{}", "ö".repeat(10_240));
    let names = vec![nasty.clone(); 100];
    for problem in [
        VersionProblem::NoContainers,
        VersionProblem::AmbiguousContainer { names: names.clone() },
        VersionProblem::ContainerMissing { name: nasty.clone(), names },
        VersionProblem::NoTag { image: nasty.clone() },
        VersionProblem::DigestOnly { image: nasty.clone() },
        VersionProblem::BareDigest { text: nasty.clone() },
        VersionProblem::Mutable { text: nasty.clone() },
        VersionProblem::PatternMismatch { tag: nasty.clone(), pattern: nasty.clone() },
        VersionProblem::Mismatch { annotation: nasty.clone(), tag: nasty.clone() },
        VersionProblem::AnnotationRefused {
            annotation: nasty.clone(),
            otherwise: Err(Box::new(VersionProblem::Mutable { text: nasty.clone() })),
        },
        VersionProblem::InvalidVersion(Version::parse(&nasty).unwrap_err()),
    ] {
        let text = problem.to_string();
        assert!(text.chars().count() < 1000 && !text.chars().any(char::is_control), "{text}");
        assert!(text.contains(": "), "a remedy follows: {text}");
        let reason = problem.reason();
        assert!(
            reason.chars().all(|c| c.is_ascii_alphanumeric()) && reason.starts_with(char::is_uppercase),
            "{reason}"
        );
    }
}
