//! The operator's interface: its custom resources, annotations, conditions, and the names of Pact's model.

pub mod annotations;
pub mod names;

/// The API group of the operator's kinds.
pub const GROUP: &str = "pact-operator.dev";
/// The version of the operator's kinds.
pub const API_VERSION: &str = "v1alpha1";
