//! Whom the operator asks for verifications: a file that the chart writes from its value `verification`, read once.

use std::{collections::BTreeSet, fs, path::Path, sync::atomic::AtomicBool, time::Duration};

use serde::Deserialize;
use thiserror::Error;

use super::hook::{Hook, Route, Service, Target};
use crate::{
    api::names::quoted,
    decide::verification::Pacing,
    notifier::{
        endpoint::{Endpoint, EndpointError},
        template::{Template, TemplateError},
    },
    workload::glob::Globs,
};

/// Where GitHub's interface is.
const GITHUB: &str = "https://api.github.com";
/// Where GitLab's is.
const GITLAB: &str = "https://gitlab.com/api/v4";
/// The longest name of a hook: it is part of the name of a volume.
const LONGEST_NAME: usize = 40;

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It has another form.
    #[error("it has another form: {0}")]
    Form(#[from] serde_json::Error),
    /// A hook's name is none, or there are two of that name.
    #[error("hook {0}: a name has 1 to {LONGEST_NAME} of the characters a-z 0-9 - and is given once")]
    Name(String),
    /// A hook cannot be used.
    #[error("hook {name}: {problem}")]
    Hook {
        /// The hook.
        name: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
}

/// The settings.
#[derive(Debug)]
pub struct VerificationSettings {
    /// How often is asked.
    pub pacing: Pacing,
    /// For which environments, by their names at the broker.
    pub environments: Globs,
    pub(super) hooks: Vec<Hook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    interval_seconds: u64,
    grace_seconds: u64,
    calls_per_minute: u32,
    environments: Vec<String>,
    hooks: Vec<HookFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HookFile {
    name: String,
    r#type: Type,
    #[serde(default)]
    url: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    event_type: String,
    #[serde(default)]
    template: String,
    routes: Vec<RouteFile>,
}

#[derive(Clone, Copy, Deserialize)]
enum Type {
    GitHub,
    GitLab,
    Webhook,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RouteFile {
    provider: String,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    r#ref: String,
}

impl VerificationSettings {
    /// Reads the file. The Secret of each hook is in a folder of the hook's name; it may come later.
    ///
    /// # Errors
    /// When it cannot be used as it is.
    pub fn read(file: &Path, secrets: &Path) -> Result<Self, SettingsError> {
        let file: File = serde_json::from_str(&fs::read_to_string(file)?)?;
        let mut names = BTreeSet::new();
        let hooks = file.hooks.into_iter().map(|hook| {
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let is_name = (1..=LONGEST_NAME).contains(&hook.name.len()) && hook.name.bytes().all(fits);
            if !is_name || !names.insert(hook.name.clone()) {
                return Err(SettingsError::Name(quoted(&hook.name)));
            }
            let name = hook.name.clone();
            read_hook(hook, secrets).map_err(|problem| SettingsError::Hook { name, problem })
        });
        let hooks: Result<Vec<_>, _> = hooks.collect();
        Ok(Self {
            pacing: Pacing {
                interval: Duration::from_secs(file.interval_seconds.max(1)),
                grace: Duration::from_secs(file.grace_seconds),
                per_minute: file.calls_per_minute.max(1),
            },
            environments: Globs::new(file.environments),
            hooks: hooks?,
        })
    }
}

fn read_hook(file: HookFile, secrets: &Path) -> Result<Hook, String> {
    let folder = (!file.secret.is_empty()).then(|| secrets.join(&file.name));
    let given = (!file.url.is_empty()).then_some(file.url.as_str());
    let url = match file.r#type {
        Type::GitHub => given.or(Some(GITHUB)),
        Type::GitLab => given.or(Some(GITLAB)),
        Type::Webhook => given,
    };
    if folder.is_none() && !matches!(file.r#type, Type::Webhook) {
        return Err("it needs a secret, with the key token".to_owned());
    }
    let endpoint = Endpoint::new(url, folder.as_deref()).map_err(|error: EndpointError| error.to_string())?;
    let service = match file.r#type {
        Type::GitHub if file.event_type.is_empty() => return Err("it needs an eventType".to_owned()),
        Type::GitHub => Service::GitHub { event_type: file.event_type },
        Type::GitLab => Service::GitLab,
        Type::Webhook if file.template.is_empty() => Service::Webhook(Box::default()),
        Type::Webhook => {
            let template = Template::parse_for_requests(&file.template);
            Service::Webhook(Box::new(template.map_err(|error: TemplateError| format!("the template: {error}"))?))
        }
    };
    if file.routes.is_empty() {
        return Err("it needs routes; one with provider \"*\" is for all providers".to_owned());
    }
    let routes: Result<Vec<_>, _> = file.routes.into_iter().map(|route| read_route(file.r#type, route)).collect();
    Ok(Hook { name: file.name, service, endpoint, secrets: folder, routes: routes? })
}

fn read_route(of: Type, route: RouteFile) -> Result<Route, String> {
    let RouteFile { provider, repository, project, r#ref } = route;
    let safe = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !text.is_empty() && text.bytes().all(fits) && text != "." && text != ".."
    };
    let target = match of {
        Type::GitHub => match repository.split_once('/') {
            Some((owner, name)) if safe(owner) && safe(name) => {
                Target::Repository { owner: owner.to_owned(), name: name.to_owned() }
            }
            _ => return Err(format!("the repository {} is not of the form owner/name", quoted(&repository))),
        },
        Type::GitLab if project.is_empty() || !project.split('/').all(safe) => {
            return Err(format!("the project {} is neither a number nor of the form group/name", quoted(&project)));
        }
        Type::GitLab if r#ref.is_empty() => return Err("a route needs a ref: a branch or a tag".to_owned()),
        Type::GitLab => Target::Project { id: project, git_ref: r#ref },
        Type::Webhook => Target::Itself,
    };
    Ok(Route { providers: Globs::new([provider]), target, failing: AtomicBool::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[allow(clippy::unwrap_in_result, reason = "what cannot be set up ends the test")]
    fn read(hooks: &Value) -> Result<VerificationSettings, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("verification.json");
        let all = json!({
            "intervalSeconds": 3600, "graceSeconds": 600, "callsPerMinute": 10, "environments": ["*"], "hooks": hooks,
        });
        fs::write(&file, all.to_string()).unwrap();
        VerificationSettings::read(&file, folder.path())
    }

    #[test]
    fn hooks_are_read_with_their_routes() {
        let settings = read(&json!([
            {"name": "github", "type": "GitHub", "secret": "ci", "eventType": "verify-pact",
             "routes": [{"provider": "stock", "repository": "shop/stock"}]},
            {"name": "gitlab", "type": "GitLab", "secret": "ci", "url": "https://git.example.com/api/v4",
             "routes": [{"provider": "legacy-*", "project": "shop/legacy", "ref": "main"}]},
            {"name": "others", "type": "Webhook", "url": "https://ci.example.com/verify",
             "template": "{\"pact\": {{ pactUrl }}}", "routes": [{"provider": "*"}]},
        ]));
        let settings = settings.unwrap();
        assert_eq!(settings.pacing.interval, Duration::from_hours(1));
        assert_eq!(settings.hooks.len(), 3);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_remedy() {
        let hook = |changes: Value| {
            let mut hook = json!({"name": "ci", "type": "GitHub", "secret": "s", "eventType": "e",
                "routes": [{"provider": "*", "repository": "shop/stock"}]});
            for (name, value) in changes.as_object().unwrap() {
                hook[name] = value.clone();
            }
            json!([hook])
        };
        for (hooks, said) in [
            (hook(json!({"name": "C I"})), "a name has 1 to 40"),
            (json!([hook(json!({}))[0], hook(json!({}))[0]]), "given once"),
            (hook(json!({"secret": ""})), "hook ci: it needs a secret, with the key token"),
            (hook(json!({"eventType": ""})), "needs an eventType"),
            (hook(json!({"routes": []})), "needs routes"),
            (hook(json!({"url": "https://user:hidden@git/"})), "holds credentials"),
            (
                hook(json!({"routes": [{"provider": "*", "repository": "stock"}]})),
                "\"stock\" is not of the form owner/name",
            ),
            (hook(json!({"routes": [{"provider": "*", "repository": "a/../b"}]})), "not of the form owner/name"),
            (hook(json!({"type": "GitLab"})), "\"\" is neither a number nor"),
            (hook(json!({"type": "GitLab", "routes": [{"provider": "*", "project": "a/..", "ref": "x"}]})), "neither"),
            (hook(json!({"type": "GitLab", "routes": [{"provider": "*", "project": "12"}]})), "needs a ref"),
            (hook(json!({"type": "Webhook", "secret": ""})), "no URL is given"),
            (hook(json!({"type": "Webhook", "template": "{{ nothing }}"})), "the template: undefined value"),
            (hook(json!({"type": "Webhook", "template": "{\"a\": \"{{ consumer }}\"}"})), "makes no JSON of a request"),
            (hook(json!({"other": 1})), "unknown field `other`"),
        ] {
            let message = read(&hooks).unwrap_err().to_string();
            assert!(message.contains(said) && !message.contains("hidden"), "{message}");
        }
    }
}
