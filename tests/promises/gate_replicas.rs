//! Replicas of the gate come and go under load, with a policy that fails closed, and no call fails.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::gate_replicas_setup::{Failure, ReplicasSetup};
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;
use testbed::webhook::{Webhook, WebhookOptions};

/// Admission reviews a second. On a machine that is too busy for that there are fewer, and more of them at once.
const RATE: u32 = 200;
/// How many times a replica is replaced after SIGTERM.
const REPLACED: usize = 50;
/// How many of them may be terminating at the same time.
const LEAVING: usize = 6;
/// How many times one is killed.
const KILLED: usize = 10;
/// How long after the end of a process its connections may still take a call: its kernel closes them at once, and then
/// the balancer and the API server have to notice. The balancer probes readiness every 50 ms, and a Service tries only
/// one backend.
const NOTICED: Duration = Duration::from_millis(250);

fn options() -> WebhookOptions {
    // The chart's own value: the time that a replica waits is part of the promise. At this rate a line for each review
    // would be most of the work.
    WebhookOptions::default().spread_seconds(10).log("info")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_replicas_replaced_one_after_another_fail_no_call() {
    let setup = ReplicasSetup::start(options()).await;
    let mut replicas = setup.two_replicas().await;
    let (load, started) = (setup.load(RATE), Instant::now());
    let (mut at_work, mut longest, mut ending) = (0, Duration::ZERO, VecDeque::new());
    for number in 0..REPLACED {
        let began = Instant::now();
        let leaving = number % 2;
        at_work += usize::from(replicas[leaving].reviews().await > 0);
        replicas[leaving].signal("TERM");
        let mut fresh = setup.replica().await;
        setup.balance(replicas.iter().chain([&fresh]));
        fresh.wait_ready().await;
        ending.push_back(std::mem::replace(&mut replicas[leaving], fresh));
        setup.balance(&replicas);
        setup.balanced(&replicas).await;
        while ending.len() > LEAVING {
            end(ending.pop_front()).await;
        }
        longest = longest.max(began.elapsed());
    }
    while !ending.is_empty() {
        end(ending.pop_front()).await;
    }
    let elapsed = started.elapsed();
    let tally = load.end().await;
    println!("replaced: {}", tally.shown());
    println!(
        "{REPLACED} replaced in {:.0?} (at most {longest:.1?} each), {at_work} of them in use, {} connections, {} without a replica",
        elapsed,
        setup.balancer.accepted(),
        setup.balancer.turned_away()
    );
    assert_eq!(tally.failures.len(), 0, "failed calls: {}", tally.shown());
    // The balancer chooses the backend of each connection.
    assert!(at_work > REPLACED / 2, "only {at_work} of {REPLACED} had anything to lose");
    tally.assert_paced(RATE);
}

/// Waits for the end of a replica. It has to exit with 0, because all clients have left it and not because its drain
/// timed out.
async fn end(replica: Option<Webhook>) {
    let mut replica = replica.expect("one that is leaving");
    let code = replica.ended().await;
    let logs = replica.logs();
    assert!(code == 0 && !logs.contains("cutting connections"), "{code}: {logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_replica_loses_only_the_calls_under_way() {
    let setup = ReplicasSetup::start(options()).await;
    let mut replicas = setup.two_replicas().await;
    let load = setup.load(RATE);
    let mut kills = Vec::new();
    for number in 0..KILLED {
        // Enough calls between two kills, so that each kill counts by itself.
        let enough = load.answered() + u64::from(RATE);
        eventually("calls in between", SOON, async || {
            if load.answered() >= enough { Ok(()) } else { Err(format!("{} of {enough}", load.answered())) }
        })
        .await;
        let dying = number % 2;
        let before = Instant::now();
        block_in_place(|| replicas[dying].kill9());
        kills.push(Kill { before, after: Instant::now() });
        let mut fresh = setup.replica().await;
        setup.balance([&replicas[1 - dying], &fresh]);
        fresh.wait_ready().await;
        replicas[dying] = fresh;
        setup.balanced(&replicas).await;
    }
    let tally = load.end().await;
    println!("killed: {}", tally.shown());
    for kill in &kills {
        let lost: Vec<&Failure> = tally.failures.iter().filter(|failure| kill.accounts_for(failure)).collect();
        let last_sent = lost.iter().map(|failure| failure.sent.saturating_duration_since(kill.before)).max();
        let last_ended = lost.iter().map(|failure| failure.ended - kill.before).max();
        let dying = kill.after - kill.before;
        println!(
            "lost {}, the last sent {last_sent:.0?} after, all answered after {last_ended:.0?}; dying {dying:.0?}",
            lost.len()
        );
    }
    let unexplained: Vec<_> =
        tally.failures.iter().filter(|failure| !kills.iter().any(|kill| kill.accounts_for(failure))).collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    tally.assert_paced(RATE);
}

/// A process died between these two moments.
struct Kill {
    before: Instant,
    after: Instant,
}

impl Kill {
    /// Whether the kill is the reason of a failed call: the call was sent before the kill could be noticed, and had no
    /// answer yet.
    fn accounts_for(&self, failure: &Failure) -> bool {
        failure.sent <= self.after + NOTICED && failure.ended >= self.before
    }
}
