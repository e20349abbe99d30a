//! Names that the broker does not know, or spells otherwise (cases 89 and 90).

use super::{tests::*, *};

/// The judgement on web 2 where the broker knows no `web` and these run: who was meant, and the explanation.
fn unknown_beside(live: &[&str]) -> (Option<String>, String) {
    let live = LiveVersions::all(live.iter().map(|pacticipant| (name(pacticipant), version("1"))));
    let mut asked = question(&[]);
    asked.pacticipant = name("orders");
    let judgement = Judgement::of_unknown_pacticipant(&asked, &live);
    assert_eq!((judgement.verdict, judgement.pairs.len()), (Verdict::PacticipantUnknown, 0));
    (judgement.meant.map(|name| name.to_string()), judgement.explanation.unwrap())
}

#[test]
fn case_89_a_slip_is_taken_for_the_name_in_the_environment_and_a_far_one_is_only_named() {
    let unknown = "the broker knows no pacticipant named orders";
    for (live, meant, explanation) in [
        (&["billing"][..], None, unknown.to_owned()),
        (&[], None, unknown.to_owned()),
        (&["billing", "Orders"], Some("Orders"), format!("{unknown}; production has Orders")),
        (&["order"], Some("order"), format!("{unknown}; production has order")),
        (&["orders-api"], None, format!("{unknown}; production has orders-api")),
    ] {
        assert_eq!(unknown_beside(live), (meant.map(str::to_owned), explanation), "{live:?}");
    }
}

#[test]
fn case_90_an_answer_in_another_spelling_is_refused_in_words() {
    for matrix in [
        answer(vec![row("Web", "2", "api", Some("10"), true)]),
        answer(vec![row("Web", "2", "api", Some("10"), false)]),
        answer(vec![row("shop", "1", "WEB", Some("2"), true)]),
    ] {
        let judgement = judge(&question(&[]), &Evidence::of_broker(&matrix, &LiveVersions::default()));
        assert_eq!((judgement.verdict, judgement.pairs.len()), (Verdict::PacticipantUnknown, 0));
        let meant = judgement.meant.unwrap();
        let text = format!("the broker spells the pacticipant {meant}, and not web: correct the annotation");
        assert!(judgement.explanation.unwrap().starts_with(&text));
        assert_eq!(brokers_spelling(&question(&[]), &matrix), Some(&meant));
    }
    let exact = answer(vec![row("web", "2", "api", Some("10"), true)]);
    assert_eq!(brokers_spelling(&question(&[]), &exact), None);
}

#[test]
fn case_90_an_unrecorded_consumer_counts_however_the_broker_spells_it() {
    let nothing = answer(Vec::new());
    let pairs = answer(vec![row("Shop", "1", "web", Some("2"), false)]);
    let unrecorded = [UnrecordedVersion { pacticipant: name("shop"), version: version("1"), in_flight: false }];
    let recorded = LiveVersions::all([]);
    let evidence = Evidence { matrix: &nothing, recorded: &recorded, unrecorded: &unrecorded, pairs: &pairs };
    assert_eq!(judge(&question(&[]), &evidence).verdict, Verdict::No);
}
