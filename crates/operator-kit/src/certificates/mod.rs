//! The serving certificate of an admission webhook, and the trust of the API server in it.
//!
//! The certificate has one of two sources. The operator's own: one certificate authority for all replicas, kept in a
//! Secret, from which each replica signs a leaf that never leaves its memory. Or a mounted folder that something else
//! updates (cert-manager, a person). Both are replaced while serving, without a restart.
//!
//! The order that lets no call fail: an authority is added to the live `caBundle` first, signs only after it has been
//! in the live `caBundle` for the `overlap`, and leaves the `caBundle` after its last leaf has expired. Every replica
//! may take every step: each write carries the resourceVersion of what was read, and the `caBundle` is read *before*
//! the Secret, so that no replica can remove what another has just added.
//!
//! Every check compares validity with the wall clock. One long timer would miss the time in which a machine was
//! suspended. The time for which an authority has been trusted is measured by the monotonic clock, which cannot be set.
//!
//! Rights needed; no list and no watch:
//!
//! | where | resource | verbs |
//! |---|---|---|
//! | the Secret's namespace (own authority only) | `secrets`, by resourceName | get, update |
//! | the cluster | `validatingwebhookconfigurations` of admissionregistration.k8s.io, by resourceName | get, patch |
//!
//! The Secret is made by whoever installs the operator, empty. RBAC cannot limit a create to a name, and whoever may
//! create Secrets can make itself the token of another account; so the right to create is not among these.
//!
//! A person may delete the Secret at any time. The operator creates it again at once, if it has that right. If not, it
//! names the command that does, and each replica goes on with an authority in its memory until there is a Secret again.
//! No call fails in either case.

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

/// Gives the wall-clock time. It is injected, so that a test can let a year pass.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's wall clock.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}
