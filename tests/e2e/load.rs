//! Image changes that the API server asks the gate about, at a steady rate, and which of them failed.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::future::Future;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use kube::Client;

use super::Cluster;

/// Image changes a second.
const PER_SECOND: u64 = 100;
/// How long a load goes on at most, if nothing ends it.
const LONGEST: Duration = Duration::from_mins(20);

/// A load and its results.
#[derive(Debug)]
pub struct Load {
    started: Instant,
    asked: AtomicU32,
    /// The failed calls: after how many seconds each was sent, and the answer.
    failed: Mutex<Vec<(f32, String)>>,
    stop: AtomicBool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            asked: AtomicU32::new(0),
            failed: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        }
    }
}

impl Load {
    /// Asks while something else is done.
    pub async fn during(&self, cluster: &Cluster, done: impl Future<Output = ()>) {
        let done = async {
            done.await;
            self.stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(self.run(cluster), done);
    }

    /// Asks about image changes, evenly, until `stop` is set. Each is a server-side dry-run, so that what is measured
    /// is admission; allowed and denied ones alternate, and both are answers.
    async fn run(&self, cluster: &Cluster) {
        let client = cluster.developer.client();
        let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut under_way = FuturesUnordered::new();
        while !self.stop.load(Ordering::Relaxed) && self.started.elapsed() < LONGEST {
            tokio::select! {
                _ = tick.tick() => {
                    let number = self.asked.fetch_add(1, Ordering::Relaxed);
                    under_way.push(self.ask(cluster, client.clone(), number));
                }
                Some(()) = under_way.next() => {}
            }
        }
        while under_way.next().await.is_some() {}
    }

    async fn ask(&self, cluster: &Cluster, client: Client, number: u32) {
        let asked_at = self.seconds();
        let version = if number.is_multiple_of(2) { "1.1.0" } else { "2.0.0" };
        let result = cluster.apply(&client, "orders", version, true).await;
        let right = match &result {
            Ok(()) => version == "1.1.0",
            Err(kube::Error::Api(status)) => {
                version == "2.0.0" && status.code == 403 && status.message.contains("orders 2.0.0 may not be deployed")
            }
            Err(_) => false,
        };
        if !right {
            self.failed.lock().unwrap().push((asked_at, format!("{number} {version}: {result:?}")));
        }
    }

    /// How many calls were sent.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// How long it has been going, in seconds.
    pub fn seconds(&self) -> f32 {
        self.started.elapsed().as_secs_f32()
    }

    /// The failed calls by the second in which they were sent, and the answer to the first of them.
    pub fn failures(&self) -> String {
        let failed = self.failed.lock().unwrap();
        let mut seconds = BTreeMap::<u64, u32>::new();
        for (asked_at, _) in failed.iter() {
            *seconds.entry(Duration::from_secs_f32(*asked_at).as_secs()).or_default() += 1;
        }
        format!("failed by the second they were asked in: {seconds:?}; the first: {:?}", failed.first())
    }

    /// # Panics
    /// When a call failed.
    pub fn assert_none_failed(&self) {
        assert!(self.failed.lock().unwrap().is_empty(), "{}", self.failures());
    }

    /// # Panics
    /// When a call failed that was sent before or after these seconds.
    pub fn assert_failed_only_in(&self, window: &Range<f32>) {
        let outside = self.failed.lock().unwrap().iter().any(|(asked_at, _)| !window.contains(asked_at));
        assert!(!outside, "not only in {window:?}: {}", self.failures());
    }
}

impl Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failed.lock().map_or(0, |failed| failed.len());
        write!(f, "{} asked in {:.0} s, {failed} failed", self.asked(), self.seconds())
    }
}
