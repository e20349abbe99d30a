//! What one sees first.

use super::{
    super::fixtures::{World, every_state, now, row},
    *,
};
use crate::overview::Known;

#[test]
fn the_first_sentence_says_whether_something_is_wrong_and_what() {
    let world = || World::of(&[("web", "1"), ("api", "2"), ("stock", "3")]);
    let (good, failed, unverified, missing) = (
        row(("web", "1"), ("api", "2"), Some(true)),
        row(("web", "1"), ("stock", "3"), Some(false)),
        row(("api", "2"), ("stock", ""), None),
        row(("stock", "3"), ("tax", ""), None),
    );
    for (environments, tone, sentence) in [
        (vec![], Tone::Unsure, "There is no environment to look at"),
        (vec![world().picture(&[])], Tone::Good, "Nothing that runs in production has a pact with anything else there"),
        (
            vec![world().picture(std::slice::from_ref(&good))],
            Tone::Good,
            "Everything that runs in production gets along",
        ),
        (
            vec![world().picture(std::slice::from_ref(&good)), world().picture(&[])],
            Tone::Good,
            "Everything that runs gets along",
        ),
        (
            vec![world().picture(&[good.clone(), failed.clone()])],
            Tone::Bad,
            "stock 3 fails the pact of web 1 in production",
        ),
        (
            vec![world().picture(std::slice::from_ref(&unverified))],
            Tone::Unsure,
            "stock 3 has not verified the pact of api 2 in production",
        ),
        (
            vec![world().picture(std::slice::from_ref(&missing))],
            Tone::Unsure,
            "stock 3 needs tax, which is not in production",
        ),
        (
            vec![world().picture(&[failed.clone(), unverified.clone(), missing.clone()])],
            Tone::Bad,
            "1 pair is failing, 1 without a provider, 1 not verified in production",
        ),
        (
            vec![
                world().picture(std::slice::from_ref(&unverified)),
                world().picture(std::slice::from_ref(&unverified)),
            ],
            Tone::Unsure,
            "2 pairs are not verified",
        ),
        (
            vec![world().ignoring("stock").picture(&[good, failed])],
            Tone::Good,
            "Everything that runs in production gets along, but for 1 pair that is ignored",
        ),
        (
            vec![world().picture_of("production", Known::Nothing { why: "it is down".to_owned() })],
            Tone::Unsure,
            "The pairs of 1 environment are not known",
        ),
    ] {
        assert_eq!(Overview::of(now(), environments).headline(), (tone, sentence.to_owned()));
    }
}

#[test]
fn what_is_wrong_is_named_the_worst_first() {
    let overview = every_state();
    let named: Vec<_> = overview.wrong().map(|(it, relation)| plain(&one(it, relation))).collect();
    assert_eq!(
        named,
        [
            "stock 1.36.0 fails the pact of web 4.2.0 in production",
            "web 4.2.0 needs reviews, which is not in production",
            "stock 1.36.0 has not verified the pact of orders 2.9.0 in production",
        ]
    );
}
