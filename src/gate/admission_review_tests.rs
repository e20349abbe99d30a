//! What is read of a review and how it is answered: no body may cause a panic, or a denial without a verdict.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::annotations::PACTICIPANT;

/// Something done to a review.
type Change = fn(&mut Value);

fn deployment(version: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "6a1c1f0e-0000-4000-8000-000000000001", "generation": 3,
            "resourceVersion": "4711", "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": "orders"},
            "annotations": {"deployment.kubernetes.io/revision": "2", "pact-operator.dev/pacticipant": "orders"},
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}}}}}}}}],
        },
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "orders"}}, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "orders"}},
                "spec": {
                    "containers": [{"name": "app", "image": format!("reg.test/orders:{version}"), "resources": {},
                        "imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}],
                    "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                    "securityContext": {}, "schedulerName": "default-scheduler",
                },
            },
        },
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                "lastUpdateTime": "2026-01-02T03:04:06Z", "lastTransitionTime": "2026-01-02T03:04:05Z", "message": "m"}]},
    })
}

/// A review as the API server sends it for `kubectl set image`.
fn update() -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "orders", "namespace": "shop", "operation": "UPDATE",
            "userInfo": {"username": "system:serviceaccount:people:developer", "uid": "u-1",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]}},
            "object": deployment("2.0.0"), "oldObject": deployment("1.0.0"), "dryRun": false,
            "options": {"kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-set"},
        },
    })
}

/// The same for `kubectl create`: there is no old object, and the new one has no resource version yet.
fn create() -> Value {
    let mut review = update();
    let request = &mut review["request"];
    request["operation"] = json!("CREATE");
    request["oldObject"] = Value::Null;
    request["options"] = json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"});
    request["object"].as_object_mut().unwrap().remove("status");
    request["object"]["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    review
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// The review, which is the same however it is read: with its objects at once, or each by itself.
fn read(review: &Value) -> Result<Review, ReviewError> {
    let body = review.to_string();
    let at_once = super::read(body.as_bytes(), now());
    let indented = body.replacen('{', &format!("{{{}", " ".repeat(BEGINNING)), 1);
    assert_eq!(named_first(indented.as_bytes()), None);
    match (&at_once, &super::read(indented.as_bytes(), now())) {
        // The place of what is wrong is in the text.
        (Err(ReviewError::Unreadable(_)), Err(ReviewError::Unreadable(_))) => {}
        (at_once, each) => assert_eq!(at_once, each),
    }
    at_once
}

#[test]
fn the_kind_that_an_api_server_names_first_is_found() {
    let begins = |kind: &str| {
        format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{{"group":"apps","version":"v1","kind":"{kind}"}},"resource":"#
        )
    };
    for kind in WorkloadKind::ALL {
        assert_eq!(named_first(begins(kind.kind()).as_bytes()), Some(kind));
    }
    assert_eq!(named_first(begins("Pod").as_bytes()), None);
    assert_eq!(named_first(update().to_string().as_bytes()), Some(WorkloadKind::Deployment));
}

fn changed(change: impl FnOnce(&mut Value)) -> Result<Review, ReviewError> {
    let mut review = update();
    change(&mut review);
    read(&review)
}

#[test]
fn a_review_of_an_update_is_read_as_far_as_the_gate_looks() {
    let review = read(&update()).unwrap();
    assert_eq!(review.uid, "705ab4f5-6393-11e8-b7cc-42010a800002");
    assert_eq!((review.namespace.as_str(), review.name.as_str()), ("shop", "orders"));
    assert_eq!((review.operation, review.subresource, review.dry_run), (Operation::Update, false, false));
    assert_eq!(review.user.username, "system:serviceaccount:people:developer");
    assert_eq!(review.kind.known(), Some(WorkloadKind::Deployment));
    let (old, new) = (review.old.unwrap(), review.new.unwrap());
    assert_eq!(new.annotations.pacticipant.as_deref(), Some("orders"));
    assert_eq!(new.containers[0].image, "reg.test/orders:2.0.0");
    assert_eq!(old.containers[0].image, "reg.test/orders:1.0.0");
    assert_eq!(new.reference.to_string(), old.reference.to_string());
}

#[test]
fn a_review_of_any_kind_is_read_as_what_it_is() {
    for kind in WorkloadKind::ALL {
        let review = changed(|review| {
            let (group, version) = (kind.group(), kind.version());
            review["request"]["kind"] = json!({"group": group, "version": version, "kind": kind.kind()});
            // What a StatefulSet's and a DaemonSet's status say is of other shapes than what a Deployment's says.
            for object in ["object", "oldObject"] {
                review["request"][object]["kind"] = json!(kind.kind());
                review["request"][object].as_object_mut().unwrap().remove("status");
                if kind == WorkloadKind::CronJob {
                    let template = review["request"][object]["spec"]["template"].take();
                    review["request"][object]["spec"] = json!({"jobTemplate": {"spec": {"template": template}}});
                }
            }
        });
        let review = review.unwrap();
        assert_eq!(review.kind.known(), Some(kind));
        let (old, new) = (review.old.unwrap(), review.new.unwrap());
        assert_eq!(new.reference.to_string(), format!("{kind} shop/orders"));
        assert_eq!((new.containers[0].image.as_str(), old.reference), ("reg.test/orders:2.0.0", new.reference));
        assert_eq!(new.annotations.pacticipant.as_deref(), Some("orders"));
    }
    for (group, version, kind) in
        [("apps", "v1", "ReplicaSet"), ("apps", "v1beta1", "StatefulSet"), ("", "v1", "DaemonSet")]
    {
        let other = json!({"group": group, "version": version, "kind": kind});
        let review = changed(|review| review["request"]["kind"] = other).unwrap();
        assert_eq!((review.kind.known(), review.new.is_err()), (None, true), "{group}/{version} {kind}");
    }
}

#[test]
fn a_review_of_a_creation_has_no_old_object_and_takes_name_and_namespace_from_the_request() {
    let mut review = create();
    let metadata = review["request"]["object"]["metadata"].as_object_mut().unwrap();
    metadata.remove("namespace");
    metadata.remove("name");
    let review = read(&review).unwrap();
    assert_eq!((review.operation, review.old), (Operation::Create, None));
    let new = review.new.unwrap();
    assert_eq!((new.reference.namespace.as_str(), new.reference.name.as_str()), ("shop", "orders"));
}

#[test]
fn what_the_api_server_may_leave_out_may_be_missing() {
    for field in
        ["name", "namespace", "userInfo", "dryRun", "options", "oldObject", "requestKind", "resource", "subResource"]
    {
        let mut review = update();
        review["request"].as_object_mut().unwrap().remove(field);
        let review = read(&review).unwrap_or_else(|error| panic!("without {field}: {error}"));
        assert!(review.new.is_ok(), "{field}");
    }
    for (field, value) in
        [("dryRun", Value::Null), ("subResource", Value::Null), ("oldObject", Value::Null), ("subResource", json!(""))]
    {
        let review = changed(|review| review["request"][field] = value).unwrap();
        assert!(review.new.is_ok() && !review.dry_run && !review.subresource, "{field}");
    }
}

#[test]
fn operations_subresources_and_dry_runs_are_distinguished() {
    for (operation, expected) in [
        ("CREATE", Operation::Create),
        ("UPDATE", Operation::Update),
        ("DELETE", Operation::Other),
        ("CONNECT", Operation::Other),
        ("update", Operation::Other),
        ("", Operation::Other),
    ] {
        assert_eq!(changed(|it| it["request"]["operation"] = json!(operation)).unwrap().operation, expected);
    }
    assert!(changed(|it| it["request"]["subResource"] = json!("scale")).unwrap().subresource);
    assert!(changed(|it| it["request"]["dryRun"] = json!(true)).unwrap().dry_run);
    for (dry_run, annotated) in [(true, true), (true, false), (false, true)] {
        let review = changed(|it| {
            it["request"]["dryRun"] = json!(dry_run);
            if annotated {
                it["request"]["object"]["metadata"]["annotations"][SELF_TEST] = json!("true");
            }
        });
        assert_eq!(review.unwrap().purpose == Purpose::SelfTest, dry_run && annotated, "{dry_run} {annotated}");
    }
}

#[test]
fn an_object_of_another_kind_or_one_that_cannot_be_read_is_a_problem_in_a_review_that_is_answered() {
    let other = changed(|it| it["request"]["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"})).unwrap();
    assert_eq!((other.old, other.new), (None, Err("it is of another kind".to_owned())));
    let changes: [(Change, &str); 7] = [
        (|request| drop(request.as_object_mut().unwrap().remove("object")), "no object"),
        (|request| request["object"] = Value::Null, "no object"),
        (|request| request["object"] = json!("text"), "invalid type"),
        (|request| request["object"]["spec"]["replicas"] = json!("two"), "invalid type"),
        (|request| request["oldObject"]["spec"] = json!([1]), "the object as it was: "),
        (|request| request["object"]["metadata"]["annotations"] = json!(["a"]), "invalid type"),
        (|request| request["object"]["metadata"]["annotations"] = json!({PACTICIPANT: {"b": "c"}}), "invalid type"),
    ];
    for (change, says) in changes {
        let review = changed(|review| change(&mut review["request"])).unwrap();
        let problem = review.new.unwrap_err();
        assert!(problem.contains(says) && problem.chars().count() <= 230, "{problem}");
        assert_eq!(review.old, None.or(review.old.clone()).filter(|_| !says.starts_with("the object as it was")));
    }
}

#[test]
fn a_body_that_is_no_review_is_refused_with_the_remedy() {
    for (body, says) in [
        ("", "is it the API server"),
        ("{", "is it the API server"),
        ("[]", "is it the API server"),
        ("null", "is it the API server"),
        ("\"AdmissionReview\"", "is it the API server"),
        ("{}", "admissionReviewVersions: [v1]"),
        (r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}"#, "is it the API server"),
        (r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1"}"#, "admissionReviewVersions: [v1]"),
        (r#"{"kind":"Status","apiVersion":"v1"}"#, "the body is v1 Status"),
        (r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#, "has no request"),
        (r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}"#, "has no request"),
        (
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":1}}"#,
            "is it the API server",
        ),
    ] {
        let error = super::read(body.as_bytes(), now()).unwrap_err().to_string();
        assert!(error.contains(says) && error.chars().count() < 400, "{body}: {error}");
    }
    let long = json!({"kind": "x".repeat(100_000), "apiVersion": "y\n\u{1b}[31m".repeat(1_000)});
    let error = read(&long).unwrap_err().to_string();
    assert!(error.chars().count() < 400 && !error.contains(char::is_control), "{error}");
}

#[test]
fn two_objects_of_three_mebibytes_each_are_read() {
    let mut review = update();
    for object in ["object", "oldObject"] {
        review["request"][object]["metadata"]["annotations"]["blob"] = json!("x".repeat(3 << 20));
    }
    let body = review.to_string();
    assert!(body.len() > 6 << 20 && body.len() < super::super::LONGEST_BODY);
    assert!(super::read(body.as_bytes(), now()).unwrap().new.is_ok());
}

#[test]
fn an_object_nested_a_hundred_thousand_deep_causes_no_panic() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for part in ["object", "oldObject", "options", "extra"] {
        let body = format!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","operation":"CREATE",
            "kind":{{"group":"apps","version":"v1","kind":"Deployment"}},"{part}":{deep}}}}}"#
        );
        drop(super::read(body.as_bytes(), now()));
        let inside = format!(r#"{{"metadata":{{"annotations":{{"a":"b"}},"x":{deep}}}}}"#);
        drop(super::read(body.replace(&deep, &inside).as_bytes(), now()));
    }
}

#[test]
fn a_denial_is_exactly_403_and_forbidden() {
    let answer = Answer {
        denied: Some(
            "orders 2.0.0 may not be deployed to production: \"web\"\n  see https://b.test/matrix?q".to_owned(),
        ),
        warnings: Vec::new(),
        audit: vec![("verdict", "No".to_owned())],
        ..Answer::default()
    };
    let body = String::from_utf8(write(&answer, "u-1")).unwrap();
    // Argo CD and Flux delete what runs on 409, 422 or other reasons: every byte of this counts.
    assert_eq!(
        body,
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"u-1","allowed":false,"status":{"status":"Failure","code":403,"reason":"Forbidden","message":"orders 2.0.0 may not be deployed to production: \"web\"\n  see https://b.test/matrix?q"},"auditAnnotations":{"verdict":"No"}}}"#
    );
}

#[test]
fn an_admission_has_no_status_and_shows_its_warnings_in_order() {
    let body: Value = serde_json::from_slice(&write(&Answer::allow(), "u-2")).unwrap();
    let response = json!({"uid": "u-2", "allowed": true});
    assert_eq!(body, json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response}));

    let answer = Answer {
        warnings: vec!["first".to_owned(), "second".to_owned()],
        audit: vec![("verdict", "Unknown".to_owned()), ("environment", "production".to_owned())],
        ..Answer::allow()
    };
    let body: Value = serde_json::from_slice(&write(&answer, "u-3")).unwrap();
    assert_eq!(body["response"]["warnings"], json!(["first", "second"]));
    assert_eq!(body["response"]["auditAnnotations"], json!({"verdict": "Unknown", "environment": "production"}));
    assert_eq!((&body["response"]["allowed"], body["response"].get("status")), (&json!(true), None));

    let long = Answer::allow_with("text ".repeat(1_000) + "\n the field is immutable");
    assert_eq!(long.warnings.len(), 1);
    assert!(long.warnings[0].chars().count() <= 120 && !long.warnings[0].contains('\n'), "{long:?}");
}

/// A real review in which one part, found by its number, holds something else, or nothing.
fn mutated(mut review: Value, part: usize, with: Option<Value>) -> Value {
    fn paths(value: &Value, path: &str, all: &mut Vec<String>) {
        all.push(path.to_owned());
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    paths(value, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), all);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    paths(value, &format!("{path}/{index}"), all);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    paths(&review, "", &mut all);
    let path = &all[part % all.len()];
    match (with, path.rsplit_once('/')) {
        (None, Some((parent, name))) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            match review.pointer_mut(parent).unwrap() {
                Value::Object(fields) => drop(fields.remove(&name)),
                Value::Array(items) => drop(items.remove(name.parse().unwrap())),
                _ => unreachable!("only these have parts"),
            }
        }
        (with, _) => *review.pointer_mut(path).unwrap() = with.unwrap_or_default(),
    }
    review
}

fn anything() -> impl Strategy<Value = Option<Value>> {
    prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        any::<bool>().prop_map(|it| Some(json!(it))),
        any::<i64>().prop_map(|it| Some(json!(it))),
        any::<f64>().prop_map(|it| Some(json!(it))),
        ".{0,40}".prop_map(|it| Some(json!(it))),
        Just(Some(json!([]))),
        Just(Some(json!({}))),
        Just(Some(json!([{"name": {"deep": [[[null]]]}}]))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_no_review_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(super::read(&bytes, now()).is_err());
    }

    #[test]
    fn a_real_review_that_is_cut_or_has_a_byte_changed_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = update().to_string().into_bytes();
        let at = at.index(body.len());
        if cut {
            body.truncate(at);
            prop_assert!(super::read(&body, now()).is_err());
        } else {
            body[at] = byte;
            drop(super::read(&body, now()));
        }
    }

    #[test]
    fn a_real_review_with_one_thing_wrong_is_read_or_refused_and_what_is_read_is_what_was_sent(
        created in any::<bool>(), part in any::<usize>(), with in anything(),
    ) {
        let review = mutated(if created { create() } else { update() }, part, with);
        if let Ok(read) = read(&review) {
            // An answer must carry the uid that was sent, or the API server takes it for a failure.
            prop_assert_eq!(Some(read.uid.as_str()), review["request"]["uid"].as_str());
            if let Ok(new) = &read.new {
                prop_assert_eq!(Some(read.namespace.as_str()), Some(new.reference.namespace.as_str()));
                let image = review["request"]["object"]["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
                if let (Some(image), Some(first)) = (image, new.containers.first()) {
                    prop_assert_eq!(image, &first.image);
                }
            }
            // Whatever was read: an answer that does not deny says so.
            let body: Value = serde_json::from_slice(&write(&Answer::allow_with("?"), &read.uid)).unwrap();
            prop_assert_eq!(&body["response"]["allowed"], &json!(true));
            prop_assert_eq!(&body["response"]["uid"], &review["request"]["uid"]);
        }
    }

    #[test]
    fn an_answer_is_json_whatever_its_texts_are(uid in ".*", text in ".*", warning in ".*") {
        let answer = Answer { denied: Some(text.clone()), warnings: vec![warning.clone()], audit: vec![("verdict", text.clone())], ..Answer::default() };
        let body: Value = serde_json::from_slice(&write(&answer, &uid)).unwrap();
        let response = &body["response"];
        prop_assert_eq!(&response["uid"], &json!(uid));
        prop_assert_eq!(&response["status"]["message"], &json!(text));
        prop_assert_eq!(&response["warnings"], &json!([warning]));
        prop_assert_eq!(&response["status"]["code"], &json!(403));
    }
}

#[test]
fn a_patch_is_sent_as_the_api_server_reads_it_and_the_field_manager_is_read() {
    let operation = json!({"op": "add", "path": "/spec/paused", "value": true});
    let answer = Answer { patch: vec![operation.clone()], ..Answer::allow() };
    let body: Value = serde_json::from_slice(&write(&answer, "u-1")).unwrap();
    assert_eq!(body["response"]["patchType"], "JSONPatch");
    let patch: k8s_openapi::ByteString = serde_json::from_value(body["response"]["patch"].clone()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&patch.0).unwrap(), json!([operation]));
    let body = String::from_utf8(write(&Answer::allow(), "u-1")).unwrap();
    assert!(!body.contains("patch"), "the API server refuses one from a webhook that validates: {body}");

    for (options, manager) in [
        (json!({"kind": "PatchOptions", "fieldManager": "kubectl-rollout"}), Some("kubectl-rollout")),
        (json!({"kind": "UpdateOptions"}), None),
        (Value::Null, None),
    ] {
        let kind = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        let object = json!({"metadata": {"name": "orders", "annotations": {"pact-operator.dev/held": "x"}}, "spec": {"paused": true}});
        let request = json!({"uid": "u", "kind": kind, "operation": "UPDATE", "options": options, "object": object});
        let review = read(&json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "request": request})).unwrap();
        assert_eq!(review.field_manager.as_deref(), manager);
        let new = review.new.unwrap();
        assert_eq!((new.paused, new.annotations.held.as_deref()), (true, Some("x")));
    }
}
