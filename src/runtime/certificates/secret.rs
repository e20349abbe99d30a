//! The Secret that holds the authorities, and the changes made in it.
//!
//! `current.crt` and `current.key` sign; `next.crt` and `next.key` will; `previous.crt` did, and the line of the same
//! number in `previous.until` says until when (seconds since 1970) a leaf of it may be alive. Other entries and all
//! metadata are left as they are.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::authority::{Authority, AuthorityError};
use super::bundle::{self, Bundle};
use super::certificate::{Certificate, from_seconds, seconds};
use super::plan::{self, Ca, Ring, Terms};

const CURRENT: [&str; 2] = ["current.crt", "current.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const PREVIOUS: [&str; 2] = ["previous.crt", "previous.until"];

/// The authorities.
#[derive(Debug)]
pub(super) struct Keyring {
    pub(super) current: Authority,
    pub(super) next: Option<Authority>,
    pub(super) previous: Vec<Retired>,
}

/// An authority that signs no more, and until when a leaf of it may be alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retired {
    pub(super) certificate: Certificate,
    pub(super) until: SystemTime,
}

impl Keyring {
    /// Reads the Secret.
    ///
    /// # Errors
    /// [`AuthorityError::Foreign`] when its current authority is not one of ours. A next one that is broken counts as
    /// missing: it has signed nothing.
    pub(super) fn read(secret: &Secret, common_name: &str) -> Result<Self, AuthorityError> {
        let data = secret.data.as_ref();
        let pair = |[certificate, key]: [&str; 2]| {
            let entry = |name| data.and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice());
            entry(certificate).zip(entry(key)).map(|(crt, key)| Authority::parse(crt, key, common_name))
        };
        let current = pair(CURRENT)
            .unwrap_or_else(|| Err(AuthorityError::Foreign(format!("{} or {} is missing", CURRENT[0], CURRENT[1]))))?;
        Ok(Self { current, next: pair(NEXT).and_then(Result::ok), previous: previous(secret) })
    }

    /// Writes itself into the Secret.
    pub(super) fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        put(data, CURRENT, Some(&self.current));
        put(data, NEXT, self.next.as_ref());
        for name in PREVIOUS {
            data.remove(name);
        }
        if !self.previous.is_empty() {
            let certificates: Vec<_> = self.previous.iter().map(|retired| retired.certificate.clone()).collect();
            let until: String = self.previous.iter().map(|retired| format!("{}\n", seconds(retired.until))).collect();
            data.insert(PREVIOUS[0].to_owned(), ByteString(bundle::render(&certificates)));
            data.insert(PREVIOUS[1].to_owned(), ByteString(until.into_bytes()));
        }
    }

    /// What the plan needs to know.
    pub(super) fn ring(&self) -> Ring {
        Ring {
            current: ca(&self.current.certificate),
            next: self.next.as_ref().map(|next| ca(&next.certificate)),
            previous: self.previous.iter().map(|retired| (ca(&retired.certificate), retired.until)).collect(),
        }
    }

    /// What belongs into the `caBundle`.
    pub(super) fn bundle(&self) -> Vec<Certificate> {
        let signing = [Some(&self.current), self.next.as_ref()].into_iter().flatten();
        let signing = signing.map(|authority| &authority.certificate);
        signing.chain(self.previous.iter().map(|retired| &retired.certificate)).cloned().collect()
    }

    /// The next authority signs from now on. Without a next one, nothing changes.
    pub(super) fn promote(&mut self, now: SystemTime, terms: &Terms) {
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.current, next).certificate;
            let until = terms.retire_at(ca(&before), now);
            self.previous.push(Retired { certificate: before, until });
        }
        self.prune(now);
    }

    /// Drops what nobody can need any more.
    pub(super) fn prune(&mut self, now: SystemTime) {
        self.next.take_if(|next| !ca(&next.certificate).usable(now));
        self.previous.retain(|retired| !plan::retired(&ca(&retired.certificate), retired.until, now));
    }
}

/// The authorities that stay trusted when a new one is founded: those that the Secret knew, and those of ours that the
/// live `caBundle` holds. Replicas may serve with leaves of any of them.
pub(super) fn inherited(
    secret: Option<&Secret>,
    live: &[Certificate],
    common_name: &str,
    now: SystemTime,
    terms: &Terms,
) -> Vec<Retired> {
    let mut inherited = secret.map(previous).unwrap_or_default();
    for certificate in live {
        let ours = certificate.is_authority && certificate.common_name.as_deref() == Some(common_name);
        if ours && !inherited.iter().any(|retired| retired.certificate.id == certificate.id) {
            let until = terms.retire_at(ca(certificate), now);
            inherited.push(Retired { certificate: certificate.clone(), until });
        }
    }
    // What is not valid yet was made by a clock that was wrong; nobody trusts a leaf of it.
    inherited.retain(|retired| {
        let ca = ca(&retired.certificate);
        ca.usable(now) && !plan::retired(&ca, retired.until, now)
    });
    inherited
}

fn ca(certificate: &Certificate) -> Ca {
    Ca { id: certificate.id, validity: certificate.validity }
}

fn previous(secret: &Secret) -> Vec<Retired> {
    let entry = |name| secret.data.as_ref().and_then(|data| data.get(name)).map_or(&[][..], |bytes| &bytes.0);
    let until = String::from_utf8_lossy(entry(PREVIOUS[1])).into_owned();
    let mut until = until.lines().map(|line| line.trim().parse::<i64>().ok());
    let certificates = Bundle::parse(entry(PREVIOUS[0])).certificates;
    certificates
        .into_iter()
        .map(|certificate| {
            // Without a word on it, as long as it can be at all.
            let until = until.next().flatten().map_or(certificate.validity.until, from_seconds);
            Retired { certificate, until }
        })
        .collect()
}

fn put(data: &mut BTreeMap<String, ByteString>, [crt, key]: [&str; 2], authority: Option<&Authority>) {
    match authority {
        Some(authority) => {
            data.insert(crt.to_owned(), ByteString(authority.certificate.pem().into_bytes()));
            data.insert(key.to_owned(), ByteString(authority.key_pem().into_bytes()));
        }
        None => [crt, key].into_iter().for_each(|name| drop(data.remove(name))),
    }
}
