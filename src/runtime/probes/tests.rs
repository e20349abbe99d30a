//! The probes over real connections.
