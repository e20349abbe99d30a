//! The frame of every long-running verb: logging, threads, signals, an exit code.

use std::{
    future::Future,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use kube::client::ClientBuilder;
use tokio_util::sync::CancellationToken;

use operator_kit::{
    liveness::Liveness,
    metrics::Metrics,
    open_files,
    probes::Probes,
    readiness::Readiness,
    shutdown::{Outcome, Signals},
    telemetry::{self, LogFormat},
    traces::{TraceSettings, Traces},
    watch::newest_first,
};

/// The logging of a process.
#[derive(Args, Clone, Debug)]
pub(super) struct LogArguments {
    /// The format of log lines.
    #[arg(long, default_value = "text", value_enum)]
    log_format: Format,
    /// What is logged, as for `RUST_LOG`: `info`, `debug`, `pact_operator=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// A file with such a filter, which counts instead of it. It is read again every two seconds, and need not exist.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
}

/// The traces of a process.
#[derive(Args, Clone, Debug)]
pub(super) struct TraceArguments {
    /// The collector to which spans are sent over OTLP (JSON over HTTP), such as `http://collector:4318`; without it there are
    /// none. Headers for it: `OTEL_EXPORTER_OTLP_HEADERS`.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// The share of traces that are kept, from 0 to 1, where a caller has not decided that.
    #[arg(long, default_value_t = 1.0, value_name = "SHARE", value_parser = share)]
    trace_share: f64,
}

impl TraceArguments {
    /// Where the spans of this process go.
    ///
    /// # Errors
    /// When the address of the collector cannot be used.
    pub(super) fn traces(&self, verb: &str, instance: &str) -> Result<Traces, Failure> {
        let Some(endpoint) = self.otlp_endpoint.clone().filter(|endpoint| !endpoint.is_empty()) else {
            return Ok(Traces::default());
        };
        let resource = vec![
            ("service.name", format!("pact-operator-{verb}")),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("service.instance.id", instance.to_owned()),
        ];
        Ok(Traces::to_collector(&TraceSettings { endpoint, ratio: self.trace_share, resource })?)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number from 0 to 1".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// How many files and connections a process may need at once: those of its ports, and of the API server and the brokers.
const OPEN_FILES: u64 = 4096;

/// Why a process failed.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the work of a verb until it ends; the first signal requests that by the token, and the second one ends it at
/// once.
pub(super) fn run<W>(verb: &str, log: &LogArguments, work: impl FnOnce(CancellationToken) -> W) -> ExitCode
where
    W: Future<Output = Result<(), Failure>>,
{
    let fail = |error: &dyn std::fmt::Display| {
        drop(writeln!(io::stderr(), "pact-operator {verb}: {error}"));
        ExitCode::FAILURE
    };
    let format = match log.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    let filter = match telemetry::init(format, log.log.as_deref()) {
        Ok(filter) => filter,
        Err(error) => return fail(&error),
    };
    open_files::raise(OPEN_FILES);
    // reqwest and kube both use the process's default provider; this fails only when one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("no threads can be started: {error}")),
    };
    let ended = runtime.block_on(async {
        let asked = CancellationToken::new();
        if let Some(file) = log.log_file.clone() {
            // It ends with the runtime: the last lines of a process may be the ones that are wanted.
            tokio::spawn(async move { filter.follow(&file).await });
        }
        let signals = Signals::listen().map_err(|error| format!("the signal handlers cannot be installed: {error}"))?;
        match signals.run(asked.clone(), work(asked)).await {
            Outcome::Finished(ended) => ended.map(|()| ExitCode::SUCCESS),
            Outcome::Abandoned { exit_code } => Ok(ExitCode::from(exit_code)),
        }
    });
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err::<_, Failure>(error) => fail(&error),
    }
}

/// The exit code of a verb for people that could not tell what was asked.
const NO_ANSWER: u8 = 2;

/// Runs the work of a verb for people, which needs one thread.
///
/// # Errors
/// Those of the work.
pub(super) fn on_this_thread<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}

/// The exit code of a verb for people; why there is none is said in one sentence.
pub(super) fn code(verb: &str, ended: Result<u8, Failure>) -> u8 {
    ended.unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "pact-operator {verb}: {error}"));
        NO_ANSWER
    })
}

/// The same, as the process ends.
pub(super) fn ended(verb: &str, ended: Result<u8, Failure>) -> ExitCode {
    ExitCode::from(code(verb, ended))
}

/// The user agent for brokers.
pub(super) const USER_AGENT: &str = concat!("pact-operator/", env!("CARGO_PKG_VERSION"));

/// A registry for the metrics of a process, with its version.
pub(super) fn metrics() -> Metrics {
    Metrics::new("pact_operator", vec![("version", env!("CARGO_PKG_VERSION").to_owned())])
}

/// The state behind /readyz, /livez and /metrics.
pub(super) fn probes(readiness: &Readiness, liveness: &Liveness, metrics: &Metrics) -> Probes {
    let metrics = metrics.clone();
    Probes { readiness: readiness.clone(), liveness: liveness.clone(), metrics: Arc::new(move || metrics.render()) }
}

/// A client for the API server, from the cluster or from `KUBECONFIG`.
pub(super) async fn api_server() -> Result<kube::Client, Failure> {
    let unusable = |error: String| -> Failure {
        format!("no access to the API server is configured: {error}; run it in a cluster, or set KUBECONFIG").into()
    };
    let config = kube::Config::infer().await.map_err(|error| unusable(error.to_string()))?;
    let client = ClientBuilder::try_from(config).map_err(|error| unusable(error.to_string()))?;
    Ok(client.with_layer(&newest_first()).build())
}
