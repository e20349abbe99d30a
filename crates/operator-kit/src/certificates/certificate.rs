//! The parts of a certificate that this module uses: identity, validity, and whether it may sign.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::time::ASN1Time;

/// The identity of a certificate: the SHA-256 of its DER form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) [u8; 32]);

/// The time from which and until which a certificate is valid, to the second, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

/// A parsed certificate.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub(super) id: Id,
    pub(super) validity: Validity,
    pub(super) common_name: Option<String>,
    /// Whether the certificate claims to be an authority.
    pub(super) is_authority: bool,
    /// The `SubjectPublicKeyInfo` as DER.
    pub(super) public_key: Vec<u8>,
}

impl Validity {
    /// The validity of a certificate made at `now` to live for `life`, in whole seconds.
    ///
    /// It begins a little before `now` (5 minutes, at most a tenth of `life`), for readers whose clocks are behind
    /// ours.
    pub(super) fn new(now: SystemTime, life: Duration) -> Self {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let backdate = (life / 10).min(Duration::from_mins(5));
        let from = since_epoch.saturating_sub(backdate).as_secs();
        let until = since_epoch.saturating_add(life);
        let until = until.as_secs().saturating_add(u64::from(until.subsec_nanos() > 0));
        Self { from: at(from), until: at(until) }
    }

    pub(super) fn holds(&self, now: SystemTime) -> bool {
        self.from <= now && now <= self.until
    }

    pub(super) fn expired(&self, now: SystemTime) -> bool {
        self.until < now
    }

    /// Whether two thirds of the validity have passed.
    pub(super) fn renewal_due(&self, now: SystemTime) -> bool {
        let life = self.until.duration_since(self.from).unwrap_or_default();
        self.from.checked_add(life / 3 * 2).is_none_or(|due| due <= now)
    }
}

/// Seconds since the epoch as a point in time; the last possible one when there are too many seconds.
fn at(seconds: u64) -> SystemTime {
    // The year 9999, where X.509 ends.
    const END: u64 = 253_402_300_799;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.min(END))).unwrap_or(UNIX_EPOCH)
}

/// Whole seconds since the epoch, 0 for times before it.
pub(super) fn seconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

/// The inverse of [`seconds`].
pub(super) fn from_seconds(seconds: i64) -> SystemTime {
    at(u64::try_from(seconds).unwrap_or(0))
}

impl Certificate {
    /// # Errors
    /// With the problem, when the input is not an X.509 certificate.
    pub(super) fn parse(der: CertificateDer<'static>) -> Result<Self, String> {
        let (rest, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let time = |time: ASN1Time| from_seconds(time.timestamp());
        let validity = Validity { from: time(parsed.validity().not_before), until: time(parsed.validity().not_after) };
        let common_name = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
        let (is_authority, public_key) = (parsed.is_ca(), parsed.public_key().raw.to_vec());
        let id = Id(Sha256::digest(&der).into());
        Ok(Self { der, id, validity, common_name, is_authority, public_key })
    }

    pub(super) fn pem(&self) -> String {
        let certificate = Pem::new("CERTIFICATE", self.der.to_vec());
        pem::encode_config(&certificate, EncodeConfig::new().set_line_ending(LineEnding::LF))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).field("validity", &self.validity).finish_non_exhaustive()
    }
}
