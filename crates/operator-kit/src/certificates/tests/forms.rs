//! What was written can be read again, foreign authorities are refused, and no output shows a key.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use proptest::prelude::*;
use serde_json::json;

use super::{DAY, HOUR, NAME, at, authority};
use crate::certificates::authority::Authority;
use crate::certificates::bundle::{Bundle, render};
use crate::certificates::hooks::Hooks;
use crate::certificates::plan::{Published, RingStep, Terms, ring_step};
use crate::certificates::secret::{Keyring, Retired, ca};

const TERMS: Terms = Terms { leaf_life: DAY, overlap: HOUR };

fn keyring() -> Keyring {
    let retired = |made, until| Retired { certificate: authority(made, 90 * DAY).certificate, until: Some(at(until)) };
    Keyring {
        current: authority(3 * DAY, 90 * DAY),
        next: Some(authority(60 * DAY, 90 * DAY)),
        previous: vec![retired(DAY, 50 * DAY), retired(2 * DAY, 70 * DAY)],
    }
}

#[test]
fn a_secret_is_read_as_it_was_written() {
    let data = BTreeMap::from([("other".to_owned(), ByteString(b"kept".to_vec()))]);
    let mut secret = Secret { data: Some(data), ..Secret::default() };
    let mut written = keyring();
    written.write(&mut secret);
    let read = Keyring::read(&secret, NAME).unwrap();
    assert_eq!(read.ring(), written.ring());
    assert_eq!(read.current.key_pem(), written.current.key_pem());
    assert_eq!(read.bundle(), written.bundle());

    written.promote(at(61 * DAY), &TERMS);
    written.write(&mut secret);
    let read = Keyring::read(&secret, NAME).unwrap();
    assert_eq!(read.ring(), written.ring());
    assert!(read.next.is_none());
    let until: Vec<_> = read.previous.iter().map(|retired| retired.until).collect();
    // The authority that signed until now gets a day and ten minutes.
    assert_eq!(until, [at(50 * DAY), at(70 * DAY), at(62 * DAY + Duration::from_mins(10))].map(Some));
    assert_eq!(secret.data.as_ref().unwrap()["other"].0, b"kept");
    assert!(!secret.data.unwrap().contains_key("next.key"));
}

#[test]
fn retired_authorities_without_a_usable_time_stay_until_they_expire() {
    let mut secret = Secret::default();
    keyring().write(&mut secret);
    secret.data.as_mut().unwrap().insert("previous.until".into(), ByteString(b"nonsense\n".to_vec()));
    let read = Keyring::read(&secret, NAME).unwrap();
    assert!(read.previous.iter().all(|retired| retired.until == Some(retired.certificate.validity.until)));
}

#[test]
fn a_dropped_authority_stays_listed_until_it_has_left_the_bundle() {
    let (mut keyring, now) = (keyring(), at(60 * DAY));
    let mentioned = keyring.bundle();
    let mut published = Published { ours: mentioned.iter().map(ca).collect(), ..Published::default() };
    keyring.prune(&published, now);
    let mut secret = Secret::default();
    keyring.write(&mut secret);
    let mut read = Keyring::read(&secret, NAME).unwrap();
    assert_eq!(read.ring(), keyring.ring());
    assert_eq!(read.previous.iter().map(|retired| retired.until).collect::<Vec<_>>(), [None, Some(at(70 * DAY))]);
    assert_eq!(read.bundle().len(), 3);
    read.adopt(&mentioned, now, &TERMS);
    assert_eq!(read.ring(), keyring.ring(), "nothing of that is unknown");
    published.ours.retain(|ca| ca.id != mentioned[2].id);
    read.prune(&published, now);
    assert_eq!(read.previous.len(), 1);
}

#[test]
fn the_oldest_are_dropped_when_there_are_far_too_many() {
    let mut keyring = keyring();
    let many: Vec<_> = (0..40).rev().map(|day| authority(day * DAY, 90 * DAY).certificate).collect();
    keyring.previous.clear();
    keyring.adopt(&many, at(60 * DAY), &TERMS);
    let published = Published { ours: many.iter().map(ca).collect(), ..Published::default() };
    assert_eq!(ring_step(Some(&keyring.ring()), &published, at(60 * DAY), &TERMS), RingStep::Prune);
    keyring.prune(&published, at(60 * DAY));
    assert_eq!(ring_step(Some(&keyring.ring()), &published, at(60 * DAY), &TERMS), RingStep::Keep);
    let youngest: Vec<_> = many[..32].iter().rev().cloned().collect();
    assert_eq!(keyring.bundle()[2..], youngest);
}

#[test]
fn a_trusted_authority_of_ours_is_adopted_while_it_is_valid() {
    let (ours, expired) = (authority(DAY, 90 * DAY).certificate, authority(DAY, DAY).certificate);
    let mut keyring = keyring();
    let known = keyring.previous.len();
    keyring.adopt(&[ours.clone(), expired, ours.clone()], at(60 * DAY), &TERMS);
    let until = Some(at(61 * DAY + Duration::from_mins(10)));
    assert_eq!(keyring.previous[known..], [Retired { certificate: ours, until }]);
}

#[test]
fn bundles_are_compared_as_sets() {
    let [a, b] = [DAY, 2 * DAY].map(|made| authority(made, 90 * DAY).certificate);
    let text = format!("# a comment\n{}\r\n{}{}", a.pem().replace('\n', "\r\n"), b.pem(), a.pem());
    let bundle = Bundle::parse(text.as_bytes());
    assert!(bundle.is(&[b.clone(), a.clone()]), "{bundle:?}");
    assert!(!bundle.is(std::slice::from_ref(&a)) && !bundle.is(&[]));
    assert_eq!(Bundle::parse(&render(&[a.clone(), b.clone()])).certificates, [a.clone(), b]);
    assert!(Bundle::parse(b"").is(&[]));
    let broken = format!("{}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", a.pem());
    let broken = Bundle::parse(broken.as_bytes());
    assert!(!broken.is(&[a]) && broken.flaw.unwrap().contains("certificate 2"));
}

#[test]
fn a_patch_names_the_bundles_that_differ_and_nothing_else() {
    let [a, b] = [DAY, 2 * DAY].map(|made| authority(made, 90 * DAY).certificate);
    let hook = |name: &str, bundle: &str| {
        json!({"name": name, "clientConfig": {"url": "https://[::1]:8443/x", "caBundle": ByteString(bundle.into())},
               "sideEffects": "None", "admissionReviewVersions": ["v1"]})
    };
    let configuration = json!({"metadata": {"name": "c", "resourceVersion": "7"},
        "webhooks": [hook("good", &format!("{}{}", b.pem(), a.pem())), hook("empty", ""), hook("less", &a.pem())]});
    let configuration: ValidatingWebhookConfiguration = serde_json::from_value(configuration).unwrap();
    let hooks = Hooks::read(configuration);
    assert_eq!(hooks.list[0].server.as_deref(), Some("::1"));
    assert!(hooks.trusted().is_empty());
    let patch = hooks.patch(&[a.clone(), b.clone()]).unwrap();
    let both = ByteString(render(&[a, b]));
    let expected = json!({"metadata": {"resourceVersion": "7"}, "webhooks": [
        {"name": "empty", "clientConfig": {"caBundle": both}}, {"name": "less", "clientConfig": {"caBundle": both}}]});
    assert_eq!(patch, expected);
}

#[test]
fn keys_are_never_shown() {
    let keyring = keyring();
    let leaf = keyring.current.issue(&["a.b.svc".to_owned()], at(4 * DAY), DAY).unwrap();
    let serving = crate::certificates::ServingCertificate::new();
    serving.serve(leaf.clone());
    let shown = format!("{keyring:?} {leaf:?} {serving:?}");
    let pem = keyring.current.key_pem();
    for line in pem.lines().filter(|line| !line.contains("-----")) {
        assert!(!shown.contains(line), "{shown}");
    }
    assert!(shown.len() < 1500, "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..900) {
        let pem = authority(DAY, 90 * DAY).certificate.pem();
        let mut mixed = pem.as_bytes()[..cut.min(pem.len())].to_vec();
        mixed.extend(&bytes);
        let bundle = Bundle::parse(&mixed);
        prop_assert!(bundle.certificates.len() <= 1);
        prop_assert!(Authority::parse(&mixed, &bytes, NAME).is_err());
        let data = ["current.crt", "current.key", "next.crt", "next.key", "previous.crt", "previous.until"]
            .map(|name| (name.to_owned(), ByteString(bytes.clone())));
        let secret = Secret { data: Some(data.into()), ..Secret::default() };
        prop_assert!(Keyring::read(&secret, NAME).is_err());
    }
}
