//! One request as the resources see it, and which resource answers which path.

use axum::http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::answer::{Answer, Errors};
use super::hal::Links;
use super::store::State;
use super::{contracts, deployments, environments, index, matrix, releases, versions, webhooks};

/// What a resource needs to know of a request.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// The query's names and values, decoded.
    pub(super) query: Vec<(String, String)>,
    /// The query as it was on the wire, with its `?`; empty when there was none.
    pub(super) raw_query: String,
    /// The path as it was on the wire, without the prefix.
    pub(super) raw_path: &'a str,
    pub(super) body: &'a str,
    /// The body when it is JSON.
    pub(super) json: Option<Value>,
    pub(super) links: Links,
    /// The base URL that the caller dialled, whatever the broker believes its address to be.
    pub(super) dialled: String,
    pub(super) errors: Errors,
    /// A fault: lists are answered empty.
    pub(super) empty_lists: bool,
}

/// Splits a query and decodes it: `+` is a space there.
pub(super) fn query_of(raw: &str) -> Option<Vec<(String, String)>> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    };
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// The media types of an `Accept` header, without parameters.
fn accepted(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("accept").iter().filter_map(|value| value.to_str().ok());
    let types = values.flat_map(|value| value.split(','));
    types.map(|media| media.split(';').next().unwrap_or_default().trim().to_lowercase()).collect()
}

/// Whether errors are to be problem+json.
pub(super) fn wants_problem_json(headers: &HeaderMap) -> bool {
    accepted(headers).iter().any(|media| media == "application/problem+json")
}

impl Call<'_> {
    /// The first value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// How the caller names itself.
    pub(super) fn user_agent(&self) -> String {
        let agent = self.headers.get("user-agent").and_then(|agent| agent.to_str().ok());
        agent.unwrap_or_default().to_owned()
    }

    /// Whether the caller takes this media type.
    pub(super) fn accepts(&self, wanted: &str) -> bool {
        let accepted = accepted(self.headers);
        let family = wanted.split('/').next().unwrap_or_default();
        accepted.is_empty()
            || accepted.iter().any(|media| media == wanted || media == "*/*" || *media == format!("{family}/*"))
    }

    /// 406 unless the caller takes HAL.
    pub(super) fn refused_accept(&self) -> Option<Answer> {
        (!self.accepts("application/hal+json")).then(|| Answer::bare(406))
    }

    /// 405 unless this is a GET, 406 unless the caller takes HAL.
    pub(super) fn refused_read(&self) -> Option<Answer> {
        if self.method == "GET" { self.refused_accept() } else { Some(Answer::method_not_allowed("GET, OPTIONS")) }
    }

    /// 400 for a body that is not JSON, 415 unless it is of this type, 406 unless the caller takes HAL.
    pub(super) fn refused_write(&self, content_type: &str) -> Option<Answer> {
        if self.json.is_none() && !self.body.trim().is_empty() {
            return Some(self.errors.broken_json(self.body));
        }
        let given = self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim().to_lowercase();
        if given != content_type && !(given.is_empty() && self.body.is_empty()) {
            return Some(Answer::unsupported_media_type());
        }
        self.refused_accept()
    }

    /// A list resource, with its own address as the caller wrote it.
    pub(super) fn list(&self, name: &str, rows: &[Value], title: &str) -> Value {
        let own = self.links.raw(&format!("{}{}", self.raw_path, self.raw_query));
        json!({"_embedded": {name: rows}, "_links": {"self": {"href": own, "title": title}}})
    }
}

/// The decoded segments of a raw path; `None` for text that is not UTF-8.
pub(super) fn segments_of(raw_path: &str) -> Option<Vec<String>> {
    let path = raw_path.strip_prefix('/').unwrap_or(raw_path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    let decoded = |segment| percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    path.split('/').map(decoded).collect()
}

/// Hands a call to its resource.
pub(super) fn dispatch(call: &Call<'_>, state: &mut State) -> Answer {
    let Some(mut segments) = segments_of(call.raw_path) else { return call.errors.server_error() };
    if segments.iter().any(String::is_empty) {
        return Errors::empty_path_component();
    }
    if let [first, name, ..] = segments.as_mut_slice()
        && first == "pacticipants"
    {
        *name = state.spelled(name).to_owned();
    }
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        [] => index::index(call),
        ["diagnostic", "status", what] => index::diagnostic(call, what),
        ["environments"] => environments::collection(call, state),
        ["environments", uuid] => environments::one(call, state, uuid),
        ["environments", uuid, "deployed-versions", "currently-deployed"] => {
            deployments::currently_deployed(call, state, uuid)
        }
        ["environments", uuid, "released-versions", "currently-supported"] => {
            releases::currently_supported(call, state, uuid)
        }
        ["pacticipants"] => versions::collection(call, state),
        ["pacticipants", name] => versions::pacticipant(call, state, name),
        ["pacticipants", name, "latest-version"] => versions::latest(call, state, name),
        ["pacticipants", name, "versions"] => versions::of_pacticipant(call, state, name),
        ["pacticipants", name, "versions", number] => versions::one(call, state, name, number),
        ["pacticipants", name, "branches", branch, "versions", number] if call.method == "PUT" => {
            versions::put(call, state, name, number, Some(branch))
        }
        ["pacticipants", name, "versions", number, "tags", tag] => versions::tag(call, state, name, number, tag),
        ["pacticipants", name, "versions", number, "deployed-versions", "environment", uuid] => {
            deployments::of_version(call, state, name, number, uuid)
        }
        ["pacticipants", name, "versions", number, "released-versions", "environment", uuid] => {
            releases::of_version(call, state, name, number, uuid)
        }
        ["deployed-versions", uuid] => deployments::one(call, state, uuid),
        ["released-versions", uuid] => releases::one(call, state, uuid),
        ["contracts", "publish"] => contracts::publish(call, state),
        ["pacts", "provider", provider, "consumer", consumer, rest @ ..] => {
            contracts::pact(call, state, provider, consumer, rest)
        }
        ["webhooks"] => webhooks::collection(call, state),
        ["webhooks", uuid] => webhooks::one(call, state, uuid),
        ["can-i-deploy"] => matrix::can_i_deploy(call, state),
        ["matrix"] => matrix::matrix(call, state),
        _ => call.errors.not_found(),
    }
}
