//! A run: changes, kills, rotations and samples at the same time, and what they came to.

use futures::future::join;

use testbed::standin::Write;
use testbed::webhook::{Webhook, sum};

use crate::certificates;
use crate::changes::{self, Changes};
use crate::clock::Clock;
use crate::controllers::Controllers;
use crate::kills::{self, Kills};
use crate::memory::{Memory, Role, Roster};
use crate::world::World;

/// What came of it.
pub struct Run {
    /// When it began and how long it was.
    pub clock: Clock,
    /// The changes.
    pub changes: Changes,
    /// The kills.
    pub kills: Kills,
    /// How many times each webhook has replaced its certificate, by its name.
    pub rotations: Vec<(String, usize)>,
    /// The samples.
    pub memory: Memory,
    /// The process ids of the webhooks when the run began.
    pub webhooks: [Option<u32>; 2],
    /// How many versions had finished when it was over.
    pub finished: usize,
    /// How many times the watch that tells what finished had a gap.
    pub gaps: usize,
    /// What the operator wrote at the broker until the run was over.
    pub writes: Vec<Write>,
    /// How many reviews each webhook has answered, the first ones before the run included.
    pub reviews: [u64; 2],
    /// How many connections of the API server found no webhook that was ready.
    pub turned_away: usize,
    /// The load average when the run began and when it was over.
    pub load: [String; 2],
}

impl Run {
    /// Runs until the clock is over.
    pub async fn of(world: &World, controllers: &mut Controllers, clock: Clock) -> Self {
        let (roster, load) = (Roster::default(), load());
        let turned_away = world.balancer.turned_away();
        let webhooks = world.webhooks.each_ref().map(|webhook| webhook.pid());
        roster.set(Role::FirstWebhook, webhooks[0]);
        roster.set(Role::SecondWebhook, webhooks[1]);
        kills::enrol(controllers, &roster).await;
        let addresses = certificates::addresses(&world.webhooks);
        // A task of its own: whatever keeps the others busy delays no sample.
        let sampling = {
            let roster = roster.clone();
            tokio::spawn(async move { Memory::sampled(&roster, clock).await })
        };
        let rotating = tokio::spawn(async move { certificates::rotations(&addresses, clock).await });
        let stream = changes::stream(world, clock);
        let killing = kills::each_minute(controllers, &world.cluster.control_plane, &roster, clock);
        let (changes, kills) = join(stream, killing).await;
        Self {
            clock,
            changes,
            kills,
            rotations: rotating.await.expect("reading metrics does not panic"),
            memory: sampling.await.expect("reading samples does not panic"),
            webhooks,
            finished: world.finished.count(),
            gaps: world.finished.gaps(),
            writes: world.cluster.broker.writes(),
            reviews: [reviews(&world.webhooks[0]).await, reviews(&world.webhooks[1]).await],
            turned_away: world.balancer.turned_away() - turned_away,
            load: [load, self::load()],
        }
    }
}

/// Zero when it does not answer any more.
async fn reviews(webhook: &Webhook) -> u64 {
    let metrics = webhook.probe("/metrics").await.map(|(_, metrics)| metrics).unwrap_or_default();
    sum(&metrics, "pact_operator_gate_reviews_total")
}

/// The load average of a minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
