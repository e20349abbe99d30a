//! The settings of a broker's client, from a `PactBroker` and its Secrets; and the message when one is invalid.

use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "s3cr3t-t0ken";

fn spec(mut more: Value) -> PactBrokerSpec {
    let mut spec = json!({"url": "https://broker.example.com/pact"});
    spec.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    serde_json::from_value(spec).unwrap()
}

fn basic() -> Value {
    json!({"auth": {"basic": {"secretRef": {"name": "login"}}}})
}

fn bearer() -> Value {
    json!({"auth": {"bearer": {"secretRef": {"name": "login"}}}})
}

#[allow(clippy::unnecessary_wraps, reason = "an existing Secret, among some that do not exist")]
fn secret(entries: &[(&str, &[u8])]) -> SecretData {
    let values = entries.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    Some(SecretContents { type_: "Opaque".to_owned(), values })
}

fn settings(spec: &PactBrokerSpec, secrets: &[(&str, SecretData)]) -> Result<BrokerConfig, Explanation> {
    let secrets = secrets.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
    broker_config(spec, "operators", &secrets, "agent/1")
}

fn login(entries: &[(&str, &[u8])]) -> [(&'static str, SecretData); 1] {
    [("login", secret(entries))]
}

#[test]
fn a_broker_without_authentication_needs_its_url_only() {
    let config = settings(&spec(json!({})), &[]).unwrap();
    assert_eq!(config.base_url, BaseUrl::parse("https://broker.example.com/pact").unwrap());
    assert_eq!((config.credentials, config.headers.len()), (Credentials::None, 0));
    assert_eq!(config.tls, TlsSettings::default());
    assert_eq!((config.request_timeout, config.concurrency), (Duration::from_secs(10), 6));
    assert_eq!(config.user_agent, "agent/1");
}

#[test]
fn basic_auth_takes_user_name_and_password_from_the_keys_named() {
    let data = login(&[("username", b"ann"), ("password", b"pa ss:w\xc3\xb6rd")]);
    let expected = Credentials::Basic { username: "ann".into(), password: "pa ss:wörd".into() };
    assert_eq!(settings(&spec(basic()), &data).unwrap().credentials, expected);
    let named = json!({"auth": {"basic": {"secretRef": {"name": "login"}, "usernameKey": "u", "passwordKey": "p"}}});
    let data = login(&[("u", b"ann"), ("p", b"pa ss:w\xc3\xb6rd"), ("password", b"other")]);
    assert_eq!(settings(&spec(named), &data).unwrap().credentials, expected);
}

#[test]
fn a_bearer_token_is_taken_without_the_line_break_that_an_editor_left() {
    for stored in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("{TOKEN}\r\n"), format!("{TOKEN}\n\n")] {
        let config = settings(&spec(bearer()), &login(&[("token", stored.as_bytes())])).unwrap();
        assert_eq!(config.credentials, Credentials::Bearer(TOKEN.into()), "{stored:?}");
    }
    let config = settings(&spec(bearer()), &login(&[("token", b" spaces stay ")])).unwrap();
    assert_eq!(config.credentials, Credentials::Bearer(" spaces stay ".into()));
}

#[test]
fn an_invalid_secret_is_reported_with_its_key_and_remedy_and_never_with_a_value() {
    let token = |value: &[u8]| vec![("login", secret(&[("token", value), ("other", TOKEN.as_bytes())]))];
    let beginning = TOKEN.as_bytes();
    for (case, secrets, reason) in [
        ("not read", vec![], "SecretMissing"),
        ("not there", vec![("login", None)], "SecretMissing"),
        ("without the key", vec![("login", secret(&[("Token", beginning)]))], "SecretKeyMissing"),
        ("with an empty value", token(b""), "SecretKeyMissing"),
        ("with a line break alone", token(b"\n"), "SecretKeyMissing"),
        ("not text", token(&[beginning, &[0xff]].concat()), "SecretInvalid"),
        ("with a line break inside", token(&[beginning, b"\nX: y"].concat()), "SecretInvalid"),
        ("with a line break before", token(&[b"\n", beginning].concat()), "SecretInvalid"),
        ("with a zero byte", token(&[beginning, b"\0"].concat()), "SecretInvalid"),
        ("with a tab", token(&[beginning, b"\t"].concat()), "SecretInvalid"),
    ] {
        let why = settings(&spec(bearer()), &secrets).unwrap_err();
        assert_eq!(why.reason.as_str(), reason, "{case}");
        assert!(why.message.contains("login") && why.message.contains("operators"), "{case}: {}", why.message);
        assert!(reason == "SecretMissing" || why.message.contains("key token"), "{case}: {}", why.message);
        let report = format!("{why:?}");
        assert!(!report.contains(TOKEN) && !report.contains("s3cr3t"), "{case}: {report}");
    }
}

#[test]
fn each_key_of_basic_auth_is_required() {
    for (missing, present) in [("username", "password"), ("password", "username")] {
        let why = settings(&spec(basic()), &login(&[(present, TOKEN.as_bytes())])).unwrap_err();
        assert_eq!(why.reason.as_str(), "SecretKeyMissing");
        assert!(why.message.contains(&format!("key {missing}")), "{}", why.message);
    }
}

#[test]
fn every_key_of_the_headers_secret_is_a_header() {
    let headers = spec(json!({"headersSecretRef": {"name": "headers"}}));
    let config = settings(&headers, &[("headers", secret(&[("X-Team", b"a\n"), ("CF-Access", b"b")]))]).unwrap();
    assert_eq!(config.headers, [("CF-Access".to_owned(), "b".into()), ("X-Team".to_owned(), "a".into())]);
    assert!(!format!("{config:?}").contains("\"b\""), "values are secrets");
    assert_eq!(settings(&headers, &[("headers", secret(&[]))]).unwrap().headers, []);
    assert_eq!(settings(&headers, &[]).unwrap_err().reason.as_str(), "SecretMissing");
    let why = settings(&headers, &[("headers", secret(&[("X-Team", b"a\r\nX-Admin: yes")]))]).unwrap_err();
    assert_eq!(why.reason.as_str(), "SecretInvalid");
    assert!(why.message.contains("headers") && why.message.contains("X-Team") && !why.message.contains("Admin"));
}

#[test]
fn authorities_come_from_the_spec_from_a_secret_or_from_both() {
    let bundle = |tls: Value| {
        let config = settings(&spec(json!({"tls": tls})), &[("ca", secret(&[("ca.crt", b"THEIRS")]))]).unwrap();
        config.tls.ca_bundle_pem.map(|pem| String::from_utf8(pem).unwrap())
    };
    assert_eq!(bundle(json!({})), None);
    assert_eq!(bundle(json!({"caBundle": ""})), None);
    assert_eq!(bundle(json!({"caBundle": "OURS"})).as_deref(), Some("OURS"));
    assert_eq!(bundle(json!({"caSecretRef": {"name": "ca"}})).unwrap().trim(), "THEIRS");
    let both = bundle(json!({"caBundle": "OURS", "caSecretRef": {"name": "ca"}}));
    assert_eq!(both.as_deref(), Some("OURS\nTHEIRS"), "a line break between them, or neither could be read");
    let why = settings(&spec(json!({"tls": {"caSecretRef": {"name": "ca"}}})), &[("ca", secret(&[]))]).unwrap_err();
    assert!(why.reason.as_str() == "SecretKeyMissing" && why.message.contains("ca.crt"), "{why:?}");
}

#[test]
fn a_client_certificate_needs_both_of_its_keys() {
    let tls = spec(json!({"tls": {"clientCertificateSecretRef": {"name": "tls"}, "insecureSkipVerify": true}}));
    let config = settings(&tls, &[("tls", secret(&[("tls.crt", b"CERT"), ("tls.key", b"KEY")]))]).unwrap();
    let expected = ClientCertificate { cert_pem: b"CERT".to_vec(), key_pem: b"KEY".to_vec() };
    assert_eq!(config.tls.client_certificate, Some(expected));
    assert!(config.tls.insecure_skip_verify);
    for (present, missing) in [("tls.crt", "tls.key"), ("tls.key", "tls.crt")] {
        let why = settings(&tls, &[("tls", secret(&[(present, TOKEN.as_bytes())]))]).unwrap_err();
        assert!(why.reason.as_str() == "SecretKeyMissing" && why.message.contains(missing), "{why:?}");
        assert!(!why.message.contains(TOKEN));
    }
}

#[test]
fn what_the_schema_would_refuse_is_refused_or_made_usable() {
    let both = json!({"auth": {"basic": {"secretRef": {"name": "login"}}, "bearer": {"secretRef": {"name": "login"}}}});
    let why = settings(&spec(both), &login(&[])).unwrap_err();
    assert_eq!(why.reason.as_str(), "InvalidSpec");
    assert!(why.message.contains("spec.auth"), "{}", why.message);
    assert_eq!(settings(&spec(json!({"auth": {}})), &[]).unwrap().credentials, Credentials::None);
    let why = settings(&spec(json!({"url": "ftp://broker.example.com"})), &[]).unwrap_err();
    assert!(why.reason.as_str() == "InvalidSpec" && why.message.contains("spec.url"), "{why:?}");
    for odd in [0, -1, i32::MIN] {
        let config = settings(&spec(json!({"requestTimeoutSeconds": odd, "concurrency": odd})), &[]).unwrap();
        assert!(config.request_timeout >= Duration::from_secs(1) && config.concurrency >= 1);
    }
}

#[test]
fn every_secret_that_is_used_is_named_so_that_its_changes_are_seen() {
    let all = json!({
        "auth": {"basic": {"secretRef": {"name": "a"}}},
        "headersSecretRef": {"name": "b"},
        "tls": {"caSecretRef": {"name": "c"}, "clientCertificateSecretRef": {"name": "d"}}
    });
    let names = |more| secrets_of(&spec(more), "operators").unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(names(all), ["a", "b", "c", "d"]);
    assert_eq!(names(bearer()), ["login"]);
    assert!(names(json!({})).is_empty());
}

#[test]
fn case_114_a_secret_that_is_not_for_brokers_is_refused_in_each_field_before_it_is_read() {
    let reference = |name: &str| json!({"secretRef": {"name": name}});
    let fields = |name: &str| {
        [
            ("auth.basic.secretRef", json!({"auth": {"basic": reference(name)}})),
            ("auth.bearer.secretRef", json!({"auth": {"bearer": reference(name)}})),
            ("headersSecretRef", json!({"headersSecretRef": {"name": name}})),
            ("tls.caSecretRef", json!({"tls": {"caSecretRef": {"name": name}}})),
            ("tls.clientCertificateSecretRef", json!({"tls": {"clientCertificateSecretRef": {"name": name}}})),
        ]
    };
    for (field, more) in fields("pact-operator-webhook-authority") {
        let refused = [
            secrets_of(&spec(more.clone()), "operators").unwrap_err(),
            settings(&spec(more), &[("pact-operator-webhook-authority", secret(&[("current.key", b"KEY")]))])
                .unwrap_err(),
        ];
        for why in refused {
            assert_eq!(why.reason, Reason::SecretRefused, "{field}");
            let named = format!("spec.{field}: Secret operators/pact-operator-webhook-authority is the operator's own");
            assert!(why.message.starts_with(&named) && !why.message.contains("KEY"), "{}", why.message);
        }
    }
    for (field, more) in fields("login") {
        let values = [
            ("username", b"u"),
            ("password", b"p"),
            ("token", b"t"),
            ("ca.crt", b"c"),
            ("tls.crt", b"c"),
            ("tls.key", b"k"),
        ];
        let usable = SecretContents {
            type_: "kubernetes.io/service-account-token".to_owned(),
            ..secret(&values.map(|(key, value)| (key, &value[..]))).unwrap()
        };
        let why = settings(&spec(more), &[("login", Some(usable))]).unwrap_err();
        assert_eq!(why.reason, Reason::SecretRefused, "{field}");
        assert!(
            why.message.starts_with(&format!("spec.{field}: Secret operators/login is of type")),
            "{}",
            why.message
        );
    }
}
