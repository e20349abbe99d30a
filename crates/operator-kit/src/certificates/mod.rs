//! The certificate with which an admission webhook serves, and the trust that the API server has in it.
//!
//! Either the operator's own: one certificate authority for all replicas, kept in a Secret, from which each replica
//! signs a leaf that never leaves its memory. Or a mounted folder that somebody else keeps fresh (cert-manager, a
//! person). Both are replaced while serving; nothing restarts.
//!
//! The order that lets no call fail: an authority is added to the live `caBundle` first, signs only after it has been
//! seen there for the `overlap`, and leaves the `caBundle` after its last leaf has expired. Every replica may take every
//! step: each write carries the resourceVersion of what was read, and the `caBundle` is read *before* the Secret, so
//! that no replica can take away what another has just added.
//!
//! Validity is compared with the wall clock at every check instead of by one long timer, which a suspended machine
//! would miss. How long an authority has been trusted is measured by the monotonic clock, which nobody sets.
//!
//! Rights needed, and no list or watch among them:
//!
//! | where | resource | verbs |
//! |---|---|---|
//! | the Secret's namespace (own authority only) | `secrets`, by resourceName | get, update |
//! | the Secret's namespace (own authority only) | `secrets` (RBAC cannot limit a create to a name) | create |
//! | the cluster | `validatingwebhookconfigurations` of admissionregistration.k8s.io, by resourceName | get, patch |
//!
//! A person may delete the Secret at any time: that makes a new authority at once, without a failed call.

mod authority;
mod bundle;
mod certificate;
mod hooks;
mod mounted;
mod own;
mod plan;
mod run;
mod secret;
mod serving;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;
use std::time::SystemTime;

pub use run::run;
pub use serving::ServingCertificate;
pub use settings::{CertificateError, CertificateSettings, MountedSource, OwnSource, Source};

/// Gives the wall-clock time; injected, so that a test can let a year pass.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's wall clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}
