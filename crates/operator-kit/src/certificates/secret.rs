//! The Secret that holds the authorities, and the changes made in it.
//!
//! `current.crt` and `current.key` sign; `next.crt` and `next.key` will sign next; `previous.crt` holds the authorities
//! that signed before. For each of them the line of the same number in `previous.until` holds the time (seconds since
//! 1970) until which one of its leaves may be valid. After that time the line is `dropped`; the entry stays until the
//! authority has left the `caBundle`, so that it is not adopted as an unknown one. Other entries and all metadata are
//! left unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::authority::{Authority, AuthorityError};
use super::bundle::{self, Bundle};
use super::certificate::{Certificate, Id, from_seconds, seconds};
use super::plan::{self, Ca, Published, Ring, Terms};

const CURRENT: [&str; 2] = ["current.crt", "current.key"];
const NEXT: [&str; 2] = ["next.crt", "next.key"];
const PREVIOUS: [&str; 2] = ["previous.crt", "previous.until"];
const DROPPED: &str = "dropped";

/// The authorities.
#[derive(Debug)]
pub(super) struct Keyring {
    pub(super) current: Authority,
    pub(super) next: Option<Authority>,
    pub(super) previous: Vec<Retired>,
}

/// An authority that no longer signs, and until when one of its leaves may be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Retired {
    pub(super) certificate: Certificate,
    /// `None`: all leaves have expired; the authority no longer belongs into the `caBundle`.
    pub(super) until: Option<SystemTime>,
}

impl Keyring {
    /// Reads the Secret.
    ///
    /// # Errors
    /// [`AuthorityError::Foreign`] when its current authority is not one of ours. A broken next authority counts as
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

    /// Writes the authorities into the Secret.
    pub(super) fn write(&self, secret: &mut Secret) {
        let data = secret.data.get_or_insert_default();
        put(data, CURRENT, Some(&self.current));
        put(data, NEXT, self.next.as_ref());
        for name in PREVIOUS {
            data.remove(name);
        }
        if !self.previous.is_empty() {
            let certificates: Vec<_> = self.previous.iter().map(|retired| retired.certificate.clone()).collect();
            let line = |until: Option<SystemTime>| until.map_or(DROPPED.to_owned(), |until| seconds(until).to_string());
            let until: String = self.previous.iter().map(|retired| line(retired.until) + "\n").collect();
            data.insert(PREVIOUS[0].to_owned(), ByteString(bundle::render(&certificates)));
            data.insert(PREVIOUS[1].to_owned(), ByteString(until.into_bytes()));
        }
    }

    /// The authorities, reduced to what the plan needs.
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
        let trusted = self.previous.iter().filter(|retired| retired.until.is_some());
        signing.chain(trusted.map(|retired| &retired.certificate)).cloned().collect()
    }

    /// Makes the next authority the current one. Without a next one, nothing changes.
    pub(super) fn promote(&mut self, now: SystemTime, terms: &Terms) {
        if let Some(next) = self.next.take() {
            let before = std::mem::replace(&mut self.current, next).certificate;
            let until = Some(terms.retire_at(ca(&before), now));
            self.previous.push(Retired { certificate: before, until });
        }
    }

    /// Adds the authorities of `ours`, which the live `caBundle` holds, that the keyring does not list.
    pub(super) fn adopt(&mut self, ours: &[Certificate], now: SystemTime, terms: &Terms) {
        let mut known: BTreeSet<Id> = self.previous.iter().map(|retired| retired.certificate.id).collect();
        known.insert(self.current.certificate.id);
        known.extend(self.next.as_ref().map(|next| next.certificate.id));
        for certificate in ours.iter().filter(|certificate| ca(certificate).usable(now)) {
            if known.insert(certificate.id) {
                let until = Some(terms.retire_at(ca(certificate), now));
                self.previous.push(Retired { certificate: certificate.clone(), until });
            }
        }
    }

    /// Drops authorities whose leaves have all expired, and deletes the entries of dropped ones that are in no live
    /// `caBundle`.
    pub(super) fn prune(&mut self, published: &Published, now: SystemTime) {
        self.next.take_if(|next| !ca(&next.certificate).usable(now));
        for retired in &mut self.previous {
            retired.until = retired.until.filter(|until| !plan::retired(ca(&retired.certificate), *until, now));
        }
        let trusted = self.previous.iter().filter(|retired| retired.until.is_some()).count();
        let surplus = trusted.saturating_sub(plan::MOST_PREVIOUS);
        // The oldest are dropped first; adopted ones come in the order of the bundle, where the youngest is in front.
        self.previous.sort_by_key(|retired| retired.certificate.validity.from);
        let oldest = self.previous.iter_mut().filter(|retired| retired.until.is_some()).take(surplus);
        oldest.for_each(|retired| retired.until = None);
        self.previous.retain(|retired| retired.until.is_some() || published.mentions(retired.certificate.id));
    }
}

/// The certificate, reduced to what the plan needs.
pub(super) fn ca(certificate: &Certificate) -> Ca {
    Ca { id: certificate.id, validity: certificate.validity }
}

/// The authorities that no longer sign; readable also in a Secret whose current authority is not ours.
pub(super) fn previous(secret: &Secret) -> Vec<Retired> {
    let entry = |name| secret.data.as_ref().and_then(|data| data.get(name)).map_or(&[][..], |bytes| &bytes.0);
    let until = String::from_utf8_lossy(entry(PREVIOUS[1])).into_owned();
    let mut until = until.lines().map(str::trim);
    let certificates = Bundle::parse(entry(PREVIOUS[0])).certificates;
    certificates
        .into_iter()
        .map(|certificate| {
            let until = match until.next() {
                Some(DROPPED) => None,
                // No usable entry: it stays until the authority expires.
                line => {
                    let until = line.and_then(|line| line.parse().ok());
                    Some(until.map_or(certificate.validity.until, from_seconds))
                }
            };
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
