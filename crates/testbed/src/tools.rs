//! Where the control plane's programs are: built on first use by `tests/cluster/build.sh`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The folder with `etcd`, `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `kubectl`, `helm`, `kwok`
/// and kwok's `stages.yaml`. Builds them when the cache has none: minutes the first time, with progress on stderr;
/// instant afterwards.
///
/// # Panics
/// When the build fails; its output is on stderr.
pub async fn folder() -> PathBuf {
    tokio::task::spawn_blocking(|| build().clone()).await.unwrap()
}

fn build() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/cluster/build.sh");
        let built = Command::new("bash").arg(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let built = built.unwrap_or_else(|error| panic!("cannot run bash {}: {error}", script.display()));
        assert!(built.status.success(), "{} failed ({}); its reason is on stderr", script.display(), built.status);
        let output = String::from_utf8(built.stdout).unwrap();
        PathBuf::from(output.lines().last().expect("build.sh names the folder on its last line"))
    })
}
