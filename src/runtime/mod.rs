//! Lease, readiness, shutdown, telemetry: what a process in a cluster needs, whatever its purpose.
