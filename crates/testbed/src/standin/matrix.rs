//! `/matrix` and `/can-i-deploy`: reading the question, and writing the answer.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::clock::written;
use super::hal::Links;
use super::routes::Call;
use super::store::State;
use super::verdict::{LatestBy, MatrixRow, Question, Selector, Verdict};

/// How many rows `/matrix` considers without a limit in the question.
const DEFAULT_LIMIT: usize = 100;

/// `name[][key]=value` pairs as a list of maps: a key that the last map has already begins the next one. `None` for
/// an index in the brackets.
fn nested(query: &[(String, String)], name: &str) -> Option<Vec<Map<String, Value>>> {
    let mut found: Vec<Map<String, Value>> = Vec::new();
    for (key, value) in query {
        let Some(rest) = key.strip_prefix(name).filter(|rest| rest.starts_with('[')) else { continue };
        let rest = rest.strip_prefix("[]")?;
        let field = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
        if found.last().is_none_or(|last| field.is_empty() || last.contains_key(field) || last.contains_key("")) {
            found.push(Map::new());
        }
        if let Some(last) = found.last_mut() {
            last.insert(field.to_owned(), json!(value));
        }
    }
    Some(found)
}

fn selector_of(fields: &Map<String, Value>) -> Selector {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    Selector {
        pacticipant: text("pacticipant").unwrap_or_default(),
        version: text("version"),
        latest: text("latest").is_some_and(|latest| latest == "true"),
        tag: text("tag"),
        branch: text("branch"),
        main_branch: text("mainBranch").is_some_and(|main| main == "true"),
    }
}

/// `GET /matrix`.
pub(super) fn matrix(call: &Call<'_>, state: &State) -> Answer {
    if let Some(refused) = refused(call) {
        return refused;
    }
    let (Some(selectors), Some(ignore)) = (nested(&call.query, "q"), nested(&call.query, "ignore")) else {
        return call.errors.server_error();
    };
    let filled = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
    let question = Question {
        selectors: selectors.iter().map(selector_of).collect(),
        ignore: ignore.iter().map(selector_of).collect(),
        environment: filled("environment").map(str::to_owned),
        latest: filled("latest") == Some("true"),
        tag: filled("tag").map(str::to_owned),
        main_branch: filled("mainBranch") == Some("true"),
        latest_by: match filled("latestby") {
            None => None,
            Some("cvpv") => Some(LatestBy::Cvpv),
            Some("cvp") => Some(LatestBy::Cvp),
            Some("cp") => Some(LatestBy::Cp),
            Some(_) => return call.errors.server_error(),
        },
        limit: Some(filled("limit").and_then(|limit| limit.parse().ok()).unwrap_or(DEFAULT_LIMIT)),
    };
    let errors = errors_of(&question, filled("limit"), state);
    if !errors.is_empty() {
        return call.errors.sentences(&errors);
    }
    answered(call, state, &state.verdict(&question))
}

/// What is wrong with a question, as sentences. The ones about the limit and about `latest` were not observed word
/// for word.
fn errors_of(question: &Question, limit: Option<&str>, state: &State) -> Vec<String> {
    let mut errors = Vec::new();
    let nameless = |selectors: &[Selector]| selectors.iter().filter(|named| named.pacticipant.is_empty()).count();
    errors.extend((0..nameless(&question.selectors)).map(|_| "Please specify the pacticipant name".to_owned()));
    for Selector { pacticipant, .. } in &question.selectors {
        if !pacticipant.is_empty() && !state.pacticipants.contains_key(pacticipant) {
            errors.push(format!("Pacticipant {pacticipant} not found"));
        }
    }
    errors.extend((0..nameless(&question.ignore)).map(|_| "Please specify the pacticipant name to ignore".to_owned()));
    if question.selectors.is_empty() {
        errors.push("Please provide 1 or more version selectors.".to_owned());
    }
    if let Some(environment) = &question.environment {
        if question.tag.is_some() {
            errors.push("Cannot specify both a tag and an environment.".to_owned());
        }
        if question.latest {
            errors.push("Cannot specify both latest=true and an environment.".to_owned());
        }
        if state.environments.uuid_of(environment).is_none() {
            errors.push(format!("Environment with name '{environment}' does not exist"));
        }
    }
    if limit.is_some_and(|limit| !limit.parse::<usize>().is_ok_and(|limit| limit > 0)) {
        errors.push("The limit must be an integer greater than 0.".to_owned());
    }
    errors
}

/// `GET /can-i-deploy`.
pub(super) fn can_i_deploy(call: &Call<'_>, state: &State) -> Answer {
    if let Some(refused) = refused(call) {
        return refused;
    }
    let filled = |name: &str| call.parameter(name).filter(|value| !value.is_empty());
    let (pacticipant, version) = (filled("pacticipant"), filled("version"));
    let (environment, tag) = (filled("environment"), filled("to"));
    let mut errors = Vec::new();
    match pacticipant {
        None => errors.push(("pacticipant", "is missing".to_owned())),
        Some(name) if !state.pacticipants.contains_key(name) => {
            errors.push(("pacticipant", "does not match an existing pacticipant".to_owned()));
        }
        Some(_) => {}
    }
    if version.is_none() {
        errors.push(("version", "is missing".to_owned()));
    }
    match (environment, tag) {
        (None, None) => errors.push(("", "Must specify either an environment or a 'to' tag.".to_owned())),
        (Some(_), Some(_)) => errors.push(("", "Cannot specify both an environment and a 'to' tag.".to_owned())),
        (Some(name), None) if state.environments.uuid_of(name).is_none() => {
            errors.push(("environment", format!("with name '{name}' does not exist")));
        }
        _ => {}
    }
    let (Some(pacticipant), true, Some(ignore)) = (pacticipant, errors.is_empty(), nested(&call.query, "ignore"))
    else {
        return if errors.is_empty() { call.errors.server_error() } else { call.errors.fields(400, &errors) };
    };
    let ignored = |fields: &Map<String, Value>| match fields.get("").and_then(Value::as_str) {
        Some(name) => Selector { pacticipant: name.to_owned(), ..Selector::default() },
        None => selector_of(fields),
    };
    let latest_by = match environment {
        Some(_) => LatestBy::Cvpv,
        None => LatestBy::Cvp,
    };
    let asked =
        Selector { version: version.map(str::to_owned), pacticipant: pacticipant.to_owned(), ..Selector::default() };
    let question = Question {
        selectors: vec![asked],
        ignore: ignore.iter().map(ignored).collect(),
        environment: environment.map(str::to_owned),
        latest: tag.is_some(),
        tag: tag.map(str::to_owned),
        main_branch: false,
        latest_by: Some(latest_by),
        limit: None,
    };
    answered(call, state, &state.verdict(&question))
}

fn refused(call: &Call<'_>) -> Option<Answer> {
    if call.method != "GET" {
        return Some(Answer::method_not_allowed("GET, OPTIONS"));
    }
    if call.accepts("text/plain") { None } else { call.refused_accept() }
}

fn answered(call: &Call<'_>, state: &State, verdict: &Verdict<'_>) -> Answer {
    let reason: Vec<_> = verdict.notices.iter().map(|(_, text)| text.as_str()).collect();
    let reason = reason.join("\n");
    if !call.accepts("application/hal+json") {
        return Answer::typed(200, "text/plain;charset=utf-8", table(verdict, &reason).into_bytes());
    }
    let mut summary = json!({"deployable": verdict.deployable, "reason": reason, "success": verdict.success,
                             "failed": verdict.failed, "unknown": verdict.unknown});
    if let Some(ignored) = verdict.ignored {
        summary["ignored"] = json!(ignored);
    }
    let notices: Vec<_> = verdict.notices.iter().map(|(kind, text)| json!({"type": kind, "text": text})).collect();
    let rows: Vec<_> = verdict.rows.iter().map(|row| row_resource(&call.links, state, row)).collect();
    Answer::hal(200, &json!({"summary": summary, "notices": notices, "matrix": rows}))
}

fn row_resource(links: &Links, state: &State, row: &MatrixRow<'_>) -> Value {
    let pact = row.pact;
    let side = |name: &str, version: Option<&str>| {
        let version = version.map(|number| version_resource(links, state, name, number));
        json!({"name": name, "version": version, "_links": {"self": {"href": links.pacticipant(name)}}})
    };
    let result = row.result.map(|result| {
        json!({"success": result.success, "verifiedAt": written(result.at),
               "_links": {"self": {"href": pact.verification_href(links, result.number)}}})
    });
    let mut body = json!({
        "consumer": side(&pact.consumer, Some(&pact.consumer_version)),
        "provider": side(&pact.provider, row.result.map(|result| result.provider_version.as_str())),
        "pact": {"createdAt": written(pact.created), "_links": {"self": {"href": pact.href(links)}}},
        "verificationResult": result});
    if row.ignored {
        body["ignored"] = json!(true);
    }
    body
}

fn version_resource(links: &Links, state: &State, name: &str, number: &str) -> Value {
    let href = links.version(name, number);
    let Some(version) = state.version(name, number) else { return Value::Null };
    let environments = state.environments_of(version).into_iter();
    let environments: Vec<_> = environments.map(|uuid| state.environments.of_row(uuid).in_matrix(links)).collect();
    let branches = state.branch_versions(links, name, number);
    let tags = state.tags(links, name, number);
    json!({"number": number, "branch": version.branches.last(), "branches": branches, "branchVersions": branches,
           "environments": environments, "_links": {"self": {"href": href}}, "tags": tags})
}

/// The answer for people.
fn table(verdict: &Verdict<'_>, reason: &str) -> String {
    let head = ["CONSUMER", "C_VERSION", "REVISION", "PROVIDER", "P_VERSION", "NUMBER", "SUCCESS"].map(str::to_owned);
    let rows = verdict.rows.iter().map(|row| {
        let number = row.result.map(|result| result.number.to_string()).unwrap_or_default();
        let provider_version = row.result.map(|result| result.provider_version.clone()).unwrap_or_default();
        let success = row.success().map(|success| success.to_string()).unwrap_or_default();
        let pact = row.pact;
        let (consumer, consumer_version) = (pact.consumer.clone(), pact.consumer_version.clone());
        [consumer, consumer_version, "1".to_owned(), pact.provider.clone(), provider_version, number, success]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..7).map(width).collect();
    let mut lines: Vec<String> = Vec::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        lines.push(cells.join(" | "));
    }
    let rule: Vec<_> =
        widths.iter().enumerate().map(|(column, width)| "-".repeat(width + usize::from(column > 0))).collect();
    lines.insert(1, rule.join("-|"));
    let deployable = verdict.deployable.map(|deployable| deployable.to_string()).unwrap_or_default();
    let table = if verdict.rows.is_empty() { String::new() } else { lines.join("\n") + "\n\n" };
    format!("{table}Deployable: {deployable}\nReason: {reason}\n")
}
