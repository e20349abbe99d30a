//! Serves archives of manifests on the loopback interface, as Flux's source-controller does.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use tokio::runtime::Runtime;

/// The archives by their path.
type Known = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A server of archives. Has a runtime of its own, since each test's ends with the test.
pub struct Archives {
    known: Known,
    address: String,
    runtime: Option<Runtime>,
}

impl Archives {
    /// One without archives.
    pub fn start() -> Self {
        let known = Known::default();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let served = Arc::clone(&known);
        let app = Router::new().fallback(async move |request: Request| {
            let found = served.lock().unwrap().get(request.uri().path()).cloned();
            found.ok_or(StatusCode::NOT_FOUND)
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await
        });
        Self { known, address, runtime: Some(runtime) }
    }

    /// Serves an archive; gives where.
    pub fn add(&self, archive: &[u8]) -> String {
        let mut known = self.known.lock().unwrap();
        let path = format!("/{}.tar.gz", known.len());
        known.insert(path.clone(), archive.to_owned());
        format!("http://{}{path}", self.address)
    }
}

/// An archive of one file of manifests in each of these folders.
pub fn archive_of(folders: &[(&str, &[Value])]) -> Vec<u8> {
    let root = tempfile::tempdir().unwrap();
    for (folder, objects) in folders {
        let folder = root.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let manifests: Vec<_> = objects.iter().map(Value::to_string).collect();
        fs::write(folder.join("manifests.yaml"), manifests.join("\n---\n")).unwrap();
    }
    let mut tar = Command::new("tar");
    let tar = tar.arg("-cz").arg("-C").arg(root.path()).arg(".").output().expect("tar runs");
    assert!(tar.status.success(), "{}", String::from_utf8_lossy(&tar.stderr));
    tar.stdout
}

impl Drop for Archives {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
