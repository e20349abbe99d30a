//! Writes at a broker: only while this process holds the lease.

use std::{future::poll_fn, pin::pin, task::Poll};

use operator_kit::lease::Leadership;

use super::metrics::RecorderMetrics;
use crate::{
    broker::{Broker, BrokerError, DeploymentId, EnvironmentId, Permission, ReleaseId},
    decide::record::{BrokerWrite, Done},
    workload::RecordKey,
};

/// Writes at a broker while this process leads, and counts them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Writes {
    pub(super) leadership: Leadership,
    pub(super) metrics: RecorderMetrics,
}

/// A key at its broker.
pub(super) struct AtBroker<'a> {
    pub(super) broker: &'a Broker,
    pub(super) environment: &'a EnvironmentId,
    pub(super) key: &'a RecordKey,
}

impl Writes {
    /// Does a write at a broker if this process leads, and only for as long as it certainly does. `None` when it does
    /// not lead, or no longer.
    pub(super) async fn while_leading<T>(
        &self,
        write: impl Future<Output = Result<T, BrokerError>>,
    ) -> Option<Result<T, BrokerError>> {
        if !self.leadership.is_leader() {
            return None;
        }
        // Each time it goes on: a process that was stopped would send what waited for its turn (case 29), since a timeout
        // that has passed comes after what is ready.
        let mut write = pin!(write);
        let write = poll_fn(|context| {
            if self.leadership.is_leader() { write.as_mut().poll(context).map(Some) } else { Poll::Ready(None) }
        });
        tokio::time::timeout(self.leadership.time_left(), write).await.ok().flatten()
    }

    /// Does a write of an assessment.
    ///
    /// # Errors
    /// When the broker refuses it, or its answer did not arrive.
    pub(super) async fn perform(&self, at: &AtBroker<'_>, write: &BrokerWrite) -> Result<Done, BrokerError> {
        let AtBroker { broker, environment, key } = at;
        let leads = self.leadership.clone();
        let broker = &broker.with_permission(Permission::new(move || leads.is_leader()));
        match write {
            BrokerWrite::Record { version, correction } => {
                let write = broker.record_deployment(&key.pacticipant, version, environment, key.instance.as_ref());
                let Some(written) = self.while_leading(write).await else { return Ok(Done::LeaseLost) };
                written?;
                self.metrics.recorded.inc();
                Ok(Done::Recorded { version: version.clone(), correction: *correction })
            }
            BrokerWrite::Undeploy(row) => {
                // The uuid is from the broker's own answer, which was parsed; were it none, the row would be read again.
                let Ok(id) = DeploymentId::parse(&row.uuid) else { return Ok(Done::LeaseLost) };
                let Some(written) = self.while_leading(broker.undeploy(&id)).await else { return Ok(Done::LeaseLost) };
                written?;
                self.metrics.undeployed.inc();
                Ok(Done::Undeployed { version: row.version.clone() })
            }
            BrokerWrite::Release { release, end } => {
                for version in release {
                    let write = broker.record_release(&key.pacticipant, version, environment);
                    let Some(written) = self.while_leading(write).await else { return Ok(Done::LeaseLost) };
                    written?;
                    self.metrics.recorded.inc();
                }
                for id in end.iter().filter_map(|row| ReleaseId::parse(&row.uuid).ok()) {
                    let Some(written) = self.while_leading(broker.end_support(&id)).await else {
                        return Ok(Done::LeaseLost);
                    };
                    written?;
                    self.metrics.undeployed.inc();
                }
                Ok(Done::Released { versions: release.clone() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        time::{Duration, Instant},
    };

    use operator_kit::lease::leadership;
    use tokio::sync::Semaphore;

    use super::*;

    /// Whether a write was begun, and the result of one that takes a second.
    async fn write(leadership: Leadership) -> (bool, Option<()>) {
        let begun = AtomicBool::new(false);
        let writes = Writes { leadership, metrics: RecorderMetrics::default() };
        let written = writes.while_leading(async {
            begun.store(true, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let written = written.await.map(|written| assert!(written.is_ok()));
        (begun.into_inner(), written)
    }

    #[tokio::test(start_paused = true)]
    async fn case_29_nothing_is_written_without_the_lease_and_nothing_is_waited_for_beyond_it() {
        assert_eq!(write(Leadership::always()).await, (true, Some(())));
        let (sender, standby) = leadership();
        assert_eq!(write(standby.clone()).await, (false, None), "it never was the leader");
        sender.lead_until(Instant::now() + Duration::from_secs(5));
        assert_eq!(write(standby.clone()).await, (true, Some(())));
        sender.lead_until(Instant::now() + Duration::from_millis(500));
        assert_eq!(write(standby.clone()).await, (true, None), "the lease ends before the answer comes");
        sender.lead_until(Instant::now());
        assert_eq!(write(standby.clone()).await, (false, None), "its lease ran out, without a notification");
        sender.lead_until(Instant::now() + Duration::from_secs(5));
        sender.step_down();
        assert_eq!(write(standby).await, (false, None));
    }

    /// Found by the endurance proof.
    #[tokio::test]
    async fn case_29_what_waited_for_its_turn_while_the_process_was_stopped_is_not_sent() {
        let (sender, leads) = leadership();
        sender.lead_until(Instant::now() + Duration::from_millis(50));
        let writes = Writes { leadership: leads, metrics: RecorderMetrics::default() };
        let (turn, sent) = (Semaphore::new(0), AtomicBool::new(false));
        let write = writes.while_leading(async {
            let _turn = turn.acquire().await;
            sent.store(true, Ordering::Relaxed);
            Ok(())
        });
        let stopped = async {
            std::thread::sleep(Duration::from_millis(100));
            turn.add_permits(1);
        };
        let (written, ()) = tokio::join!(write, stopped);
        assert!(written.is_none() && !sent.into_inner());
    }
}
