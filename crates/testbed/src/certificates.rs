//! Keys and certificates of one control plane.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Writes into `folder`: `ca.crt`; `server.crt` and `server.key` for 127.0.0.1, signed by it; `service-account.key`
/// and `service-account.pub`, with which the API server signs and checks `ServiceAccount` tokens.
pub fn write(folder: &Path) {
    let (ca_pem, issuer) = authority("testbed");
    fs::write(folder.join("ca.crt"), ca_pem).unwrap();

    let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let server = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(names.map(String::from).to_vec()).unwrap().signed_by(&server, &issuer).unwrap();
    fs::write(folder.join("server.crt"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), server.serialize_pem()).unwrap();

    let service_account = KeyPair::generate().unwrap();
    fs::write(folder.join("service-account.key"), service_account.serialize_pem()).unwrap();
    fs::write(folder.join("service-account.pub"), service_account.public_key_pem()).unwrap();
}

/// A fresh certificate authority: its certificate as PEM, and what signs with it.
pub fn authority(common_name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}
