//! `pact-operator controller`: connects the recorder to a cluster.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    cluster_name::ClusterArguments,
    notifications::NotificationArguments,
    process::{self, Failure, LogArguments, TraceArguments},
    verification::VerificationArguments,
};
use crate::recorder::{self, Settings, Surroundings};
use operator_kit::{
    lease::{self, Leadership, LeaseSettings},
    liveness::{DEFAULT_LIMIT, Liveness},
    probes::ProbeServer,
    readiness::Readiness,
};

/// Arguments of the verb `controller`.
#[derive(Args, Debug)]
pub(super) struct ControllerArguments {
    /// The operator's own namespace, with the Lease and the brokers' Secrets.
    #[arg(long, env = "POD_NAMESPACE", default_value = "pact-operator")]
    namespace: String,
    /// The name of this process among its replicas, in the Lease and in Events.
    #[arg(long, env = "POD_NAME", default_value = "pact-operator")]
    name: String,
    /// The address that serves /readyz, /livez and /metrics, over plain HTTP.
    #[arg(long, default_value = "[::]:8080", value_name = "ADDRESS:PORT")]
    probe_address: SocketAddr,
    /// Lead without an election. Only where there is never a second replica.
    #[arg(long)]
    no_leader_election: bool,
    /// The name of the Lease for the leader election.
    #[arg(long, default_value = "pact-operator-controller", value_name = "NAME")]
    lease: String,
    /// How long a leader may go without renewing its Lease before another takes over, in seconds.
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(3..=600))]
    lease_seconds: u64,
    /// How often a broker is probed and its Secrets are read again, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    probe_seconds: u64,
    /// How often what the brokers have recorded is compared with what runs, in seconds.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    resync_seconds: u64,
    /// The longest delay between two tries of a write that is not possible yet, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    retry_seconds: u64,
    #[command(flatten)]
    cluster: ClusterArguments,
    /// For how many pacticipants (with environment and application instance) the workloads of one namespace may speak;
    /// for others nothing is recorded.
    #[arg(long, default_value_t = 1000, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pacticipants_per_namespace: u32,
    /// Resume Deployments that the mutating webhook has paused, once their version may run. Needs the right to patch them.
    #[arg(long)]
    hold: bool,
    #[command(flatten)]
    notifications: NotificationArguments,
    #[command(flatten)]
    verification: VerificationArguments,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    traces: TraceArguments,
}

pub(super) fn run(arguments: ControllerArguments) -> ExitCode {
    let log = arguments.log.clone();
    process::run("controller", &log, |shutdown| serve(arguments, shutdown))
}

async fn serve(arguments: ControllerArguments, shutdown: CancellationToken) -> Result<(), Failure> {
    let sinks = arguments.notifications.sinks()?;
    let verification = arguments.verification.settings()?;
    let client = process::api_server().await?;
    let readiness = Readiness::new(shutdown.clone());
    recorder::close_gates(&readiness);
    let liveness = Liveness::new(DEFAULT_LIMIT);
    let metrics = process::metrics();
    let stopped = CancellationToken::new();

    let server = ProbeServer::bind(arguments.probe_address)?;
    info!(address = %server.address(), version = env!("CARGO_PKG_VERSION"), "starting");
    let probes = process::probes(&readiness, &liveness, &metrics);
    let serving = tokio::spawn(server.serve(probes, stopped.clone()));

    let (leadership, electing) = if arguments.no_leader_election {
        (Leadership::always(), None)
    } else {
        let (sender, leadership) = lease::leadership();
        let settings = LeaseSettings::new(&arguments.namespace, &arguments.lease, &arguments.name)
            .with_duration(Duration::from_secs(arguments.lease_seconds));
        (leadership, Some(tokio::spawn(lease::run(client.clone(), settings, sender, stopped.clone()))))
    };
    let lead = leadership.clone();
    let help = "1 for the replica that leads and records, 0 for the standbys";
    metrics.observe("leader", help, move || Some(i64::from(lead.is_leader())));
    let instance = arguments.cluster.instance(&arguments.name);
    let traces = arguments.traces.traces("controller", &instance)?;
    let settings = Settings {
        namespace: arguments.namespace,
        user_agent: arguments.cluster.user_agent(),
        cluster_name: arguments.cluster.name().map(str::to_owned),
        probe_period: Duration::from_secs(arguments.probe_seconds),
        resync_period: Duration::from_secs(arguments.resync_seconds),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(arguments.retry_seconds),
        quiet_period: Duration::from_secs(3),
        keys_per_namespace: usize::try_from(arguments.pacticipants_per_namespace).unwrap_or(usize::MAX),
        holds: arguments.hold,
        sinks: sinks.iter().map(|settings| settings.sink).collect(),
        traces: traces.clone(),
    };
    let surroundings = Surroundings { client, leadership, readiness, liveness, metrics, instance, shutdown };
    recorder::run(settings, sinks, verification, surroundings).await;

    // Another process may lead only now, when no write is in progress any more.
    stopped.cancel();
    if let Some(electing) = electing {
        electing.await??;
    }
    serving.await?;
    traces.end().await;
    info!("stopped");
    Ok(())
}
