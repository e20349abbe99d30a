use super::*;
use crate::broker::answer::short;

/// Every error, with the longest possible values.
fn all() -> Vec<(BrokerError, &'static str, bool)> {
    let operation = Operation::ReadSupported;
    let long = "ü".repeat(255);
    let (pacticipant, version) = (Pacticipant::parse(&long).unwrap(), Version::parse(&long).unwrap());
    let environment = EnvironmentId::parse("16926ef3-590f-4e3f-838e-719717aa88c9").unwrap();
    let wait = Some(Duration::from_millis(1500));
    let reference = Some(short(&long, 60));
    let mut all = vec![
        (BrokerError::Unauthorized { operation, status: 401 }, "Unauthorized", false),
        (BrokerError::Unauthorized { operation, status: 400 }, "Unauthorized", false),
        (BrokerError::Forbidden { operation }, "Forbidden", false),
        (BrokerError::PacticipantMissing { pacticipant: pacticipant.clone() }, "PacticipantMissing", false),
        (BrokerError::VersionMissing { pacticipant, version }, "VersionMissing", false),
        (BrokerError::EnvironmentMissing { environment }, "EnvironmentMissing", false),
        (BrokerError::RateLimited { retry_after: wait }, "RateLimited", true),
        (BrokerError::Server { operation, status: 503, reference, retry_after: wait }, "BrokerUnavailable", true),
        (BrokerError::Busy { operation, waited: Duration::from_secs(10) }, "BrokerUnavailable", true),
        (BrokerError::NotABroker { operation, answered: short(&long, 120) }, "NotABroker", false),
        (BrokerError::Redirected { operation, to: "https://login.example.com:8443".to_owned() }, "Redirected", false),
        (BrokerError::TooLarge { operation, limit: 32 << 20 }, "AnswerTooLarge", false),
        (BrokerError::Rejected { operation, status: 422, message: short(&long, 80) }, "RequestRejected", false),
        (BrokerError::Unaddressable { operation, name: quoted("..") }, "InvalidName", false),
    ];
    for fault in [
        TransportFault::Dns,
        TransportFault::Connect,
        TransportFault::Tls,
        TransportFault::Timeout,
        TransportFault::Closed,
        TransportFault::BodyCut,
    ] {
        let cause = short(&long, 100);
        all.push((BrokerError::Transport { operation, fault, cause }, "BrokerUnavailable", true));
    }
    all
}

#[test]
fn each_error_has_its_reason_and_a_text_that_a_condition_can_carry() {
    for (error, reason, retryable) in all() {
        let text = error.to_string();
        let length = text.chars().count();
        println!("{length} {text}");
        assert_eq!((error.reason().as_str(), error.retryable()), (reason, retryable), "{text}");
        assert!(length <= 260 && !text.contains('\n') && !text.contains("  "), "{length} {text}");
    }
}

#[test]
fn a_wait_is_reported_in_whole_seconds() {
    let error = BrokerError::RateLimited { retry_after: Some(Duration::from_millis(1500)) };
    assert!(error.to_string().contains("for 2s"), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
    assert_eq!(BrokerError::Forbidden { operation: Operation::Probe }.retry_after(), None);
}
