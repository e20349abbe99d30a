//! The picture for programs. Its form is a promise; the page reads it, too.

use serde_json::{Map, Value, json};

use super::{Application, Environment, Overview, Relation, State};
use crate::api::names::Version;

/// The picture as a document.
#[must_use]
pub fn document(overview: &Overview) -> Value {
    let (_, headline) = overview.headline();
    json!({
        "generatedAt": overview.generated_at.to_string(),
        "headline": headline,
        "environments": overview.environments.iter().map(environment).collect::<Vec<_>>(),
    })
}

fn environment(environment: &Environment) -> Value {
    let count = |state: State| (state.name().to_owned(), json!(environment.count(state)));
    json!({
        "name": environment.name.as_str(),
        "broker": environment.broker,
        "notice": environment.notice,
        "known": environment.known,
        "counts": State::ALL.into_iter().map(count).collect::<Map<_, _>>(),
        "ignored": environment.ignored(),
        "leftOut": environment.left_out.len(),
        "applications": environment.applications.iter().map(application).collect::<Vec<_>>(),
        "pairs": environment.pairs.iter().map(pair).collect::<Vec<_>>(),
    })
}

fn application(application: &Application) -> Value {
    let versions = application
        .versions
        .iter()
        .map(|it| json!({"version": it.version.as_str(), "recorded": it.recorded, "rollingOut": it.rolling_out}));
    json!({
        "name": application.pacticipant.as_str(),
        "versions": versions.collect::<Vec<_>>(),
        "published": application.published,
        "link": application.link,
    })
}

fn pair(relation: &Relation) -> Value {
    let pair = &relation.pair;
    json!({
        "state": relation.state().name(),
        "consumer": pair.consumer.as_str(),
        "consumerVersion": pair.consumer_version.as_str(),
        "provider": pair.provider.as_str(),
        "providerVersion": pair.provider_version.as_ref().map(Version::as_str),
        "rollingOut": relation.rolling_out,
        "ignored": relation.ignored,
        "matrix": relation.matrix,
        "pact": relation.pact,
    })
}
