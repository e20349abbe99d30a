//! Released versions: record, what is supported, end of support. Many versions may be supported at once.

use std::collections::{BTreeSet, HashMap};
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::answer::Answer;
use super::clock::written;
use super::hal::Links;
use super::log::{Write, WriteKind};
use super::routes::Call;
use super::store::{Row, State, new_uuid};
use super::versions::Version;

/// One release record; a version has at most one per environment.
#[derive(Clone, Debug)]
pub(super) struct Released {
    pub(super) uuid: String,
    pub(super) pacticipant: String,
    pub(super) version: String,
    /// The environment's uuid.
    pub(super) environment: String,
    pub(super) created: SystemTime,
    pub(super) updated: Option<SystemTime>,
    pub(super) support_ended: Option<SystemTime>,
}

#[derive(Default)]
pub(super) struct Releases {
    rows: Vec<Released>,
    by_uuid: HashMap<String, usize>,
    /// Supported rows by pacticipant, by the environment's uuid.
    supported: HashMap<String, HashMap<String, BTreeSet<usize>>>,
}

impl Releases {
    pub(super) fn get(&self, uuid: &str) -> Option<&Released> {
        self.by_uuid.get(uuid).map(|index| &self.rows[*index])
    }

    /// The supported rows of an environment, of one pacticipant or of all, newest first.
    pub(super) fn supported(&self, environment: &str, pacticipant: Option<&str>) -> Vec<&Released> {
        let Some(of_environment) = self.supported.get(environment) else { return Vec::new() };
        let mut indices: Vec<usize> = match pacticipant {
            Some(name) => of_environment.get(name).into_iter().flatten().copied().collect(),
            None => of_environment.values().flatten().copied().collect(),
        };
        indices.sort_unstable_by(|a, b| b.cmp(a));
        indices.into_iter().map(|index| &self.rows[index]).collect()
    }

    pub(super) fn environments_of(&self, version: &Version) -> impl Iterator<Item = &str> {
        let rows = version.releases.iter().map(|index| &self.rows[*index]);
        rows.filter(|row| row.support_ended.is_none()).map(|row| row.environment.as_str())
    }
}

impl Released {
    fn is_supported(&self) -> bool {
        self.support_ended.is_none()
    }

    pub(super) fn row(&self, state: &State) -> Row {
        Row {
            uuid: self.uuid.clone(),
            pacticipant: self.pacticipant.clone(),
            version: self.version.clone(),
            environment: state.environments.of_row(&self.environment).name.clone(),
            instance: None,
            current: self.is_supported(),
            created: self.created,
            ended: self.support_ended,
        }
    }

    fn write(&self, call: &Call<'_>, state: &State, kind: WriteKind) -> Write {
        Write {
            at: Instant::now(),
            wall: SystemTime::now(),
            pacticipant: self.pacticipant.clone(),
            version: self.version.clone(),
            environment: state.environments.of_row(&self.environment).name.clone(),
            instance: None,
            kind,
            by: call.user_agent(),
        }
    }

    fn resource(&self, state: &State, links: &Links, environment: bool) -> Value {
        let mut body = json!({
            "uuid": self.uuid, "currentlySupported": self.is_supported(), "createdAt": written(self.created),
            "_embedded": {"pacticipant": links.embedded_pacticipant(&self.pacticipant),
                          "version": links.embedded_version(&self.pacticipant, &self.version)},
            "_links": {"self": {"href": links.to(&["released-versions", &self.uuid])}}});
        if let Some(updated) = self.updated {
            body["updatedAt"] = json!(written(updated));
        }
        if let Some(ended) = self.support_ended {
            body["supportEndedAt"] = json!(written(ended));
        }
        if environment {
            body["_embedded"]["environment"] = state.environments.of_row(&self.environment).resource(links);
        }
        body
    }
}

impl State {
    /// Records a release. The second value says whether a row was made, the third whether support (re)started.
    pub(super) fn release(
        &mut self,
        pacticipant: &str,
        version: &str,
        environment: &str,
        uuid: &str,
    ) -> (Released, bool, bool) {
        let known = self.version(pacticipant, version).map(|version| version.releases.clone()).unwrap_or_default();
        let store = &mut self.releases;
        let known = known.into_iter().find(|index| store.rows[*index].environment == environment);
        let index = known.unwrap_or(store.rows.len());
        let supported = store.supported.entry(environment.to_owned()).or_default();
        let started = supported.entry(pacticipant.to_owned()).or_default().insert(index);
        if known.is_some() {
            let row = &mut store.rows[index];
            if row.support_ended.take().is_some() {
                row.updated = Some(SystemTime::now());
            }
            return (row.clone(), false, started);
        }
        let row = Released {
            uuid: uuid.to_owned(),
            pacticipant: pacticipant.to_owned(),
            version: version.to_owned(),
            environment: environment.to_owned(),
            created: SystemTime::now(),
            updated: None,
            support_ended: None,
        };
        store.rows.push(row.clone());
        store.by_uuid.insert(uuid.to_owned(), index);
        if let Some(version) = self.version_mut(pacticipant, version) {
            version.releases.push(index);
        }
        (row, true, true)
    }

    /// Ends the support of a row. Says whether it was supported.
    pub(super) fn end_support(&mut self, uuid: &str) -> bool {
        let store = &mut self.releases;
        let Some(index) = store.by_uuid.get(uuid).copied() else { return false };
        let row = &mut store.rows[index];
        if row.support_ended.is_some() {
            return false;
        }
        row.support_ended = Some(SystemTime::now());
        let of_environment = store.supported.get_mut(&row.environment);
        if let Some(of_pacticipant) = of_environment.and_then(|rows| rows.get_mut(&row.pacticipant)) {
            of_pacticipant.remove(&index);
        }
        true
    }

    pub(super) fn forget_releases(&mut self, goes: impl Fn(&Released) -> bool) {
        let gone: Vec<usize> =
            self.releases.rows.iter().enumerate().filter(|(_, row)| goes(row)).map(|(index, _)| index).collect();
        for index in gone {
            let row = self.releases.rows[index].clone();
            self.end_support(&row.uuid);
            self.releases.by_uuid.remove(&row.uuid);
            if let Some(version) = self.version_mut(&row.pacticipant, &row.version) {
                version.releases.retain(|kept| *kept != index);
            }
        }
    }

    pub(super) fn released_environment_links(&self, links: &Links, version: &Version) -> Vec<Value> {
        let link = |index: &usize| {
            let row = &self.releases.rows[*index];
            let display_name = &self.environments.of_row(&row.environment).display_name;
            json!({"title": format!("Version released to {display_name}"), "name": display_name,
                   "href": links.to(&["released-versions", &row.uuid]), "currently_supported": row.is_supported()})
        };
        version.releases.iter().map(link).collect()
    }
}

/// `POST` (record) and `GET` (0 or 1 record) of `/pacticipants/P/versions/V/released-versions/environment/U`.
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
            let rows = version.releases.iter().map(|index| &state.releases.rows[*index]);
            let rows: Vec<_> = rows
                .filter(|row| row.environment == environment.uuid && !call.empty_lists)
                .map(|row| row.resource(state, &call.links, false))
                .collect();
            let name = &environment.display_name;
            let title = format!("Released versions for {pacticipant} version {number} in environment {name}");
            Answer::hal(200, &call.list("releasedVersions", &rows, &title))
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
    let (row, fresh, started) = state.release(pacticipant, number, environment, &new_uuid());
    if started {
        let write = row.write(call, state, WriteKind::Released);
        state.writes.push(write);
    }
    let location = call.links.to(&["released-versions", &row.uuid]);
    let body = row.resource(state, &call.links, true);
    Answer::hal(if fresh { 201 } else { 200 }, &body).header("location", location)
}

/// `GET /environments/U/released-versions/currently-supported[?pacticipant=][&version=]`.
pub(super) fn currently_supported(call: &Call<'_>, state: &State, environment: &str) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let Some(environment) = state.environments.get(environment) else { return call.errors.not_found() };
    let version = call.parameter("version");
    let rows = state.releases.supported(&environment.uuid, call.parameter("pacticipant"));
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|row| !call.empty_lists && version.is_none_or(|version| row.version == version))
        .map(|row| row.resource(state, &call.links, false))
        .collect();
    let title = format!("Currently supported versions in {}", environment.display_name);
    Answer::hal(200, &call.list("releasedVersions", &rows, &title))
}

/// `GET` and `PATCH /released-versions/U`.
pub(super) fn one(call: &Call<'_>, state: &mut State, uuid: &str) -> Answer {
    let refused = match call.method {
        "GET" => call.refused_accept(),
        "PATCH" => call.refused_write("application/merge-patch+json"),
        _ => Some(Answer::method_not_allowed("GET, PATCH, OPTIONS")),
    };
    if let Some(refused) = refused {
        return refused;
    }
    if state.releases.get(uuid).is_none() {
        return call.errors.not_found();
    }
    if call.method == "PATCH" {
        match call.json.as_ref().and_then(|body| body.get("currentlySupported")) {
            Some(Value::Bool(true)) => {
                let text =
                    "The currentlySupported property cannot be set back to true. Please record a new deployment.";
                return call.errors.fields(422, &[("currentlySupported", text.to_owned())]);
            }
            Some(Value::Bool(false)) if state.end_support(uuid) => {
                let write = state.releases.get(uuid).map(|row| row.write(call, state, WriteKind::SupportEnded));
                state.writes.extend(write);
            }
            _ => {}
        }
    }
    match state.releases.get(uuid) {
        Some(row) => Answer::hal(200, &row.resource(state, &call.links, true)),
        None => call.errors.not_found(),
    }
}
