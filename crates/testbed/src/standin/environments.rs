//! Environments: create, list, resolve a name, read, replace, delete.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::answer::Answer;
use super::clock::written;
use super::hal::Links;
use super::routes::Call;
use super::store::{State, new_uuid};

/// One environment.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) display_name: String,
    pub(super) production: bool,
    pub(super) contacts: Option<Value>,
    pub(super) created: SystemTime,
    pub(super) updated: Option<SystemTime>,
}

#[derive(Default)]
pub(super) struct Environments {
    by_uuid: HashMap<String, Environment>,
    uuid_by_name: HashMap<String, String>,
}

/// `e-adminx` → `E Adminx`.
pub(super) fn titled(name: &str) -> String {
    let mut title = String::new();
    let mut start = true;
    for letter in name.chars().map(|c| if matches!(c, '-' | '_') { ' ' } else { c }) {
        if start {
            title.extend(letter.to_uppercase());
        } else {
            title.push(letter);
        }
        start = letter == ' ';
    }
    title
}

impl Environments {
    pub(super) fn uuid_of(&self, name: &str) -> Option<&str> {
        self.uuid_by_name.get(name).map(String::as_str)
    }

    pub(super) fn get(&self, uuid: &str) -> Option<&Environment> {
        self.by_uuid.get(uuid)
    }

    /// The environment of a row, whose environment exists as long as the row does.
    pub(super) fn of_row(&self, uuid: &str) -> &Environment {
        &self.by_uuid[uuid]
    }

    pub(super) fn add(
        &mut self,
        uuid: &str,
        name: &str,
        display: Option<&str>,
        production: bool,
        contacts: Option<Value>,
    ) {
        let environment = Environment {
            uuid: uuid.to_owned(),
            name: name.to_owned(),
            display_name: display.map_or_else(|| titled(name), str::to_owned),
            production,
            contacts,
            created: SystemTime::now(),
            updated: None,
        };
        self.uuid_by_name.insert(name.to_owned(), uuid.to_owned());
        self.by_uuid.insert(uuid.to_owned(), environment);
    }

    /// All, sorted by lower-cased display name.
    pub(super) fn sorted(&self) -> Vec<&Environment> {
        let mut all: Vec<_> = self.by_uuid.values().collect();
        all.sort_by_cached_key(|environment| (environment.display_name.to_lowercase(), environment.name.clone()));
        all
    }
}

impl State {
    pub(super) fn remove_environment(&mut self, uuid: &str) -> bool {
        let Some(environment) = self.environments.by_uuid.remove(uuid) else { return false };
        self.environments.uuid_by_name.remove(&environment.name);
        self.forget_deployments(|row| row.environment == uuid);
        self.forget_releases(|row| row.environment == uuid);
        true
    }
}

impl Environment {
    fn fields(&self) -> Value {
        let mut body = json!({"uuid": self.uuid, "name": self.name, "displayName": self.display_name,
                              "production": self.production, "createdAt": written(self.created)});
        if let Some(contacts) = &self.contacts {
            body["contacts"] = contacts.clone();
        }
        if let Some(updated) = self.updated {
            body["updatedAt"] = json!(written(updated));
        }
        body
    }

    fn link(&self, links: &Links) -> Value {
        json!({"title": "Environment", "name": self.name, "href": links.environment(&self.uuid)})
    }

    pub(super) fn resource(&self, links: &Links) -> Value {
        let of = |segments: [&str; 2]| links.to(&["environments", &self.uuid, segments[0], segments[1]]);
        let mut body = self.fields();
        body["_links"] = json!({
            "self": self.link(links),
            "pb:currently-deployed-deployed-versions": {
                "title": format!("Versions currently deployed to {} environment", self.display_name),
                "href": of(["deployed-versions", "currently-deployed"])},
            "pb:currently-supported-released-versions": {
                "title": format!("Versions released and supported in {} environment", self.display_name),
                "href": of(["released-versions", "currently-supported"])},
            "pb:environments": {"title": "Environments", "href": links.to(&["environments"])}});
        body
    }

    /// As a version of a matrix row carries it.
    pub(super) fn in_matrix(&self, links: &Links) -> Value {
        let mut body = self.fields();
        body["_links"] = json!({"self": self.link(links)});
        body
    }
}

/// `GET /environments[?name=]` and `POST /environments`.
pub(super) fn collection(call: &Call<'_>, state: &mut State) -> Answer {
    match call.method {
        "GET" => list(call, state),
        "POST" => create(call, state),
        _ => Answer::method_not_allowed("GET, POST, OPTIONS"),
    }
}

fn list(call: &Call<'_>, state: &State) -> Answer {
    if let Some(refused) = call.refused_accept() {
        return refused;
    }
    let found = match call.parameter("name") {
        _ if call.empty_lists => Vec::new(),
        Some(name) => {
            state.environments.uuid_of(name).and_then(|uuid| state.environments.get(uuid)).into_iter().collect()
        }
        None => state.environments.sorted(),
    };
    let resources: Vec<_> = found.iter().map(|environment| environment.resource(&call.links)).collect();
    let refs: Vec<_> = found.iter().map(|environment| environment.link(&call.links)).collect();
    // The broker fills in the address of the request here, not its configured one.
    let own = Links::new(&call.dialled).to(&["environments"]);
    let body = json!({"_embedded": {"environments": resources},
                      "_links": {"self": {"title": "Environments", "href": own}, "pb:environments": refs}});
    Answer::hal(200, &body)
}

struct Wanted {
    name: String,
    display: Option<String>,
    production: bool,
    contacts: Option<Value>,
}

/// What a body asks for, or its errors by field, in the order in which the broker lists them.
fn wanted(body: &Value, state: &State, own_uuid: Option<&str>) -> Result<Wanted, Vec<(&'static str, String)>> {
    let mut errors = Vec::new();
    let mut error = |field, text: &str| errors.push((field, text.to_owned()));
    let production = match &body["production"] {
        Value::Bool(production) => *production,
        Value::Null => {
            error("production", "is missing");
            false
        }
        _ => {
            error("production", "must be one of: true, false");
            false
        }
    };
    let name = match &body["name"] {
        Value::String(name) if name.contains('\n') => {
            error("name", "cannot contain multiple lines");
            name
        }
        Value::String(name) if name.trim().is_empty() => {
            error("name", "must be filled");
            name
        }
        Value::String(name) if name.contains(' ') => {
            error("name", "cannot contain spaces");
            name
        }
        Value::String(name) => {
            if state.environments.uuid_of(name).is_some_and(|uuid| own_uuid != Some(uuid)) {
                error("name", &format!("name '{name}' is already used by an existing environment."));
            }
            name
        }
        Value::Null => {
            error("name", "is missing");
            ""
        }
        _ => {
            error("name", "must be a string");
            ""
        }
    };
    let contacts = body.get("contacts").filter(|contacts| !contacts.is_null()).cloned();
    if let Some(contacts) = &contacts {
        match contacts.as_array() {
            None => error("contacts", "must be an array"),
            Some(all) if all.iter().any(|contact| !contact["name"].is_string()) => {
                error("contacts.name", "is missing");
            }
            Some(_) => {}
        }
    }
    let display = body["displayName"].as_str().map(str::to_owned);
    if errors.is_empty() { Ok(Wanted { name: name.to_owned(), display, production, contacts }) } else { Err(errors) }
}

fn create(call: &Call<'_>, state: &mut State) -> Answer {
    let uuid = new_uuid();
    let location = call.links.environment(&uuid);
    // Validation comes before the content type is looked at only for JSON; a wrong type is refused with a Location.
    if let Some(refused) = call.refused_write("application/json") {
        return if refused.status == 415 { refused.header("location", location) } else { refused };
    }
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else { return call.errors.server_error() };
    match wanted(body, state, None) {
        Err(errors) => call.errors.fields(400, &errors),
        Ok(new) => {
            state.environments.add(&uuid, &new.name, new.display.as_deref(), new.production, new.contacts);
            let resource = state.environments.of_row(&uuid).resource(&call.links);
            Answer::hal(201, &resource).header("location", location)
        }
    }
}

/// `GET`, `PUT` and `DELETE /environments/U`.
pub(super) fn one(call: &Call<'_>, state: &mut State, uuid: &str) -> Answer {
    match call.method {
        "GET" => {
            if let Some(refused) = call.refused_accept() {
                return refused;
            }
            let found = state.environments.get(uuid);
            found.map_or_else(|| call.errors.not_found(), |found| Answer::hal(200, &found.resource(&call.links)))
        }
        "PUT" => replace(call, state, uuid),
        "DELETE" if state.remove_environment(uuid) => Answer::bare(204),
        "DELETE" => call.errors.not_found(),
        _ => Answer::method_not_allowed("GET, PUT, DELETE, OPTIONS"),
    }
}

fn replace(call: &Call<'_>, state: &mut State, uuid: &str) -> Answer {
    if let Some(refused) = call.refused_write("application/json") {
        return refused;
    }
    if state.environments.get(uuid).is_none() {
        return call.errors.not_found();
    }
    let Some(body) = call.json.as_ref().filter(|body| body.is_object()) else { return call.errors.server_error() };
    let new = match wanted(body, state, Some(uuid)) {
        Err(errors) => return call.errors.fields(400, &errors),
        Ok(new) => new,
    };
    let environments = &mut state.environments;
    let Some(environment) = environments.by_uuid.get_mut(uuid) else { return call.errors.not_found() };
    environments.uuid_by_name.remove(&environment.name);
    environments.uuid_by_name.insert(new.name.clone(), uuid.to_owned());
    environment.display_name = new.display.unwrap_or_else(|| titled(&new.name));
    environment.name = new.name;
    environment.production = new.production;
    environment.contacts = new.contacts;
    environment.updated = Some(SystemTime::now());
    Answer::hal(200, &environment.resource(&call.links))
}
