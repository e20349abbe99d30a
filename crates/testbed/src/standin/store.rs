//! The stand-in's state, and the interface by which Rust tests seed and read it without HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use serde_json::Value;

use super::contracts::Contracts;
use super::deployments::Deployments;
use super::environments::Environments;
use super::log::Write;
use super::releases::Releases;
use super::versions::Pacticipant;
use super::webhooks::Webhook;

/// A deployed or released version, as a test reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row's uuid.
    pub uuid: String,
    /// The application.
    pub pacticipant: String,
    /// Its version.
    pub version: String,
    /// The environment's name.
    pub environment: String,
    /// The application instance; `None` for the row without one and for releases.
    pub instance: Option<String>,
    /// Currently deployed, or currently supported.
    pub current: bool,
    /// When it was first recorded.
    pub created: SystemTime,
    /// When it was undeployed or its support ended. A row displaced through an empty instance has none.
    pub ended: Option<SystemTime>,
}

/// Everything the broker knows. Rows are never removed from their lists but marked, so that indices stay valid.
#[derive(Default)]
pub(super) struct State {
    pub(super) environments: Environments,
    pub(super) pacticipants: HashMap<String, Pacticipant>,
    pub(super) deployments: Deployments,
    pub(super) releases: Releases,
    pub(super) contracts: Contracts,
    pub(super) writes: Vec<Write>,
    pub(super) webhooks: Vec<Webhook>,
    last_number: usize,
    ignores_case: bool,
}

impl State {
    /// A number greater than all before: the order in which versions and publications were made.
    pub(super) fn next_number(&mut self) -> usize {
        self.last_number += 1;
        self.last_number
    }

    /// The name of the pacticipant that a caller means: where case is ignored, as the broker spells it.
    pub(super) fn spelled<'a>(&'a self, name: &'a str) -> &'a str {
        let known = || self.pacticipants.keys().find(|known| known.to_lowercase() == name.to_lowercase());
        if self.ignores_case { known().map_or(name, String::as_str) } else { name }
    }
}

/// The state of a stand-in broker; clones share it. Names are taken as they are, without validation.
#[derive(Clone, Default)]
pub struct Store(Arc<Mutex<State>>);

impl Store {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on the case of pacticipants' names does not count, as with the broker's setting
    /// `PACT_BROKER_USE_CASE_SENSITIVE_RESOURCE_NAMES=false`.
    pub fn ignore_case(&self) {
        self.state().ignores_case = true;
    }

    /// Adds an environment and returns its uuid; returns the existing one's if there is one of that name.
    pub fn add_environment(&self, name: &str, production: bool) -> String {
        let existing = self.state().environments.uuid_of(name).map(str::to_owned);
        existing.unwrap_or_else(|| {
            let uuid = new_uuid();
            self.add_environment_with_uuid(name, production, &uuid);
            uuid
        })
    }

    /// Adds an environment under a uuid chosen by the caller.
    pub fn add_environment_with_uuid(&self, name: &str, production: bool, uuid: &str) {
        self.state().environments.add(uuid, name, None, production, None);
    }

    /// The same, with contacts: a list of `{name, details}`.
    pub fn add_environment_with_contacts(&self, name: &str, production: bool, uuid: &str, contacts: Value) {
        self.state().environments.add(uuid, name, None, production, Some(contacts));
    }

    /// Removes an environment with all its deployment and release records. Says whether there was one.
    pub fn remove_environment(&self, name: &str) -> bool {
        let mut state = self.state();
        let uuid = state.environments.uuid_of(name).map(str::to_owned);
        uuid.is_some_and(|uuid| state.remove_environment(&uuid))
    }

    /// The uuid of the environment of that name.
    pub fn environment_uuid(&self, name: &str) -> Option<String> {
        self.state().environments.uuid_of(name).map(str::to_owned)
    }

    /// Whether an environment or a row, current or past, has that uuid.
    pub fn has_uuid(&self, uuid: &str) -> bool {
        let state = self.state();
        let is_row = state.deployments.get(uuid).is_some() || state.releases.get(uuid).is_some();
        is_row || state.environments.get(uuid).is_some()
    }

    /// Makes a version known, and its pacticipant with it. Does nothing to one that exists.
    pub fn publish_version(&self, pacticipant: &str, version: &str) {
        self.state().ensure_version(pacticipant, version);
    }

    /// Puts a version on a branch; creates the version when it is missing.
    pub fn add_to_branch(&self, pacticipant: &str, version: &str, branch: &str) {
        self.state().add_to_branch(pacticipant, version, branch);
    }

    /// Whether the version is known.
    pub fn has_version(&self, pacticipant: &str, version: &str) -> bool {
        self.state().has_version(pacticipant, version)
    }

    /// Removes a version with its deployment and release records, pacts and verifications.
    pub fn remove_version(&self, pacticipant: &str, version: &str) -> bool {
        self.state().remove_version(pacticipant, version)
    }

    /// Publishes a pact; equal contents are one contract, as at the broker. The versions are created with it.
    pub fn publish_pact(&self, consumer: &str, version: &str, provider: &str, content: &str) {
        self.state().publish_pact(consumer, version, provider, content.as_bytes());
    }

    /// The name of a published pact's content in URLs.
    pub fn pact_sha(&self, consumer: &str, version: &str, provider: &str) -> Option<String> {
        self.state().pact(consumer, version, provider).map(|pact| pact.sha.clone())
    }

    /// Publishes the result of verifying the pact of a consumer version. Says whether there is such a pact.
    pub fn verify(&self, consumer: &str, version: &str, provider: &str, provider_version: &str, ok: bool) -> bool {
        self.state().verify(consumer, version, provider, provider_version, ok).is_some()
    }

    /// Records a deployment as `POST …/deployed-versions/environment/U` would and returns the row's uuid; creates
    /// the version, and the environment too, when they are missing.
    pub fn record_deployment(
        &self,
        pacticipant: &str,
        version: &str,
        environment: &str,
        instance: Option<&str>,
    ) -> String {
        self.record_deployment_with_uuid(pacticipant, version, environment, instance, &new_uuid())
    }

    /// The same, with the uuid of a new row.
    pub fn record_deployment_with_uuid(
        &self,
        pacticipant: &str,
        version: &str,
        environment: &str,
        instance: Option<&str>,
        uuid: &str,
    ) -> String {
        let environment = self.add_environment(environment, false);
        let mut state = self.state();
        state.ensure_version(pacticipant, version);
        state.deploy(pacticipant, version, &environment, instance, uuid).uuid
    }

    /// Undeploys the current row of a key. Says whether there was one.
    pub fn undeploy(&self, pacticipant: &str, environment: &str, instance: Option<&str>) -> bool {
        let rows = self.current(environment, pacticipant);
        let Some(row) = rows.into_iter().find(|row| row.instance.as_deref() == instance) else { return false };
        self.state().undeploy(&row.uuid)
    }

    /// Records a release and returns its uuid; creates the version, and the environment too, when they are missing.
    pub fn record_release(&self, pacticipant: &str, version: &str, environment: &str) -> String {
        self.record_release_with_uuid(pacticipant, version, environment, &new_uuid())
    }

    /// The same, with the uuid of a new row.
    pub fn record_release_with_uuid(&self, pacticipant: &str, version: &str, environment: &str, uuid: &str) -> String {
        let environment = self.add_environment(environment, false);
        let mut state = self.state();
        state.ensure_version(pacticipant, version);
        state.release(pacticipant, version, &environment, uuid).0.uuid
    }

    /// Ends the support of a released version. Says whether it was supported.
    pub fn end_support(&self, pacticipant: &str, version: &str, environment: &str) -> bool {
        let rows = self.supported(environment, pacticipant);
        let Some(row) = rows.into_iter().find(|row| row.version == version) else { return false };
        self.state().end_support(&row.uuid)
    }

    /// What is currently deployed of a pacticipant in an environment, newest first.
    pub fn current(&self, environment: &str, pacticipant: &str) -> Vec<Row> {
        let state = self.state();
        let Some(uuid) = state.environments.uuid_of(environment) else { return Vec::new() };
        state.deployments.current(uuid, Some(pacticipant)).into_iter().map(|row| row.row(&state)).collect()
    }

    /// Everything that is currently deployed in an environment, newest first.
    pub fn current_in(&self, environment: &str) -> Vec<Row> {
        let state = self.state();
        let Some(uuid) = state.environments.uuid_of(environment) else { return Vec::new() };
        state.deployments.current(uuid, None).into_iter().map(|row| row.row(&state)).collect()
    }

    /// All deployment records of a pacticipant in an environment, oldest first.
    pub fn history(&self, environment: &str, pacticipant: &str) -> Vec<Row> {
        let state = self.state();
        let Some(uuid) = state.environments.uuid_of(environment) else { return Vec::new() };
        state.deployments.history(uuid, pacticipant).map(|row| row.row(&state)).collect()
    }

    /// The released versions of a pacticipant that are supported in an environment, newest first.
    pub fn supported(&self, environment: &str, pacticipant: &str) -> Vec<Row> {
        let state = self.state();
        let Some(uuid) = state.environments.uuid_of(environment) else { return Vec::new() };
        state.releases.supported(uuid, Some(pacticipant)).into_iter().map(|row| row.row(&state)).collect()
    }
}

pub(super) fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
