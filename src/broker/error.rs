//! Why a request to a broker failed, for people and for the caller's decisions.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::ids::EnvironmentId;
use super::operation::Operation;
use crate::api::names::{Pacticipant, Version, quoted};
use crate::decide::Reason;

/// Why a call at a broker failed. Never holds a credential; `Display` names the operation, the cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BrokerError {
    /// 401; also 400 with an empty body, which is how a broker with basic auth answers a bearer token. A read-only user
    /// that writes gets 401 too.
    #[error("the Pact Broker refused the credentials (HTTP {status}) when asked to {operation}: {}", unauthorized(*.status))]
    Unauthorized {
        /// The operation.
        operation: Operation,
        /// 401 or 400.
        status: u16,
    },
    /// 403: the credentials are known, but lack the permission.
    #[error(
        "the Pact Broker forbids us to {operation} (HTTP 403): give the operator's user the permission, or use another in \
         the PactBroker's auth"
    )]
    Forbidden {
        /// The operation.
        operation: Operation,
    },
    /// The pacticipant does not exist.
    #[error(
        "the Pact Broker has no pacticipant named {}: publish its pacts or verification results first, or correct the \
         annotation (names are case-sensitive)", quoted(.pacticipant.as_str())
    )]
    PacticipantMissing {
        /// The missing pacticipant.
        pacticipant: Pacticipant,
    },
    /// The pacticipant exists, this version of it does not.
    #[error(
        "the Pact Broker has no version {} of {}: publish its pacts or verification results with that version, or correct \
         the version here", quoted(.version.as_str()), quoted(.pacticipant.as_str())
    )]
    VersionMissing {
        /// The pacticipant.
        pacticipant: Pacticipant,
        /// The missing version.
        version: Version,
    },
    /// No environment has this uuid (any more): resolve its name again.
    #[error(
        "the Pact Broker has no environment with the uuid {environment}: it was deleted; create it again at the broker or \
         name another"
    )]
    EnvironmentMissing {
        /// The unknown uuid.
        environment: EnvironmentId,
    },
    /// The broker, or a proxy in front of it, asks the client to wait. Until then nothing is sent.
    #[error("the Pact Broker asks to be called less often{}", waiting(*.retry_after))]
    RateLimited {
        /// For how long, if it was stated.
        retry_after: Option<Duration>,
    },
    /// 5xx or 408.
    #[error(
        "the Pact Broker failed to {operation} (HTTP {status}{}){}: look at its log and its database", referred(.reference.as_ref()),
        waiting(*.retry_after)
    )]
    Server {
        /// The operation.
        operation: Operation,
        /// The status.
        status: u16,
        /// The reference under which the broker logged it, or the beginning of its message.
        reference: Option<String>,
        /// How long the broker asks to wait.
        retry_after: Option<Duration>,
    },
    /// No complete answer arrived.
    #[error("the Pact Broker could not be asked to {operation}: {fault} ({cause}); {}", .fault.remedy())]
    Transport {
        /// The operation.
        operation: Operation,
        /// At which point it failed.
        fault: TransportFault,
        /// The chain of causes, without the URL.
        cause: String,
    },
    /// Nothing was sent: all slots for requests stayed in use.
    #[error(
        "the Pact Broker was not asked to {operation}: {}s passed without a free slot for a request; it answers slowly, or \
         the PactBroker's concurrency is too low", .waited.as_secs_f32()
    )]
    Busy {
        /// The operation.
        operation: Operation,
        /// How long the request waited.
        waited: Duration,
    },
    /// The answer is not a Pact Broker's.
    #[error(
        "no Pact Broker answers at the PactBroker's url when asked to {operation}: {answered}; check the url and its path"
    )]
    NotABroker {
        /// The operation.
        operation: Operation,
        /// A short quote of the answer.
        answered: String,
    },
    /// A redirect. It is never followed: a write would become a read, and another host would receive the credentials.
    #[error(
        "the Pact Broker's url redirects to {to} when asked to {operation}: write the final url into the PactBroker; a \
         redirect to a login page means that a proxy wants other credentials"
    )]
    Redirected {
        /// The operation.
        operation: Operation,
        /// Scheme, host and port of the target.
        to: String,
    },
    /// The answer is longer than the limit.
    #[error("the Pact Broker's answer when asked to {operation} is longer than {} MiB and was not read further: is the url right?", .limit >> 20)]
    TooLarge {
        /// The operation.
        operation: Operation,
        /// The limit in bytes.
        limit: usize,
    },
    /// Another 4xx: the request itself was wrong.
    #[error(
        "the Pact Broker refused to {operation} (HTTP {status}): {message}; if the names are right, please report it as a bug"
    )]
    Rejected {
        /// The operation.
        operation: Operation,
        /// The status.
        status: u16,
        /// The broker's message.
        message: String,
    },
    /// The name cannot be part of a URL's path: it is `.` or `..`. Nothing was sent.
    #[error(
        "{name} cannot stand in a URL, which reads it as a folder; the Pact Broker was not asked to {operation}: choose another name"
    )]
    Unaddressable {
        /// The operation.
        operation: Operation,
        /// The name, quoted.
        name: String,
    },
}

/// At which point of a request the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// The host's name is unknown.
    Dns,
    /// No connection.
    Connect,
    /// A connection, but no trusted certificate.
    Tls,
    /// No complete answer within the request's time limit.
    Timeout,
    /// The connection ended before an answer began.
    Closed,
    /// The connection ended in the middle of the answer.
    BodyCut,
}

impl TransportFault {
    fn remedy(self) -> &'static str {
        match self {
            Self::Dns => "check the PactBroker's url and the cluster's DNS",
            Self::Connect => "is it running, and does a NetworkPolicy or proxy stand between?",
            Self::Tls => "check the PactBroker's CA bundle and client certificate",
            Self::Timeout => "is it overloaded? The PactBroker's requestTimeout can be raised",
            Self::Closed | Self::BodyCut => "look at its log and at the proxy before it",
        }
    }
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "its host is not known",
            Self::Connect => "no connection",
            Self::Tls => "TLS failed",
            Self::Timeout => "no whole answer in time",
            Self::Closed => "the connection ended before an answer",
            Self::BodyCut => "the answer was cut off",
        })
    }
}

impl BrokerError {
    /// Whether the same call may succeed soon without any change by a person. A missing object may be published later,
    /// but the caller should poll for it slowly.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Server { .. } | Self::Transport { .. } | Self::Busy { .. })
    }

    /// The reason for a condition, `CamelCase` as the Kubernetes API conventions require.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unauthorized { .. } => Reason::Unauthorized,
            Self::Forbidden { .. } => Reason::Forbidden,
            Self::PacticipantMissing { .. } => Reason::PacticipantMissing,
            Self::VersionMissing { .. } => Reason::VersionMissing,
            Self::EnvironmentMissing { .. } => Reason::EnvironmentMissing,
            Self::RateLimited { .. } => Reason::RateLimited,
            Self::Server { .. } | Self::Transport { .. } | Self::Busy { .. } => Reason::BrokerUnavailable,
            Self::NotABroker { .. } => Reason::NotABroker,
            Self::Redirected { .. } => Reason::Redirected,
            Self::TooLarge { .. } => Reason::AnswerTooLarge,
            Self::Rejected { .. } => Reason::RequestRejected,
            Self::Unaddressable { .. } => Reason::InvalidName,
        }
    }

    /// How long the broker asked all clients to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn unauthorized(status: u16) -> &'static str {
    if status == 400 {
        "it expects another kind (basic or bearer); change the PactBroker's auth"
    } else {
        "check user and password or token in the auth Secret; a read-only user cannot write"
    }
}

fn waiting(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("; nothing is sent for {}s", wait.as_secs_f32().ceil()))
}

fn referred(reference: Option<&String>) -> String {
    reference.map_or_else(String::new, |reference| format!(", {reference}"))
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
