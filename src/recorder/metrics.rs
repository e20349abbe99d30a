//! The recorder's metrics. Label sets are closed: names of objects belong in logs and Events.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::{
    cluster::{Cluster, records::RecordStore},
    workload::Told,
};
use operator_kit::{lease::Leadership, metrics::Metrics};

/// One verdict on a running version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    verdict: String,
    would_deny: &'static str,
    late: &'static str,
}

/// The recorder's counters.
#[derive(Clone, Default)]
pub(super) struct RecorderMetrics {
    /// Versions recorded, including corrections.
    pub(super) recorded: Counter,
    /// Records taken back.
    pub(super) undeployed: Counter,
    /// Passes that could not do a due write.
    pub(super) pending: Counter,
    /// Announcements that were dropped before all sinks had them.
    pub(super) dropped: Counter,
    checks: Family<CheckLabels, Counter>,
    holds_ended: Family<HoldLabels, Counter>,
    holds_told: Family<HoldLabels, Counter>,
}

/// What became of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HoldLabels {
    outcome: &'static str,
}

impl RecorderMetrics {
    /// Registers the counters, and gauges of what needs a person.
    pub(super) fn register(metrics: &Metrics, leadership: &Leadership, cluster: &Arc<Cluster>) -> Self {
        let help = "Versions that run and would be denied now, whatever the way they came, by the mode of the gate";
        let (leads, view) = (leadership.clone(), Arc::clone(cluster));
        metrics.observe_by("versions_would_deny", help, "mode", move || {
            // Only the leader judges what runs.
            if leads.is_leader() { view.would_deny_by_mode() } else { Vec::new() }
        });
        let count = |name, help, count: fn(&RecordStore) -> usize| {
            let records = cluster.records.clone();
            metrics.observe(name, help, move || i64::try_from(count(&records)).ok());
        };
        let help = "Records that another client writes, too, and that the operator no longer changes";
        count("records_contested", help, RecordStore::contested);
        let help =
            "Records of which a workload runs a version by its bypass statement, and which was not judged yes since";
        count("records_bypassed", help, RecordStore::bypassed);
        let help =
            "Records that nothing runs any more and that wait for a confirmation, because too many are gone at once";
        count("undeploys_held", help, RecordStore::undeploys_held);
        let (leader, snapshots) = (leadership.clone(), cluster.snapshots.clone());
        let (leads, view) = (leadership.clone(), Arc::clone(cluster));
        let help = "Workloads with annotations or labels that look like the operator's and are not read";
        metrics.observe("workloads_with_stray_keys", help, move || {
            leads.is_leader().then(|| i64::try_from(view.index().stray_keys().count()).ok()).flatten()
        });
        let help = "Environments whose records are gone all at once: nothing is taken back there";
        metrics.observe("environments_suspicious", help, move || {
            // Only the leader reads environments; a replica that lost the leadership would report its last reading for
            // ever.
            leader.is_leader().then(|| i64::try_from(snapshots.suspicious()).ok()).flatten()
        });

        let (leads, view) = (leadership.clone(), Arc::clone(cluster));
        let help = "Workloads that are held, by whether that was reported: Waiting, Overdue, Refused";
        metrics.observe_by("rollouts_held", help, "state", move || {
            if leads.is_leader() { view.holds.counts() } else { Vec::new() }
        });

        let this = Self::default();
        metrics.register(|registry| {
            registry.register("recorded", "Versions recorded at a broker", this.recorded.clone());
            registry.register("undeployed", "Records taken back", this.undeployed.clone());
            let help = "Announcements that were dropped before every sink had them";
            registry.register("announcements_dropped", help, this.dropped.clone());
            registry.register("record_pending", "Passes that could not do what was due", this.pending.clone());
            let help = "Workloads that were held and go on, by why: Yes, or ByHand";
            registry.register("holds_ended", help, this.holds_ended.clone());
            let help = "Holds of which it was reported that they last, or that the answer is no: Overdue, Refused";
            registry.register("holds_reported", help, this.holds_told.clone());
            registry.register(
                "version_checks",
                "Verdicts on versions that run, each time that one changes; late ones could not be had at first",
                this.checks.clone(),
            );
        });
        this
    }

    /// Counts a hold that ended.
    pub(super) fn hold_ended(&self, outcome: &'static str) {
        self.holds_ended.get_or_create(&HoldLabels { outcome }).inc();
    }

    /// Counts a hold of which something was reported.
    pub(super) fn hold_told(&self, told: Told) {
        self.holds_told.get_or_create(&HoldLabels { outcome: told.name() }).inc();
    }

    /// Counts a version's new verdict; `verdict` is one of the names of a check's verdict.
    pub(super) fn checked(&self, verdict: &str, would_deny: bool, late: bool) {
        let truth = |it| if it { "true" } else { "false" };
        let labels = CheckLabels { verdict: verdict.to_owned(), would_deny: truth(would_deny), late: truth(late) };
        self.checks.get_or_create(&labels).inc();
    }
}
