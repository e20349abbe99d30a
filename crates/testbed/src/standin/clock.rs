//! Times as the broker writes them: UTC, whole seconds, `+00:00`.

use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;

/// A moment as the broker's bodies show it, e.g. `2026-11-23T07:36:01+00:00`.
pub(super) fn written(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).expect("a clock between the years -9999 and 9999");
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
