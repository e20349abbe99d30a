//! `pact-operator webhook`: wires the gate to a cluster.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    cluster_name::ClusterArguments,
    process::{self, Failure, LogArguments, TraceArguments},
};
use crate::{
    decide::{admission::ServiceAccountName, broker_secrets::WEBHOOK_AUTHORITY},
    gate::{self, Gate, HookCallers, Settings, VerdictSettings},
};
use operator_kit::{
    certificates::{self, CertificateSettings, MountedSource, OwnSource, ServingCertificate, Source},
    liveness::{DEFAULT_LIMIT, Liveness},
    mutating_webhook::MutatingWebhook,
    open_files,
    probes::{self, ProbeServer},
    readiness::Readiness,
    review_path::ReviewPath,
    tls_server::{ClientAuthentication, TlsServer, TlsServerSettings},
};

/// The common name of the authorities that the operator makes for itself.
const AUTHORITY: &str = "pact-operator webhook authority";
/// How many open files are left to the probes, the API server and the brokers.
const OTHER_FILES: usize = probes::MAX_CONNECTIONS + VERDICT_CONNECTIONS + 256;
/// How many connections tools that ask for verdicts may have open.
const VERDICT_CONNECTIONS: usize = 128;
/// How often the files of client authorities are read again.
const POLL: Duration = Duration::from_secs(10);

/// Arguments of the verb `webhook`.
#[derive(Args, Debug)]
pub(super) struct WebhookArguments {
    /// The operator's own namespace: the certificate's and the brokers' Secrets are there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "pact-operator")]
    namespace: String,
    /// The name of this process among its replicas, in Events.
    #[arg(long, env = "POD_NAME", default_value = "pact-operator-webhook")]
    name: String,
    /// Where admission reviews are answered, over HTTPS.
    #[arg(long, default_value = "[::]:10250", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Where /readyz, /livez and /metrics are served, over plain HTTP.
    #[arg(long, default_value = "[::]:8080", value_name = "ADDRESS:PORT")]
    probe_address: SocketAddr,
    /// Where tools ask can-i-deploy, over HTTPS; without it nothing listens for them.
    #[arg(long, value_name = "ADDRESS:PORT")]
    verdict_address: Option<SocketAddr>,
    /// An audience for which a tool's token may be made; may be repeated. Without one: the API server's own.
    #[arg(long = "verdict-audience", value_name = "AUDIENCE", requires = "verdict_address")]
    verdict_audiences: Vec<String>,
    /// Answer the hooks of Flagger's Canaries there, too: of whoever is known by a token and holds the verb ask, or of
    /// anybody, who is told no reason without a token.
    #[arg(
        long, value_name = "CALLERS", requires = "verdict_address",
        value_parser = PossibleValuesParser::new(["known", "anybody"]).map(|callers| hook_callers(&callers))
    )]
    flagger_hooks: Option<HookCallers>,
    /// The `ValidatingWebhookConfiguration` whose caBundle is kept right.
    #[arg(long, default_value = "pact-operator", value_name = "NAME")]
    webhook_configuration: String,
    /// The Secret that holds the certificate authority of all replicas.
    #[arg(long, default_value = WEBHOOK_AUTHORITY, value_name = "NAME")]
    certificate_secret: String,
    /// A DNS name or IP address by which the API server calls; may be repeated. Default:
    /// pact-operator-webhook.NAMESPACE.svc
    #[arg(long = "server-name", value_name = "NAME")]
    server_names: Vec<String>,
    /// How long an authority lives, in days.
    #[arg(long, default_value_t = 365, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
    authority_days: u64,
    /// How long a certificate lives, in hours.
    #[arg(long, default_value_t = 168, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(4..=8760))]
    certificate_hours: u64,
    /// Serve with the files tls.crt and tls.key of this folder, which somebody else keeps fresh, instead of certificates
    /// of our own making.
    #[arg(long, value_name = "FOLDER")]
    certificate_folder: Option<PathBuf>,
    /// Add ca.crt of that folder to the caBundle. Without it, whoever makes the files writes the caBundle.
    #[arg(long, requires = "certificate_folder")]
    patch_ca_bundle: bool,
    /// Serve only clients whose certificate one of the authorities in this PEM file signed: the API server.
    #[arg(long, value_name = "FILE")]
    client_ca_file: Option<PathBuf>,
    /// Serve only clients whose certificate has this common name or DNS name; may be repeated.
    #[arg(long = "client-name", value_name = "NAME", requires = "client_ca_file")]
    client_names: Vec<String>,
    /// How long it goes on serving after SIGTERM, until everybody knows that it is no longer ready, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=300))]
    spread_seconds: u64,
    #[command(flatten)]
    rehearsal: Rehearsal,
    /// A service account whose bypass statements count, as in the matchCondition of the webhook's configuration; may be
    /// repeated.
    #[arg(long = "bypass-service-account", value_name = "NAMESPACE:NAME")]
    bypass_accounts: Vec<ServiceAccountName>,
    /// Serve the mutating webhook that pauses what is held, and keep the `MutatingWebhookConfiguration` right whose name is
    /// that of the `ValidatingWebhookConfiguration`.
    #[arg(long)]
    hold: bool,
    /// Write on the Event of a denial, for the controller's sinks, which pacticipant and version it is about, and who asked.
    #[arg(long)]
    announce_denials: bool,
    /// How often the brokers' Secrets are read again, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    renew_seconds: u64,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    traces: TraceArguments,
}

/// Lives of seconds, so that what happens once in a week or a year can be seen in a minute. For rehearsing a rotation,
/// and for nothing else: a process that is delayed for some seconds has no valid certificate any more.
#[derive(Args, Debug)]
struct Rehearsal {
    /// How long a certificate lives, in seconds.
    #[arg(
        long = "certificate-seconds", hide = true, value_name = "SECONDS", conflicts_with = "certificate_hours", requires = "authority",
        value_parser = clap::value_parser!(u64).range(2..=3600)
    )]
    certificate: Option<u64>,
    /// How long an authority lives, in seconds.
    #[arg(
        long = "authority-seconds", hide = true, value_name = "SECONDS", conflicts_with = "authority_days", requires = "certificate",
        value_parser = clap::value_parser!(u64).range(2..=86_400)
    )]
    authority: Option<u64>,
    /// For how long an authority has to be trusted before it signs, in seconds.
    #[arg(
        long = "overlap-seconds", hide = true, value_name = "SECONDS", requires = "certificate",
        value_parser = clap::value_parser!(u64).range(0..=600)
    )]
    overlap: Option<u64>,
    /// How old a connection grows before its client is asked for a new one, in seconds.
    #[arg(
        long = "connection-seconds", hide = true, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    connection_age: Option<u64>,
}

impl Rehearsal {
    /// Checks and margins in proportion to the lives.
    fn shorten(&self, settings: &mut CertificateSettings) {
        let (Some(certificate), Some(authority)) = (self.certificate, self.authority) else { return };
        if let Source::Own(own) = &mut settings.source {
            own.leaf_life = Duration::from_secs(certificate);
            own.authority_life = Duration::from_secs(authority);
            settings.check_every = settings.check_every.min(own.leaf_life / 40);
            settings.check_unready_every = settings.check_unready_every.min(settings.check_every);
            settings.margin = settings.margin.min(own.leaf_life / 8);
        }
        if let Some(overlap) = self.overlap {
            settings.overlap = Duration::from_secs(overlap);
        }
    }
}

fn hook_callers(text: &str) -> HookCallers {
    if text == "anybody" { HookCallers::Anybody } else { HookCallers::Known }
}

pub(super) fn run(arguments: WebhookArguments) -> ExitCode {
    let log = arguments.log.clone();
    process::run("webhook", &log, |asked| serve(arguments, asked))
}

impl WebhookArguments {
    fn certificates(&self) -> CertificateSettings {
        let source = if let Some(folder) = self.certificate_folder.clone() {
            Source::Mounted(MountedSource { folder, patch_bundle: self.patch_ca_bundle })
        } else {
            let names = if self.server_names.is_empty() {
                vec![format!("pact-operator-webhook.{}.svc", self.namespace)]
            } else {
                self.server_names.clone()
            };
            let mut own = OwnSource::new(&self.namespace, &self.certificate_secret, AUTHORITY, names);
            own.authority_life = Duration::from_hours(24 * self.authority_days);
            own.leaf_life = Duration::from_hours(self.certificate_hours).min(own.authority_life);
            Source::Own(own)
        };
        let mut settings = CertificateSettings::new(&self.webhook_configuration, gate::REPORTER, source);
        self.rehearsal.shorten(&mut settings);
        settings
    }

    /// How the mutating configuration is kept, where there is one.
    fn mutating_webhook(&self) -> Option<MutatingWebhook> {
        self.hold.then(|| MutatingWebhook {
            name: self.webhook_configuration.clone(),
            base: "/hold",
            copies_bundle: self.certificate_folder.is_none() || self.patch_ca_bundle,
            field_manager: gate::REPORTER.to_owned(),
        })
    }

    fn tls(&self) -> TlsServerSettings {
        let client_authentication = self.client_ca_file.clone().map(|bundle| ClientAuthentication {
            bundle,
            accepted_names: self.client_names.clone(),
            poll: POLL,
        });
        let defaults = TlsServerSettings::default().within(open_files::limit(), OTHER_FILES);
        let max_connection_age = self.rehearsal.connection_age.map_or(defaults.max_connection_age, Duration::from_secs);
        TlsServerSettings { max_connection_age, client_authentication, ..defaults }
    }
}

impl WebhookArguments {
    /// The server for tools. They have tokens, not certificates.
    async fn verdict_server(&self) -> Result<Option<TlsServer>, Failure> {
        let Some(address) = self.verdict_address else { return Ok(None) };
        let settings = TlsServerSettings {
            client_authentication: None,
            max_connections: VERDICT_CONNECTIONS,
            max_connections_per_source: VERDICT_CONNECTIONS / 2,
            ..self.tls()
        };
        Ok(Some(TlsServer::bind(address, settings).await?))
    }

    /// Who is answered at the verdict endpoint.
    fn verdict_settings(&self) -> VerdictSettings {
        VerdictSettings { audiences: self.verdict_audiences.clone(), flagger: self.flagger_hooks }
    }

    /// How callers are told apart. A client certificate says who calls; then the path does not matter.
    fn review_path(&self) -> Arc<ReviewPath> {
        if self.client_ca_file.is_some() { ReviewPath::of_everybody() } else { ReviewPath::new() }
    }
}

async fn serve(arguments: WebhookArguments, asked: CancellationToken) -> Result<(), Failure> {
    let client = process::api_server().await?;
    let readiness = Readiness::new(asked.clone());
    let (gates, certificate_gate) = (gate::close_gates(&readiness), readiness.gate("certificate"));
    let liveness = Liveness::new(DEFAULT_LIMIT);
    let metrics = process::metrics();
    // What is needed to serve goes on until the last request is answered.
    let (drain, stopped) = (CancellationToken::new(), CancellationToken::new());

    let probe_server = ProbeServer::bind(arguments.probe_address)?;
    let server = TlsServer::bind(arguments.listen, arguments.tls()).await?;
    let verdict_server = arguments.verdict_server().await?;
    let (probe_address, address) = (probe_server.address(), server.address());
    let verdict_address = verdict_server.as_ref().map(|server| server.address().to_string());
    info!(%address, %probe_address, verdict_address, version = env!("CARGO_PKG_VERSION"), "starting");
    let probes = process::probes(&readiness, &liveness, &metrics);
    let probing = tokio::spawn(probe_server.serve(probes, stopped.clone()));
    let beating = tokio::spawn(liveness_of(liveness, stopped.clone()));

    let serving = ServingCertificate::new();
    metrics.register(|registry| {
        server.counts().register(registry, "gate");
        if let Some(server) = &verdict_server {
            server.counts().register(registry, "verdict_endpoint");
        }
    });
    let certificate = serving.clone();
    // Alerts compare it with the time.
    metrics.observe(
        "gate_certificate_not_after_timestamp_seconds",
        "When the certificate that is served ends, in seconds since 1970",
        move || certificate.not_after(),
    );
    let certifying = tokio::spawn(certificates::run(
        arguments.certificates(),
        client.clone(),
        serving.clone(),
        certificate_gate,
        certificates::system_clock(),
        stopped.clone(),
    ));
    let review_path = arguments.review_path();
    let verifying = Arc::clone(&review_path);
    metrics.observe(
        "gate_callers_verified",
        "Whether the API server is told from others who call, by a client certificate or by the secret in its path",
        move || Some(i64::from(verifying.is_verifying())),
    );
    let keeping_path = tokio::spawn(Arc::clone(&review_path).keep(
        client.clone(),
        arguments.webhook_configuration.clone(),
        gate::REPORTER,
        stopped.clone(),
    ));
    let keeping_mutating =
        arguments.mutating_webhook().map(|mutating| tokio::spawn(mutating.keep(client.clone(), stopped.clone())));
    let renew_every = Duration::from_secs(arguments.renew_seconds);
    let instance = arguments.cluster.instance(&arguments.name);
    let traces = arguments.traces.traces("webhook", &instance)?;
    let settings = Settings {
        namespace: arguments.namespace.clone(),
        user_agent: arguments.cluster.user_agent(),
        renew_every,
        instance,
        bypass_accounts: arguments.bypass_accounts.iter().cloned().collect(),
        review_path: Arc::clone(&review_path),
        announces_denials: arguments.announce_denials,
        holds: arguments.hold,
        traces: traces.clone(),
    };
    let gate = Gate::new(client, &settings, &metrics);
    let keeping = tokio::spawn(gate::keep(Arc::clone(&gate), gates, renew_every, stopped.clone()));

    let spread = Duration::from_secs(arguments.spread_seconds);
    let ending = {
        let (asked, drain) = (asked.clone(), drain.clone());
        async move {
            asked.cancelled().await;
            info!(seconds = spread.as_secs(), "no longer ready; serving until that is known");
            tokio::time::sleep(spread).await;
            drain.cancel();
        }
    };
    let certificate = || Arc::new(serving.clone());
    let answering_tools = async {
        if let Some(server) = verdict_server {
            let router = gate.verdict_router(arguments.verdict_settings());
            server.serve(router, certificate(), asked.clone(), drain.clone()).await;
        }
    };
    let answering = server.serve(gate.router(), certificate(), asked.clone(), drain.clone());
    tokio::join!(ending, answering, answering_tools);
    stopped.cancel();
    certifying.await??;
    for ended in [keeping.await, keeping_path.await, beating.await, probing.await] {
        ended?;
    }
    if let Some(keeping) = keeping_mutating {
        keeping.await?;
    }
    traces.end().await;
    info!("stopped");
    Ok(())
}

/// Says that the runtime turns.
async fn liveness_of(liveness: Liveness, stopped: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            _ = tick.tick() => liveness.tick(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        webhook: WebhookArguments,
    }

    fn parsed(arguments: &[&str]) -> Result<WebhookArguments, String> {
        let line = Line::try_parse_from([&["webhook"], arguments].concat());
        line.map(|line| line.webhook).map_err(|error| error.to_string())
    }

    #[test]
    fn lives_of_seconds_are_for_rehearsals_and_shorten_what_depends_on_them() {
        let usual = parsed(&[]).unwrap();
        let (certificates, tls) = (usual.certificates(), usual.tls());
        let Source::Own(own) = &certificates.source else { panic!("an own source") };
        assert_eq!(
            (own.leaf_life, own.authority_life, certificates.overlap, tls.max_connection_age),
            (Duration::from_hours(168), Duration::from_hours(365 * 24), Duration::from_mins(1), Duration::from_mins(5))
        );

        let short = ["--certificate-seconds=18", "--authority-seconds=45", "--overlap-seconds=2"];
        let rehearsed = parsed(&[&short[..], &["--connection-seconds=3"]].concat()).unwrap();
        let (certificates, tls) = (rehearsed.certificates(), rehearsed.tls());
        let Source::Own(own) = &certificates.source else { panic!("an own source") };
        let seconds = Duration::from_secs;
        assert_eq!((own.leaf_life, own.authority_life), (seconds(18), seconds(45)));
        assert_eq!((certificates.overlap, tls.max_connection_age), (seconds(2), seconds(3)));
        assert!(certificates.margin < own.leaf_life / 3 && certificates.check_every < seconds(1), "{certificates:?}");

        for (wrong, why) in [
            (vec!["--certificate-seconds=18"], "--authority-seconds"),
            (vec!["--overlap-seconds=2"], "--certificate-seconds"),
            (["--certificate-hours=24"].iter().chain(&short).copied().collect(), "cannot be used with"),
            (vec!["--certificate-seconds=1", "--authority-seconds=45"], "1 is not in 2..=3600"),
        ] {
            let error = parsed(&wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
