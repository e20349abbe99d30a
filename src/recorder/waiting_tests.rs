//! The pace of what waits for a person, and what a list of a broker brings forward.

use super::*;
use crate::decide::record::fixtures::{key, version};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn room() -> WaitingRoom {
    WaitingRoom::new(Duration::from_mins(5))
}

fn task(name: &str) -> Task {
    Task::Record(key("production", name))
}

fn missing(text: &str) -> Refused {
    refusal(&version(text), Explanation::new(Reason::VersionMissing, "message"))
}

fn forbidden(text: &str) -> Refused {
    refusal(&version(text), Explanation::new(Reason::Forbidden, "message"))
}

fn latest(pairs: &[(&str, &str)]) -> Latest {
    pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

/// Reads a list now; the names of the pacticipants that it tells about.
fn told(room: &WaitingRoom, pairs: &[(&str, &str)], now: Instant) -> Vec<String> {
    let told = room.listed("main", Some(latest(pairs)), now + SECOND, now).into_iter();
    let mut names: Vec<_> = told.filter_map(|(task, _)| Some(key_of(&task)?.pacticipant.to_string())).collect();
    names.sort();
    names
}

/// Tries everything that is due at each second, in vain; answers how often in each hour.
fn tries_by_hour(room: &WaitingRoom, tasks: &[Task], refused: &Refused, hours: u32) -> Vec<u32> {
    let start = Instant::now();
    // By when it is due, as the queue has it.
    let mut due: std::collections::BTreeSet<(Duration, usize)> =
        (0..tasks.len()).map(|at| (Duration::ZERO, at)).collect();
    let mut tries = vec![0; hours as usize];
    while let Some((at, task)) = due.pop_first() {
        let Some(hour) = tries.get_mut((at.as_secs() / 3600) as usize) else { break };
        *hour += 1;
        assert_eq!(room.begin(&tasks[task], start + at), None, "it is due");
        let (again, _) = room.refused(&tasks[task], refused.clone(), start + at);
        due.insert((at + again.after, task));
    }
    tries
}

#[test]
fn case_112_a_fresh_rollout_is_tried_within_seconds_then_minutes() {
    let (room, start) = (room(), Instant::now());
    let (mut at, mut delays) = (start, Vec::new());
    for _ in 0..12 {
        assert_eq!(room.begin(&task("orders"), at), None);
        let (again, _) = room.refused(&task("orders"), missing("1"), at);
        delays.push((again.after.as_secs(), again.quick));
        at += again.after;
    }
    for (number, (seconds, quick)) in (0..).zip(&delays) {
        let base = 2_u64.pow(number);
        assert_eq!(*quick, number < 7, "{delays:?}");
        assert!((base.min(300)..=base.min(300) * 5 / 4).contains(seconds), "{delays:?}");
    }
}

#[test]
fn case_112_five_thousand_cost_no_more_than_a_few() {
    for (name, refused, a_second) in [("missing", missing("1"), 0.2), ("forbidden", forbidden("1"), 0.2 / 3.0)] {
        let tasks: Vec<_> = (0..5_000).map(|number| task(&format!("app-{number}"))).collect();
        let hours = tries_by_hour(&room(), &tasks, &refused, 30);
        let first = hours[0];
        assert!(first < 5_000 + 420 + 3 * 720, "{name}: each once, some quickly again, then paced: {hours:?}");
        for hour in &hours[1..] {
            let rate = f64::from(*hour) / 3600.0;
            assert!(rate <= a_second * 1.35, "{name}: {rate} a second: {hours:?}");
        }
        assert!(hours[1..].iter().sum::<u32>() > 1_000, "{name}: none is forgotten: {hours:?}");
    }
}

#[test]
fn case_112_few_are_tried_as_often_as_the_settings_say() {
    let tasks: Vec<_> = (0..10).map(|number| task(&format!("app-{number}"))).collect();
    let hours = tries_by_hour(&room(), &tasks, &missing("1"), 3);
    assert!((95..=120).contains(&hours[2]), "each every five minutes: {hours:?}");
    let hours = tries_by_hour(&room(), &tasks, &forbidden("1"), 4);
    assert!((8..=10).contains(&hours[3]), "each every hour: {hours:?}");
}

#[test]
fn what_is_refused_holds_until_its_time_for_the_same_task_only() {
    let (room, now) = (room(), Instant::now());
    let (again, changed) = room.refused(&task("orders"), missing("1"), now);
    assert!(!changed);
    assert_eq!(room.begin(&task("orders"), now), Some(missing("1")));
    assert_eq!(room.begin(&task("other"), now), None);
    assert_eq!(room.begin(&task("orders"), now + again.after), None);
    assert_eq!(room.of(&task("orders")), Some(missing("1")), "it waits on");
    assert!(room.refused(&task("orders"), forbidden("1"), now).1, "for another reason");
    assert_eq!(room.leave(&task("orders")), Some(Reason::Forbidden));
    assert_eq!((room.leave(&task("orders")), room.of(&task("orders"))), (None, None));
    assert!(room.rooms().is_empty(), "nothing is kept of a broker at which nothing waits");
}

#[test]
fn case_112_a_list_tells_what_was_published() {
    let (room, now) = (room(), Instant::now());
    assert_eq!(room.next_list("main", now), None);
    for name in ["same", "newer", "first", "unknown"] {
        room.refused(&task(name), missing("2"), now);
    }
    room.refused(&task("forbidden"), forbidden("2"), now);
    assert!(room.next_list("main", now).is_some());
    let before = [("same", "1"), ("newer", "1"), ("first", "2"), ("forbidden", "1")];
    assert_eq!(told(&room, &before, now), ["first"], "published between its try and the list");
    assert_eq!(room.next_list("main", now), Some(now + SECOND));
    assert_eq!(told(&room, &before, now), Vec::<String>::new(), "once");
    let after = [("same", "1"), ("newer", "3"), ("first", "2"), ("unknown", ""), ("forbidden", "2")];
    assert_eq!(told(&room, &after, now), ["newer", "unknown"], "another version, or the first");
    assert_eq!(room.begin(&task("newer"), now), None, "it is due");
    assert_eq!(told(&room, &[], now), Vec::<String>::new(), "what is gone is not published");
    for name in ["same", "newer", "first", "unknown"] {
        room.leave(&task(name));
    }
    assert_eq!(room.next_list("main", now), None, "nothing waits for a publication any more");
}

#[test]
fn a_list_that_comes_during_a_try_is_not_lost() {
    let (room, now) = (room(), Instant::now());
    room.refused(&task("orders"), missing("2"), now);
    told(&room, &[("orders", "1")], now);
    assert_eq!(room.begin(&task("orders"), now + HOUR), None, "a try begins");
    assert_eq!(told(&room, &[("orders", "2")], now + HOUR), ["orders"]);
    let (again, _) = room.refused(&task("orders"), missing("2"), now + HOUR);
    assert_eq!(again.after, Duration::ZERO, "it may have been published after that try");
    assert_eq!(room.begin(&task("orders"), now + HOUR), None);
    let (again, _) = room.refused(&task("orders"), missing("2"), now + HOUR);
    assert!(again.after >= SECOND);
}

#[test]
fn a_restored_broker_is_not_flooded() {
    let (room, now) = (room(), Instant::now());
    let names: Vec<_> = (0..1_000).map(|number| format!("app-{number}")).collect();
    for name in &names {
        room.refused(&task(name), missing("2"), now);
    }
    told(&room, &[], now);
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), "2")).collect();
    let told = room.listed("main", Some(latest(&all)), now, now);
    assert_eq!(told.len(), 1_000);
    assert_eq!(told.iter().filter(|(_, later)| later.is_zero()).count(), TOLD_AT_ONCE + 1);
    assert_eq!(told.iter().map(|(_, later)| later.as_secs()).max(), Some(94));
}

#[test]
fn a_right_that_was_given_is_there_for_whatever_lacked_it() {
    let (room, now) = (room(), Instant::now());
    room.refused(&task("one"), forbidden("1"), now);
    room.refused(&task("other"), forbidden("1"), now);
    room.refused(&task("unpublished"), missing("1"), now);
    assert_eq!(room.leave(&task("one")), Some(Reason::Forbidden));
    assert_eq!(room.tell("main", |reason| reason == Reason::Forbidden, now), [task("other")]);
    assert_eq!(room.begin(&task("other"), now), None);
    assert!(room.begin(&task("unpublished"), now).is_some());
    assert_eq!(room.tell("another", |_| true, now), []);
}

#[test]
fn a_process_that_leads_again_tries_each_once() {
    let (room, now) = (room(), Instant::now());
    room.refused(&task("orders"), missing("1"), now);
    assert!(room.begin(&task("orders"), now).is_some());
    room.forget_all();
    assert_eq!((room.begin(&task("orders"), now), room.of(&task("orders"))), (None, None));
    assert_eq!(room.leave(&task("orders")), None);
}
