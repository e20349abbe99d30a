//! The operator's interface: its custom resources, annotations, conditions, and the names of Pact's model.

pub mod annotations;
pub mod broker;
pub mod condition;
pub mod deployment;
pub mod environment;
pub mod gate;
pub mod names;
pub mod record;

pub use broker::{PactBroker, PactBrokerSpec, PactBrokerStatus};
pub use deployment::{PactDeployment, PactDeploymentSpec, PactDeploymentStatus};
pub use environment::{PactEnvironment, PactEnvironmentSpec, PactEnvironmentStatus};
pub use record::{PactRecord, PactRecordSpec, PactRecordStatus};

/// The API group of the operator's kinds.
pub const GROUP: &str = "pact-operator.dev";
/// The version of the operator's kinds.
pub const API_VERSION: &str = "v1alpha1";
