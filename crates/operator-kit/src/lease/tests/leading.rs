//! The answers of `Leadership`.

use std::time::{Duration, Instant};

use crate::lease::{Leadership, leadership};

const AWHILE: Duration = Duration::from_hours(1);

#[test]
fn a_process_leads_only_when_granted_and_only_until_the_deadline() {
    let (sender, leads) = leadership();
    assert!(!leads.is_leader());
    sender.lead_until(Instant::now() + AWHILE);
    assert!(leads.is_leader() && leads.clone().is_leader() && leads.time_left() <= AWHILE);
    sender.lead_until(Instant::now());
    assert!(!leads.is_leader(), "a deadline that is past grants nothing");
    sender.lead_until(Instant::now() + AWHILE);
    sender.step_down();
    assert!(!leads.is_leader());
}

#[test]
fn the_deadline_ends_leadership_without_a_running_task() {
    let (sender, leads) = leadership();
    sender.lead_until(Instant::now() + Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(25));
    assert!(!leads.is_leader(), "no task, no timer, no message was needed");
}

#[test]
fn dropping_the_sender_ends_leadership() {
    let (sender, leads) = leadership();
    sender.lead_until(Instant::now() + AWHILE);
    drop(sender);
    assert!(!leads.is_leader());
}

#[tokio::test]
async fn without_election_it_always_leads() {
    let leads = Leadership::always();
    assert!(leads.is_leader() && *leads.watch().borrow());
    assert_eq!(leads.time_left(), Duration::MAX);
    leads.wait_leader().await;
}

#[tokio::test]
async fn watchers_receive_every_grant_and_every_lapse() {
    let (sender, leads) = leadership();
    let mut changes = leads.watch();
    sender.lead_until(Instant::now() + Duration::from_millis(50));
    assert!(*changes.borrow_and_update());
    // The lapse is reported while the sender waits for something else.
    let lapse = sender.while_watching(async { changes.wait_for(|leads| !leads).await.map(|leads| *leads) });
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), lapse).await.unwrap().ok(), Some(false));
    assert!(!leads.is_leader());
}

#[tokio::test]
async fn a_waiter_is_woken_by_a_grant_after_a_lapse_that_was_not_reported() {
    let (sender, leads) = leadership();
    sender.lead_until(Instant::now() + Duration::from_millis(5));
    std::thread::sleep(Duration::from_millis(10));
    assert!(!leads.is_leader() && *leads.watch().borrow(), "lapsed, and the watchers do not know");
    let waiter = tokio::spawn(async move {
        leads.wait_leader().await;
        leads.is_leader()
    });
    // The waiter has checked and sleeps by now: the runtime has one thread, and the waiter yields only when it waits.
    tokio::task::yield_now().await;
    sender.lead_until(Instant::now() + AWHILE);
    assert!(tokio::time::timeout(Duration::from_secs(20), waiter).await.unwrap().unwrap());
}
