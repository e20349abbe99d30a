//! Deployed versions: record, what is current, history, undeploy.
//!
//! "Current" is keyed by (pacticipant, environment, instance or the empty text), as in the broker's database: an
//! instance that *is* the empty text therefore displaces the row without an instance.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::answer::Answer;
use super::clock::written;
use super::hal::Links;
use super::log::{Write, WriteKind};
use super::routes::Call;
use super::store::{Row, State, new_uuid};
use super::versions::Version;

/// One deployment record.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) uuid: String,
    pub(super) pacticipant: String,
    pub(super) version: String,
    /// The environment's uuid.
    pub(super) environment: String,
    pub(super) instance: Option<String>,
    pub(super) created: SystemTime,
    pub(super) undeployed: Option<SystemTime>,
    pub(super) current: bool,
}

/// The current row by instance (empty for none), by pacticipant, by the environment's uuid.
type Current = HashMap<String, HashMap<String, HashMap<String, usize>>>;

#[derive(Default)]
pub(super) struct Deployments {
    rows: Vec<Deployed>,
    by_uuid: HashMap<String, usize>,
    current: Current,
}

impl Deployments {
    pub(super) fn get(&self, uuid: &str) -> Option<&Deployed> {
        self.by_uuid.get(uuid).map(|index| &self.rows[*index])
    }

    /// The current rows of an environment, of one pacticipant or of all, newest first.
    pub(super) fn current(&self, environment: &str, pacticipant: Option<&str>) -> Vec<&Deployed> {
        let Some(of_environment) = self.current.get(environment) else { return Vec::new() };
        let mut indices: Vec<usize> = match pacticipant {
            Some(name) => of_environment.get(name).into_iter().flat_map(HashMap::values).copied().collect(),
            None => of_environment.values().flat_map(HashMap::values).copied().collect(),
        };
        indices.sort_unstable_by(|a, b| b.cmp(a));
        indices.into_iter().map(|index| &self.rows[index]).collect()
    }

    /// All rows of a pacticipant in an environment, oldest first.
    pub(super) fn history(&self, environment: &str, pacticipant: &str) -> impl Iterator<Item = &Deployed> {
        let known = |row: &Deployed| self.by_uuid.contains_key(&row.uuid);
        self.rows
            .iter()
            .filter(move |row| row.environment == environment && row.pacticipant == pacticipant && known(row))
    }
}

impl Deployed {
    pub(super) fn row(&self, state: &State) -> Row {
        Row {
            uuid: self.uuid.clone(),
            pacticipant: self.pacticipant.clone(),
            version: self.version.clone(),
            environment: state.environments.of_row(&self.environment).name.clone(),
            instance: self.instance.clone(),
            current: self.current,
            created: self.created,
            ended: self.undeployed,
        }
    }

    fn write(&self, call: &Call<'_>, state: &State, kind: WriteKind) -> Write {
        Write {
            at: Instant::now(),
            wall: SystemTime::now(),
            pacticipant: self.pacticipant.clone(),
            version: self.version.clone(),
            environment: state.environments.of_row(&self.environment).name.clone(),
            instance: self.instance.clone(),
            kind,
            by: call.user_agent(),
        }
    }

    fn resource(&self, state: &State, links: &Links, embedded: bool, environment: bool) -> Value {
        let mut body = json!({"uuid": self.uuid, "currentlyDeployed": self.current, "createdAt": written(self.created),
                              "_links": {"self": {"href": links.to(&["deployed-versions", &self.uuid])}}});
        if let Some(instance) = &self.instance {
            body["target"] = json!(instance);
            body["applicationInstance"] = json!(instance);
        }
        if let Some(undeployed) = self.undeployed {
            body["undeployedAt"] = json!(written(undeployed));
        }
        if embedded {
            body["_embedded"] = json!({"pacticipant": links.embedded_pacticipant(&self.pacticipant),
                                       "version": links.embedded_version(&self.pacticipant, &self.version)});
        }
        if environment {
            body["_embedded"]["environment"] = state.environments.of_row(&self.environment).resource(links);
        }
        body
    }
}

impl State {
    /// Records a deployment; the row that is current already is returned as it is.
    pub(super) fn deploy(
        &mut self,
        pacticipant: &str,
        version: &str,
        environment: &str,
        instance: Option<&str>,
        uuid: &str,
    ) -> Deployed {
        self.deploy_if_new(pacticipant, version, environment, instance, uuid).0
    }

    fn deploy_if_new(
        &mut self,
        pacticipant: &str,
        version: &str,
        environment: &str,
        instance: Option<&str>,
        uuid: &str,
    ) -> (Deployed, bool) {
        let now = SystemTime::now();
        let store = &mut self.deployments;
        let of_pacticipant =
            store.current.entry(environment.to_owned()).or_default().entry(pacticipant.to_owned()).or_default();
        let key = instance.unwrap_or_default();
        if let Some(previous) = of_pacticipant.get(key).map(|index| &mut store.rows[*index]) {
            let same_instance = previous.instance.as_deref() == instance;
            if previous.version == version && same_instance {
                return (previous.clone(), false);
            }
            previous.current = false;
            // Only rows of the very same instance are undeployed; the one displaced through the shared key is not.
            if same_instance {
                previous.undeployed = Some(now);
            }
        }
        let index = store.rows.len();
        of_pacticipant.insert(key.to_owned(), index);
        let row = Deployed {
            uuid: uuid.to_owned(),
            pacticipant: pacticipant.to_owned(),
            version: version.to_owned(),
            environment: environment.to_owned(),
            instance: instance.map(str::to_owned),
            created: now,
            undeployed: None,
            current: true,
        };
        store.rows.push(row.clone());
        store.by_uuid.insert(uuid.to_owned(), index);
        if let Some(version) = self.version_mut(pacticipant, version) {
            version.deployments.push(index);
        }
        (row, true)
    }

    /// Undeploys a row. Says whether it was current.
    pub(super) fn undeploy(&mut self, uuid: &str) -> bool {
        let store = &mut self.deployments;
        let Some(row) = store.by_uuid.get(uuid).map(|index| &mut store.rows[*index]) else { return false };
        if !row.current {
            return false;
        }
        row.current = false;
        row.undeployed = Some(SystemTime::now());
        let key = row.instance.as_deref().unwrap_or_default();
        let of_environment = store.current.get_mut(&row.environment);
        if let Some(of_pacticipant) = of_environment.and_then(|rows| rows.get_mut(&row.pacticipant)) {
            of_pacticipant.remove(key);
        }
        true
    }

    pub(super) fn forget_deployments(&mut self, goes: impl Fn(&Deployed) -> bool) {
        let gone: Vec<usize> =
            self.deployments.rows.iter().enumerate().filter(|(_, row)| goes(row)).map(|(index, _)| index).collect();
        for index in gone {
            let row = self.deployments.rows[index].clone();
            self.undeploy(&row.uuid);
            self.deployments.by_uuid.remove(&row.uuid);
            if let Some(version) = self.version_mut(&row.pacticipant, &row.version) {
                version.deployments.retain(|kept| *kept != index);
            }
        }
    }

    pub(super) fn deployed_environment_links(&self, links: &Links, version: &Version) -> Vec<Value> {
        let link = |index: &usize| {
            let row = &self.deployments.rows[*index];
            let display_name = &self.environments.of_row(&row.environment).display_name;
            let mut link = json!({"title": format!("Version deployed to {display_name}"), "name": display_name,
                                  "href": links.to(&["deployed-versions", &row.uuid]), "currently_deployed": row.current});
            if let Some(instance) = &row.instance {
                link["application_instance"] = json!(instance);
            }
            link
        };
        version.deployments.iter().map(link).collect()
    }

    /// The uuids of the environments in which a version is current or supported.
    pub(super) fn environments_of(&self, version: &Version) -> Vec<&str> {
        let deployed = version.deployments.iter().map(|index| &self.deployments.rows[*index]);
        let mut found: Vec<&str> = deployed.filter(|row| row.current).map(|row| row.environment.as_str()).collect();
        found.extend(self.releases.environments_of(version));
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The instance that a body asks for: any JSON value, as text; nothing for null and false.
fn instance_of(body: Option<&Value>) -> Option<String> {
    let named = |name: &str| {
        body?.get(name).and_then(|value| match value {
            Value::Null | Value::Bool(false) => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        })
    };
    named("applicationInstance").or_else(|| named("target"))
}

/// `POST` (record) and `GET` (history) of `/pacticipants/P/versions/V/deployed-versions/environment/U`.
pub(super) fn of_version(
    call: &Call<'_>,
    state: &mut State,
    pacticipant: &str,
    number: &str,
    environment: &str,
) -> Answer {
    match call.method {
        "POST" => record(call, state, pacticipant, number, environment),
        "GET" => {
            if let Some(refused) = call.refused_accept() {
                return refused;
            }
            let known = state.version(pacticipant, number).zip(state.environments.get(environment));
            let Some((version, environment)) = known else { return call.errors.not_found() };
            let rows = version.deployments.iter().rev().map(|index| &state.deployments.rows[*index]);
            let rows: Vec<_> = rows
                .filter(|row| row.environment == environment.uuid && !call.empty_lists)
                .map(|row| row.resource(state, &call.links, false, false))
                .collect();
            let name = &environment.display_name;
            let title = format!("Deployed versions for {pacticipant} version {number} in environment {name}");
            Answer::hal(200, &call.list("deployedVersions", &rows, &title))
        }
        _ => Answer::method_not_allowed("GET, POST, OPTIONS"),
    }
}

fn record(call: &Call<'_>, state: &mut State, pacticipant: &str, number: &str, environment: &str) -> Answer {
    if let Some(refused) = call.refused_write("application/json") {
        return if refused.status == 415 { refused.header("location", call.links.raw("/dummy")) } else { refused };
    }
    if !state.has_version(pacticipant, number) || state.environments.get(environment).is_none() {
        return call.errors.not_found();
    }
    let instance = instance_of(call.json.as_ref());
    let (row, fresh) = state.deploy_if_new(pacticipant, number, environment, instance.as_deref(), &new_uuid());
    if fresh {
        let write = row.write(call, state, WriteKind::Deployed);
        state.writes.push(write);
    }
    let location = call.links.to(&["deployed-versions", &row.uuid]);
    Answer::hal(201, &row.resource(state, &call.links, true, true)).header("location", location)
}

/// `GET /environments/U/deployed-versions/currently-deployed[?pacticipant=][&applicationInstance=]`.
pub(super) fn currently_deployed(call: &Call<'_>, state: &State, environment: &str) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let Some(environment) = state.environments.get(environment) else { return call.errors.not_found() };
    let instance = call.parameter("applicationInstance").or_else(|| call.parameter("target"));
    let wanted = |row: &&Deployed| match instance {
        None => true,
        Some("") => row.instance.is_none(),
        Some(instance) => row.instance.as_deref() == Some(instance),
    };
    let rows = state.deployments.current(&environment.uuid, call.parameter("pacticipant"));
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| !call.empty_lists && wanted(row))
        .map(|row| row.resource(state, &call.links, true, false))
        .collect();
    let title = format!("Currently deployed versions for {}", environment.display_name);
    Answer::hal(200, &call.list("deployedVersions", &rows, &title))
}

/// `GET` and `PATCH /deployed-versions/U`.
pub(super) fn one(call: &Call<'_>, state: &mut State, uuid: &str) -> Answer {
    let refused = match call.method {
        "GET" => call.refused_accept(),
        "PATCH" => call.refused_write("application/merge-patch+json"),
        _ => Some(Answer::method_not_allowed("GET, PATCH, OPTIONS")),
    };
    if let Some(refused) = refused {
        return refused;
    }
    if state.deployments.get(uuid).is_none() {
        return call.errors.not_found();
    }
    if call.method == "PATCH" {
        match call.json.as_ref().and_then(|body| body.get("currentlyDeployed")) {
            Some(Value::Bool(true)) => {
                let text = "The currentlyDeployed property cannot be set back to true. Please record a new deployment.";
                return call.errors.fields(422, &[("currentlyDeployed", text.to_owned())]);
            }
            Some(Value::Bool(false)) if state.undeploy(uuid) => {
                let write = state.deployments.get(uuid).map(|row| row.write(call, state, WriteKind::Undeployed));
                state.writes.extend(write);
            }
            // Already undeployed; and anything but a boolean (the text "false", nothing) changes nothing.
            _ => {}
        }
    }
    match state.deployments.get(uuid) {
        Some(row) => Answer::hal(200, &row.resource(state, &call.links, true, true)),
        None => call.errors.not_found(),
    }
}
