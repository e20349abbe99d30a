//! A mounted folder: adopted as a whole when the kubelet swaps it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use operator_kit::certificates::{CertificateSettings, MountedSource, Source};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::setup::{GENEROUS, Replica, Setup, with_setup};
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};

struct Files {
    authority: String,
    certificate: String,
    key: String,
}

/// An authority and a leaf of it for the server.
fn files() -> Files {
    let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "mounted");
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    Files { authority, certificate: certificate.pem(), key: key.serialize_pem() }
}

/// As the kubelet does it: a new folder, and the link `..data` renamed over the old one.
fn swap(folder: &Path, number: u32, files: &Files) {
    let data = folder.join(format!("..{number}"));
    fs::create_dir(&data).unwrap();
    fs::write(data.join("ca.crt"), &files.authority).unwrap();
    fs::write(data.join("tls.crt"), &files.certificate).unwrap();
    fs::write(data.join("tls.key"), &files.key).unwrap();
    symlink(format!("..{number}"), folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for name in ["ca.crt", "tls.crt", "tls.key"] {
        drop(symlink(format!("..data/{name}"), folder.join(name)));
    }
}

fn settings(setup: &Setup, folder: &Path, patch_bundle: bool) -> CertificateSettings {
    setup.settings(Source::Mounted(MountedSource { folder: folder.to_owned(), patch_bundle }))
}

async fn wait_other(replica: &Replica, than: Option<&[u8]>) {
    eventually("another certificate is served", GENEROUS, async || {
        let served = replica.serving.end_entity();
        (served.as_deref() != than).then_some(()).ok_or_else(|| replica.pending())
    })
    .await;
}

#[tokio::test]
async fn a_swapped_folder_is_served_once_its_authority_is_trusted_and_no_call_fails() {
    let (cp, folder) = (ControlPlane::shared().await, tempfile::tempdir().unwrap());
    with_setup(&cp, async |setup: Setup| {
        let replica = setup.replica(settings(&setup, folder.path(), true));
        setup.serve(&[&replica]);
        replica.wait_unready("Mount a Secret with tls.crt and tls.key there").await;
        swap(folder.path(), 0, &files());
        replica.wait_ready().await;
        eventually("the first call", GENEROUS, async || setup.call().await).await;
        for number in 1..4 {
            let served = replica.serving.end_entity().unwrap();
            swap(folder.path(), number, &files());
            while replica.serving.end_entity().as_ref() == Some(&served) {
                setup.call().await.unwrap();
            }
            setup.call().await.unwrap();
            assert!(replica.is_ready(), "{}", replica.pending());
        }
        assert_eq!(setup.trusted().await.len(), 4, "those that other replicas may have mounted still are trusted");
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_half_written_pair_keeps_the_old_certificate() {
    let (cp, folder) = (ControlPlane::shared().await, tempfile::tempdir().unwrap());
    with_setup(&cp, async |setup: Setup| {
        let (first, second) = (files(), files());
        swap(folder.path(), 0, &first);
        let replica = setup.replica(settings(&setup, folder.path(), true));
        setup.serve(&[&replica]);
        replica.wait_ready().await;
        let served = replica.serving.end_entity();
        for (name, content) in [("tls.crt", &second.certificate), ("tls.crt", &"cut".to_owned())] {
            fs::write(folder.path().join(name), content).unwrap();
            always("the old one is served", Duration::from_millis(400), async || {
                let same = replica.serving.end_entity() == served && replica.is_ready();
                same.then_some(()).ok_or_else(|| replica.pending())
            })
            .await;
        }
        // Written in place, one after the other.
        fs::write(folder.path().join("ca.crt"), &second.authority).unwrap();
        fs::write(folder.path().join("tls.crt"), &second.certificate).unwrap();
        fs::write(folder.path().join("tls.key"), &second.key).unwrap();
        wait_other(&replica, served.as_deref()).await;
        replica.wait_ready().await;
        setup.call().await.unwrap();
        replica.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_bundle_that_is_not_to_be_patched_is_left_alone() {
    let (cp, folder) = (ControlPlane::shared().await, tempfile::tempdir().unwrap());
    with_setup(&cp, async |setup: Setup| {
        let (first, second) = (files(), files());
        swap(folder.path(), 0, &first);
        let replica = setup.replica(settings(&setup, folder.path(), false));
        setup.serve(&[&replica]);
        replica.wait_unready("is empty").await;
        let bundle = |files: &Files| json!({"caBundle": ByteString(files.authority.clone().into_bytes())});
        setup.patch_client_config(bundle(&first)).await;
        replica.wait_ready().await;
        let served = replica.serving.end_entity();
        swap(folder.path(), 1, &second);
        always("the old one is served while only that is trusted", Duration::from_millis(400), async || {
            let same = replica.serving.end_entity() == served && replica.is_ready();
            same.then_some(()).ok_or_else(|| replica.pending())
        })
        .await;
        setup.patch_client_config(bundle(&second)).await;
        wait_other(&replica, served.as_deref()).await;
        replica.wait_ready().await;
        eventually("calls work", GENEROUS, async || setup.call().await).await;
        replica.end().await;
    })
    .await;
}
