//! Lease, readiness, shutdown, telemetry, watches: what any process in a cluster needs.

pub mod backoff;
pub mod body_budget;
pub mod certificates;
pub mod events;
pub mod history;
pub mod lease;
pub mod listen;
pub mod liveness;
pub mod metrics;
pub mod mutating_webhook;
pub mod open_files;
mod pace;
pub mod probes;
pub mod readiness;
pub mod recently;
pub mod refusal;
pub mod review_path;
pub mod shutdown;
mod slots;
pub mod telemetry;
pub mod tls_server;
pub mod traces;
pub mod watch;
