//! Log lines on standard error, as text for people or as JSON for machines. What is logged may change while the process runs.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// The longest filter that is read from a file, in bytes.
const LONGEST: usize = 4096;
/// How often the file with the filter is looked at. A `ConfigMap` takes about a minute to reach it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
    /// Logging ended.
    #[error("the log filter cannot be changed: {0}")]
    Unchangeable(#[from] tracing_subscriber::reload::Error),
}

/// What is logged, to be changed while the process runs.
pub struct LogFilter {
    /// The filter that counts where the file says nothing.
    usual: String,
    set: Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>,
}

/// Crates that log much about every request and little about us. At `warn` unless the filter names them.
const NOISY: [&str; 7] = ["kube", "hyper", "h2", "reqwest", "rustls", "tower", "axum"];

/// Sets up logging for the whole process. `filter` is the value of `--log`; without it the variable `RUST_LOG` counts,
/// and without both the level is `info`. The HTTP and TLS crates stay at `warn` unless the filter names them.
///
/// # Errors
/// When the filter is invalid, or logging was set up before.
pub fn init(format: LogFormat, filter: Option<&str>) -> Result<LogFilter, TelemetryError> {
    let from_env = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let usual = directives(filter, from_env.as_deref());
    let filter = parse(&usual)?;
    // Log lines go to standard error: standard output carries the result of a command and may be piped.
    let writer = BoxMakeWriter::new(std::io::stderr);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let set: Box<dyn Fn(EnvFilter) -> _ + Send + Sync> = match format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let builder = builder.with_ansi(terminal).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(TelemetryError::AlreadySetUp)?;
            Box::new(move |filter| handle.reload(filter))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map_err(TelemetryError::AlreadySetUp)?;
            Box::new(move |filter| handle.reload(filter))
        }
    };
    Ok(LogFilter { usual, set })
}

impl LogFilter {
    /// Logs what the text of a file says, whenever that changes, for as long as it is polled. Where there is no file, or no
    /// text in it, the usual filter counts; where the text makes no sense, what counted before.
    pub async fn follow(self, file: &Path) {
        let (mut known, mut unreadable) = (String::new(), false);
        loop {
            // A few bytes, in memory: nothing that waits.
            match std::fs::read_to_string(file) {
                Ok(text) if text.len() <= LONGEST => {
                    unreadable = false;
                    self.adopt(text.trim(), &mut known);
                }
                Ok(text) => {
                    let bytes = text.len();
                    if !std::mem::replace(&mut unreadable, true) {
                        warn!(file = %file.display(), bytes, "the log filter is too long; the filter stays");
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.adopt("", &mut known),
                Err(error) if !unreadable => {
                    unreadable = true;
                    warn!(file = %file.display(), %error, "the file with the log filter cannot be read; the filter stays");
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn adopt(&self, text: &str, known: &mut String) {
        if text == known {
            return;
        }
        text.clone_into(known);
        match self.set(text) {
            Ok(filter) => info!(filter, "the log filter changed"),
            Err(error) => warn!(%error, "the log filter stays as it was"),
        }
    }

    /// Logs what a filter says; the usual where it is empty. Returns the whole filter.
    fn set(&self, filter: &str) -> Result<String, TelemetryError> {
        let whole = if filter.is_empty() { self.usual.clone() } else { directives(Some(filter), None) };
        (self.set)(parse(&whole)?)?;
        Ok(whole)
    }
}

fn parse(directives: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(directives).map_err(|source| TelemetryError::Filter { filter: directives.to_owned(), source })
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
        let error = init(LogFormat::Text, Some("info,=loud=")).err().unwrap().to_string();
        assert!(error.contains("info,=loud=") && error.contains("Write a level"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_changes_the_filter_and_one_that_makes_no_sense_does_not() {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let filters = std::sync::Arc::clone(&seen);
        let set = move |filter: EnvFilter| {
            filters.lock().unwrap().push(filter.to_string());
            Ok(())
        };
        let filter = LogFilter { usual: "info".to_owned(), set: Box::new(set) };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("filter");
        let followed = file.clone();
        let following = tokio::spawn(async move { filter.follow(&followed).await });
        let mut expected = 0;
        // The first look finds no file.
        for (text, changes) in
            [("debug\n", true), ("debug", false), ("=loud=", false), ("kube=trace", true), ("", true)]
        {
            std::fs::write(&file, text).unwrap();
            tokio::time::sleep(2 * LOOK_EVERY).await;
            expected += usize::from(changes);
            assert_eq!(seen.lock().unwrap().len(), expected, "{text:?}");
        }
        following.abort();
        let seen = seen.lock().unwrap();
        assert!(seen[0].contains("debug") && seen[0].contains("hyper=warn"), "{seen:?}");
        assert!(seen[1].contains("kube=trace") && !seen[1].contains("kube=warn"), "{seen:?}");
        assert_eq!(seen[2], "info");
    }
}
