use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::{
    api::{
        gate::{GateAction, GateActions, GateMode, GatePolicy},
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{Basis, GateRules, Identified, Judgement, Pair, PairResult, Question, Subject, Verdict},
    workload::{EnvironmentRef, IdentityProblem, VersionProblem, WorkloadKind},
};

/// Texts as bad as they come; those that have to be names are made fit by [`fit`].
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "is immutable",
        "IS  IMMUTABLE",
        "is",
        "immutable",
        "Immutable",
        "immutable   field",
        "immutable\nfield",
        "field",
        "is\r\nimmutable",
        "i\u{17f} immutable",
        "is\u{2028}immutable",
        "is\u{a0}immutable",
        "\n",
        "\t",
        "\u{0}",
        "\u{1b}[31m",
        "\u{2029}",
        "größe 日本",
        "🧨",
        "e\u{301}",
        "%49mmutable",
        "a+b/c&d=e?f#g",
        ";",
    ]);
    let pieces = prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.join(" "));
    prop_oneof![
        4 => pieces,
        1 => ".{1,300}",
        1 => Just("is immutable ".repeat(19) + "immutable"),
        1 => Just("x".repeat(255)),
        1 => Just("ö".repeat(255)),
        2 => "[a-z]{1,12}",
    ]
}

/// The nearest text that can be a name.
fn fit(text: &str) -> String {
    let fit: String = text.chars().filter(|character| !character.is_control()).take(255).collect();
    let fit = fit.trim();
    if fit.is_empty() { "x".to_owned() } else { fit.to_owned() }
}

fn pacticipants() -> impl Strategy<Value = Pacticipant> {
    hostile().prop_map(|text| Pacticipant::parse(&fit(&text)).unwrap())
}

fn versions() -> impl Strategy<Value = Version> {
    hostile().prop_map(|text| Version::parse(&fit(&text)).unwrap())
}

fn environments() -> impl Strategy<Value = EnvironmentName> {
    hostile().prop_map(|text| EnvironmentName::parse(&fit(&text).replace(char::is_whitespace, "-")).unwrap())
}

fn judgements(ours: Pacticipant) -> impl Strategy<Value = Judgement> {
    let results = [PairResult::Failed, PairResult::Unverified, PairResult::NotDeployed, PairResult::Verified];
    let side = (pacticipants(), versions(), prop::option::of(versions()));
    let pair = (prop::sample::select(results.to_vec()), any::<bool>(), side);
    let pair = pair.prop_map(move |(result, consumes, (other, consumer_version, provider_version))| {
        let (consumer, provider) = if consumes { (ours.clone(), other) } else { (other, ours.clone()) };
        Pair { result, consumer, consumer_version, provider, provider_version, in_flight: false }
    });
    let parts =
        (prop::sample::select(Verdict::ALL.to_vec()), prop::collection::vec(pair, 0..12), prop::option::of(hostile()));
    parts.prop_map(|(verdict, mut pairs, explanation)| {
        pairs.sort();
        Judgement { verdict, pairs, cautions: Vec::new(), vacuous: None, meant: None, explanation }
    })
}

fn problems() -> impl Strategy<Value = Problem> {
    let identity = hostile().prop_map(|text| {
        let problem = Pacticipant::parse(&format!("{text}\u{0}")).map_err(IdentityProblem::InvalidPacticipant);
        Problem::Identity(problem.err().unwrap_or(IdentityProblem::EmptyPacticipant))
    });
    let version = (pacticipants(), hostile(), hostile(), 0..6_u8).prop_map(|(pacticipant, one, other, kind)| {
        let problem = match kind {
            0 => VersionProblem::Mismatch { annotation: one, tag: other },
            1 => VersionProblem::PatternMismatch { tag: one, pattern: other },
            2 => VersionProblem::ContainerMissing { name: one, names: vec![other; 5] },
            3 => VersionProblem::Mutable { text: one },
            4 => VersionProblem::AnnotationRefused {
                annotation: one,
                otherwise: Version::parse(&fit(&other)).map_err(|_| Box::new(VersionProblem::NoContainers)),
            },
            _ => VersionProblem::NoTag { image: one },
        };
        Problem::Version { pacticipant, problem }
    });
    let not_owned = (pacticipants(), prop::collection::vec("[a-z]{1,63}", 0..5)).prop_map(|(pacticipant, owners)| {
        Problem::NotOwned(NotOwned { pacticipant, namespace: "shop".into(), owners })
    });
    prop_oneof![identity, version, not_owned]
}

fn findings() -> impl Strategy<Value = Finding> {
    let modes = [GateMode::Off, GateMode::Audit, GateMode::Warn, GateMode::Enforce, GateMode::Enforce];
    let how = (prop::sample::select(modes.to_vec()), any::<bool>());
    let judged = (pacticipants(), versions()).prop_flat_map(|(pacticipant, version)| {
        let identified = Identified { pacticipant: pacticipant.clone(), version };
        (Just(Ok(identified)), judgements(pacticipant).prop_map(Cause::Judged))
    });
    let unidentified = problems().prop_map(|problem| (Err(problem.clone()), Cause::Problem(problem)));
    let what = prop_oneof![3 => judged, 1 => unidentified];
    (what, environments(), how).prop_map(|((identified, cause), environment, (mode, members_listed))| {
        let environment_ref = EnvironmentRef { broker: "main".into(), environment };
        let subject = Subject {
            object: "production".into(),
            environment_ref,
            kind: WorkloadKind::Deployment,
            identified,
            basis: Basis::New,
            other_image: None,
        };
        Finding::new(subject, cause, &rules(mode), members_listed)
    })
}

/// Rules that say something about everything.
fn rules(mode: GateMode) -> GateRules {
    let actions =
        GateActions { yes_vacuous: GateAction::Deny, broker_unavailable: GateAction::Deny, ..GateActions::default() };
    GateRules::parse(&GatePolicy { mode, actions, ..GatePolicy::default() })
}

static DEADLY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?i)is\s+immutable|immutable\s+field").unwrap());

/// What Flux and `kubectl apply --force` look for, in the text as it is and in the text on one line.
fn gets_a_deployment_deleted(text: &str) -> bool {
    let joined =
        text.split(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']).collect::<Vec<_>>().join(" ");
    let collapsed = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    [text, &joined, &collapsed].iter().any(|text| DEADLY.is_match(text))
}

fn is_one_line(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

fn link_of(finding: &Finding) -> Option<String> {
    let it = finding.subject.identified.as_ref().ok()?;
    let question = Question {
        pacticipant: it.pacticipant.clone(),
        version: it.version.clone(),
        environment: finding.subject.environment_ref.environment.clone(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    };
    Some(matrix_link("https://pact.example.com/immutable/field/", &question.matrix_query()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_denial_gets_a_deployment_deleted_and_its_first_line_fits(findings in prop::collection::vec(findings(), 0..7)) {
        let decision = Decision::over(findings);
        let text = denial(&decision, link_of);
        prop_assert!(!gets_a_deployment_deleted(&text), "{}", text);
        prop_assert_eq!(text.is_empty(), decision.decisive().is_empty());
        let first = text.lines().next().unwrap_or_default();
        prop_assert!(first.chars().count() <= FIRST_LINE, "{}: {}", first.chars().count(), first);
        prop_assert!(text.lines().all(is_one_line), "{:?}", text);
        prop_assert!(text.lines().count() <= 8 + EXPLAINED * (LISTED + 4), "{}", text);
    }

    #[test]
    fn warnings_are_few_short_and_harmless(findings in prop::collection::vec(findings(), 0..7), own in hostile()) {
        let decision = Decision::over(findings);
        let texts = warnings(&decision);
        prop_assert!(texts.len() <= WARNINGS);
        prop_assert_eq!(texts.is_empty(), decision.outcome != Outcome::Warned);
        for text in texts.into_iter().chain([warning(&own)]) {
            prop_assert!(text.chars().count() <= WARNING, "{}: {}", text.chars().count(), text);
            prop_assert!(!gets_a_deployment_deleted(&text) && is_one_line(&text), "{:?}", text);
        }
    }

    #[test]
    fn notes_and_sentences_are_harmless_and_fit(finding in findings()) {
        for text in [note(&finding, link_of(&finding)), note(&finding, None), sentence(&finding)] {
            prop_assert!(!gets_a_deployment_deleted(&text) && is_one_line(&text), "{:?}", text);
        }
        let text = note(&finding, link_of(&finding));
        prop_assert!(text.len() <= NOTE, "{}: {}", text.len(), text);
    }

    #[test]
    fn the_first_line_names_application_version_and_environment(pacticipant in "[a-z][a-z0-9 ./+-]{0,28}[a-z0-9]", version in "[0-9][0-9a-z.+-]{0,18}", environment in "[a-z][a-z0-9-]{0,18}", mode in prop::sample::select(vec![GateMode::Warn, GateMode::Enforce]), verdict in prop::sample::select(vec![Verdict::No, Verdict::Unknown, Verdict::VersionMissing, Verdict::PacticipantUnknown])) {
        prop_assume!(!pacticipant.contains("immutable") && !version.contains("immutable"));
        let identified = Identified { pacticipant: Pacticipant::parse(&pacticipant).unwrap(), version: Version::parse(&version).unwrap() };
        let environment_ref = EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse(&environment).unwrap() };
        let subject = Subject { object: "production".into(), environment_ref, kind: WorkloadKind::Deployment, identified: Ok(identified), basis: Basis::New, other_image: None };
        let cause = Cause::Judged(Judgement::without_pairs(verdict, "for a reason ".repeat(40)));
        let decision = Decision::over(vec![Finding::new(subject, cause, &rules(mode), true)]);
        let text = if mode == GateMode::Enforce { denial(&decision, |_| None) } else { warnings(&decision).remove(0) };
        let first = text.lines().next().unwrap();
        for named in [&pacticipant, &version, &environment] {
            prop_assert!(first.contains(named.as_str()), "{:?} is not in {:?}", named, first);
        }
    }

    #[test]
    fn a_link_leads_to_the_very_names_and_reads_harmlessly(pacticipant in pacticipants(), version in versions(), environment in environments()) {
        let question = Question { pacticipant, version, environment, ignore: Vec::new() , in_flight: crate::api::gate::InFlight::default() };
        let link = matrix_link("https://pact.example.com/broker/", &question.matrix_query());
        prop_assert!(!link.to_lowercase().contains("immutable") && link.is_ascii() && !link.contains(' '), "{}", link);
        let url = url::Url::parse(&link).unwrap();
        prop_assert_eq!(url.path(), "/broker/matrix");
        let asked: Vec<_> = url.query_pairs().into_owned().collect();
        let expected = [
            ("q[][pacticipant]", question.pacticipant.as_str()),
            ("q[][version]", question.version.as_str()),
            ("latestby", "cvpv"),
            ("environment", question.environment.as_str()),
        ];
        prop_assert_eq!(asked, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn only_the_forbidden_words_are_changed(text in "[a-hj-z .\n]{0,80}") {
        prop_assert_eq!(sanitize(&text), text);
    }
}

#[test]
fn the_check_itself_finds_the_words() {
    for deadly in [
        "spec.selector: field is immutable",
        "Is \t IMMUTABLE",
        "is\nimmutable",
        "an immutable  field",
        "is\u{2028}immutable",
    ] {
        assert!(gets_a_deployment_deleted(deadly), "{deadly:?}");
        assert!(!gets_a_deployment_deleted(&sanitize(deadly)), "{deadly:?}");
    }
    assert!(!gets_a_deployment_deleted("immutable infrastructure"));
}

#[test]
fn more_findings_than_warnings_are_counted_in_the_last() {
    let finding = |name: &str| {
        let identified =
            Identified { pacticipant: Pacticipant::parse(name).unwrap(), version: Version::parse("2").unwrap() };
        let environment_ref =
            EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse("production").unwrap() };
        let subject = Subject {
            object: "production".into(),
            environment_ref,
            kind: WorkloadKind::Deployment,
            identified: Ok(identified),
            basis: Basis::New,
            other_image: None,
        };
        Finding::new(subject, Cause::Judged(Judgement::without_pairs(Verdict::No, "x")), &rules(GateMode::Warn), true)
    };
    let three = Decision::over(["a", "b", "c"].map(finding).to_vec());
    assert_eq!(warnings(&three).len(), 3);
    let four = warnings(&Decision::over(["a", "b", "c", "d"].map(finding).to_vec()));
    assert_eq!(four.len(), 3);
    assert!(four[0].starts_with("a 2") && four[1].starts_with("b 2") && four[2].starts_with("2 more"), "{four:?}");
}
