use super::super::config::{BaseUrl, TlsSettings};
use super::*;

fn config() -> BrokerConfig {
    BrokerConfig {
        base_url: BaseUrl::parse("http://broker").unwrap(),
        credentials: Credentials::None,
        headers: Vec::new(),
        tls: TlsSettings::default(),
        request_timeout: Duration::from_secs(1),
        concurrency: 1,
        longest_pause: crate::broker::pause::LONGEST_PAUSE,
        user_agent: "test".to_owned(),
    }
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.into(), password: password.into() }
}

#[test]
fn credentials_that_cannot_be_sent_are_refused_without_being_shown() {
    for (credentials, says) in [
        (basic("bob", "s3cret\n"), "password ends with a line break"),
        (basic("s3cret\n", "x"), "user name ends with a line break"),
        (basic("s3cret:x", "x"), "colon"),
        (basic("", "s3cret"), "user name is empty"),
        (basic("bob", ""), "password is empty"),
        (Credentials::Bearer("".into()), "token is empty"),
        (Credentials::Bearer("s3cret\r\n".into()), "token ends with a line break"),
        (Credentials::Bearer("s3\u{0}cret".into()), "control character"),
    ] {
        let error = build(&BrokerConfig { credentials, ..config() }).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && text.contains("Secret"), "{text}");
        assert!(!text.contains("s3") && !text.contains("bob"), "{text}");
    }
}

#[test]
fn headers_that_are_ours_or_cannot_be_sent_are_refused_without_their_value() {
    let header = |name: &str, value: &str| (name.to_owned(), SecretText::new(value));
    for (headers, says) in [
        (vec![header("Host", "s3cret")], "sets itself"),
        (vec![header("Accept", "s3cret")], "sets itself"),
        (vec![header("content-type", "s3cret")], "sets itself"),
        (vec![header("a b", "s3cret")], "\"a b\" for the broker has a name"),
        (vec![header("", "s3cret")], "has a name"),
        (vec![header("x-gate", "s3cret\n")], "line break"),
        (vec![header("x-gate", "s3cret"), header("X-Gate", "s3cret")], "twice"),
    ] {
        let error = build(&BrokerConfig { headers, ..config() }).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
    }
}

#[test]
fn an_authorization_header_is_allowed_only_without_other_credentials() {
    let headers = vec![("Authorization".to_owned(), SecretText::new("Token s3cret"))];
    let alone = BrokerConfig { headers, ..config() };
    assert!(build(&alone).is_ok());
    let error = build(&BrokerConfig { credentials: Credentials::Bearer("other".into()), ..alone }).unwrap_err();
    assert!(error.to_string().contains("contradicts"), "{error}");
}

#[test]
fn a_secret_is_redacted_in_every_form_in_which_it_is_sent() {
    let (_, redactor) = build(&BrokerConfig { credentials: basic("Aladdin", "open sesame"), ..config() }).unwrap();
    // The example of RFC 7617, section 2.
    assert_eq!(redactor.clean("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== of Aladdin"), "Basic [redacted] of [redacted]");
    assert_eq!(redactor.clean("QWxhZGRpbjpvcGVuIHNlc2FtZQ, without padding"), "[redacted], without padding");
    let (_, redactor) = build(&BrokerConfig { credentials: Credentials::Bearer("abc".into()), ..config() }).unwrap();
    assert_eq!(redactor.clean("Bearer abc, token abc"), "[redacted], token [redacted]");
}

#[test]
fn credentials_are_marked_as_secret_so_that_no_log_shows_them() {
    let gate = vec![("x-gate".to_owned(), SecretText::new("open sesame"))];
    for credentials in [basic("Aladdin", "open sesame"), Credentials::Bearer("open sesame".into())] {
        let config = BrokerConfig { credentials, headers: gate.clone(), ..config() };
        let headers = headers(&config, &mut Redactor::default()).unwrap();
        assert!(headers[AUTHORIZATION].is_sensitive() && headers["x-gate"].is_sensitive());
        let shown = format!("{headers:?}");
        assert!(!shown.contains("sesame") && !shown.contains("QWxhZGRpbjpvcGVuIHNlc2FtZQ"), "{shown}");
    }
}

#[test]
fn settings_that_allow_no_request_are_refused() {
    use super::super::Broker;
    for (config, says) in [
        (BrokerConfig { concurrency: 0, ..config() }, "concurrency is 0"),
        (BrokerConfig { request_timeout: Duration::ZERO, ..config() }, "timeout is 0"),
        (BrokerConfig { user_agent: "a\nb".to_owned(), ..config() }, "user agent"),
    ] {
        let error = Broker::new(config).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let most = Broker::new(BrokerConfig { concurrency: usize::MAX, request_timeout: Duration::MAX, ..config() });
    assert!(most.is_ok(), "an absurdly high number means no limit, not a panic");
}
