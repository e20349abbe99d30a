//! Bodies that come, and bodies that stall.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use super::*;

const MIB: usize = 1 << 20;
const PIECE: usize = 16 << 10;
const LIMITS: BodyLimits = BodyLimits { total: 16 * MIB, longest: 7 * MIB, reserved: 2 * MIB, short: 256 << 10 };
/// Longer than a body that has stalled is waited for.
const PATIENCE: Duration = Duration::from_millis(310);

/// So many bytes, a piece after the other.
fn bytes(length: usize) -> BoxStream<'static, Result<Bytes, Infallible>> {
    let pieces = (0..length).step_by(PIECE).map(move |at| Bytes::from(vec![b' '; PIECE.min(length - at)]));
    stream::iter(pieces).map(Ok).boxed()
}

fn announced(length: usize) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_LENGTH, length.into())])
}

/// A body that announces so many bytes, sends some, and then nothing.
fn stalled(budget: &BodyBudget, length: usize, sent: usize) -> JoinHandle<Result<usize, BodyError>> {
    let budget = budget.clone();
    tokio::spawn(async move {
        let body = Body::from_stream(bytes(sent).chain(stream::pending()));
        budget.collect(&announced(length), body).await.map(|body| body.len())
    })
}

/// A body that comes as fast as it is read.
async fn good(budget: &BodyBudget, length: usize) -> Result<Duration, BodyError> {
    let (began, headers) = (Instant::now(), announced(length));
    let reading = budget.collect(&headers, Body::from_stream(bytes(length)));
    let body = tokio::time::timeout(100 * PATIENCE, reading).await.expect("it is read")?;
    assert_eq!(body.len(), length);
    Ok(began.elapsed())
}

/// Lets everything happen that needs no time.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn case_109_ten_bodies_that_stall_delay_no_short_body_and_a_long_one_for_a_moment() {
    let budget = BodyBudget::new(LIMITS);
    let attack: Vec<_> = (0..10).map(|_| stalled(&budget, 7 * MIB, 69 * MIB / 10)).collect();
    settle().await;
    assert!(budget.held() > 13 * MIB && budget.held() <= 14 * MIB, "{}", budget.held());
    for _ in 0..100 {
        assert_eq!(good(&budget, 20 << 10).await, Ok(Duration::ZERO));
    }
    for _ in 0..3 {
        let took = good(&budget, 7 * MIB).await.unwrap();
        assert!(took <= 10 * PATIENCE, "{took:?}");
    }
    for body in attack {
        body.abort();
    }
    settle().await;
    assert_eq!(budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn case_109_a_body_that_stalls_is_given_up_only_where_its_room_is_needed() {
    let budget = BodyBudget::new(LIMITS);
    let first = stalled(&budget, 7 * MIB, 7 * MIB - 1);
    tokio::time::sleep(PATIENCE).await;
    let second = stalled(&budget, 7 * MIB, 7 * MIB - 1);
    tokio::time::sleep(100 * PATIENCE).await;
    assert!(!first.is_finished() && !second.is_finished(), "there is room for both");
    assert_eq!(good(&budget, 7 * MIB).await, Ok(Duration::ZERO), "both have stalled for long enough");
    assert_eq!(first.await.unwrap(), Err(BodyError::Stalled), "the one that was the furthest behind");
    assert!(!second.is_finished(), "one is enough");
}

#[tokio::test(start_paused = true)]
async fn case_109_a_body_that_trickles_is_given_up_like_one_that_stalls() {
    let budget = BodyBudget::new(LIMITS);
    let trickling = || {
        let (budget, slowly) = (budget.clone(), Duration::from_millis(100));
        let drops = stream::repeat(()).then(move |()| async move {
            tokio::time::sleep(slowly).await;
            Ok::<_, Infallible>(Bytes::from_static(b" "))
        });
        tokio::spawn(async move {
            let body = Body::from_stream(bytes(69 * MIB / 10).chain(drops));
            budget.collect(&announced(7 * MIB), body).await.map(|body| body.len())
        })
    };
    let (first, second) = (trickling(), trickling());
    settle().await;
    assert!(good(&budget, 7 * MIB).await.unwrap() <= PATIENCE);
    let ended = [first.is_finished(), second.is_finished()];
    assert_eq!(ended.into_iter().filter(|ended| *ended).count(), 1, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn case_109_a_thousand_bodies_that_only_begin_hold_what_they_sent_and_no_more() {
    let budget = BodyBudget::new(LIMITS);
    let attack: Vec<_> = (0..1_000).map(|_| stalled(&budget, 7 * MIB, 100)).collect();
    settle().await;
    assert_eq!(budget.held(), 1_000 * 100);
    assert_eq!(good(&budget, 7 * MIB).await, Ok(Duration::ZERO));
    // Short bodies that stall and fill everything give way as well.
    for body in attack {
        body.abort();
    }
    let _attack: Vec<_> = (0..1_000).map(|_| stalled(&budget, 100 << 10, (100 << 10) - 1)).collect();
    settle().await;
    assert!(budget.held() > LIMITS.total - PIECE, "{}", budget.held());
    assert!(good(&budget, 20 << 10).await.unwrap() <= PATIENCE);
    assert!(good(&budget, 20 << 10).await.unwrap() <= PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn case_109_many_long_bodies_at_once_are_all_read() {
    let budget = BodyBudget::new(LIMITS);
    // Each sends two mebibytes in a second, at the same time as the others.
    let slow = |number: usize| {
        let (budget, length) = (budget.clone(), (1 + number % 7) * MIB - number);
        tokio::spawn(async move {
            let pieces = bytes(length).and_then(async |piece| {
                tokio::time::sleep(Duration::from_secs(1) / 128).await;
                Ok(piece)
            });
            budget.collect(&announced(length), Body::from_stream(pieces)).await.map(|body| body.len())
        })
    };
    let bodies: Vec<_> = (0..40).map(slow).collect();
    for (number, body) in bodies.into_iter().enumerate() {
        assert_eq!(body.await.unwrap(), Ok((1 + number % 7) * MIB - number));
    }
    assert_eq!(budget.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_holds_its_room_until_it_is_dropped_and_none_when_it_is_refused() {
    let budget = BodyBudget::new(LIMITS);
    let body = budget.collect(&announced(MIB), Body::from_stream(bytes(MIB))).await.unwrap();
    assert_eq!(budget.held(), MIB);
    drop(body);
    assert_eq!(budget.held(), 0);
    let long = budget.collect(&announced(7 * MIB + 1), Body::from_stream(bytes(0))).await;
    assert_eq!(long.unwrap_err(), BodyError::TooLong);
    let long = budget.collect(&HeaderMap::new(), Body::from_stream(bytes(8 * MIB))).await;
    assert_eq!(long.unwrap_err(), BodyError::TooLong);
    let cut = bytes(100).map_err(|never| match never {}).chain(stream::iter([Err(std::io::Error::other("reset"))]));
    assert_eq!(budget.collect(&announced(200), Body::from_stream(cut)).await.unwrap_err(), BodyError::CutOff);
    let headers = announced(200);
    let waiting = budget.collect(&headers, Body::from_stream(bytes(100).chain(stream::pending())));
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_err());
    assert_eq!(budget.held(), 0);
}

#[test]
fn case_109_of_those_that_wait_the_one_that_misses_the_least_goes_first() {
    let (mut ledger, now) =
        (Ledger::new(BodyLimits { total: 30, longest: 20, reserved: 10, short: 10 }), Instant::now());
    let arrives = |ledger: &mut Ledger, length: usize| {
        let number = ledger.enter(length, Signals::default());
        ledger.arrived(number, length, now);
        (number, ledger.step(number, now))
    };
    let held: Vec<_> = (0..3).map(|_| arrives(&mut ledger, 10)).collect();
    assert!(held.iter().all(|(_, step)| *step == Step::Taken));
    let [(long, _), (longer, _), (short, _)] = [9, 10, 5].map(|length| arrives(&mut ledger, length));
    ledger.leave(held[0].0);
    assert_eq!(ledger.step(short, now), Step::Taken);
    assert!(ledger.step(long, now) != Step::Taken && ledger.step(longer, now) != Step::Taken);
    ledger.leave(short);
    assert_eq!(ledger.step(long, now), Step::Taken);
}

/// Bodies that arrive in pieces, in an order that is given.
struct Model {
    ledger: Ledger,
    now: Instant,
    /// What has not arrived yet, and the piece that has and waits for room.
    missing: BTreeMap<u64, (usize, usize)>,
}

impl Model {
    /// The next piece of a body arrives, or the one that waits gets its room. Whether it could.
    fn moves(&mut self, number: u64, piece: usize) -> bool {
        let (left, waiting) = self.missing[&number];
        let piece = if waiting == 0 { piece.min(left) } else { waiting };
        if waiting == 0 {
            self.ledger.arrived(number, piece, self.now);
        }
        if self.ledger.step(number, self.now) != Step::Taken {
            self.missing.insert(number, (left, piece));
            return false;
        }
        self.missing.insert(number, (left - piece, 0));
        if left == piece {
            self.missing.remove(&number);
            self.ledger.leave(number);
        }
        true
    }

    fn numbers(&self) -> Vec<u64> {
        self.missing.keys().copied().collect()
    }
}

proptest! {
    /// Whatever the order in which pieces arrive: never do all wait for each other.
    #[test]
    fn case_109_no_order_of_pieces_makes_bodies_wait_for_each_other(
        lengths in prop::collection::vec(1_usize..=70, 1..40),
        order in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..=9), 0..400),
    ) {
        let limits = BodyLimits { total: 100, longest: 70, reserved: 20, short: 10 };
        let mut model = Model { ledger: Ledger::new(limits), now: Instant::now(), missing: BTreeMap::new() };
        for length in lengths {
            model.missing.insert(model.ledger.enter(length, Signals::default()), (length, 0));
        }
        for (which, piece) in order {
            let numbers = model.numbers();
            if numbers.is_empty() {
                break;
            }
            model.moves(*which.get(&numbers), piece);
        }
        while !model.missing.is_empty() {
            let moved = model.numbers().into_iter().any(|number| model.moves(number, 1));
            prop_assert!(moved, "all wait: {:?}, {:?}", model.missing, model.ledger);
        }
        prop_assert_eq!(model.ledger.free(), limits.total);
    }
}
