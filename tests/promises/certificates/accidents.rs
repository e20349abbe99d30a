//! Invalid content of a Secret or a `caBundle`, and how it is corrected.

use std::time::{Duration, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use serde_json::json;

use super::setup::{AUTHORITY, GENEROUS, SECRET, Setup, with_setup};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;

/// An authority of our name as the Secret holds it: valid until so many seconds from now.
fn authority(name: &str, ca: bool, until: i64) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = if ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::NoCa };
    params.distinguished_name.push(DnType::CommonName, name);
    let now = time::OffsetDateTime::from(SystemTime::now());
    params.not_before = now - time::Duration::days(1);
    params.not_after = now + time::Duration::seconds(until);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

async fn is_replaced(what: &str, certificate: &str, key: &str) {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let secrets: Api<Secret> = Api::namespaced(setup.client.clone(), &setup.namespace);
        let secret = json!({
            "metadata": {"name": SECRET, "labels": {"kept": "yes"}},
            "stringData": {"current.crt": certificate, "current.key": key, "other": "kept"}
        });
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
        let replicas = [setup.replica(setup.own()), setup.replica(setup.own())];
        setup.serve(&[&replicas[0], &replicas[1]]);
        for replica in replicas {
            replica.wait_ready().await;
            replica.end().await;
        }
        eventually(format!("calls work after {what}"), GENEROUS, async || setup.call().await).await;
        let secret = secrets.get(SECRET).await.unwrap();
        let data = secret.data.unwrap();
        assert_ne!(data["current.crt"], ByteString(certificate.as_bytes().to_vec()), "{what}");
        assert_eq!(data["other"], ByteString(b"kept".to_vec()));
        assert_eq!(secret.metadata.labels.unwrap()["kept"], "yes");
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_ours_is_replaced() {
    let (good, key) = authority(AUTHORITY, true, 86_400);
    let (other, _) = authority(AUTHORITY, true, 86_400);
    is_replaced("nonsense", "nonsense", "nonsense").await;
    is_replaced("the key of another", &other, &key).await;
    is_replaced("no key", &good, "").await;
}

#[tokio::test]
async fn an_authority_of_another_name_and_a_certificate_of_no_authority_are_replaced() {
    let (certificate, key) = authority("somebody else", true, 86_400);
    is_replaced("another name", &certificate, &key).await;
    let (certificate, key) = authority(AUTHORITY, false, 86_400);
    is_replaced("no authority", &certificate, &key).await;
}

#[tokio::test]
async fn an_expired_secret_is_replaced() {
    let (certificate, key) = authority(AUTHORITY, true, -60);
    is_replaced("an expired authority", &certificate, &key).await;
}

#[tokio::test]
async fn a_changed_bundle_is_restored() {
    let cp = ControlPlane::shared().await;
    with_setup(&cp, async |setup: Setup| {
        let replica = setup.replica(setup.own());
        setup.serve(&[&replica]);
        replica.wait_ready().await;
        let (before, leaf) = (setup.trusted().await, replica.serving.end_entity());
        let (foreign, _) = authority("somebody else", true, 86_400);
        for bundle in [None, Some(foreign)] {
            let bundle = bundle.map(|pem| ByteString(pem.into_bytes()));
            setup.patch_client_config(json!({"caBundle": bundle})).await;
            eventually("the bundle is as before", GENEROUS, async || {
                (setup.trusted().await == before).then_some(()).ok_or_else(|| "it is not".to_owned())
            })
            .await;
            eventually("calls work", GENEROUS, async || setup.call().await).await;
        }
        assert_eq!(replica.serving.end_entity(), leaf, "the certificate was never at fault");
        replica.wait_ready().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(replica.is_ready());
        replica.end().await;
    })
    .await;
}
