//! Which certificates are accepted, and which error names the reason for the others.

use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::{DAY, HOUR, NAME, at, authority};
use crate::certificates::authority::{Authority, Leaf};
use crate::certificates::hooks::Hooks;
use crate::certificates::settings::{CertificateSettings, OwnSource, Source};
use crate::certificates::trust::verify;

/// The `clientConfig` and the `caBundle` of each webhook.
type Clients<'a> = &'a [(Value, &'a str)];

fn hooks(clients: Clients<'_>) -> Hooks {
    let webhooks: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(number, (client, bundle))| {
            let mut client = client.clone();
            client["caBundle"] = json!(ByteString(bundle.as_bytes().to_vec()));
            json!({"name": format!("hook-{number}"), "clientConfig": client, "sideEffects": "None",
                   "admissionReviewVersions": ["v1"]})
        })
        .collect();
    let configuration = json!({"metadata": {"name": "gate", "resourceVersion": "1"}, "webhooks": webhooks});
    Hooks::read(serde_json::from_value(configuration).unwrap())
}

fn leaf(authority: &Authority) -> Leaf {
    let names = ["webhook.ns.svc", "10.1.2.3", "::1"].map(str::to_owned);
    authority.issue(&names, at(DAY), 7 * DAY).unwrap()
}

#[test]
fn what_the_api_server_would_accept_is_accepted_and_all_else_names_its_reason() {
    let ours = authority(DAY, 90 * DAY);
    // The same name, another key.
    let other = authority(DAY, 90 * DAY);
    let (pem, both) = (ours.certificate.pem(), format!("{}{}", other.certificate.pem(), ours.certificate.pem()));
    let leaf = leaf(&ours);
    let service = json!({"service": {"name": "webhook", "namespace": "ns", "path": "/x"}});
    let url = |url: &str| json!({"url": url});
    let rows: &[(Clients<'_>, Duration, &str)] = &[
        (&[(service.clone(), &pem)], DAY, ""),
        (&[(service.clone(), &both), (url("https://10.1.2.3:1/x"), &pem), (url("https://[::1]/"), &pem)], DAY, ""),
        (&[(url("https://WEBHOOK.ns.svc/x"), &pem)], DAY, ""),
        (&[], DAY, "names no webhooks"),
        (&[(service.clone(), &pem), (service.clone(), "")], DAY, "hook-1 is empty"),
        (&[(service.clone(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")], DAY, "cannot be used"),
        (&[(service.clone(), &other.certificate.pem())], DAY, "does not trust our certificate"),
        (&[(url("https://elsewhere/x"), &pem)], DAY, "by the name elsewhere, for which our certificate was not issued"),
        (&[(url("https://10.1.2.4/x"), &pem)], DAY, "by the name 10.1.2.4"),
        (&[(json!({}), &pem)], DAY, "names neither a service nor a usable url"),
        (&[(service.clone(), &pem)], 7 * DAY + 47 * HOUR / 2, "expired"),
        (&[(service.clone(), &pem)], 7 * DAY + 45 * HOUR / 2, ""),
        (&[(service.clone(), &pem)], Duration::ZERO, "no certificate in it is valid now"),
    ];
    for (clients, now, says) in rows {
        let verdict = verify(&leaf.key.cert, &hooks(clients), at(*now), HOUR).map_err(|error| error.to_string());
        match verdict {
            Ok(()) => assert_eq!(*says, "", "{clients:?}"),
            Err(error) => assert!(!says.is_empty() && error.contains(says), "{says:?} is not in {error:?}"),
        }
    }
    assert!(verify(&[], &hooks(&[(service, &pem)]), at(DAY), HOUR).is_err());
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let short = authority(DAY, 2 * DAY);
    let leaf = leaf(&short);
    assert_eq!(leaf.validity.until, short.certificate.validity.until);
    let parsed = crate::certificates::certificate::Certificate::parse(leaf.key.cert[0].clone()).unwrap();
    assert_eq!(parsed.validity, leaf.validity);
    assert_eq!(leaf.validity.from, at(DAY) - Duration::from_mins(5), "backdated");
    assert!(!parsed.is_authority);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = || {
        let own = OwnSource::new("ns", "secret", NAME, vec!["webhook.ns.svc".to_owned()]);
        CertificateSettings::new("hooks", "webhook", Source::Own(own))
    };
    good().check().unwrap();
    let own = |change: &dyn Fn(&mut OwnSource)| {
        let mut settings = good();
        if let Source::Own(own) = &mut settings.source {
            change(own);
        }
        settings
    };
    let mut no_webhook = good();
    no_webhook.webhook.clear();
    let mut long_margin = good();
    long_margin.margin = 3 * DAY;
    let mut long_overlap = good();
    long_overlap.overlap = 200 * DAY;
    for (settings, says) in [
        (no_webhook, "webhook configuration"),
        (long_margin, "margin"),
        (long_overlap, "overlap"),
        (own(&|own| own.names.clear()), "DNS name"),
        (own(&|own| own.secret.clear()), "Secret"),
        (own(&|own| own.leaf_life = Duration::ZERO), "at least 1 s"),
        (own(&|own| own.authority_life = DAY), "at least as long"),
        (own(&|own| own.authority_life = Duration::MAX), "20 years"),
    ] {
        let error = settings.check().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
