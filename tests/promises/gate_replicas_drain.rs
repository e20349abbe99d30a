//! How one replica of the gate ends, and which clients it accepts.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::gate_replicas_setup::{Asked, seed, write};
use testbed::certificates::authority;
use testbed::eventually::eventually;
use testbed::shared::InUse;
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, TestCluster};
use testbed::webhook::{self, Person, Webhook, WebhookOptions, sum};

/// How long the slow broker takes.
const SLOW: Duration = Duration::from_secs(3);
/// How much longer things may take on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// A part of the shared test cluster: a pacticipant of its own, and a gate that is asked about one namespace only.
struct Context {
    cluster: InUse<TestCluster>,
    namespace: String,
    pacticipant: String,
    options: WebhookOptions,
    person: Person,
}

async fn with_context(test: impl AsyncFnOnce(Context)) {
    let cluster = TestCluster::shared().await;
    testbed::namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let pacticipant = format!("orders-{namespace}");
        seed(&cluster, &namespace, &pacticipant).await;
        let mut options = WebhookOptions::default().only(&namespace);
        options.namespace = format!("gate-{namespace}");
        let person = Person::developer(&cluster.control_plane).await;
        let configuration = options.configuration();
        test(Context { cluster: cluster.clone(), namespace, pacticipant, options, person }).await;
        // The configuration fails closed, so it must not outlive its gate.
        remove_configuration(&cluster, &configuration).await;
    })
    .await;
}

async fn remove_configuration(cluster: &TestCluster, name: &str) {
    let api = kube::Api::<ValidatingWebhookConfiguration>::all(cluster.client());
    drop(api.delete(name, &kube::api::DeleteParams::default()).await);
}

impl Context {
    fn asked(&self) -> [Asked; 2] {
        Asked::of(&self.pacticipant, &self.namespace)
    }

    /// Waits until the API server trusts the gate.
    async fn answered(&self) {
        let (client, [admitted, _]) = (self.person.client(), self.asked());
        eventually("the first right answer", SOON, async || admitted.ask(&client).await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_under_way_at_sigterm_is_answered_and_the_process_ends_well() {
    with_context(async |context: Context| {
        let mut webhook = Webhook::start(&context.cluster.control_plane, context.options.clone()).await;
        context.answered().await;
        context.cluster.broker.faults().add(Fault::delay(SLOW).path(&context.pacticipant));
        let (client, [_, denied]) = (context.person.client(), context.asked());
        let about = |path: &str| path.contains(&context.pacticipant) && path.contains("2.0.0");
        let broker_asked = || context.cluster.broker.count_requests(|request| about(&request.path_and_query));
        assert_eq!(broker_asked(), 0, "the gate has not asked about this version yet");
        let sent = Instant::now();
        let asking = tokio::spawn(async move { denied.ask(&client).await });
        eventually(
            "the broker to be asked",
            SOON,
            async || {
                if broker_asked() > 0 { Ok(()) } else { Err("not yet".to_owned()) }
            },
        )
        .await;
        webhook.signal("TERM");
        let signalled = Instant::now();
        let code = webhook.ended().await;
        let (ended, answer) = (signalled.elapsed(), asking.await.unwrap());
        println!("the review was answered, the process ended {ended:.1?} after SIGTERM");
        assert_eq!(answer, Ok(()), "{}", webhook.logs());
        assert!(sent.elapsed() >= SLOW, "the broker was slow");
        assert_eq!(code, 0);
        assert!(ended < SLOW + SLACK, "{ended:?}");
        let logs = webhook.logs();
        assert!(logs.contains("stopped") && !logs.contains("cutting connections"), "{logs}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_answers_until_its_unreadiness_is_known_and_a_second_sigterm_ends_it_at_once() {
    with_context(async |context: Context| {
        let mut webhook =
            Webhook::start(&context.cluster.control_plane, context.options.clone().spread_seconds(120)).await;
        context.answered().await;
        webhook.signal("TERM");
        eventually("/readyz to report the shutdown", SOON, async || match webhook.probe("/readyz").await? {
            (503, text) if text.contains("shutting down") => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        let (client, asked, before) = (context.person.client(), context.asked(), webhook.reviews().await);
        for asked in &asked {
            assert_eq!(asked.ask(&client).await, Ok(()), "{}", webhook.logs());
        }
        assert_eq!(webhook.reviews().await, before + 2, "the terminating replica answered both");
        assert_eq!(webhook.probe("/livez").await.unwrap().0, 200, "the kubelet has no reason to kill it");

        webhook.signal("TERM");
        let insisted = Instant::now();
        let code = webhook.ended().await;
        assert_eq!(code, 128 + 15, "{}", webhook.logs());
        assert!(insisted.elapsed() < SLACK, "{:?}", insisted.elapsed());
        assert!(webhook.logs().contains("second signal"), "{}", webhook.logs());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_with_a_client_ca_answers_its_clients_only() {
    with_context(async |mut context: Context| {
        let (trusted, issuer) = authority("clients of the gate");
        let (_, impostor) = authority("clients of the gate");
        let file = context.cluster.control_plane.folder().join(format!("clients-{}.pem", context.namespace));
        write(&file, &trusted);
        // The chart's clientCA has it mounted from a Secret.
        let known = format!("--client-ca-file={}", file.display());
        context.options = context.options.arg(known).arg("--client-name=kube-apiserver");
        let mut webhook = Webhook::start(&context.cluster.control_plane, context.options.clone()).await;
        let server = authorities(&context).await;
        let ask = async |identity: Option<String>| review(&webhook, &server, identity).await;

        let (status, answer) = ask(Some(client("kube-apiserver", &issuer))).await.expect("the API server is served");
        assert_eq!((status, &answer["response"]["allowed"]), (StatusCode::OK, &json!(true)), "{answer}");
        assert_eq!(answer["response"]["uid"], "a-review");
        for (who, identity) in [
            ("a client without a certificate", None),
            ("a client of another name", Some(client("somebody", &issuer))),
            ("an impostor", Some(client("kube-apiserver", &impostor))),
        ] {
            ask(identity).await.expect_err(who);
        }

        // The API server of this control plane has not been given a certificate for webhooks, and the policy is Fail.
        let (client, [admitted, _]) = (context.person.client(), context.asked());
        let refused = admitted.ask(&client).await.unwrap_err();
        assert!(refused.contains("failed calling webhook \"gate.pact-operator.dev\""), "{refused}");
        // The error has the reason: a connection that is only reset would not help an admin.
        assert!(refused.contains("certificate required"), "{refused}");
        assert_eq!(webhook.reviews().await, 1, "only one request came from a client");
        let turned_away = sum(&webhook.metrics().await, "pact_operator_gate_connections_cut_total");
        assert!(turned_away >= 4, "{turned_away} in handshakes, three of ours and the API server's");
        assert_eq!(webhook.terminate().await, 0);
    })
    .await;
}

/// The `caBundle` that the API server uses.
async fn authorities(context: &Context) -> reqwest::Certificate {
    let configuration = webhook::configuration(&context.cluster.client(), &context.options.configuration()).await;
    let hooks = configuration.webhooks.unwrap();
    let bundle = hooks[0].client_config.ca_bundle.clone().expect("it is ready, so this is filled");
    reqwest::Certificate::from_pem(&bundle.0).unwrap()
}

/// A client's certificate and its key, as PEM.
fn client(name: &str, issuer: &Issuer<'_, KeyPair>) -> String {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    params.signed_by(&key, issuer).unwrap().pem() + &key.serialize_pem()
}

/// One review over a connection of its own.
async fn review(
    webhook: &Webhook,
    server: &reqwest::Certificate,
    identity: Option<String>,
) -> Result<(StatusCode, Value), String> {
    let object = json!({"metadata": {"name": "plain", "namespace": "elsewhere"}, "spec": {}});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "a-review", "operation": "CREATE", "namespace": "elsewhere", "name": "plain", "object": object,
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "dryRun": true,
        "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
    }});
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([server.clone()]).timeout(SLACK);
    let builder = match identity {
        Some(pem) => builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap()),
        None => builder,
    };
    let message = |error: reqwest::Error| format!("{error:?}");
    let url = format!("https://{}/gate?timeout=10s", webhook.address());
    let answer = builder.build().unwrap().post(url).json(&review).send().await.map_err(message)?;
    Ok((answer.status(), answer.json().await.map_err(message)?))
}
