use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    api::names::EnvironmentName,
    decide::{Evidence, LiveVersions, Verdict, judge},
};

/// A body as a broker sends it, reduced to the parts that are read and a few others.
fn body(success: bool) -> Value {
    let side =
        |name: &str, number: &str| json!({"name": name, "version": {"number": number, "tags": []}, "_links": {}});
    let row = json!({"consumer": side("web", "2"), "provider": side("api", "10"), "pact": {"createdAt": "x"},
                     "verificationResult": {"success": success, "verifiedAt": "x"}});
    json!({"summary": {"deployable": success, "reason": "x", "success": 1, "failed": 0, "unknown": 0},
           "notices": [], "matrix": [row]})
}

fn read(bytes: &[u8]) -> Option<Matrix> {
    serde_json::from_slice::<Body>(bytes).ok().map(Body::read)
}

fn read_value(body: &Value) -> Option<Matrix> {
    read(body.to_string().as_bytes())
}

fn verdict(matrix: &Matrix) -> Verdict {
    let question = Question {
        pacticipant: Pacticipant::parse("web").unwrap(),
        version: Version::parse("2").unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    };
    let mut live = LiveVersions::default();
    live.looked_up(Pacticipant::parse("api").unwrap()).insert(Version::parse("10").unwrap());
    judge(&question, &Evidence::of_broker(matrix, &live)).verdict
}

#[test]
fn a_row_is_read_or_counted_never_dropped() {
    let whole = body(true);
    assert_eq!(verdict(&read_value(&whole).unwrap()), Verdict::Yes);
    for (pointer, value, verdict_now) in [
        ("/matrix/0/consumer/name", json!(7), Verdict::Unknown),
        ("/matrix/0/consumer/name", json!(" web"), Verdict::Unknown),
        ("/matrix/0/consumer/name", json!("w\neb"), Verdict::Unknown),
        ("/matrix/0/consumer/version", Value::Null, Verdict::Unknown),
        ("/matrix/0/provider/version/number", json!("x".repeat(256)), Verdict::Unknown),
        ("/matrix/0/provider/version", Value::Null, Verdict::Unknown),
        ("/matrix/0/verificationResult", Value::Null, Verdict::Unknown),
        ("/matrix/0/verificationResult/success", json!("true"), Verdict::Unknown),
        ("/matrix/0/verificationResult/success", json!(false), Verdict::No),
        ("/matrix/0", json!("row"), Verdict::Unknown),
        ("/matrix", json!([]), Verdict::Unknown),
        ("/summary/deployable", Value::Null, Verdict::Unknown),
        ("/summary/failed", json!(1), Verdict::No),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        let matrix = read_value(&changed).unwrap();
        assert_eq!(verdict(&matrix), verdict_now, "{pointer} is {value}: {matrix:?}");
    }
    for pointer in ["/summary", "/matrix", "/summary/failed"] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = json!("else");
        assert_eq!(read_value(&changed), None, "{pointer}");
    }
}

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(body(true)),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The addresses of all values in a document.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let below: Vec<String> = match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| pointers(value, &format!("{at}/{name}"))).collect()
        }
        Value::Array(all) => {
            all.iter().enumerate().flat_map(|(index, value)| pointers(value, &format!("{at}/{index}"))).collect()
        }
        _ => Vec::new(),
    };
    std::iter::once(at.to_owned()).chain(below).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes).map(|matrix| verdict(&matrix));
    }

    #[test]
    fn a_body_with_broken_bytes_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in prop::option::of(any::<prop::sample::Index>())) {
        let mut bytes = body(true).to_string().into_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read(&bytes).map(|matrix| verdict(&matrix));
    }

    #[test]
    fn no_change_turns_a_failed_answer_into_a_yes(which in any::<prop::sample::Index>(), value in any_json()) {
        // One value is changed, or the whole body: the failure is in the row and in the summary, so one of them
        // remains.
        let mut changed = body(false);
        changed["summary"]["failed"] = json!(1);
        changed["summary"]["success"] = json!(0);
        let all = pointers(&changed, "");
        let pointer = &all[which.index(all.len())];
        prop_assume!(!pointer.is_empty());
        *changed.pointer_mut(pointer).unwrap() = value;
        if let Some(matrix) = read_value(&changed) {
            prop_assert!(!verdict(&matrix).is_yes(), "{} changed: {:?}", pointer, matrix);
        }
    }

    #[test]
    fn rows_that_were_given_are_read_or_counted(rows in prop::collection::vec(any_json(), 0..6)) {
        let given = rows.len();
        let mut changed = body(true);
        changed["matrix"].as_array_mut().unwrap().extend(rows);
        let matrix = read_value(&changed).unwrap();
        prop_assert_eq!(matrix.rows.len() + matrix.unreadable, given + 1);
        prop_assert_eq!(verdict(&matrix).is_yes(), given == 0);
    }
}
