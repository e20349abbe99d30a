use proptest::prelude::*;

use super::*;
use crate::workload::{
    Container, DenyList, PactAnnotations, RolloutState, TagPattern, VersionSource, WorkloadKind, WorkloadRef,
};

fn workload(pacticipant: Option<&str>, image: &str) -> Workload {
    Workload {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: "orders".into() },
        uid: "u".into(),
        generation: 1,
        annotations: PactAnnotations { pacticipant: pacticipant.map(str::to_owned), ..PactAnnotations::default() },
        version_label: None,
        containers: vec![Container { name: "app".into(), image: image.into() }],

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

fn names(annotation: &str) -> Result<Vec<String>, IdentityProblem> {
    let identity = identify(&workload(Some(annotation), "orders:1"), &VersionRules::default())?;
    Ok(identity.unwrap().pacticipants.iter().map(ToString::to_string).collect())
}

#[test]
fn a_workload_without_the_annotation_is_not_ours() {
    let mut unannotated = workload(None, "orders:latest");
    unannotated.annotations.version = Some("1".into());
    unannotated.annotations.container = Some("gone".into());
    assert_eq!(identify(&unannotated, &VersionRules::default()), Ok(None));
}

#[test]
fn case_23_several_pacticipants_run_in_one_deployment() {
    let workload = workload(Some("gateway, gateway-admin ,gateway,bff"), "gateway:1.2.3");
    let identity = identify(&workload, &VersionRules::default()).unwrap().unwrap();
    let names: Vec<_> = identity.pacticipants.iter().map(Pacticipant::as_str).collect();
    assert_eq!(names, ["gateway", "gateway-admin", "bff"], "each once, in the order written");
    assert_eq!(identity.version.unwrap().version.as_str(), "1.2.3");
}

#[test]
fn names_with_spaces_slashes_pluses_and_unicode_stay_as_they_are() {
    assert_eq!(
        names("Order Service, org/app, a+b, größe 日本, a:b@c#d?e%f&g").unwrap(),
        ["Order Service", "org/app", "a+b", "größe 日本", "a:b@c#d?e%f&g"]
    );
}

#[test]
fn a_bad_pacticipant_annotation_is_a_problem_with_a_remedy() {
    for empty in ["", "  ", ",", "orders,", ",orders", "a,,b"] {
        assert_eq!(names(empty).unwrap_err(), IdentityProblem::EmptyPacticipant, "{empty:?}");
    }
    assert!(matches!(names("a\u{0}b").unwrap_err(), IdentityProblem::InvalidPacticipant(_)));
    assert!(matches!(names(&"x".repeat(256)).unwrap_err(), IdentityProblem::InvalidPacticipant(_)));
    assert_eq!(names(&"x".repeat(10_240)).unwrap_err(), IdentityProblem::TooLong { bytes: 10_240 });
    let many = |count: usize| (0..count).map(|it| format!("p{it}")).collect::<Vec<_>>().join(",");
    assert_eq!(names(&many(MAX_PACTICIPANTS)).unwrap().len(), MAX_PACTICIPANTS);
    assert_eq!(names(&many(MAX_PACTICIPANTS + 1)).unwrap_err(), IdentityProblem::TooMany { count: 17 });
    assert_eq!(names("a,b,".repeat(400).trim_end_matches(',')).unwrap(), ["a", "b"], "only different names count");
    for problem in [names(""), names("a\nb"), names(&many(99)), names(&"x".repeat(10_240))] {
        let problem = problem.unwrap_err();
        let text = problem.to_string();
        assert!(text.contains("pact-operator.dev/pacticipant") && text.chars().count() < 256, "{text}");
        assert!(!problem.reason().is_empty());
    }
}

#[test]
fn case_35_an_instance_of_its_own_is_read_and_a_bad_one_is_a_problem() {
    let instance = |text: Option<&str>| {
        let mut workload = workload(Some("orders"), "orders:1");
        workload.annotations.application_instance = text.map(str::to_owned);
        identify(&workload, &VersionRules::default()).unwrap().unwrap().application_instance
    };
    assert_eq!(instance(None), Ok(None));
    assert_eq!(instance(Some("customer 1")).unwrap().unwrap().as_str(), "customer 1");
    let invalid = |text| match instance(Some(text)) {
        Err(IdentityProblem::InvalidApplicationInstance(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert!(matches!(invalid(""), NameError::Empty { .. }), "an empty instance would displace the null row");
    assert!(matches!(invalid("a\tb"), NameError::ControlCharacter { .. }));
}

#[test]
fn cases_103_and_104_an_instance_is_refused_where_the_environment_says_so_or_records_releases() {
    for (own_instance, problem) in [
        (OwnInstance::Refused, IdentityProblem::ApplicationInstanceRefused),
        (OwnInstance::OfRelease, IdentityProblem::ApplicationInstanceOfRelease),
    ] {
        let rules = VersionRules { own_instance, ..VersionRules::default() };
        let instance = |text: Option<&str>| {
            let mut workload = workload(Some("orders"), "orders:1");
            workload.annotations.application_instance = text.map(str::to_owned);
            identify(&workload, &rules).unwrap().unwrap().application_instance
        };
        assert_eq!(instance(None), Ok(None));
        for text in ["blue", "", " "] {
            assert_eq!(instance(Some(text)), Err(problem.clone()), "{text:?}");
        }
        assert_eq!(problem.reason(), "ApplicationInstanceRefused");
        assert!(problem.to_string().contains("pact-operator.dev/application-instance"), "{problem}");
    }
}

#[test]
fn a_missing_version_leaves_the_pacticipants_known() {
    let identity = identify(&workload(Some("orders"), "orders:latest"), &VersionRules::default()).unwrap().unwrap();
    assert_eq!(identity.pacticipants.len(), 1);
    assert_eq!(identity.version.unwrap_err().reason(), "VersionMutable");
}

fn stale_annotated(old: &Workload, new: &Workload) -> bool {
    stale_source(old, new, &VersionRules::default()).is_some()
}

#[test]
fn cases_82_and_83_a_source_that_stays_while_an_untagged_image_changes_is_a_mismatch_with_a_pattern() {
    let pattern = VersionRules {
        tag_pattern: Some(crate::workload::TagPattern::parse("^v(?<version>.+)$").unwrap()),
        use_label: true,
        ..VersionRules::default()
    };
    let free = VersionRules { use_label: true, ..VersionRules::default() };
    let at = |label: bool, stated: &str, image: &str| {
        let mut workload = workload(Some("orders"), image);
        *(if label { &mut workload.version_label } else { &mut workload.annotations.version }) = Some(stated.into());
        workload
    };
    let (first, second) = ("orders@sha256:00", "orders@sha256:01");
    for label in [false, true] {
        let key = if label { "app.kubernetes.io/version" } else { "pact-operator.dev/version" };
        let stale = |old: (&str, &str), new: (&str, &str), rules: &VersionRules| {
            stale_source(&at(label, old.0, old.1), &at(label, new.0, new.1), rules)
        };
        let found = stale(("1", first), ("1", second), &pattern).expect("it stayed");
        let problem = found.mismatch().expect("nothing can check it");
        assert_eq!(problem.reason(), "VersionMismatch");
        assert!(problem.to_string().starts_with(&format!("{key} still says \"1\"")), "{problem}");
        let warned = stale(("1", first), ("1", second), &free).expect("it stayed");
        assert_eq!(warned.mismatch(), None, "a warning without a pattern");
        for rules in [&pattern, &free] {
            assert_eq!(stale(("1", first), ("2", second), rules), None, "both changed");
            assert_eq!(stale(("1", first), ("1", first), rules), None, "nothing changed");
            assert_eq!(stale(("1", first), ("1", "mirror.example/orders@sha256:00"), rules), None, "the same build");
        }
    }
}

#[test]
fn case_14_an_image_that_changes_while_the_annotation_stays_is_stale() {
    let at = |version: Option<&str>, image: &str| {
        let mut workload = workload(Some("orders"), image);
        workload.annotations.version = version.map(str::to_owned);
        workload
    };
    let stale =
        |old: (Option<&str>, &str), new: (Option<&str>, &str)| stale_annotated(&at(old.0, old.1), &at(new.0, new.1));
    assert!(stale((Some("1"), "orders:build-7"), (Some("1"), "orders:build-8")));
    assert!(stale((Some("1"), "orders@sha256:00"), (Some("1"), "orders@sha256:01")));
    assert!(!stale((Some("1"), "orders:build-7"), (Some("2"), "orders:build-8")), "both changed");
    assert!(!stale((Some("1"), "orders:build-7"), (Some("1"), "orders:build-7")), "nothing changed");
    assert!(!stale((None, "orders:1"), (None, "orders:2")), "there is no annotation");
    assert!(!stale((None, "orders:1"), (Some("1"), "orders:2")), "the annotation is new");
    assert!(!stale((Some("2"), "orders:1"), (Some("2"), "orders:2")), "the image caught up with the annotation");
    let mut unmanaged = at(Some("1"), "orders:2");
    unmanaged.annotations.pacticipant = None;
    assert!(!stale_annotated(&at(Some("1"), "orders:1"), &unmanaged), "no longer ours");
}

#[test]
fn case_22_a_sidecar_that_changes_makes_no_annotation_stale_when_the_container_is_named() {
    let at = |app: &str, proxy: &str, named: bool| {
        let mut workload = workload(Some("orders"), app);
        workload.containers.push(Container { name: "proxy".into(), image: proxy.into() });
        workload.annotations.version = Some("1".into());
        workload.annotations.container = named.then(|| "app".to_owned());
        workload
    };
    assert!(!stale_annotated(&at("orders:a", "proxy:1", true), &at("orders:a", "proxy:2", true)));
    assert!(stale_annotated(&at("orders:a", "proxy:1", true), &at("orders:b", "proxy:1", true)));
    assert!(
        stale_annotated(&at("orders:a", "proxy:1", false), &at("orders:a", "proxy:2", false)),
        "no container is named"
    );
    assert!(!stale_annotated(&at("orders:a", "proxy:1", false), &at("orders:a", "proxy:1", false)));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,40}",
        "[a-f0-9]{6,41}",
        Just("latest".to_owned()),
        "v[0-9]\\.[0-9](-dirty)?",
        "[a-z]{1,5}(, ?[a-z+/ ö]{1,5}){0,4}",
        "[a-z]{1,4}(:[0-9]{2}/[a-z]{1,3})?:(latest|LATEST|v?[0-9]{1,2}|)(@sha256:[0-9a-f]{64})?",
        Just("x".repeat(10_240)),
    ]
}

prop_compose! {
    fn any_workload()(
        pacticipant in proptest::option::weighted(0.9, text()),
        container in proptest::option::of(prop_oneof![text(), Just("app".to_owned())]),
        version in proptest::option::of(text()),
        instance in proptest::option::of(text()),
        label in proptest::option::of(text()),
        images in proptest::collection::vec(text(), 0..3),
    ) -> Workload {
        let mut workload = workload(None, "");
        workload.annotations = PactAnnotations {
            pacticipant,
            container,
            version,
            application_instance: instance,
            ..PactAnnotations::default()
        };
        workload.version_label = label;
        workload.containers = images
            .into_iter()
            .enumerate()
            .map(|(index, image)| Container { name: if index == 0 { "app".into() } else { format!("c{index}") }, image })
            .collect();
        workload
    }
}

prop_compose! {
    fn any_rules()(
        annotation_allowed: bool,
        use_label: bool,
        pattern in prop_oneof![Just(None), Just(Some("^v?(?<version>.+)$")), Just(Some("(?<version>[0-9a-f]{7,40})"))],
        deny: bool,
        own_instance in prop::sample::select(vec![OwnInstance::Allowed, OwnInstance::Refused, OwnInstance::OfRelease]),
    ) -> VersionRules {
        VersionRules {
            annotation_allowed,
            use_label,
            tag_pattern: pattern.map(|pattern| TagPattern::parse(pattern).unwrap()),
            denied: if deny { DenyList::default() } else { DenyList::new([""; 0]) },
            own_instance,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_workload_makes_identify_panic_or_break_a_promise(workload in any_workload(), rules in any_rules()) {
        let identified = identify(&workload, &rules);
        prop_assert_eq!(workload.annotations.pacticipant.is_none(), matches!(identified, Ok(None)));
        let Ok(Some(identity)) = identified else { return Ok(()) };
        prop_assert!(!identity.pacticipants.is_empty());
        if let Err(problem) = &identity.version {
            prop_assert!(problem.to_string().chars().count() < 1000);
        }
        let Ok(ResolvedVersion { version, source }) = identity.version else { return Ok(()) };
        let text = version.as_str();
        prop_assert!(!text.eq_ignore_ascii_case("latest") && !text.is_empty() && text.trim() == text);
        prop_assert!(rules.denied.denies(text).is_none() && !crate::workload::image::is_digest(text));
        match source {
            VersionSource::Annotation => {
                prop_assert!(rules.annotation_allowed);
                prop_assert_eq!(workload.annotations.version.as_deref().map(str::trim), Some(text));
            }
            VersionSource::ImageTag => prop_assert!(workload.containers.iter().any(|it| it.image.contains(text))),
            VersionSource::Label => prop_assert!(rules.use_label),
        }
    }

    #[test]
    fn names_survive_unchanged(written in proptest::collection::vec("[a-zA-Z0-9ö日+/:@#?%& ._-]{1,30}", 1..8)) {
        prop_assume!(written.iter().all(|name| !name.trim().is_empty()));
        let mut expected: Vec<String> = Vec::new();
        for name in written.iter().map(|name| name.trim().to_owned()) {
            if !expected.contains(&name) {
                expected.push(name);
            }
        }
        prop_assert_eq!(names(&written.join(",")).unwrap(), expected);
    }

    #[test]
    fn stale_annotation_never_panics_and_needs_an_image_that_changed(old in any_workload(), new in any_workload()) {
        let _ = stale_annotated(&old, &new);
        prop_assert!(!stale_annotated(&new, &new));
    }
}
