//! Pacticipants and their versions.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::answer::Answer;
use super::clock::written;
use super::environments::titled;
use super::hal::Links;
use super::routes::Call;
use super::store::State;

/// An application and its versions.
pub(super) struct Pacticipant {
    pub(super) created: SystemTime,
    pub(super) versions: HashMap<String, Version>,
    /// The version made last.
    pub(super) latest: Option<String>,
}

/// One version, with the rows about it (indices into the lists of the state).
pub(super) struct Version {
    /// Its place in the order in which all versions were made.
    pub(super) order: usize,
    pub(super) created: SystemTime,
    pub(super) updated: Option<SystemTime>,
    pub(super) build_url: Option<Value>,
    pub(super) branches: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) deployments: Vec<usize>,
    pub(super) releases: Vec<usize>,
    pub(super) pacts: Vec<usize>,
}

impl State {
    pub(super) fn version(&self, pacticipant: &str, number: &str) -> Option<&Version> {
        self.pacticipants.get(pacticipant)?.versions.get(number)
    }

    pub(super) fn version_mut(&mut self, pacticipant: &str, number: &str) -> Option<&mut Version> {
        self.pacticipants.get_mut(pacticipant)?.versions.get_mut(number)
    }

    pub(super) fn has_version(&self, pacticipant: &str, number: &str) -> bool {
        self.version(pacticipant, number).is_some()
    }

    pub(super) fn ensure_pacticipant(&mut self, name: &str) -> &mut Pacticipant {
        let new = || Pacticipant { created: SystemTime::now(), versions: HashMap::new(), latest: None };
        self.pacticipants.entry(name.to_owned()).or_insert_with(new)
    }

    /// Makes the version, and the pacticipant, unless it exists. Says whether it was made.
    pub(super) fn ensure_version(&mut self, pacticipant: &str, number: &str) -> bool {
        if self.has_version(pacticipant, number) {
            return false;
        }
        let version = Version {
            order: self.next_number(),
            created: SystemTime::now(),
            updated: None,
            build_url: None,
            branches: Vec::new(),
            tags: Vec::new(),
            deployments: Vec::new(),
            releases: Vec::new(),
            pacts: Vec::new(),
        };
        let owner = self.ensure_pacticipant(pacticipant);
        owner.versions.insert(number.to_owned(), version);
        owner.latest = Some(number.to_owned());
        true
    }

    /// Puts the version on a branch, making it unless it exists. Says whether it was not on that branch before.
    pub(super) fn add_to_branch(&mut self, pacticipant: &str, number: &str, branch: &str) -> bool {
        self.ensure_version(pacticipant, number);
        let Some(version) = self.version_mut(pacticipant, number) else { return false };
        let fresh = !version.branches.iter().any(|known| known == branch);
        if fresh {
            version.branches.push(branch.to_owned());
        }
        fresh
    }

    /// The branches of a version, as other resources embed them; `latest` on the branch's head.
    pub(super) fn branch_versions(&self, links: &Links, pacticipant: &str, number: &str) -> Vec<Value> {
        let Some(owner) = self.pacticipants.get(pacticipant) else { return Vec::new() };
        let Some(version) = owner.versions.get(number) else { return Vec::new() };
        let embedded = |branch: &String| {
            let is_newer = |other: &Version| other.order > version.order && other.branches.contains(branch);
            let href = links.to(&["pacticipants", pacticipant, "branches", branch, "versions", number]);
            json!({"name": branch, "latest": !owner.versions.values().any(is_newer),
                   "_links": {"self": {"title": "Branch version", "name": branch, "href": href}}})
        };
        version.branches.iter().map(embedded).collect()
    }

    /// The tags of a version, as other resources embed them.
    pub(super) fn tags(&self, links: &Links, pacticipant: &str, number: &str) -> Vec<Value> {
        let tags = self.version(pacticipant, number).into_iter().flat_map(|version| &version.tags);
        let embedded = |tag: &String| {
            let href = links.to(&["pacticipants", pacticipant, "versions", number, "tags", tag]);
            json!({"name": tag, "_links": {"self": {"title": "Tag", "name": tag, "href": href}}})
        };
        tags.map(embedded).collect()
    }

    pub(super) fn remove_version(&mut self, pacticipant: &str, number: &str) -> bool {
        let Some(owner) = self.pacticipants.get_mut(pacticipant) else { return false };
        if owner.versions.remove(number).is_none() {
            return false;
        }
        let latest = owner.versions.iter().max_by_key(|(_, version)| version.order).map(|(number, _)| number.clone());
        owner.latest = latest;
        self.forget_deployments(|row| row.pacticipant == pacticipant && row.version == number);
        self.forget_releases(|row| row.pacticipant == pacticipant && row.version == number);
        self.forget_contracts_of(pacticipant, number);
        true
    }
}

/// `GET /pacticipants/P`.
pub(super) fn pacticipant(call: &Call<'_>, state: &State, name: &str) -> Answer {
    if call.method != "GET" {
        return Answer::method_not_allowed("GET, PUT, PATCH, DELETE, OPTIONS");
    }
    if let Some(refused) = call.refused_accept() {
        return refused;
    }
    let Some(found) = state.pacticipants.get(name) else {
        return call.errors.not_found_because(&format!("No pacticipant with name '{name}' found"));
    };
    Answer::hal(200, &described(&call.links, name, found))
}

/// `GET /pacticipants`: as the broker's source has it, not observed. Each with its latest version, by name; without pages.
pub(super) fn collection(call: &Call<'_>, state: &State) -> Answer {
    if call.method != "GET" {
        return Answer::method_not_allowed("GET, POST, OPTIONS");
    }
    if let Some(refused) = call.refused_accept() {
        return refused;
    }
    let mut found: Vec<_> = state.pacticipants.iter().collect();
    found.sort_by_key(|(name, _)| name.to_lowercase());
    let all: Vec<_> = found.into_iter().map(|(name, known)| described(&call.links, name, known)).collect();
    // The broker has them twice, for old clients.
    Answer::hal(
        200,
        &json!({
        "pacticipants": all, "_embedded": {"pacticipants": all},
        "_links": {"self": {"href": call.links.raw("/pacticipants")}}}),
    )
}

fn described(links: &Links, name: &str, found: &Pacticipant) -> Value {
    let under = |rest: &str| links.pacticipant(name) + rest;
    let template = |rest: &str, title: String| json!({"title": title, "href": under(rest), "templated": true});
    let mut body = json!({
        "name": name, "displayName": titled(name), "createdAt": written(found.created),
        "_embedded": {"labels": []},
        "_links": {
            "self": {"href": under("")},
            "pb:versions": {"href": under("/versions")},
            "pb:branches": {"href": under("/branches")},
            "pb:deployed-environments": [],
            "pb:version": template("/versions/{version}", "Get, create or delete a pacticipant version".to_owned()),
            "pb:version-tag": template("/versions/{version}/tags/{tag}",
                                       format!("Get, create or delete a tag for a version of {name}")),
            "pb:branch-version": template("/branches/{branch}/versions/{version}",
                                          format!("Get or add/create a version for a branch of {name}")),
            "pb:label": template("/labels/{label}", format!("Get, create or delete a label for {name}")),
            "versions": {"title": "Deprecated - use pb:versions", "href": under("/versions")},
            "pb:can-i-deploy-badge": template("/latest-version/{tag}/can-i-deploy/to/{environmentTag}/badge",
                                              format!("Can I Deploy {name} badge")),
            "pb:can-i-deploy-branch-to-environment-badge": template(
                "/branches/{branch}/latest-version/can-i-deploy/to-environment/{environment}/badge",
                format!("Can I Deploy {name} from branch to environment badge")),
            "curies": [{"name": "pb", "href": links.raw("/doc/{rel}?context=pacticipant"), "templated": true}]}});
    if let Some(latest) = &found.latest {
        body["_embedded"]["latestVersion"] = links.embedded_version(name, latest);
        let mut old = links.embedded_version(name, latest);
        old["title"] = json!("DEPRECATED - please use latestVersion");
        old["name"] = json!("DEPRECATED - please use latestVersion");
        body["_embedded"]["latest-version"] = old;
    }
    body
}

/// `GET /pacticipants/P/versions`: as the broker's source has it, not observed. Pages of the versions, newest first.
pub(super) fn of_pacticipant(call: &Call<'_>, state: &State, name: &str) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let Some(found) = state.pacticipants.get(name) else { return call.errors.not_found() };
    let number = |parameter: &str, without: usize| {
        call.parameter(parameter).and_then(|text| text.parse().ok()).filter(|number| *number > 0).unwrap_or(without)
    };
    let (page, size) = (number("pageNumber", 1), number("pageSize", 100));
    let mut all: Vec<_> = found.versions.iter().collect();
    all.sort_by_key(|(_, version)| std::cmp::Reverse(version.order));
    let page = all.into_iter().skip((page - 1).saturating_mul(size)).take(size);
    let rows: Vec<_> = page.filter_map(|(number, _)| resource(call, state, name, number)).collect();
    Answer::hal(200, &call.list("versions", &rows, &format!("All application versions of {name}")))
}

/// `GET /pacticipants/P/latest-version`.
pub(super) fn latest(call: &Call<'_>, state: &State, name: &str) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let latest = state.pacticipants.get(name).and_then(|known| known.latest.as_deref());
    let found = latest.and_then(|number| resource(call, state, name, number));
    found.map_or_else(|| call.errors.not_found(), |body| Answer::hal(200, &body))
}

/// `GET`, `PUT`, `PATCH` and `DELETE /pacticipants/P/versions/V`.
pub(super) fn one(call: &Call<'_>, state: &mut State, pacticipant: &str, number: &str) -> Answer {
    match call.method {
        "GET" => {
            if let Some(refused) = call.refused_accept() {
                return refused;
            }
            match resource(call, state, pacticipant, number) {
                Some(body) => Answer::hal(200, &body),
                None => call.errors.not_found(),
            }
        }
        "PUT" => put(call, state, pacticipant, number, None),
        "PATCH" => {
            if let Some(refused) = call.refused_write("application/merge-patch+json") {
                return refused;
            }
            write(call, state, pacticipant, number, false)
        }
        "DELETE" if state.remove_version(pacticipant, number) => Answer::bare(204),
        "DELETE" => call.errors.not_found(),
        _ => Answer::method_not_allowed("GET, PUT, PATCH, DELETE, OPTIONS"),
    }
}

/// `PUT` of a version, alone or on a branch (`…/branches/B/versions/V`).
pub(super) fn put(call: &Call<'_>, state: &mut State, pacticipant: &str, number: &str, branch: Option<&str>) -> Answer {
    if let Some(refused) = call.refused_write("application/json") {
        return refused;
    }
    let Some(branch) = branch else { return write(call, state, pacticipant, number, true) };
    let fresh = state.add_to_branch(pacticipant, number, branch);
    let href = call.links.to(&["pacticipants", pacticipant, "branches", branch, "versions", number]);
    let body = json!({"_links": {"self": {"title": "Branch version", "href": href}}});
    Answer::hal(if fresh { 201 } else { 200 }, &body)
}

/// `PUT` and `DELETE /pacticipants/P/versions/V/tags/T`; a tag named like an environment is not a deployment here.
pub(super) fn tag(call: &Call<'_>, state: &mut State, pacticipant: &str, number: &str, tag: &str) -> Answer {
    if call.method != "PUT" {
        return Answer::method_not_allowed("GET, PUT, DELETE, OPTIONS");
    }
    if let Some(refused) = call.refused_write("application/json") {
        return refused;
    }
    state.ensure_version(pacticipant, number);
    let Some(version) = state.version_mut(pacticipant, number) else { return call.errors.server_error() };
    let fresh = !version.tags.iter().any(|known| known == tag);
    if fresh {
        version.tags.push(tag.to_owned());
    }
    let href = call.links.to(&["pacticipants", pacticipant, "versions", number, "tags", tag]);
    let body = json!({"name": tag, "createdAt": written(SystemTime::now()),
                      "_links": {"self": {"title": "Tag", "name": tag, "href": href}}});
    Answer::hal(if fresh { 201 } else { 200 }, &body)
}

fn write(call: &Call<'_>, state: &mut State, pacticipant: &str, number: &str, replace: bool) -> Answer {
    let build_url = call.json.as_ref().and_then(|body| body.get("buildUrl")).filter(|url| !url.is_null()).cloned();
    let fresh = state.ensure_version(pacticipant, number);
    let Some(version) = state.version_mut(pacticipant, number) else { return call.errors.server_error() };
    if replace || build_url.is_some() {
        version.build_url = build_url;
    }
    if !fresh {
        version.updated = Some(SystemTime::now());
    }
    let status = if fresh { 201 } else { 200 };
    resource(call, state, pacticipant, number)
        .map_or_else(|| call.errors.server_error(), |body| Answer::hal(status, &body))
}

fn resource(call: &Call<'_>, state: &State, pacticipant: &str, number: &str) -> Option<Value> {
    let version = state.version(pacticipant, number)?;
    let links = &call.links;
    let own = links.version(pacticipant, number);
    let record = |kind: &str, title: &str| -> Value {
        let link = |environment: &super::environments::Environment| {
            json!({"title": format!("Record {title} to {}", environment.display_name), "name": environment.name,
                   "href": format!("{own}/{kind}/environment/{}", environment.uuid)})
        };
        state.environments.sorted().into_iter().map(link).collect()
    };
    let mut body = json!({
        "number": number, "createdAt": written(version.created),
        "_embedded": {"branchVersions": state.branch_versions(links, pacticipant, number),
                      "tags": state.tags(links, pacticipant, number)},
        "_links": {
            "self": {"title": "Version", "name": number, "href": own},
            "pb:pacticipant": {"title": "Pacticipant", "name": pacticipant, "href": links.pacticipant(pacticipant)},
            "pb:tag": {"href": format!("{own}/tags/{{tag}}"), "templated": true,
                       "title": "Get, create or delete a tag for this pacticipant version"},
            "pb:latest-verification-results-where-pacticipant-is-consumer": {
                "title": "Latest verification results for consumer version",
                "href": links.to(&["verification-results", "consumer", pacticipant, "version", number, "latest"])},
            "pb:pact-versions": state.pact_links(links, pacticipant, number),
            "pb:deployed-environments": state.deployed_environment_links(links, version),
            "pb:released-environments": state.released_environment_links(links, version),
            "pb:record-deployment": record("deployed-versions", "deployment"),
            "pb:record-release": record("released-versions", "release"),
            "curies": [{"name": "pb", "href": links.raw("/doc/{rel}?context=version"), "templated": true}]}});
    if let Some(url) = &version.build_url {
        body["buildUrl"] = url.clone();
    }
    if let Some(updated) = version.updated {
        body["updatedAt"] = json!(written(updated));
    }
    Some(body)
}
