//! Building blocks of the kinds' tests: an object with some fields changed, and the judgement of its rollout.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::{Kind, View};

/// A name, the changes to a complete object, and the expected verdict.
pub(super) type Row<'row> = (&'row str, &'row [(&'row str, Value)], &'row str);

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The verdict: its name, and its text.
pub(super) fn judge<K: Kind>(object: &Value, now: &str) -> (&'static str, String) {
    let view: View<K> = serde_json::from_value(object.clone()).unwrap();
    let state = view.rollout(at(now));
    (state.name(), state.to_string())
}

/// The base with values set at JSON pointers; `null` removes a field.
pub(super) fn with(mut base: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key)
        } else {
            parent.insert(key.to_owned(), value.clone())
        };
    }
    base
}

/// Checks each row against the base, at `now`.
pub(super) fn table<K: Kind>(base: &Value, now: &str, rows: &[Row<'_>]) {
    for (what, changes, expected) in rows {
        let object = with(base.clone(), changes);
        assert_eq!(judge::<K>(&object, now).0, *expected, "{what}: {object}");
    }
}
