//! Pacts and verification results: as much of publishing as test data needs.
//!
//! Pacts of the same content between the same two applications are one *pact version*: a verification speaks of that,
//! not of the consumer version it was fetched for. That is where the matrix gets its rows from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::clock::written;
use super::hal::Links;
use super::routes::Call;
use super::store::State;

/// A pact that a consumer version published.
#[derive(Clone, Debug)]
pub(super) struct Pact {
    pub(super) consumer: String,
    pub(super) consumer_version: String,
    pub(super) provider: String,
    /// Names the content.
    pub(super) sha: String,
    pub(super) content: Vec<u8>,
    pub(super) created: SystemTime,
    /// Its place in the order of all publications.
    pub(super) order: usize,
}

/// The result of verifying a pact version.
#[derive(Clone, Debug)]
pub(super) struct Verification {
    pub(super) number: usize,
    pub(super) provider_version: String,
    pub(super) success: bool,
    pub(super) at: SystemTime,
    pub(super) order: usize,
}

/// What is verified: consumer, provider, content.
type PactVersion = (String, String, String);

#[derive(Default)]
pub(super) struct Contracts {
    pacts: Vec<Pact>,
    gone: BTreeSet<usize>,
    verifications: HashMap<PactVersion, Vec<Verification>>,
    /// The consumers of each provider, from pacts ever published.
    consumers: BTreeMap<String, BTreeSet<String>>,
    last_verification: usize,
}

/// A name for the content: JSON counts by value, whatever the order of its keys and interactions.
fn sha_of(content: &[u8]) -> String {
    fn canonical(value: &Value) -> String {
        match value {
            Value::Object(fields) => {
                let sorted: BTreeMap<_, _> = fields.iter().map(|(name, value)| (name, canonical(value))).collect();
                format!("{sorted:?}")
            }
            Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
            other => other.to_string(),
        }
    }
    let canonical = match serde_json::from_slice::<Value>(content) {
        Ok(pact) => {
            let mut parts = Vec::new();
            for kind in ["interactions", "messages"] {
                let mut of_kind: Vec<_> = pact[kind].as_array().into_iter().flatten().map(canonical).collect();
                of_kind.sort_unstable();
                parts.push(of_kind);
            }
            let nothing_known = parts.iter().all(Vec::is_empty);
            if nothing_known { canonical(&pact) } else { format!("{parts:?}") }
        }
        Err(_) => String::from_utf8_lossy(content).into_owned(),
    };
    let mut name = String::new();
    for byte in Sha256::digest(canonical).iter().take(20) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl Pact {
    fn pact_version(&self) -> PactVersion {
        (self.consumer.clone(), self.provider.clone(), self.sha.clone())
    }

    pub(super) fn name(&self) -> String {
        format!("Pact between {} ({}) and {}", self.consumer, self.consumer_version, self.provider)
    }

    pub(super) fn href(&self, links: &Links) -> String {
        let Self { consumer, provider, consumer_version, .. } = self;
        links.to(&["pacts", "provider", provider, "consumer", consumer, "version", consumer_version])
    }

    /// The pact version's address; with metadata it contains the consumer version that it was fetched for.
    fn pact_version_href(&self, links: &Links, metadata: bool) -> String {
        let base =
            links.to(&["pacts", "provider", &self.provider, "consumer", &self.consumer, "pact-version", &self.sha]);
        if !metadata {
            return base;
        }
        format!("{base}/metadata/{}", URL_SAFE_NO_PAD.encode(format!("cvn={}", self.consumer_version)))
    }

    /// The result's address as a row of the matrix gives it.
    pub(super) fn verification_href(&self, links: &Links, number: usize) -> String {
        format!("{}/verification-results/{number}", self.pact_version_href(links, true))
    }

    fn resource(&self, links: &Links) -> Value {
        let mut body = serde_json::from_slice::<Value>(&self.content).ok().filter(Value::is_object);
        let mut body = body.take().unwrap_or_else(|| json!({}));
        body["createdAt"] = json!(written(self.created));
        body["_links"] = json!({
            "self": {"title": "Pact", "name": self.name(), "href": self.href(links)},
            "pb:consumer": {"title": "Consumer", "name": self.consumer, "href": links.pacticipant(&self.consumer)},
            "pb:consumer-version": {"title": "Consumer version", "name": self.consumer_version,
                                    "href": links.version(&self.consumer, &self.consumer_version)},
            "pb:provider": {"title": "Provider", "name": self.provider, "href": links.pacticipant(&self.provider)},
            "pb:pact-version": {"title": "Pact content version permalink", "name": self.sha,
                                "href": self.pact_version_href(links, false)},
            "pb:publish-verification-results": {
                "title": "Publish verification results",
                "href": format!("{}/verification-results", self.pact_version_href(links, true))}});
        body
    }
}

impl State {
    /// Publishes a pact, in place of the one that this consumer version had with the provider. Says what it displaced.
    pub(super) fn publish_pact(&mut self, consumer: &str, version: &str, provider: &str, content: &[u8]) -> usize {
        self.ensure_version(consumer, version);
        self.ensure_pacticipant(provider);
        let order = self.next_number();
        let displaced = self.pact_index(consumer, version, provider);
        let index = self.contracts.pacts.len();
        self.contracts.pacts.push(Pact {
            consumer: consumer.to_owned(),
            consumer_version: version.to_owned(),
            provider: provider.to_owned(),
            sha: sha_of(content),
            content: content.to_vec(),
            created: SystemTime::now(),
            order,
        });
        self.contracts.consumers.entry(provider.to_owned()).or_default().insert(consumer.to_owned());
        self.contracts.gone.extend(displaced);
        if let Some(version) = self.version_mut(consumer, version) {
            version.pacts.retain(|known| Some(*known) != displaced);
            version.pacts.push(index);
        }
        index
    }

    fn pact_index(&self, consumer: &str, version: &str, provider: &str) -> Option<usize> {
        let of_version = &self.version(consumer, version)?.pacts;
        of_version.iter().copied().find(|index| self.contracts.pacts[*index].provider == provider)
    }

    pub(super) fn pact(&self, consumer: &str, version: &str, provider: &str) -> Option<&Pact> {
        self.pact_index(consumer, version, provider).map(|index| &self.contracts.pacts[index])
    }

    /// The pacts that a consumer version published, one for each provider.
    pub(super) fn pacts_of(&self, consumer: &str, version: &str) -> impl Iterator<Item = &Pact> {
        let indices = self.version(consumer, version).map(|version| version.pacts.as_slice()).unwrap_or_default();
        indices.iter().map(|index| &self.contracts.pacts[*index])
    }

    /// The applications that ever published a pact with a provider.
    pub(super) fn consumers_of(&self, provider: &str) -> impl Iterator<Item = &str> {
        self.contracts.consumers.get(provider).into_iter().flatten().map(String::as_str)
    }

    /// All results for the content of a pact, oldest first.
    pub(super) fn verifications_of(&self, pact: &Pact) -> &[Verification] {
        self.contracts.verifications.get(&pact.pact_version()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Publishes a result for the pact of a consumer version and returns its number.
    pub(super) fn verify(
        &mut self,
        consumer: &str,
        version: &str,
        provider: &str,
        provider_version: &str,
        success: bool,
    ) -> Option<usize> {
        let pact_version = self.pact(consumer, version, provider)?.pact_version();
        Some(self.add_verification(pact_version, provider_version, success))
    }

    fn add_verification(&mut self, pact_version: PactVersion, provider_version: &str, success: bool) -> usize {
        self.ensure_version(&pact_version.1, provider_version);
        let order = self.next_number();
        self.contracts.last_verification += 1;
        let number = self.contracts.last_verification;
        let provider_version = provider_version.to_owned();
        let result = Verification { number, provider_version, success, at: SystemTime::now(), order };
        self.contracts.verifications.entry(pact_version).or_default().push(result);
        number
    }

    pub(super) fn forget_contracts_of(&mut self, pacticipant: &str, number: &str) {
        let contracts = &mut self.contracts;
        let of_version = |pact: &Pact| pact.consumer == pacticipant && pact.consumer_version == number;
        let pacts = contracts.pacts.iter().enumerate();
        contracts.gone.extend(pacts.filter(|(_, pact)| of_version(pact)).map(|(index, _)| index));
        for ((_, provider, _), results) in &mut contracts.verifications {
            if provider == pacticipant {
                results.retain(|result| result.provider_version != number);
            }
        }
    }

    pub(super) fn pact_links(&self, links: &Links, pacticipant: &str, number: &str) -> Vec<Value> {
        let link = |pact: &Pact| json!({"title": "Pact", "name": pact.name(), "href": pact.href(links)});
        self.pacts_of(pacticipant, number).map(link).collect()
    }
}

/// `POST /contracts/publish`.
pub(super) fn publish(call: &Call<'_>, state: &mut State) -> Answer {
    if call.method != "POST" {
        return Answer::method_not_allowed("POST, OPTIONS");
    }
    if let Some(refused) = call.refused_write("application/json") {
        return refused;
    }
    let body = call.json.clone().unwrap_or_default();
    let (Some(consumer), Some(version)) = (body["pacticipantName"].as_str(), body["pacticipantVersionNumber"].as_str())
    else {
        let missing =
            ["pacticipantName", "pacticipantVersionNumber"].into_iter().filter(|name| !body[name].is_string());
        let errors: Vec<_> = missing.map(|name| (name, "is missing".to_owned())).collect();
        return call.errors.fields(400, &errors);
    };
    let mut pacts = Vec::new();
    for contract in body["contracts"].as_array().into_iter().flatten() {
        let content = contract["content"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let (Some(provider), Some(content)) = (contract["providerName"].as_str(), content) else {
            return call.errors.fields(400, &[("contracts", "can't be decoded".to_owned())]);
        };
        let known = state.pact(consumer, version, provider);
        if known.is_some_and(|pact| pact.sha != sha_of(&content)) {
            let text = format!(
                "Cannot change the content of the pact for {consumer} version {version} and provider {provider}"
            );
            return call.errors.fields(409, &[("contracts", text)]);
        }
        pacts.push((provider, content));
    }
    let mut notices = vec![];
    let mut notice = |kind: &str, text: String| notices.push((kind.to_owned(), text));
    let on_branch = body["branch"].as_str();
    let fresh = state.ensure_version(consumer, version);
    if let (Some(branch), Some(known)) = (on_branch, state.version_mut(consumer, version))
        && !known.branches.iter().any(|known| known == branch)
    {
        known.branches.push(branch.to_owned());
    }
    let made = if fresh { "Created" } else { "Updated" };
    let branch = on_branch.map(|branch| format!(" with branch {branch}")).unwrap_or_default();
    notice("debug", format!("{made} {consumer} version {version}{branch}"));
    let mut published = Vec::new();
    for (provider, content) in pacts {
        let first = state.pact(consumer, version, provider).is_none();
        if first {
            state.publish_pact(consumer, version, provider, &content);
        }
        let Some(pact) = state.pact(consumer, version, provider) else { return call.errors.server_error() };
        let href = pact.href(&call.links);
        let again = if first { "successfully published" } else { "successfully republished" };
        notice("success", format!("Pact {again} for {consumer} version {version} and provider {provider}."));
        notice("debug", format!("  View the published pact at {href}"));
        let events = "contract_published, contract_content_changed (first time untagged pact published)";
        notice("debug", format!("  Events detected: {}", if first { events } else { "contract_published" }));
        if state.verifications_of(pact).is_empty() {
            notice("prompt", "  Next steps:".to_owned());
            let verify = "See https://docs.pact.io/go/provider_verification";
            notice("prompt", format!("    * Add Pact verification tests to the {provider} build. {verify}"));
            let trigger = "webhook to trigger it when the pact content changes. See https://docs.pact.io/go/webhooks";
            notice("prompt", format!("    * Configure separate {provider} pact verification build and {trigger}"));
        }
        published.push(json!({"title": "Pact", "name": pact.name(), "href": href}));
    }
    let old = |(kind, text): &(String, String)| json!({"level": kind, "message": text, "deprecationWarning": "Replaced by notices"});
    let new = |(kind, text): &(String, String)| json!({"type": kind, "text": text});
    let links = &call.links;
    let body = json!({
        "logs": notices.iter().map(old).collect::<Vec<_>>(), "notices": notices.iter().map(new).collect::<Vec<_>>(),
        "_embedded": {"pacticipant": links.embedded_pacticipant(consumer),
                      "version": links.embedded_version(consumer, version)},
        "_links": {
            "pb:pacticipant": {"title": "Pacticipant", "name": consumer, "href": links.pacticipant(consumer)},
            "pb:pacticipant-version": {"title": "Pacticipant version", "name": version,
                                       "href": links.version(consumer, version)},
            "pb:pacticipant-version-tags": [], "pb:contracts": published}});
    Answer::hal(200, &body)
}

/// Everything below `/pacts/provider/P/consumer/C`.
pub(super) fn pact(call: &Call<'_>, state: &mut State, provider: &str, consumer: &str, rest: &[&str]) -> Answer {
    match (call.method, rest) {
        ("GET", ["version", number]) => {
            if let Some(refused) = call.refused_accept() {
                return refused;
            }
            let found = state.pact(consumer, number, provider);
            found.map_or_else(|| call.errors.not_found(), |pact| Answer::hal(200, &pact.resource(&call.links)))
        }
        ("PUT", ["version", number]) => {
            if let Some(refused) = call.refused_write("application/json") {
                return refused;
            }
            let status = if state.pact(consumer, number, provider).is_some() { 200 } else { 201 };
            state.publish_pact(consumer, number, provider, call.body.as_bytes());
            let found = state.pact(consumer, number, provider);
            found.map_or_else(|| call.errors.server_error(), |pact| Answer::hal(status, &pact.resource(&call.links)))
        }
        ("GET", ["pact-version", sha] | ["pact-version", sha, "metadata", _]) => {
            let found = state.pact_of_content(consumer, provider, sha);
            found.map_or_else(|| call.errors.not_found(), |pact| Answer::hal(200, &pact.resource(&call.links)))
        }
        (
            "POST",
            ["pact-version", sha, "verification-results"]
            | ["pact-version", sha, "metadata", _, "verification-results"],
        ) => publish_verification(call, state, consumer, provider, sha),
        _ => call.errors.not_found(),
    }
}

impl State {
    /// The latest pact of that content.
    fn pact_of_content(&self, consumer: &str, provider: &str, sha: &str) -> Option<&Pact> {
        let kept = |index: &usize| !self.contracts.gone.contains(index);
        let mut pacts = self.contracts.pacts.iter().enumerate().rev().filter(|(index, _)| kept(index));
        let wanted = |pact: &Pact| pact.sha == sha && pact.consumer == consumer && pact.provider == provider;
        pacts.find(|(_, pact)| wanted(pact)).map(|(_, pact)| pact)
    }
}

fn publish_verification(call: &Call<'_>, state: &mut State, consumer: &str, provider: &str, sha: &str) -> Answer {
    if let Some(refused) = call.refused_write("application/json") {
        return refused;
    }
    let Some(pact) = state.pact_of_content(consumer, provider, sha).cloned() else { return call.errors.not_found() };
    let body = call.json.clone().unwrap_or_default();
    let (Some(success), Some(version)) = (body["success"].as_bool(), body["providerApplicationVersion"].as_str())
    else {
        let errors = [
            ("success", !body["success"].is_boolean()),
            ("providerApplicationVersion", !body["providerApplicationVersion"].is_string()),
        ];
        let missing = errors.into_iter().filter(|(_, missing)| *missing);
        let errors: Vec<_> = missing.map(|(field, _)| (field, "can't be blank".to_owned())).collect();
        return call.errors.fields(400, &errors);
    };
    let number = state.add_verification(pact.pact_version(), version, success);
    let own = format!("{}/verification-results/{number}", pact.pact_version_href(&call.links, false));
    let mut answer = json!({
        "providerName": provider, "providerApplicationVersion": version, "success": success,
        "verificationDate": written(SystemTime::now()), "verifiedBy": {},
        "_links": {
            "self": {"title": "Verification result", "href": own,
                     "name": format!("Verification result {number} for {}", pact.name())},
            "pb:pact-version": {"title": "Pact", "name": pact.name(), "href": pact.pact_version_href(&call.links, true)},
            "pb:triggered-webhooks": {"title": "Webhooks triggered by the publication of this verification result",
                                      "href": format!("{own}/triggered-webhooks")}}});
    if let Some(results) = body.get("testResults") {
        answer["testResults"] = results.clone();
    }
    Answer::hal(201, &answer).header("location", own)
}
