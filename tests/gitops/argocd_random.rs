//! Twenty Applications to which anything happens: commits that are let through and commits that are denied, verifications,
//! reverts, pauses of the automated sync, and the death of Argo CD's programs and of the operator.

use serde_json::json;
use testbed::shared::{InUse, Shared};

use crate::argocd::ArgoCd;
use crate::argocd_application::Application;
use crate::dice::Dice;
use crate::gate_setup::{GateSetup, MappedEnvironment};
use crate::random_commits::{Commits, FromGit};
use crate::random_run::{Pace, RandomRun, Tool, Versions};

const CONTROLLER: &str = "argocd-application-controller";

struct World<'a> {
    argo: InUse<ArgoCd>,
    environment: &'a MappedEnvironment,
    commits: Commits<'a>,
}

impl FromGit for World<'_> {
    async fn commit(&self, name: &str, version: &str) {
        let objects = [Commits::deployment(name, version)];
        let application = Application::existing(&self.argo, name);
        self.argo.commit(name, &objects);
        if application.exists().await {
            application.refresh().await;
        }
    }

    async fn pause(&self, name: &str, paused: bool) {
        let automated = json!({"syncPolicy": {"automated": {"enabled": !paused}}});
        Application::existing(&self.argo, name).change(automated).await;
    }
}

impl Tool for World<'_> {
    async fn create(&self, name: &str) {
        self.commits.first(self, name).await;
        Application::new(&self.argo, name, &self.environment.namespace, &[]).await;
    }

    async fn act(&self, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String {
        self.commits.act(self, name, versions, dice).await
    }

    async fn restart(&self, dice: &mut Dice) {
        self.argo.restart(dice.of(&[CONTROLLER, CONTROLLER, "argocd-repo-server"]));
    }

    async fn settle(&self, name: &str) -> Result<(), String> {
        let settled = self.commits.settle(self, name).await;
        let application = Application::existing(&self.argo, name);
        let object = application.get().await;
        let synced = object["status"]["sync"]["status"] == "Synced";
        settled.and(if synced { Ok(()) } else { Err("not Synced".to_owned()) }).map_err(|why| {
            let seen = application.seen(&object);
            format!("{why}\n{seen}")
        })
    }

    fn may_serve(&self, name: &str, version: &str) -> bool {
        self.commits.is_verified(name, version)
    }

    fn log(&self) -> String {
        self.argo.log(CONTROLLER)
    }
}

#[tokio::test]
async fn twenty_applications_to_which_anything_happens_are_recorded_as_they_serve() {
    static OWN: Shared<GateSetup> = Shared::new();
    static ARGO: Shared<ArgoCd> = Shared::new();
    let setup = OWN.get(GateSetup::start).await;
    let argo = ARGO.get(async || ArgoCd::start(setup.clone()).await).await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let world = World { argo, environment: &environment, commits: Commits::new(&setup, &environment) };
    let run = RandomRun::new(&setup, &environment, "any-app");
    run.with(&world, &Pace { actions: 8, pause: 500..5_000, killed: 3_000..9_000 }).await;
}
