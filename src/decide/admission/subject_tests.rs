use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::{PactEnvironment, environment::OwnerRule},
    workload::{Container, Owners, PactAnnotations, RolloutState, WorkloadKind, WorkloadRef, environment_rules},
};

/// A Deployment that runs orders 1 beside a proxy.
fn running() -> Workload {
    let container = |name: &str, image: &str| Container { name: name.into(), image: image.into() };
    Workload {
        reference: WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: "orders".into() },
        uid: "u".into(),
        generation: 1,
        annotations: PactAnnotations {
            pacticipant: Some("orders".into()),
            container: Some("app".into()),
            ..PactAnnotations::default()
        },
        version_label: None,
        containers: vec![container("app", "reg/orders:1"), container("proxy", "envoy:1.30")],

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

fn with(change: impl Fn(&mut Workload)) -> Workload {
    let mut workload = running();
    change(&mut workload);
    workload
}

fn image(tag: &'static str) -> impl Fn(&mut Workload) {
    move |workload| workload.containers[0].image = format!("reg/orders:{tag}")
}

fn rules(version: &Value) -> EnvironmentRules {
    let spec = json!({"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "version": version});
    environment_rules::parse(&PactEnvironment::new("production", serde_json::from_value(spec).unwrap())).unwrap()
}

/// Of orders, 1 is recorded and 0.9 was.
fn recorded(_: &EnvironmentRef, pacticipant: &Pacticipant) -> RecordedVersions {
    let version = |text| Version::parse(text).unwrap();
    match pacticipant.as_str() {
        "orders" => RecordedVersions {
            current: [version("1")].into(),
            former: [version("0.9")].into(),
            ..RecordedVersions::default()
        },
        _ => RecordedVersions::default(),
    }
}

fn lines(subjects: &[Subject]) -> Vec<String> {
    let problem = |problem: &Problem| match problem {
        Problem::Identity(problem) => problem.reason().to_owned(),
        Problem::Version { pacticipant, problem } => format!("{pacticipant} {}", problem.reason()),
        Problem::NotOwned(NotOwned { pacticipant, .. }) => format!("{pacticipant} NotOwned"),
    };
    let subject = |subject: &Subject| match &subject.identified {
        Ok(it) => format!("{} {} {:?}", it.pacticipant, it.version, subject.basis),
        Err(it) => format!("{} {:?}", problem(it), subject.basis),
    };
    subjects.iter().map(subject).collect()
}

#[track_caller]
fn expect(what: &str, old: Option<&Workload>, new: &Workload, rules: &EnvironmentRules, expected: &[&str]) {
    let found = subjects(old, false, new, rules, recorded);
    assert_eq!(lines(&found), expected, "{what}");
    for subject in found {
        assert_eq!(
            (subject.object.as_str(), &subject.environment_ref),
            ("production", &rules.environment_ref),
            "{what}"
        );
    }
}

type Change = Box<dyn Fn(&mut Workload)>;
type Wrong = fn(&mut Workload);

/// Each change to the running Deployment, and what there is to ask about.
#[test]
fn what_changes_decides_what_is_asked() {
    let rules = rules(&json!({}));
    let annotated = |text: &'static str| move |it: &mut Workload| it.annotations.pacticipant = Some(text.into());
    let gone = |it: &mut Workload| it.annotations = PactAnnotations::default();
    let changes: Vec<(&str, Change, &[&str])> = vec![
        ("nothing", Box::new(|_| {}), &[]),
        ("what identifies no version", Box::new(|it| (it.generation, it.rollout) = (9, RolloutState::Paused)), &[]),
        ("the image", Box::new(image("2")), &["orders 2 New"]),
        ("the image, back to what was recorded", Box::new(image("0.9")), &["orders 0.9 Former"]),
        (
            "the registry alone",
            Box::new(|it| it.containers[0].image = "mirror/orders:1".into()),
            &["orders 1 Unchanged"],
        ),
        ("a sidecar's image", Box::new(|it| it.containers[1].image = "envoy:1.31".into()), &["orders 1 Unchanged"]),
        ("a bypass is stated", Box::new(|it| it.annotations.bypass = Some("1 why".into())), &[]),
        ("a sidecar goes", Box::new(|it| drop(it.containers.pop())), &["orders 1 Unchanged"]),
        (
            "which container counts",
            Box::new(|it| it.annotations.container = Some("proxy".into())),
            &["orders 1.30 New"],
        ),
        ("a version is stated", Box::new(|it| it.annotations.version = Some("2".into())), &["orders 2 New"]),
        (
            "the same version is stated",
            Box::new(|it| it.annotations.version = Some("1".into())),
            &["orders 1 Unchanged"],
        ),
        (
            "the label, which does not count",
            Box::new(|it| it.version_label = Some("2".into())),
            &["orders 1 Unchanged"],
        ),
        ("one more pacticipant", Box::new(annotated("orders, web")), &["orders 1 Unchanged", "web 1 New"]),
        ("another pacticipant", Box::new(annotated("web")), &["web 1 New"]),
        ("the name spelled with spaces", Box::new(annotated(" orders ")), &["orders 1 Unchanged"]),
        ("no pacticipant any more", Box::new(gone), &[]),
        (
            "no pacticipant any more, together with the image",
            Box::new(move |it| {
                image("2")(it);
                gone(it);
            }),
            &["orders 2 New"],
        ),
        (
            "no pacticipant any more, together with a sidecar's image",
            Box::new(move |it| {
                it.containers[1].image = "envoy:1.31".into();
                gone(it);
            }),
            &["orders 1 Unchanged"],
        ),
        (
            "the instance",
            Box::new(|it| it.annotations.application_instance = Some("blue".into())),
            &["orders 1 Recorded"],
        ),
        (
            "image and instance",
            Box::new(|it| {
                image("2")(it);
                it.annotations.application_instance = Some("blue".into());
            }),
            &["orders 2 New"],
        ),
        (
            "an instance that cannot be one",
            Box::new(|it| it.annotations.application_instance = Some(" ".into())),
            &["ApplicationInstanceInvalid New"],
        ),
        ("a pacticipant that cannot be read", Box::new(annotated("orders,,web")), &["PacticipantEmpty New"]),
        ("a tag that names no build", Box::new(image("latest")), &["orders VersionMutable New"]),
        (
            "a container that is not there",
            Box::new(|it| it.annotations.container = Some("web".into())),
            &["orders ContainerMissing New"],
        ),
        (
            "it is being deleted",
            Box::new(|it| {
                image("2")(it);
                it.deleting = true;
            }),
            &[],
        ),
    ];
    for (what, change, expected) in changes {
        expect(what, Some(&running()), &with(change), &rules, expected);
    }
}

#[test]
fn what_is_created_is_asked_about_unless_it_is_recorded() {
    let rules = rules(&json!({}));
    expect("the recorded version (case 69)", None, &running(), &rules, &["orders 1 Recorded"]);
    expect("a former version", None, &with(image("0.9")), &rules, &["orders 0.9 Former"]);
    expect("a new version", None, &with(image("2")), &rules, &["orders 2 New"]);
    let several = with(|it| it.annotations.pacticipant = Some("web,orders".into()));
    expect("several", None, &several, &rules, &["web 1 New", "orders 1 Recorded"]);
    expect("not ours", None, &with(|it| it.annotations.pacticipant = None), &rules, &[]);
    expect("being deleted", None, &with(|it| it.deleting = true), &rules, &[]);
    let adopted = with(|it| it.annotations = PactAnnotations::default());
    expect("annotated for the first time", Some(&adopted), &running(), &rules, &["orders 1 Recorded"]);
}

#[test]
fn the_label_counts_where_the_environment_says_so() {
    let rules = rules(&json!({"label": "Use"}));
    let labelled = |label: &'static str| {
        with(move |it| {
            image("latest")(it);
            it.version_label = Some(label.into());
        })
    };
    expect("another", Some(&labelled("1")), &labelled("2"), &rules, &["orders 2 New"]);
    expect("the same", Some(&labelled("1")), &labelled("1"), &rules, &[]);
    expect("back", Some(&labelled("1")), &labelled("0.9"), &rules, &["orders 0.9 Former"]);
}

#[test]
fn an_annotation_that_disagrees_with_the_tag_is_a_mismatch_where_there_is_a_pattern() {
    let stated = |tag: &'static str| {
        with(move |it| {
            image(tag)(it);
            it.annotations.version = Some("1".into());
        })
    };
    let pattern = rules(&json!({"tagPattern": "^(?<version>.+)$"}));
    expect("it stayed behind", Some(&stated("1")), &stated("2"), &pattern, &["orders VersionMismatch New"]);
    expect(
        "no pattern, so it is believed",
        Some(&stated("1")),
        &stated("2"),
        &rules(&json!({})),
        &["orders 1 Unchanged"],
    );
    let refusing = rules(&json!({"annotation": "Refuse"}));
    expect("annotations are refused", Some(&stated("1")), &stated("2"), &refusing, &["orders AnnotationRefused New"]);
}

/// Case 2: what already runs is not blocked by a sidecar's new image, whatever is wrong with it.
#[test]
fn a_problem_that_was_there_before_blocks_only_a_change_of_what_it_is_about() {
    let rules = rules(&json!({"tagPattern": "^(?<version>.+)$"}));
    let sidecar = |it: &mut Workload| it.containers[1].image = "envoy:1.31".into();
    let wrong: [(&str, Wrong, &str); 4] = [
        ("a mutable tag", |it| image("latest")(it), "orders VersionMutable"),
        ("a mismatch", |it| it.annotations.version = Some("7".into()), "orders VersionMismatch"),
        ("an empty name", |it| it.annotations.pacticipant = Some(String::new()), "PacticipantEmpty"),
        ("an instance", |it| it.annotations.application_instance = Some(String::new()), "ApplicationInstanceInvalid"),
    ];
    for (what, change, reason) in wrong {
        let old = with(change);
        let mut new = old.clone();
        sidecar(&mut new);
        expect(what, Some(&old), &new, &rules, &[&format!("{reason} Unchanged")]);
        new.containers[0].image.push_str("@sha256:0123456789012345678901234567890123456789012345678901234567890123");
        expect(&format!("{what}, another build"), Some(&old), &new, &rules, &[&format!("{reason} New")]);
    }
    let ambiguous = with(|it| it.annotations.container = None);
    let mut new = ambiguous.clone();
    sidecar(&mut new);
    expect("nobody says which image counts", Some(&ambiguous), &new, &rules, &["orders AmbiguousContainer New"]);
}

/// The environment says that orders is the bank's, and web the shop's; payments may be named by each.
fn owned_elsewhere() -> EnvironmentRules {
    let owner =
        |name: &str, namespace: &str| OwnerRule { pacticipants: vec![name.into()], namespaces: vec![namespace.into()] };
    let owners = Owners::new(&[owner("orders", "bank"), owner("web", "shop")]);
    EnvironmentRules { owners, ..rules(&json!({})) }
}

#[test]
fn case_103_a_pacticipant_that_other_namespaces_own_is_a_problem_of_the_name_alone() {
    let rules = owned_elsewhere();
    let named = |names: &'static str| move |it: &mut Workload| it.annotations.pacticipant = Some(names.into());
    expect("created", None, &running(), &rules, &["orders NotOwned New"]);
    expect("whatever is recorded", None, &with(image("0.9")), &rules, &["orders NotOwned New"]);
    expect("its own", None, &with(named("web,payments")), &rules, &["web 1 New", "payments 1 New"]);
    let both = with(named("web, orders"));
    expect("its own beside", None, &both, &rules, &["orders NotOwned New", "web 1 New"]);
    let latest = with(|it| {
        named("orders, web")(it);
        image("latest")(it);
    });
    expect("without a version", None, &latest, &rules, &["orders NotOwned New", "web VersionMutable New"]);
    let only = with(image("latest"));
    expect("whose version nobody asks for", None, &only, &rules, &["orders NotOwned New"]);
    expect("a name more", Some(&with(named("web"))), &both, &rules, &["orders NotOwned New", "web 1 Unchanged"]);
    expect("a name less", Some(&both), &with(named("web")), &rules, &["web 1 Unchanged"]);
}

#[test]
fn cases_2_and_103_a_name_of_others_that_was_there_before_blocks_a_new_build_and_no_sidecar() {
    let rules = owned_elsewhere();
    let sidecar = |it: &mut Workload| it.containers[1].image = "envoy:1.31".into();
    expect("a sidecar", Some(&running()), &with(sidecar), &rules, &["orders NotOwned Unchanged"]);
    expect("a new build", Some(&running()), &with(image("2")), &rules, &["orders NotOwned New"]);
    expect("nothing", Some(&running()), &running(), &rules, &[]);
    let unnamed = |it: &mut Workload| it.annotations = PactAnnotations::default();
    let remedied = with(|it| {
        image("2")(it);
        unnamed(it);
    });
    expect("the name goes with the new build", Some(&running()), &remedied, &rules, &[]);
    let both = with(|it| it.annotations.pacticipant = Some("web,orders".into()));
    let fewer = with(|it| {
        image("2")(it);
        it.annotations.pacticipant = Some("web".into());
    });
    expect("one of two names goes with it", Some(&both), &fewer, &rules, &["web 2 New"]);
    let mut other_owners = owned_elsewhere();
    other_owners.owners = Owners::default();
    expect("nobody owns it", Some(&running()), &with(image("2")), &other_owners, &["orders 2 New"]);
}

#[test]
fn cases_103_and_104_an_instance_that_the_environment_refuses_is_a_problem_that_may_stay() {
    let rules = rules(&json!({"applicationInstance": "Refuse"}));
    let of_instance = with(|it| it.annotations.application_instance = Some("blue".into()));
    expect("created", None, &of_instance, &rules, &["ApplicationInstanceRefused New"]);
    let mut sidecar = of_instance.clone();
    sidecar.containers[1].image = "envoy:1.31".into();
    expect("a sidecar", Some(&of_instance), &sidecar, &rules, &["ApplicationInstanceRefused Unchanged"]);
    expect("removed", Some(&of_instance), &running(), &rules, &["orders 1 Recorded"]);
}

#[test]
fn the_environments_own_instance_counts_where_the_workload_names_none() {
    let rules = EnvironmentRules { instance: ApplicationInstance::parse("blue").ok(), ..rules(&json!({})) };
    let named = with(|it| it.annotations.application_instance = Some("blue".into()));
    expect("the same one, named by the workload", Some(&running()), &named, &rules, &["orders 1 Unchanged"]);
}

#[path = "subject_behind_tests.rs"]
mod behind;

fn texts() -> impl Strategy<Value = Option<String>> {
    let known = prop::sample::select(vec!["orders", "orders,web", "1", "2", "app", "latest", "", ",", " ", "blue"]);
    prop::option::of(prop_oneof![3 => known.prop_map(str::to_owned), 1 => ".{0,40}", 1 => "[\\x00-\\x1f,]{0,8}"])
}

fn workloads() -> impl Strategy<Value = Workload> {
    let image = prop_oneof![
        3 => prop::sample::select(vec!["reg/orders:1", "reg/orders:2", "reg/orders:latest", "reg/orders", "x@sha256:00"]).prop_map(str::to_owned),
        1 => ".{0,40}"
    ];
    let container = (prop::sample::select(vec!["app", "proxy"]), image);
    let containers =
        prop::collection::vec(container.prop_map(|(name, image)| Container { name: name.into(), image }), 0..3);
    let annotations = (texts(), texts(), texts(), texts());
    (annotations, containers, texts(), prop::bool::weighted(0.1)).prop_map(
        |(annotations, containers, version_label, deleting)| {
            let (pacticipant, container, version, application_instance) = annotations;
            let annotations =
                PactAnnotations { pacticipant, container, version, application_instance, ..PactAnnotations::default() };
            Workload { annotations, version_label, containers, deleting, ..running() }
        },
    )
}

fn any_rules() -> impl Strategy<Value = EnvironmentRules> {
    let pattern = prop::option::of(Just("^v?(?<version>[0-9.]+)$"));
    let rule = (prop::sample::select(vec!["Allow", "Refuse"]), prop::sample::select(vec!["Ignore", "Use"]), pattern);
    rule.prop_map(|(annotation, label, pattern)| {
        let mut version = json!({"annotation": annotation, "label": label});
        if let Some(pattern) = pattern {
            version["tagPattern"] = json!(pattern);
        }
        rules(&version)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_workload_that_never_was_ours_is_never_asked_about(mut old in workloads(), mut new in workloads(), created in any::<bool>(), rules in any_rules()) {
        old.annotations.pacticipant = None;
        new.annotations.pacticipant = None;
        let old = (!created).then_some(&old);
        prop_assert_eq!(subjects(old, false, &new, &rules, recorded), vec![]);
    }

    #[test]
    fn an_update_that_changes_nothing_asks_nothing(workload in workloads(), generation in any::<i64>(), rules in any_rules()) {
        let mut new = workload.clone();
        (new.generation, new.rollout, new.uid) = (generation, RolloutState::Paused, "other".into());
        prop_assert_eq!(subjects(Some(&workload), false, &new, &rules, recorded), vec![]);
    }

    #[test]
    fn a_workload_that_is_being_deleted_is_admitted(old in workloads(), mut new in workloads(), rules in any_rules()) {
        new.deleting = true;
        prop_assert_eq!(subjects(Some(&old), false, &new, &rules, recorded), vec![]);
    }

    #[test]
    fn the_answer_is_what_identify_says_and_what_is_recorded_is_never_new(old in workloads(), mut new in workloads(), rules in any_rules()) {
        new.deleting = false;
        for subject in subjects(Some(&old), false, &new, &rules, recorded) {
            let Ok(it) = subject.identified else {
                prop_assert!(matches!(subject.basis, Basis::New | Basis::Unchanged));
                continue;
            };
            if it.pacticipant.as_str() == "orders" && it.version.as_str() == "1" {
                prop_assert!(matches!(subject.basis, Basis::Unchanged | Basis::Recorded));
            }
            if new.annotated() {
                let identity = identify(&new, &rules.version).unwrap().unwrap();
                let before = identify(&old, &rules.version).ok().flatten();
                let gone = before.is_some_and(|before| before.pacticipants.contains(&it.pacticipant));
                prop_assert!(gone || identity.pacticipants.contains(&it.pacticipant));
                prop_assert_eq!(identity.version.unwrap().version, it.version);
            }
        }
    }

    #[test]
    fn a_new_image_of_an_annotated_workload_is_never_without_a_subject(mut old in workloads(), named in "[a-z,]{0,12}", mut new in workloads(), remove in any::<bool>(), rules in any_rules()) {
        prop_assume!(old.containers != new.containers);
        old.annotations.pacticipant = Some(named);
        new.deleting = false;
        if remove {
            new.annotations = PactAnnotations::default();
        } else {
            new.annotations.pacticipant.clone_from(&old.annotations.pacticipant);
        }
        prop_assert!(!subjects(Some(&old), false, &new, &rules, recorded).is_empty());
    }
}

#[test]
fn a_name_that_was_put_on_another_application_is_noted_where_a_version_is_new() {
    let known = |images: Option<&[&str]>, current: &[&str]| RecordedVersions {
        current: current.iter().map(|text| Version::parse(text).unwrap()).collect(),
        images: images.map(|it| it.iter().map(|&image| image.to_owned()).collect()),
        ..RecordedVersions::default()
    };
    let runs = |image: &str| with(|workload| workload.containers[0].image = image.to_owned());
    let api = || runs("reg.example.com/shop/api:0.1");
    for (what, old, image, images, current, other) in [
        ("created", None, "docker.io/library/postgres:16", Some(&[][..]), vec!["1"], Some("postgres")),
        (
            "another image than before",
            Some(running()),
            "reg/postgres:16",
            Some(&[][..]),
            vec!["1"],
            Some("reg/postgres"),
        ),
        ("the same image as before", Some(api()), "reg.example.com/shop/api:0.2", Some(&[][..]), vec!["1"], None),
        (
            "an image that is recorded",
            None,
            "mirror.example.com/hub/shop/api:2",
            Some(&["shop/api"][..]),
            vec!["1"],
            None,
        ),
        (
            "named as the pacticipant is",
            None,
            "reg.example.com/shop/orders:2",
            Some(&["shop/api"][..]),
            vec!["1"],
            None,
        ),
        ("nothing is recorded", None, "postgres:16", Some(&[][..]), vec![], None),
        ("nobody knows the images", None, "postgres:16", None, vec!["1"], None),
        ("it is the recorded version", None, "postgres:1", Some(&[][..]), vec!["1"], None),
    ] {
        let recorded = |_: &EnvironmentRef, _: &Pacticipant| known(images, &current);
        let found = subjects(old.as_ref(), false, &runs(image), &rules(&json!({})), recorded);
        assert_eq!(found.iter().map(|it| it.other_image.as_deref()).collect::<Vec<_>>(), [other], "{what}");
    }
}
