//! The reconciler of what was published at a broker: while something waits for a publication, one list tells which
//! applications have a new version (case 112).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{debug, info};

use super::{Settings, queue::Next, schedule::Schedule, waiting::WaitingRoom};
use crate::cluster::Cluster;

/// How often the list is read.
const EVERY: Duration = Duration::from_secs(20);
/// A broker is not kept busy with it for more than one part in this number.
const SMALL_PART: u32 = 20;
/// How soon a broker is asked again that has no such list, or does not show it.
const UNLISTED: Duration = Duration::from_mins(10);

/// The reconciler; see the module documentation.
pub(super) struct PublicationsReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) waiting: Arc<WaitingRoom>,
    pub(super) settings: Arc<Settings>,
}

impl PublicationsReconciler {
    /// Reads the list when it is due, and schedules whatever it tells about.
    pub(super) async fn reconcile(&self, broker: &str) -> Next {
        let (began, period) = (Instant::now(), EVERY.min(self.settings.resync_period));
        let Some(due) = self.waiting.next_list(broker, began) else { return Next::wait() };
        if began < due {
            return Next::after(due - began);
        }
        // A broker that does not answer is probed until it does.
        let Ok(client) = self.cluster.brokers.get(broker) else { return Next::after(period) };
        let read = client.latest_versions().await;
        let now = Instant::now();
        let (latest, after) = match read {
            Ok(Some(latest)) => (Some(latest), period.max((now - began).saturating_mul(SMALL_PART))),
            Err(error) if error.retryable() => {
                debug!(broker, %error, "what was published cannot be read");
                (None, period.max((now - began).saturating_mul(SMALL_PART)))
            }
            unlisted => {
                info!(
                    broker,
                    ?unlisted,
                    "the broker does not list what was published: it is asked for version by version"
                );
                (None, UNLISTED)
            }
        };
        for (task, later) in self.waiting.listed(broker, latest, now + after, now) {
            if later.is_zero() {
                self.schedule.queue.urgently(task);
            } else {
                self.schedule.queue.after(later, task);
            }
        }
        Next::after(after)
    }
}
