//! Credentials are planted for brokers, and secrets of other programs in workloads. Brokers refuse them, repeat them, redirect
//! them, and hold a certificate that nobody knows. Then everything that the operator emits is searched for them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::join;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use pact_operator::api::PactBroker;
use serde_json::{Value, json};

use super::broker_tls::own_authority;
use super::gate_setup::{CommandOutput, GateSetup};
use super::objects::Objects as _;
use testbed::kubectl::kubectl_ok;
use testbed::replica::Replica;
use testbed::rollout::deployment;
use testbed::standin::{Auth, Effect, Fault, StandIn, encoded};
use testbed::test_cluster::{BROKER, OPERATOR_NAMESPACE, TestCluster, annotated, image, quick};
use testbed::webhook::{Person, Webhook, WebhookOptions};

/// Part of everything that is planted, and of nothing else.
const MARK: &str = "pl4nted";

/// All log output, also of the libraries.
pub(crate) const EVERYTHING: &str = "trace,kube=trace,hyper=trace,h2=trace,reqwest=trace,rustls=trace,tower=trace";

const USER: &str = "robot-pl4nted";
/// With what JSON, HTML, URLs and headers escape; with this name before it, base64 pads it.
const PASSWORD: &str = r#"pl4nted/pass"word+of & <26>="#;
const TOKEN: &str = "token.pl4nted-Zm9v/YmFy+26==";
const HEADER: &str = "gate-key-pl4nted";

/// The mark as it may stand in a text: as it is, within base64 at each of the three places, as bytes in a debug output or a
/// dump. And what is not planted, but no less secret.
fn disguises() -> Vec<String> {
    let base64 = (0..3).map(|before| {
        let whole = STANDARD.encode([&b"xx"[..before], MARK.as_bytes(), b"xx"].concat());
        // Only the characters that hold nothing of what stands before and after the mark.
        whole[(before * 8).div_ceil(6)..(before + MARK.len()) * 8 / 6].to_owned()
    });
    let bytes = format!("{:?}", MARK.as_bytes());
    let dump = format!("{:x?}", MARK.as_bytes()).replace(['[', ']', ',', ' '], "");
    // The beginning of a service account's token, and the name of a key in PEM.
    let others = ["eyJhbGciOi", "PRIVATE KEY"].map(str::to_owned);
    base64.chain([MARK.to_owned(), bytes.trim_matches(['[', ']']).to_owned(), dump]).chain(others).collect()
}

/// What is planted in a text, if anything, and what stands before it.
fn planted_in(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    disguises().into_iter().find_map(|disguise| {
        let at = text.find(&disguise).or_else(|| lower.find(&disguise))?;
        let around = text.get(at.saturating_sub(300)..at + disguise.len()).unwrap_or_default();
        Some(format!("{disguise} after: {around}"))
    })
}

/// Fails when something that is planted is shown in one of these places.
pub(crate) fn assert_nothing_planted(shown: &[(String, String)]) {
    for (place, text) in shown {
        assert!(!text.is_empty(), "{place} shows nothing at all");
        assert_eq!(planted_in(text), None, "in {place}");
    }
}

#[test]
fn the_search_finds_what_is_planted_in_each_disguise() {
    assert_eq!(planted_in("an innocent text: cm9ib3Q6, 112, 108, 52"), None);
    for text in [
        format!("the password is {PASSWORD}"),
        format!("THE PASSWORD IS {}", PASSWORD.to_uppercase()),
        format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}"))),
        STANDARD.encode(PASSWORD),
        STANDARD.encode(format!("b:{PASSWORD}")),
        STANDARD.encode(format!("a:{PASSWORD}x")),
        encoded(PASSWORD),
        format!("{:?}", PASSWORD.as_bytes()),
        format!("{PASSWORD:?}"),
        json!({ "a": PASSWORD }).to_string(),
    ] {
        assert!(planted_in(&text).is_some(), "{text}");
        let shown = vec![("a log".to_owned(), format!("something\n{text}\n"))];
        assert!(std::panic::catch_unwind(|| assert_nothing_planted(&shown)).is_err(), "{text}");
    }
}

/// What a process shows of itself.
async fn of_process(name: &str, replica: &Replica) -> [(String, String); 3] {
    let ready = replica.probe("/readyz").await.map(|(_, text)| text).unwrap();
    [("log", replica.logs()), ("metrics", replica.metrics().await), ("readiness", format!("readyz: {ready}"))]
        .map(|(what, text)| (format!("the {what} of the {name}"), text))
}

/// Everything of the operator that people can see who may not read Secrets.
pub(crate) async fn all_that_is_shown(cluster: &TestCluster, webhook: Option<&Webhook>) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for operator in &cluster.operators {
        shown.extend(of_process("controller", operator).await);
    }
    if let Some(webhook) = webhook {
        shown.extend(of_process("webhook", webhook).await);
    }
    for kind in [
        "pactbrokers",
        "pactenvironments",
        "pactdeployments",
        "pactrecords",
        "events.events.k8s.io",
        "leases",
        "configmaps",
        "validatingwebhookconfigurations",
    ] {
        let list = ["get", kind, "--all-namespaces", "--show-managed-fields", "--output=json"];
        shown.push((kind.to_owned(), kubectl_ok(cluster.control_plane.kubeconfig(), &list).await));
    }
    // The annotations that the gate adds to an entry are here, too.
    let audit = cluster.control_plane.audit_log().and_then(|file| std::fs::read_to_string(file).ok());
    shown.extend(audit.map(|text| ("the audit log".to_owned(), text)));
    shown
}

/// A broker that asks for credentials that are planted.
struct Guarded<'a> {
    /// Of the `PactBroker`; part of the names of its applications.
    name: &'a str,
    stand_in: &'a StandIn,
    right: Auth,
    wrong: Auth,
    /// The `Authorization` header of every request.
    header: String,
}

impl Guarded<'_> {
    /// Has it record and judge, then fail in each way, each time with a write by the controller and a question by the gate.
    /// Gives all that the gate answered.
    async fn drive(&self, setup: &GateSetup, elsewhere: &StandIn) -> Vec<CommandOutput> {
        let Self { name, stand_in, right, wrong, .. } = self;
        let (cluster, store) = (&setup.cluster, stand_in.store());
        cluster.wait_broker(name, ("Ready", "True", "Answering")).await;
        let environment = setup.gated_by(name, stand_in, json!({"mode": "Enforce"})).await;
        let (recorded, asked) = (format!("recorded-{name}"), format!("asked-{name}"));
        super::gate_setup::provider_that_breaks(stand_in, &environment.name, &asked);
        store.publish_version(&recorded, "1.0.0");
        let live = annotated(&recorded, &recorded, "1.0.0").apply(&cluster.client(), &environment.namespace).await;
        setup.running(&environment, &asked, &asked, "1.0.0").await;
        for pacticipant in [&recorded, &asked] {
            cluster.wait_condition(&environment.name, pacticipant, ("Ready", "True", "Recorded")).await;
        }
        let denied = setup.set_version(&environment.namespace, &asked, "2.0.0", &[]).await;
        assert!(denied.denial().is_some(), "{denied:?}");
        let mut outputs = vec![denied];

        let redirect = Effect::Redirect { status: 307, location: format!("{}/?{}", elsewhere.url(), encoded(TOKEN)) };
        for (number, (fault, reason)) in [
            (None, "Unauthorized"),
            (Some(Effect::Echo { status: 401, json: true }), "Unauthorized"),
            (Some(Effect::Echo { status: 500, json: true }), "BrokerUnavailable"),
            (Some(Effect::Echo { status: 500, json: false }), "BrokerUnavailable"),
            (Some(Effect::Echo { status: 422, json: true }), "RequestRejected"),
            (Some(Effect::Echo { status: 200, json: true }), "NotABroker"),
            (Some(Effect::Echo { status: 200, json: false }), "NotABroker"),
            (Some(redirect), "Redirected"),
        ]
        .into_iter()
        .enumerate()
        {
            let version = format!("3.0.{number}");
            store.publish_version(&recorded, &version);
            match fault {
                None => stand_in.set_auth(Some(wrong.clone())),
                Some(effect) => stand_in.faults().add(Fault::new(effect)),
            }
            cluster.wait_broker(name, ("Ready", "False", reason)).await;
            live.set_image(&image(&version)).await;
            cluster.wait_condition(&environment.name, &recorded, ("RecordPending", "True", reason)).await;
            outputs.push(setup.set_version(&environment.namespace, &asked, &version, &[]).await);
            stand_in.set_auth(Some(right.clone()));
            stand_in.faults().clear();
            cluster.wait_broker(name, ("Ready", "True", "Answering")).await;
        }
        cluster.wait_condition(&environment.name, &recorded, ("Ready", "True", "Recorded")).await;
        outputs
    }

    /// The credentials did go to this broker, with every request of the controller and of the gate; and in the headers that
    /// are theirs, nowhere else.
    fn assert_received(&self) {
        let requests = self.stand_in.requests();
        assert!(requests.iter().any(|request| request.method == "POST"), "the controller wrote");
        assert!(requests.iter().any(|request| request.path_and_query.starts_with("/matrix?")), "the gate asked");
        for request in requests {
            assert_eq!(request.headers["authorization"], *self.header, "{}", request.path_and_query);
            assert_eq!(request.headers["x-gate-key"], HEADER, "{}", request.path_and_query);
            let mut rest = request.headers.clone();
            rest.remove("authorization");
            rest.remove("x-gate-key");
            let rest = format!("{} {} {rest:?}", request.path_and_query, request.body);
            assert_eq!(planted_in(&rest), None, "in a request to {}", self.name);
        }
    }
}

/// `PactBroker`s whose Secrets cannot be used, each with the reason that its status gives.
async fn malformed(cluster: &TestCluster) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "malformed"},
        "stringData": {
            "username": USER, "password": PASSWORD, "colon": format!("{USER}:"), "lines": format!("{PASSWORD}\n{TOKEN}"),
            "tls.crt": PASSWORD, "tls.key": TOKEN,
            "ca.crt": format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(PASSWORD)),
        },
        "data": {"bytes": STANDARD.encode([b"\xff\xfe", TOKEN.as_bytes()].concat())},
    });
    let api = Api::<Secret>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
    api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    cluster.secret("half", json!({"pass": PASSWORD})).await;
    let named = json!({"name": "malformed"});
    let basic = |user: &str, password: &str| json!({"auth": {"basic": {"secretRef": named, "usernameKey": user, "passwordKey": password}}});
    let bearer =
        |secret: &str, key: &str| json!({"auth": {"bearer": {"secretRef": {"name": secret}, "tokenKey": key}}});
    for (name, mut spec, reason) in [
        ("line-break", basic("username", "lines"), "SecretInvalid"),
        ("colon", basic("colon", "password"), "InvalidSpec"),
        ("no-text", bearer("malformed", "bytes"), "SecretInvalid"),
        ("no-key", bearer("half", "token"), "SecretKeyMissing"),
        ("headers", json!({"headersSecretRef": named}), "SecretInvalid"),
        ("no-certificate", json!({"tls": {"clientCertificateSecretRef": named}}), "InvalidSpec"),
        ("no-authority", json!({"tls": {"caSecretRef": named}}), "InvalidSpec"),
    ] {
        spec["url"] = json!("https://broker.example.com");
        cluster.apply::<PactBroker>("PactBroker", name, spec).await;
        cluster.wait_broker(name, ("Ready", "False", reason)).await;
    }
}

/// A broker whose certificate nobody knows, though the operator would present one of its own and sign in.
async fn unknown_authority(cluster: &TestCluster) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    cluster.secret("certificate", json!({"tls.crt": certificate.pem(), "tls.key": key.serialize_pem()})).await;
    let spec = json!({
        "url": own_authority(), "auth": {"basic": {"secretRef": {"name": "login"}}},
        "tls": {"clientCertificateSecretRef": {"name": "certificate"}},
    });
    cluster.apply::<PactBroker>("PactBroker", "unknown", spec).await;
    let broker = cluster.wait_broker("unknown", ("Ready", "False", "BrokerUnavailable")).await;
    let shown = serde_json::to_string(&broker.status).unwrap();
    assert!(shown.contains("UnknownIssuer"), "{shown}");
}

/// Workloads that hold secrets where people put them, though they should not: both in images, and in all that the operator
/// receives with a workload and has no business with.
async fn workloads(setup: &GateSetup) -> Vec<CommandOutput> {
    let environment = setup.gated(json!({"mode": "Warn"})).await;
    setup.cluster.broker.store().publish_version("careless", "1.0.0");
    let signed_in = format!("{USER}:token-{MARK}@registry.example.com/shop");
    let mut outputs = Vec::new();
    for (name, image) in [("careless", format!("{signed_in}:1.0.0")), ("untagged", signed_in)] {
        let manifest = deployment(name)
            .image(&image)
            .replicas(1)
            .annotation("pact-operator.dev/pacticipant", name)
            .annotation("example.com/token", TOKEN)
            .pod_annotation("example.com/token", TOKEN)
            .with(|manifest| {
                let container = &mut manifest["spec"]["template"]["spec"]["containers"][0];
                container["env"] = json!([{"name": "PASSWORD", "value": PASSWORD}]);
                container["args"] = json!([format!("--password={PASSWORD}")]);
            });
        let apply = ["apply", "-f", "-"];
        outputs.push(setup.kubectl_reading(&environment.namespace, &apply, &manifest.manifest().to_string()).await);
    }
    setup.cluster.wait_condition(&environment.name, "careless", ("Ready", "True", "Recorded")).await;
    assert_eq!(setup.cluster.recorded(&environment.name, "careless").as_deref(), Some("1.0.0"));
    let untagged = setup.cluster.wait_condition(&environment.name, "untagged", ("Ready", "False", "VersionUnresolved"));
    untagged.await;
    outputs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planted_goes_to_its_broker_and_is_shown_nowhere() {
    let (bearer, elsewhere) = (StandIn::start().await, StandIn::start().await);
    let basic = |pass: &str| Auth::Basic { user: USER.into(), pass: pass.into() };
    let mut cluster = TestCluster::without_operator().await;
    cluster.secret("login", json!({"username": USER, "password": PASSWORD})).await;
    cluster.secret("token", json!({"token": TOKEN})).await;
    cluster.secret("headers", json!({"X-Gate-Key": HEADER})).await;
    cluster.broker.set_auth(Some(basic(PASSWORD)));
    bearer.set_auth(Some(Auth::Bearer(TOKEN.into())));
    let spec = |url: String, auth: Value| json!({"url": url, "auth": auth, "headersSecretRef": {"name": "headers"}});
    for (name, url, auth) in [
        (BROKER, cluster.broker.url(), json!({"basic": {"secretRef": {"name": "login"}}})),
        ("bearer", bearer.url(), json!({"bearer": {"secretRef": {"name": "token"}}})),
    ] {
        cluster.apply::<PactBroker>("PactBroker", name, spec(url, auth)).await;
    }
    cluster.start_operator(quick().value("logging.filter", EVERYTHING)).await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default().log(EVERYTHING)).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let setup = GateSetup { cluster, webhook, developer };
    let brokers = [
        Guarded {
            name: BROKER,
            stand_in: &setup.cluster.broker,
            right: basic(PASSWORD),
            wrong: basic("another"),
            header: format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}"))),
        },
        Guarded {
            name: "bearer",
            stand_in: &bearer,
            right: Auth::Bearer(TOKEN.into()),
            wrong: Auth::Bearer("another".into()),
            header: format!("Bearer {TOKEN}"),
        },
    ];
    malformed(&setup.cluster).await;
    unknown_authority(&setup.cluster).await;
    let mut outputs = workloads(&setup).await;
    let [first, second] = brokers.each_ref().map(|broker| broker.drive(&setup, &elsewhere));
    let (first, second) = join(first, second).await;
    outputs.extend(first.into_iter().chain(second));

    for broker in &brokers {
        broker.assert_received();
    }
    assert_eq!(elsewhere.requests().len(), 0, "nothing followed the redirect");
    let mut shown = all_that_is_shown(&setup.cluster, Some(&setup.webhook)).await;
    shown.push(("the gate's answers".to_owned(), format!("{outputs:?}")));
    for component in ["controller", "webhook"] {
        let log = shown.iter().find(|(place, _)| *place == format!("the log of the {component}"));
        assert!(log.is_some_and(|(_, text)| text.contains("TRACE")), "the log of the {component} says everything");
    }
    assert_nothing_planted(&shown);
}
