//! What is asked when a name, or what states the version, goes or stays behind in a change.

use super::*;

fn named(names: &'static str) -> impl Fn(&mut Workload) {
    move |workload| workload.annotations.pacticipant = Some(names.into())
}

/// The names, with what is known of each.
fn shown(subjects: &[Subject]) -> Vec<(String, Basis)> {
    let name = |it: &Subject| (it.identified.as_ref().unwrap().pacticipant.to_string(), it.basis);
    subjects.iter().map(name).collect()
}

#[test]
fn case_84_a_name_that_goes_in_the_same_change_is_judged_with_the_new_image_too() {
    let rules = rules(&json!({}));
    let renamed = with(|workload| {
        named("ordres")(workload);
        image("2")(workload);
    });
    let asked = subjects(Some(&running()), false, &renamed, &rules, recorded);
    assert_eq!(shown(&asked), [("ordres".to_owned(), Basis::New), ("orders".to_owned(), Basis::New)]);
    let only_renamed = subjects(Some(&running()), false, &with(named("ordres")), &rules, recorded);
    assert_eq!(shown(&only_renamed), [("ordres".to_owned(), Basis::New)], "it breaks nothing of the old name");
    let two = with(named("orders, payments"));
    let fewer = subjects(Some(&two), false, &with(image("2")), &rules, recorded);
    assert_eq!(shown(&fewer), [("orders".to_owned(), Basis::New), ("payments".to_owned(), Basis::New)]);
}

#[test]
fn case_82_a_digest_that_changes_while_the_annotation_stays_is_a_mismatch_where_there_is_a_pattern() {
    let pinned = |version: &'static str, digest: &'static str| {
        with(move |workload| {
            workload.annotations.version = Some(version.into());
            workload.containers[0].image = format!("reg/orders@sha256:{digest}");
        })
    };
    let rules = rules(&json!({"tagPattern": "^v(?<version>.+)$"}));
    let (before, stale, both) = (pinned("1", "00"), pinned("1", "01"), pinned("2", "01"));
    assert_eq!(lines(&subjects(Some(&before), false, &stale, &rules, recorded)), ["orders VersionMismatch New"]);
    assert_eq!(lines(&subjects(Some(&before), false, &both, &rules, recorded)), ["orders 2 New"]);
    assert_eq!(lines(&subjects(Some(&before), true, &stale, &rules, recorded)), ["orders VersionMismatch New"]);
    assert_eq!(
        lines(&subjects(Some(&before), true, &before, &rules, recorded)),
        ["orders 1 Recorded"],
        "nothing of it runs"
    );
}

#[test]
fn a_name_that_goes_while_its_version_waits_is_judged_too_but_on_the_way_back() {
    let rules = rules(&json!({}));
    let renamed = subjects(Some(&running()), true, &with(named("ordres")), &rules, recorded);
    assert_eq!(shown(&renamed), [("ordres".to_owned(), Basis::New), ("orders".to_owned(), Basis::Recorded)]);
    let waits = with(|workload| {
        named("orders, payments")(workload);
        image("2")(workload);
    });
    for (version, asked) in [
        ("1", &[("orders", Basis::Recorded)][..]),
        ("2", &[("orders", Basis::New), ("payments", Basis::New)]),
        ("3", &[("orders", Basis::New), ("payments", Basis::New)]),
    ] {
        let back = subjects(Some(&waits), true, &with(image(version)), &rules, recorded);
        let asked: Vec<_> = asked.iter().map(|(name, basis)| ((*name).to_owned(), *basis)).collect();
        assert_eq!(shown(&back), asked, "{version}");
    }
}
