//! etcd, put back to an earlier state, as after an accident.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::components::Component;
use crate::control_plane::ControlPlane;
use crate::eventually::eventually;
use crate::http::plain_client;

/// A copy of etcd's data.
#[derive(Debug)]
pub struct Backup(PathBuf);

/// What becomes of the revisions, which Kubernetes shows as resourceVersions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revisions {
    /// They go on from the backup: what is written next has a resourceVersion that was there before.
    Repeated,
    /// They go on above all that were there before, and the earlier ones are compacted: what
    /// `etcdutl snapshot restore --bump-revision --mark-compacted` does. Objects keep theirs.
    Bumped,
}

impl ControlPlane {
    /// Copies etcd's data. etcd stands still meanwhile.
    ///
    /// # Panics
    /// When the data cannot be copied.
    pub fn backup(&self) -> Backup {
        let backup = self.folder().join(format!("backup-{}", self.next_number()));
        self.signal(Component::Etcd, "STOP");
        copy(&self.own_layout().etcd_data(), &backup);
        self.signal(Component::Etcd, "CONT");
        Backup(backup)
    }

    /// Stops the control plane, puts etcd's data back and starts all again, as Kubernetes' documentation has it. Waits
    /// until the API serves.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn restore(&self, backup: &Backup, revisions: Revisions) {
        let before = self.etcd("kv/range", json!({"key": STANDARD.encode("none")})).await.unwrap();
        for component in Component::ALL.into_iter().rev() {
            self.stop(component);
        }
        let data = self.own_layout().etcd_data();
        std::fs::remove_dir_all(&data).unwrap();
        copy(&backup.0, &data);
        self.run(Component::Etcd);
        let put = json!({"key": STANDARD.encode("bump"), "value": ""});
        let mut now =
            eventually("etcd to serve", crate::test_cluster::SOON, async || self.etcd("kv/put", put.clone()).await)
                .await;
        assert!(now < before, "etcd was not put back: {now} after {before}");
        if revisions == Revisions::Bumped {
            while now <= before {
                now = self.etcd("kv/put", put.clone()).await.unwrap();
            }
            self.etcd("kv/compaction", json!({"revision": now.to_string()})).await.unwrap();
        }
        for component in Component::ALL.into_iter().skip(1) {
            if component == Component::Kwok {
                self.forget_node_leases().await;
            }
            self.resume(component).await;
        }
    }

    /// Deletes the Leases of the nodes: a new kwok would wait for those of the one before to end, and no pod would start on
    /// such a node for most of a minute.
    async fn forget_node_leases(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client(), "kube-node-lease");
        let deleted = leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
        deleted.expect("the Leases of the nodes are deleted");
    }

    /// A request to etcd's gateway; gives the revision after it.
    async fn etcd(&self, path: &str, body: Value) -> Result<u64, String> {
        let url = format!("{}/v3/{path}", self.own_layout().etcd_url());
        let answer = plain_client().post(url).body(body.to_string()).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let revision = answer["header"]["revision"].as_str().and_then(|revision| revision.parse().ok());
        revision.ok_or(text)
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success(), "{} was not copied to {}", from.display(), to.display());
}
