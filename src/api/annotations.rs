//! The annotations that teams write on their workloads. They belong on the workload itself, never on its pod template:
//! a change there must not restart pods.

/// Names the pacticipant that the workload runs; several are separated by commas.
pub const PACTICIPANT: &str = "pact-operator.dev/pacticipant";

/// Names the container whose image tag is the version, when the pod template has more than one container.
pub const CONTAINER: &str = "pact-operator.dev/container";

/// States the version explicitly.
pub const VERSION: &str = "pact-operator.dev/version";

/// Names the permanent copy of the application that this workload is; overrides the environment's.
pub const APPLICATION_INSTANCE: &str = "pact-operator.dev/application-instance";

/// States that one version passes the gate unasked, and why: `<version> <reason>`. It counts only for whoever holds the
/// verb `bypass` on `pactenvironments`.
pub const BYPASS: &str = "pact-operator.dev/bypass";

/// Asks the gate to add a warning to its answer, as proof that it was called; the gate does so for dry-runs only. For
/// `helm test`.
pub const SELF_TEST: &str = "pact-operator.dev/self-test";

/// On a `PactEnvironment`: confirms that the records of all workloads that vanished up to a time (RFC 3339) may be taken
/// back, although they are many.
pub const CONFIRM_UNDEPLOY: &str = "pact-operator.dev/confirm-undeploy";

/// On a `PactDeployment`, or on the Event of a denial: up to which sequence its announcements were delivered to a sink, whose
/// name follows.
pub const ANNOUNCED: &str = "pact-operator.dev/announced-";

/// On the Event of a denial or of a hold: which pacticipant and version was denied or held where, as JSON.
pub const DENIED: &str = "pact-operator.dev/denied";

/// Written by the operator on a workload that it holds: which version, by which `PactEnvironment`s, since when, and `Refused` or
/// `Overdue` once that was reported. With it the operator resumes the workload; without it the pause is its owner's.
pub const HELD: &str = "pact-operator.dev/held";

/// Every annotation of the operator that is read on a workload.
pub const READ: [&str; 7] = [PACTICIPANT, CONTAINER, VERSION, APPLICATION_INSTANCE, BYPASS, SELF_TEST, HELD];

/// Kubernetes' own annotation on a pod template: the container that people mean when they name none (case 87).
/// See <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container>.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// The label that may state the version, where the environment's rules say so.
/// See <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const VERSION_LABEL: &str = "app.kubernetes.io/version";
