//! `AdmissionReview` of `admission.k8s.io/v1`: read as far as the gate looks, and answered.
//!
//! Its objects are read as what the beginning of the body says they are, and only what the gate looks at is kept: a review
//! may hold two of 3 MiB each. Where that does not work out, the objects are only found at first, and each is then read by
//! itself, so that one that cannot be read is a problem of its own.
//! See <https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request>.

use k8s_openapi::{ByteString, jiff::Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    api::annotations::SELF_TEST,
    decide::{
        admission::{Answer, GroupVersionKind, Operation, Purpose, Review, User},
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

/// A body with its objects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<Object> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<RequestBody<Object>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestBody<Object> {
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
    object: Option<Object>,
    old_object: Option<Object>,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    options: Option<Options>,
}

/// How the client writes, as far as the gate looks.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Options {
    field_manager: Option<String>,
}

/// A workload, and whether it greets the gate.
type Observed = (Workload, bool);

/// An object as it was sent, to be read as what it is.
struct Read<'body> {
    object: &'body RawValue,
    now: Timestamp,
}

impl Dispatch for Read<'_> {
    type Output = Result<Observed, String>;

    fn with<K: Kind>(self) -> Self::Output {
        let object: View<K> =
            serde_json::from_str(self.object.get()).map_err(|error| short(&error.to_string(), 200))?;
        Ok(observed(&object, self.now))
    }
}

/// A whole body, to be read at once.
struct ReadAll<'body> {
    body: &'body [u8],
    now: Timestamp,
}

impl Dispatch for ReadAll<'_> {
    type Output = Option<Body<Observed>>;

    fn with<K: Kind>(self) -> Self::Output {
        let Body { api_version, kind, request } = serde_json::from_slice::<Body<View<K>>>(self.body).ok()?;
        let request = request.filter(|request| request.kind.known() == Some(K::KIND))?;
        let request = request.with_objects(|object| observed(&object, self.now));
        Some(Body { api_version, kind, request: Some(request) })
    }
}

fn observed<K: Kind>(object: &View<K>, now: Timestamp) -> Observed {
    let greets = object.metadata.annotations.as_ref().is_some_and(|it| it.contains_key(SELF_TEST));
    (object.observe(now), greets)
}

impl<Object> RequestBody<Object> {
    fn with_objects<Other>(self, read: impl Fn(Object) -> Other) -> RequestBody<Other> {
        let Self {
            uid,
            kind,
            sub_resource,
            namespace,
            name,
            operation,
            user_info,
            object,
            old_object,
            dry_run,
            options,
        } = self;
        let (object, old_object) = (object.map(&read), old_object.map(&read));
        RequestBody {
            uid,
            kind,
            sub_resource,
            namespace,
            name,
            operation,
            user_info,
            object,
            old_object,
            dry_run,
            options,
        }
    }
}

/// The kind that the beginning of a body names: an API server writes `request.kind` before the objects.
fn named_first(body: &[u8]) -> Option<WorkloadKind> {
    let beginning = &body[..body.len().min(BEGINNING)];
    let names = |kind: &WorkloadKind| {
        let name = format!(r#""kind":"{}""#, kind.kind());
        beginning.windows(name.len()).any(|part| part == name.as_bytes())
    };
    WorkloadKind::ALL.into_iter().find(names)
}

/// How much of a body is searched for the kind of its objects, in bytes.
const BEGINNING: usize = 256;

/// Reads the body of a request.
///
/// # Errors
/// When it is no review; never because of the object in it.
pub fn read(body: &[u8], now: Timestamp) -> Result<Review, ReviewError> {
    if let Some(Body { api_version, kind, request: Some(request) }) =
        named_first(body).and_then(|kind| kind.dispatch(ReadAll { body, now }))
        && (api_version.as_str(), kind.as_str()) == (API_VERSION, KIND)
    {
        return Ok(review(request.with_objects(Ok)));
    }
    let unreadable = |error: serde_json::Error| ReviewError::Unreadable(short(&error.to_string(), 200));
    let body: Body<&RawValue> = serde_json::from_slice(body).map_err(unreadable)?;
    let Body { api_version, kind, request } = body;
    if api_version != API_VERSION || kind != KIND {
        let (api_version, kind) = (short(&api_version, 60), short(&kind, 60));
        return Err(ReviewError::OtherKind { api_version, kind });
    }
    let Some(request) = request else { return Err(ReviewError::NoRequest) };
    let kind = request.kind.known();
    Ok(review(request.with_objects(|object| match kind {
        Some(kind) => kind.dispatch(Read { object, now }),
        None => Err("it is of another kind".to_owned()),
    })))
}

/// The review of a request whose objects were read.
fn review(request: RequestBody<Result<Observed, String>>) -> Review {
    let place = |(mut workload, greets): Observed| {
        // An object that is being created may lack what the request says.
        workload.reference.namespace.clone_from(&request.namespace);
        if workload.reference.name.is_empty() {
            workload.reference.name.clone_from(&request.name);
        }
        (workload, greets)
    };
    let (old, new) = match request.kind.known() {
        Some(_) => {
            let missing = || Err("there is no object in the request".to_owned());
            match request.old_object.transpose() {
                Ok(old) => (old.map(|old| place(old).0), request.object.unwrap_or_else(missing).map(place)),
                Err(problem) => (None, Err(format!("the object as it was: {problem}"))),
            }
        }
        None => (None, Err("it is of another kind".to_owned())),
    };
    let dry_run = request.dry_run.unwrap_or_default();
    Review {
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
        field_manager: request.options.and_then(|options| options.field_manager),
        purpose: if dry_run && new.as_ref().is_ok_and(|&(_, greets)| greets) {
            Purpose::SelfTest
        } else {
            Purpose::Ordinary
        },
        old,
        old_waits: false,
        new: new.map(|(new, _)| new),
    }
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
        #[serde(skip_serializing_if = "Option::is_none")]
        patch_type: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        patch: Option<ByteString>,
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
    let patch = (!answer.patch.is_empty()).then(|| ByteString(serde_json::to_vec(&answer.patch).unwrap_or_default()));
    let response = Response {
        uid,
        allowed: denied.is_none(),
        status,
        warnings: &answer.warnings,
        audit_annotations: answer.audit.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        patch_type: patch.is_some().then_some("JSONPatch"),
        patch,
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
