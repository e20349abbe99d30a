//! `AdmissionReview` of `admission.k8s.io/v1`: read as far as the gate looks, and answered.
//!
//! First the objects in it are only found, then each is read as the kind that the review says it is, and only what the
//! gate looks at is kept: a review may hold two of 3 MiB each.
//! See <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request>.

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    api::annotations::SELF_TEST,
    decide::{
        admission::{Answer, GroupVersionKind, Operation, Review, User},
        messages,
    },
    workload::{Dispatch, Kind, View, Workload, WorkloadKind},
};

/// The only version of the API that is spoken.
pub const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Why a body is no review that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReviewError {
    /// Not JSON, or not of this shape.
    #[error("the body is no AdmissionReview: {0}; is it the API server that calls?")]
    Unreadable(String),
    /// Another kind or version.
    #[error(
        "the body is {api_version} {kind}, and only {API_VERSION} {KIND} is understood; say admissionReviewVersions: [v1] in \
         the ValidatingWebhookConfiguration"
    )]
    OtherKind {
        /// What it says it is, cut short.
        api_version: String,
        /// What it says it is, cut short.
        kind: String,
    },
    /// There is no request in it.
    #[error("the AdmissionReview has no request; is it the API server that calls?")]
    NoRequest,
}

/// A body with its objects as they were sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'body> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(borrow)]
    request: Option<RequestBody<'body>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestBody<'body> {
    uid: String,
    kind: GroupVersionKind,
    #[serde(default)]
    sub_resource: Option<String>,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    operation: String,
    #[serde(default)]
    user_info: User,
    #[serde(borrow)]
    object: Option<&'body RawValue>,
    #[serde(borrow)]
    old_object: Option<&'body RawValue>,
    #[serde(default)]
    dry_run: Option<bool>,
}

/// An object as it was sent, to be read as what it is. What comes of it is the workload, and whether it greets the gate.
struct Read<'body> {
    object: &'body RawValue,
    now: Timestamp,
}

impl Dispatch for Read<'_> {
    type Output = Result<(Workload, bool), String>;

    fn with<K: Kind>(self) -> Self::Output {
        let object: View<K> =
            serde_json::from_str(self.object.get()).map_err(|error| short(&error.to_string(), 200))?;
        let greets = object.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(SELF_TEST));
        Ok((object.observe(self.now), greets))
    }
}

/// Reads the body of a request.
///
/// # Errors
/// When it is no review; never because of the object in it.
pub fn read(body: &[u8], now: Timestamp) -> Result<Review, ReviewError> {
    let unreadable = |error: serde_json::Error| ReviewError::Unreadable(short(&error.to_string(), 200));
    let body: Body<'_> = serde_json::from_slice(body).map_err(unreadable)?;
    if body.api_version != API_VERSION || body.kind != KIND {
        let (api_version, kind) = (short(&body.api_version, 60), short(&body.kind, 60));
        return Err(ReviewError::OtherKind { api_version, kind });
    }
    let Some(request) = body.request else { return Err(ReviewError::NoRequest) };
    let read_object = |object, kind: WorkloadKind| {
        let (mut workload, greets) = kind.dispatch(Read { object, now })?;
        // An object that is being created may lack what the request says.
        workload.reference.namespace.clone_from(&request.namespace);
        if workload.reference.name.is_empty() {
            workload.reference.name.clone_from(&request.name);
        }
        Ok((workload, greets))
    };
    let dry_run = request.dry_run.unwrap_or_default();
    let (old, new) = match request.kind.known() {
        Some(kind) => {
            let old = request.old_object.map(|old| read_object(old, kind).map(|(old, _)| old)).transpose();
            let missing = || Err("there is no object in the request".to_owned());
            match old {
                Ok(old) => (old, request.object.map_or_else(missing, |new| read_object(new, kind))),
                Err(problem) => (None, Err(format!("the object as it was: {problem}"))),
            }
        }
        None => (None, Err("it is of another kind".to_owned())),
    };
    Ok(Review {
        uid: request.uid,
        kind: request.kind,
        subresource: request.sub_resource.is_some_and(|subresource| !subresource.is_empty()),
        namespace: request.namespace,
        name: request.name,
        operation: match request.operation.as_str() {
            "CREATE" => Operation::Create,
            "UPDATE" => Operation::Update,
            _ => Operation::Other,
        },
        user: request.user_info,
        dry_run,
        self_test: dry_run && new.as_ref().is_ok_and(|&(_, greets)| greets),
        old,
        new: new.map(|(new, _)| new),
    })
}

/// The body of the answer to the request of this uid.
#[must_use]
pub fn write(answer: &Answer, uid: &str) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        api_version: &'static str,
        kind: &'static str,
        response: Response<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Response<'a> {
        uid: &'a str,
        allowed: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<Status<'a>>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        warnings: &'a [String],
        #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
        audit_annotations: std::collections::BTreeMap<&'a str, &'a str>,
    }
    // Anything but 403 and Forbidden makes GitOps controllers delete what runs: see [`messages::sanitize()`].
    #[derive(Serialize)]
    #[allow(clippy::struct_field_names, reason = "metav1.Status has a field of its own name")]
    struct Status<'a> {
        status: &'static str,
        code: u16,
        reason: &'static str,
        message: &'a str,
    }
    let denied = answer.denied.as_deref();
    let status = denied.map(|message| Status { status: "Failure", code: 403, reason: "Forbidden", message });
    let response = Response {
        uid,
        allowed: denied.is_none(),
        status,
        warnings: &answer.warnings,
        audit_annotations: answer.audit.iter().map(|(name, value)| (*name, value.as_str())).collect(),
    };
    // Strings and numbers always serialise.
    serde_json::to_vec(&Body { api_version: API_VERSION, kind: KIND, response }).unwrap_or_default()
}

fn short(text: &str, limit: usize) -> String {
    let line = messages::one_line(text);
    messages::shortened(&line, limit)
}

#[cfg(test)]
#[path = "admission_review_tests.rs"]
mod tests;
