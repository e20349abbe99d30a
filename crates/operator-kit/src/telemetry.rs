//! Log lines on standard error, as text for people or as JSON for machines.

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text for each event, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// An invalid filter.
    #[error("the log filter \"{filter}\" is not valid: {source}. Write a level (info) or targets (info,kube=debug)")]
    Filter {
        /// The requested filter.
        filter: String,
        /// The problem of the filter.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging has been set up already: {0}")]
    AlreadySetUp(Box<dyn std::error::Error + Send + Sync>),
}

/// Crates that log much about every request and little about us. At `warn` unless the filter names them.
const NOISY: [&str; 7] = ["kube", "hyper", "h2", "reqwest", "rustls", "tower", "axum"];

/// Sets up logging for the whole process. `filter` is the value of `--log`; without it the variable `RUST_LOG` counts,
/// and without both the level is `info`. The HTTP and TLS crates stay at `warn` unless the filter names them.
///
/// # Errors
/// When the filter is invalid, or logging was set up before.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<(), TelemetryError> {
    let from_env = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let directives = directives(filter, from_env.as_deref());
    let filter = EnvFilter::try_new(&directives)
        .map_err(|source| TelemetryError::Filter { filter: directives.clone(), source })?;
    // Log lines go to standard error: standard output carries the result of a command and may be piped.
    let writer = BoxMakeWriter::new(std::io::stderr);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    }
    .map_err(TelemetryError::AlreadySetUp)
}

/// The whole filter: the first of the two that is not empty, or `info`, and the noisy crates it does not name.
fn directives(asked: Option<&str>, from_env: Option<&str>) -> String {
    let base = [asked, from_env].into_iter().flatten().map(str::trim).find(|text| !text.is_empty()).unwrap_or("info");
    let named = |noisy: &str| {
        base.split(',').any(|directive| {
            let target = directive.trim().split(['=', '[']).next().unwrap_or_default();
            target == noisy || target.starts_with(&format!("{noisy}_")) || target.starts_with(&format!("{noisy}::"))
        })
    };
    NOISY.iter().filter(|noisy| !named(noisy)).fold(base.to_owned(), |all, noisy| format!("{all},{noisy}=warn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable_and_noise_stays_quiet_unless_named() {
        let quiet = "kube=warn,hyper=warn,h2=warn,reqwest=warn,rustls=warn,tower=warn,axum=warn";
        for (flag, env, expected) in [
            (None, None, format!("info,{quiet}")),
            (None, Some(""), format!("info,{quiet}")),
            (None, Some("debug"), format!("debug,{quiet}")),
            (Some("trace"), Some("debug"), format!("trace,{quiet}")),
            (Some(" "), Some("debug"), format!("debug,{quiet}")),
            (Some("info,kube=debug"), None, format!("info,kube=debug,{}", quiet.replace("kube=warn,", ""))),
            (Some("kube_client=debug"), None, format!("kube_client=debug,{}", quiet.replace("kube=warn,", ""))),
        ] {
            let directives = directives(flag, env);
            assert_eq!(directives, expected, "{flag:?} {env:?}");
            assert!(EnvFilter::try_new(&directives).is_ok(), "{directives}");
        }
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_an_error_that_quotes_it() {
        let error = init(LogFormat::Text, Some("info,=loud=")).unwrap_err().to_string();
        assert!(error.contains("info,=loud=") && error.contains("Write a level"), "{error}");
    }
}
