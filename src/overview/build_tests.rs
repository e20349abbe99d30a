//! The picture of what was gathered: a row for each way in which a pair comes to its state.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    super::fixtures::{World, every_state, name, now, pairs, row, version},
    *,
};
use crate::overview::State;

#[test]
fn each_pair_has_the_state_that_the_gate_sees_in_it() {
    let two = || World::of(&[("web", "1"), ("api", "1")]);
    for (what, world, rows, expected) in [
        ("verified", two(), vec![row(("web", "1"), ("api", "1"), Some(true))], vec!["web 1 → api 1: verified"]),
        ("failed", two(), vec![row(("web", "1"), ("api", "1"), Some(false))], vec!["web 1 → api 1: failing"]),
        ("no result", two(), vec![row(("web", "1"), ("api", ""), None)], vec!["web 1 → api 1: unverified"]),
        ("no provider", two(), vec![row(("web", "1"), ("stock", ""), None)], vec!["web 1 → stock: missing"]),
        ("no pact", two(), vec![], vec![]),
        ("a row twice", two(), vec![row(("web", "1"), ("api", "1"), Some(true)); 2], vec!["web 1 → api 1: verified"]),
        ("not live any more", two(), vec![row(("web", "0"), ("api", "1"), Some(false))], vec![]),
        (
            "a live provider version beside one that verified the pact has no row",
            World::of(&[("web", "1"), ("api", "1"), ("api", "2")]),
            vec![row(("web", "1"), ("api", "1"), Some(true))],
            vec!["web 1 → api 2: unverified", "web 1 → api 1: verified"],
        ),
        (
            "a provider that rolls out",
            two().beside("api", "2", true),
            vec![row(("web", "1"), ("api", "1"), Some(true)), row(("web", "1"), ("api", "2"), Some(true))],
            vec!["web 1 → api 2: rolling-out", "web 1 → api 1: verified"],
        ),
        (
            "a provider that rolls out and breaks it",
            two().beside("api", "2", true),
            vec![row(("web", "1"), ("api", "1"), Some(true)), row(("web", "1"), ("api", "2"), Some(false))],
            vec!["web 1 → api 2: failing, rolling out", "web 1 → api 1: verified"],
        ),
        (
            "only the one that rolls out verified it",
            two().beside("api", "2", true),
            vec![row(("web", "1"), ("api", "2"), Some(true))],
            vec!["web 1 → api 1: unverified", "web 1 → api 2: rolling-out"],
        ),
        (
            "a provider that is only on its way",
            World::of(&[("web", "1")]).beside("api", "2", true),
            vec![row(("web", "1"), ("api", "2"), Some(true))],
            vec!["web 1 → api 2: rolling-out"],
        ),
        (
            "a consumer that rolls out",
            two().beside("web", "2", true),
            vec![row(("web", "1"), ("api", "1"), Some(true)), row(("web", "2"), ("api", ""), None)],
            vec!["web 2 → api 1: unverified, rolling out", "web 1 → api 1: verified"],
        ),
        (
            "two that run and cannot be recorded",
            World::of(&[]).beside("web", "2", false).beside("api", "3", false),
            vec![row(("web", "2"), ("api", "3"), Some(false))],
            vec!["web 2 → api 3: failing"],
        ),
        (
            "a provider that the checks of others leave out",
            two().ignoring("api"),
            vec![row(("web", "1"), ("api", "1"), Some(false))],
            vec!["web 1 → api 1: failing, ignored"],
        ),
        (
            "a consumer that the checks of others leave out",
            two().ignoring("web"),
            vec![row(("web", "1"), ("api", "1"), Some(false))],
            vec!["web 1 → api 1: failing, ignored"],
        ),
    ] {
        let environment = world.picture(&rows);
        assert_eq!(pairs(&environment), expected, "{what}");
        assert!(environment.known && environment.notice.is_none(), "{what}");
    }
}

#[test]
fn what_runs_is_shown_with_how_it_came_there() {
    let overview = every_state();
    let application = |wanted: &str| {
        let found = overview.environments[0].applications.iter().find(|it| it.pacticipant.as_str() == wanted);
        found.unwrap().clone()
    };
    let live = |number, recorded, rolling_out| LiveVersion { version: version(number), recorded, rolling_out };
    assert_eq!(application("orders").versions, [live("2.8.0", true, false), live("2.9.0", false, true)]);
    let lost = application("lost");
    assert_eq!((lost.versions.as_slice(), lost.published), ([live("3.0.0", false, false)].as_slice(), false));
    assert_eq!(lost.link, None, "the broker has no page of it");
    assert_eq!(application("web").link.unwrap(), "https://broker.example.com/pacticipants/web");
}

#[test]
fn what_the_broker_could_not_say_is_said() {
    let world = World::of(&[("web", "1"), ("api", "1")]).beside("api", "2", true);
    let rows = [row(("web", "1"), ("api", "1"), Some(true))];
    let unread = world.picture_of("production", Known::Rows { rows: &rows, unreadable: 2 });
    assert!(unread.notice.unwrap().contains("2 rows"));

    let pair = |provider_version: &str, result: &str| CheckedPair {
        consumer: "web".to_owned(),
        consumer_version: "1".to_owned(),
        provider: "api".to_owned(),
        provider_version: Some(provider_version.to_owned()),
        result: result.to_owned(),
    };
    let check = Check {
        version: "1".to_owned(),
        verdict: "No".to_owned(),
        vacuous: None,
        would_deny: true,
        message: String::new(),
        since: Time(now()),
        pairs: vec![pair("1", "Failed"), pair("2", "Verified"), pair("0", "Failed"), pair("1", "Nonsense")],
        more_pairs: None,
    };
    let why = "the broker did not answer\nin time".to_owned();
    let known = world.picture_of("production", Known::Remembered { checks: vec![&check], why });
    assert_eq!(pairs(&known), ["web 1 → api 1: failing", "web 1 → api 2: rolling-out"], "0 is not live any more");
    assert!(known.known && known.notice.unwrap().ends_with("did not answer in time"));

    let nothing = world.picture_of("production", Known::Nothing { why: "it is down".to_owned() });
    assert!(!nothing.known && nothing.pairs.is_empty() && nothing.applications.len() == 2);
}

#[test]
fn links_lead_to_the_web_only_and_name_what_they_are_about_in_full() {
    let rows = [row(("a/b <c>", "1+x"), ("größe", "2"), Some(true))];
    let mut world = World::of(&[("a/b <c>", "1+x"), ("größe", "2")]);
    let links = |world: &World| {
        let relation = world.picture(&rows).pairs.remove(0);
        (relation.matrix, relation.pact)
    };
    let (matrix, pact) = links(&world);
    assert_eq!(
        pact.unwrap(),
        "https://broker.example.com/pacts/provider/gr%C3%B6%C3%9Fe/consumer/a%2Fb%20%3Cc%3E/version/1%2Bx"
    );
    assert_eq!(
        matrix.unwrap(),
        "https://broker.example.com/matrix?q%5B%5D%5Bpacticipant%5D=a%2Fb%20%3Cc%3E&q%5B%5D%5Bversion%5D=1%2Bx\
         &q%5B%5D%5Bpacticipant%5D=gr%C3%B6%C3%9Fe&q%5B%5D%5Bversion%5D=2&latestby=cvpv"
    );
    for address in [
        "javascript:alert(1)",
        "JavaScript://broker.example.com/%0aalert(1)",
        "data:text/html,x",
        "ftp://broker.example.com",
        "//broker.example.com",
        "https://user:secret@broker.example.com",
        "not an address",
    ] {
        world.address = Some(address);
        assert_eq!(links(&world), (None, None), "{address}");
        assert!(world.picture(&rows).applications.iter().all(|it| it.link.is_none()), "{address}");
    }
    world.address = Some(" HTTP://broker.example.com/pact/ ");
    assert!(links(&world).0.unwrap().starts_with("http://broker.example.com/pact/matrix?"));
}

#[test]
fn the_worst_comes_first() {
    let overview = every_state();
    let names: Vec<_> = overview.environments.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["production", "test"]);
    let states: Vec<_> = overview.environments[0].pairs.iter().map(crate::overview::Relation::state).collect();
    let expected =
        [State::Failing, State::Missing, State::Unverified, State::RollingOut, State::Verified, State::Verified];
    assert_eq!(states, expected);
    let only = overview.only(|pair| pair.is_about(&name("reviews")), |_| false);
    // Who has the pair stays: it is there.
    assert_eq!((only.environments[0].pairs.len(), only.environments[0].applications.len()), (1, 1));
}
