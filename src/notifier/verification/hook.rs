//! One of those who are asked for verifications, and how it is asked.

use std::{fs, path::PathBuf, sync::atomic::AtomicBool, time::Duration};

use reqwest::{
    Client, RequestBuilder, Url,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use url::form_urlencoded;

use crate::{
    api::names::Pacticipant,
    broker::chain,
    decide::verification::VerificationRequest,
    notifier::{
        endpoint::{Endpoint, EndpointError},
        post::{LIMIT, pause, rest_of},
        template::Template,
    },
    workload::glob::Globs,
};

/// The file of the token in the folder of a hook's Secret.
const TOKEN: &str = "token";

/// A hook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) name: String,
    pub(super) service: Service,
    pub(super) endpoint: Endpoint,
    pub(super) secrets: Option<PathBuf>,
    pub(super) routes: Vec<Route>,
}

/// What it is.
#[derive(Debug)]
pub(super) enum Service {
    GitHub { event_type: String },
    GitLab,
    Webhook(Box<Template>),
}

/// Where the verifications of some providers run.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) providers: Globs,
    pub(super) target: Target,
    /// Whether the last call failed.
    pub(super) failing: AtomicBool,
}

/// Where a verification runs.
#[derive(Debug)]
pub(super) enum Target {
    Repository { owner: String, name: String },
    Project { id: String, git_ref: String },
    Itself,
}

impl Target {
    /// Whether a status may say something about this target only: the others may be fine.
    const fn is_why(&self, status: u16) -> bool {
        match status {
            400 | 422 => true,
            // Where there is a repository or a project. An address of the hook itself is that of all routes.
            300..=399 | 404 => !matches!(self, Self::Itself),
            _ => false,
        }
    }
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Called {
    /// It was taken.
    Taken,
    /// It failed.
    Failed {
        /// Why.
        why: String,
        /// How long the hook wants to be left alone, if it said so.
        pause: Option<Duration>,
        /// Whether it says something about the route, and nothing about the hook: it answered.
        of_route: bool,
    },
}

impl Called {
    /// It failed before there was an answer.
    pub(super) const fn failed(why: String) -> Self {
        Self::Failed { why, pause: None, of_route: false }
    }
}

impl Hook {
    /// The route of a provider: the first that names it.
    pub(super) fn route(&self, provider: &Pacticipant) -> Option<&Route> {
        self.routes.iter().find(|route| route.providers.matching(provider.as_str()).is_some())
    }

    /// The call that asks for a verification. `None` where the template makes nothing of it.
    pub(super) fn request(
        &self,
        client: &Client,
        target: &Target,
        request: &VerificationRequest,
    ) -> Result<Option<RequestBuilder>, String> {
        let (url, headers) = self.endpoint.read().map_err(|error| error.to_string())?;
        let post = |url: Url| client.post(url).headers(headers.clone());
        let built = match (&self.service, target) {
            (Service::GitHub { event_type }, Target::Repository { owner, name }) => {
                let url = below(url, &["repos", owner, name, "dispatches"])?;
                let body = request.dispatch(event_type).to_string();
                let sent = post(url).header(AUTHORIZATION, bearer(&self.token()?)?);
                sent.header(ACCEPT, "application/vnd.github+json").header(CONTENT_TYPE, "application/json").body(body)
            }
            (Service::GitLab, Target::Project { id, git_ref }) => {
                let url = below(url, &["projects", id, "trigger", "pipeline"])?;
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("token", &self.token()?).extend_pairs(request.trigger(git_ref));
                post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
            }
            (Service::Webhook(template), _) => match template.render_request(request) {
                Ok(Some(body)) => post(url).header(CONTENT_TYPE, "application/json").body(body),
                Ok(None) => return Ok(None),
                Err(error) => return Err(format!("the template: {error}")),
            },
            _ => return Err("its route is of another type".to_owned()),
        };
        Ok(Some(built))
    }

    /// The token, as it is now.
    fn token(&self) -> Result<String, String> {
        let Some(folder) = &self.secrets else { return Err("it has no Secret".to_owned()) };
        let path = folder.join(TOKEN);
        let text = fs::read_to_string(&path)
            .map_err(|error| EndpointError::Unreadable { path, key: TOKEN, cause: error.to_string() }.to_string())?;
        match text.trim() {
            "" => Err("the key token of its Secret is empty".to_owned()),
            token => Ok(token.to_owned()),
        }
    }
}

/// Asks for a verification, in no more than the time that is `left`.
pub(super) async fn send(made: Result<RequestBuilder, String>, target: &Target, left: Duration) -> Called {
    let sent = match made {
        Ok(request) => tokio::time::timeout(LIMIT.min(left), request.send()).await,
        Err(why) => return Called::failed(why),
    };
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Called::failed(chain(&error.without_url())),
        Err(_) => return Called::failed("it does not answer in time".to_owned()),
    };
    let (status, pause) = (response.status().as_u16(), pause(response.headers()));
    rest_of(response).await;
    match refusal(status) {
        None => Called::Taken,
        // Whoever wants to be left alone wants that for all routes.
        Some(why) => Called::Failed { why, pause, of_route: pause.is_none() && target.is_why(status) },
    }
}

fn bearer(token: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.map_err(|_| "the key token of its Secret holds a character that no header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

/// An address below another, each name one segment.
fn below(mut url: Url, names: &[&str]) -> Result<Url, String> {
    let Ok(mut segments) = url.path_segments_mut() else { return Err("its URL can have no path".to_owned()) };
    segments.pop_if_empty().extend(names);
    drop(segments);
    Ok(url)
}

/// Why a call was not taken, by the status of the answer. All of it may be mended, so it is tried again.
fn refusal(status: u16) -> Option<String> {
    let remedy = match status {
        200..=299 => return None,
        300..=399 => ": it is elsewhere; was the repository renamed?",
        400 | 422 => ": it does not take what is sent; look at the route, its ref and the eventType",
        401 | 403 => ": it does not take the token; look at the Secret and at what the token may do",
        404 => ": there is no such repository or project, or the token may not see it",
        _ => "",
    };
    Some(format!("it answers {status}{remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(service: Service, folder: &std::path::Path) -> Hook {
        fs::write(folder.join(TOKEN), "hidden\n").unwrap();
        let endpoint = Endpoint::new(Some("https://git.example.com/api/v4/"), Some(folder)).unwrap();
        let routes = vec![
            Route { providers: Globs::new(["stock"]), target: Target::Itself, failing: AtomicBool::default() },
            Route { providers: Globs::new(["*"]), target: Target::Itself, failing: AtomicBool::default() },
        ];
        Hook { name: "ci".into(), service, endpoint, secrets: Some(folder.to_owned()), routes }
    }

    fn client() -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        crate::notifier::post::client("test").unwrap()
    }

    fn built(hook: &Hook, target: &Target) -> reqwest::Request {
        let client = client();
        let request = VerificationRequest { provider_version: "1.35.0+b".into(), ..VerificationRequest::default() };
        hook.request(&client, target, &request).unwrap().unwrap().build().unwrap()
    }

    fn body(request: &reqwest::Request) -> String {
        String::from_utf8(request.body().unwrap().as_bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn each_service_is_asked_in_its_own_form_and_the_token_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let github = hook(Service::GitHub { event_type: "verify".into() }, folder.path());
        let request = built(&github, &Target::Repository { owner: "shop".into(), name: "stock".into() });
        assert_eq!(request.url().as_str(), "https://git.example.com/api/v4/repos/shop/stock/dispatches");
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer hidden");
        assert_eq!(request.headers()[ACCEPT], "application/vnd.github+json");
        assert!(body(&request).contains("\"provider_version\":\"1.35.0+b\""), "{}", body(&request));
        assert!(!format!("{request:?}{github:?}").contains("hidden"));

        let gitlab = hook(Service::GitLab, folder.path());
        let request = built(&gitlab, &Target::Project { id: "shop/stock".into(), git_ref: "main".into() });
        assert_eq!(request.url().as_str(), "https://git.example.com/api/v4/projects/shop%2Fstock/trigger/pipeline");
        let form = body(&request);
        assert!(form.starts_with("token=hidden&ref=main&variables%5BPACT_URL%5D="), "{form}");
        assert!(form.contains("variables%5BPACT_PROVIDER_VERSION%5D=1.35.0%2Bb"), "{form}");
        assert_eq!(request.headers().get(AUTHORIZATION), None);

        let webhook = hook(Service::Webhook(Box::default()), folder.path());
        let request = built(&webhook, &Target::Itself);
        assert_eq!(request.url().as_str(), "https://git.example.com/api/v4/");
        assert!(body(&request).contains("\"providerVersion\":\"1.35.0+b\""), "{}", body(&request));
    }

    #[test]
    fn a_secret_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let github = hook(Service::GitHub { event_type: "verify".into() }, folder.path());
        fs::remove_file(folder.path().join(TOKEN)).unwrap();
        let target = Target::Repository { owner: "shop".into(), name: "stock".into() };
        let why = github.request(&client(), &target, &VerificationRequest::default()).unwrap_err();
        assert!(why.contains("needs the key token"), "{why}");
    }

    #[test]
    fn the_first_route_that_names_a_provider_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let webhook = hook(Service::Webhook(Box::default()), folder.path());
        let stock = Pacticipant::parse("stock").unwrap();
        assert!(std::ptr::eq(webhook.route(&stock).unwrap(), &raw const webhook.routes[0]));
        let other = Pacticipant::parse("orders").unwrap();
        assert!(std::ptr::eq(webhook.route(&other).unwrap(), &raw const webhook.routes[1]));
    }

    #[test]
    fn what_is_wrong_with_one_route_says_nothing_about_the_others() {
        let repository = Target::Repository { owner: "shop".into(), name: "stock".into() };
        for status in [301, 307, 400, 404, 422] {
            assert!(repository.is_why(status), "{status}");
            assert_eq!(Target::Itself.is_why(status), matches!(status, 400 | 422), "{status}");
        }
        for status in [401, 403, 429, 500, 503] {
            assert!(!repository.is_why(status), "{status}");
        }
    }

    #[test]
    fn only_success_is_success() {
        for status in [200, 201, 204] {
            assert_eq!(refusal(status), None);
        }
        for status in [301, 400, 401, 403, 404, 422, 429, 500, 503] {
            assert!(refusal(status).unwrap().starts_with(&format!("it answers {status}")));
        }
    }
}
