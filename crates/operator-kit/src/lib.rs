//! Lease, readiness, shutdown, telemetry, watches: what any process in a cluster needs.

pub mod backoff;
pub mod certificates;
pub mod events;
pub mod history;
pub mod lease;
pub mod listen;
pub mod liveness;
pub mod metrics;
pub mod probes;
pub mod readiness;
pub mod refusal;
pub mod shutdown;
pub mod telemetry;
pub mod tls_server;
pub mod watch;
