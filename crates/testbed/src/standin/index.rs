//! The index and the two health resources.

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::routes::Call;

/// Relation, path, title, and what it says of being a template.
const RELATIONS: &[(&str, &str, &str, Option<bool>)] = &[
    (
        "pb:publish-pact",
        "/pacts/provider/{provider}/consumer/{consumer}/version/{consumerApplicationVersion}",
        "Publish a pact",
        Some(true),
    ),
    ("pb:publish-contracts", "/contracts/publish", "Publish contracts", Some(false)),
    ("pb:latest-pact-versions", "/pacts/latest", "Latest pact versions", Some(false)),
    (
        "pb:tagged-pact-versions",
        "/pacts/provider/{provider}/consumer/{consumer}/tag/{tag}",
        "All versions of a pact for a given consumer, provider and consumer version tag",
        Some(false),
    ),
    (
        "pb:branch-pact-versions",
        "/pacts/provider/{provider}/consumer/{consumer}/branch/{branch}",
        "All versions of pacts for a provider, for a named consumers branch",
        Some(true),
    ),
    (
        "pb:latest-branch-pact-versions",
        "/pacts/provider/{provider}/consumer/{consumer}/branch/{branch}/latest/versions",
        "Latest version of pact for a provider, for a named consumers branch",
        Some(true),
    ),
    (
        "pb:main-branch-pact-versions",
        "/pacts/provider/{provider}/consumer/{consumer}/branch/versions",
        "All versions of pacts for a provider, for a named consumers main branch",
        Some(true),
    ),
    (
        "pb:latest-main-branch-pact-versions",
        "/pacts/provider/{provider}/consumer/{consumer}/branch/latest/versions",
        "Latest version of pact for a provider, for a named consumers main branch",
        Some(true),
    ),
    (
        "pb:provider-pacts-with-main-branch",
        "/pacts/provider/{provider}/branch",
        "All pacts for a provider, for any consumers main branch",
        Some(true),
    ),
    (
        "pb:provider-pacts-with-branch",
        "/pacts/provider/{provider}/branch/{branch}",
        "All pacts for a provider, for any consumers named branch",
        Some(true),
    ),
    (
        "pb:latest-provider-pacts-with-main-branch",
        "/pacts/provider/{provider}/branch/latest",
        "Latest pact for a provider, for any consumers main branch",
        Some(true),
    ),
    (
        "pb:latest-provider-pacts-with-branch",
        "/pacts/provider/{provider}/branch/{branch}/latest",
        "Latest pacts for a provider, for any consumers named branch",
        Some(true),
    ),
    ("pb:pacticipants", "/pacticipants", "Pacticipants", Some(false)),
    ("pb:pacticipant", "/pacticipants/{pacticipant}", "Fetch pacticipant by name", Some(true)),
    ("pb:latest-provider-pacts", "/pacts/provider/{provider}/latest", "Latest pacts by provider", Some(true)),
    (
        "pb:latest-provider-pacts-with-tag",
        "/pacts/provider/{provider}/latest/{tag}",
        "Latest pacts for provider with the specified tag",
        Some(true),
    ),
    (
        "pb:provider-pacts-with-tag",
        "/pacts/provider/{provider}/tag/{tag}",
        "All pact versions for the provider with the specified consumer version tag",
        Some(true),
    ),
    ("pb:provider-pacts", "/pacts/provider/{provider}", "All pact versions for the specified provider", Some(true)),
    ("pb:latest-version", "/pacticipants/{pacticipant}/latest-version", "Latest pacticipant version", Some(true)),
    (
        "pb:latest-tagged-version",
        "/pacticipants/{pacticipant}/latest-version/{tag}",
        "Latest pacticipant version with the specified tag",
        Some(true),
    ),
    ("pb:webhooks", "/webhooks", "Webhooks", Some(false)),
    ("pb:webhook", "/webhooks/{uuid}", "Webhook", Some(true)),
    ("pb:integrations", "/integrations", "Integrations", Some(false)),
    (
        "pb:pacticipant-version-tag",
        "/pacticipants/{pacticipant}/versions/{version}/tags/{tag}",
        "Get, create or delete a tag for a pacticipant version",
        Some(true),
    ),
    (
        "pb:pacticipant-branch",
        "/pacticipants/{pacticipant}/branches/{branch}",
        "Get or delete a pacticipant branch",
        Some(true),
    ),
    (
        "pb:pacticipant-branch-version",
        "/pacticipants/{pacticipant}/branches/{branch}/versions/{version}",
        "Get or add/create a pacticipant version for a branch",
        Some(true),
    ),
    (
        "pb:pacticipant-version",
        "/pacticipants/{pacticipant}/versions/{version}",
        "Get, create or delete a pacticipant version",
        Some(true),
    ),
    ("pb:metrics", "/metrics", "Get Pact Broker metrics", None),
    (
        "pb:can-i-deploy-pacticipant-version-to-tag",
        "/can-i-deploy?pacticipant={pacticipant}&version={version}&to={tag}",
        "Determine if an application version can be safely deployed to an environment identified by the given tag",
        Some(true),
    ),
    (
        "pb:can-i-deploy-pacticipant-version-to-environment",
        "/can-i-deploy?pacticipant={pacticipant}&version={version}&environment={environment}",
        "Determine if an application version can be safely deployed to an environment",
        Some(true),
    ),
    (
        "pb:provider-pacts-for-verification",
        "/pacts/provider/{provider}/for-verification",
        "Pact versions to be verified for the specified provider",
        Some(true),
    ),
    ("pb:environments", "/environments", "Environments", Some(false)),
    ("pb:environment", "/environments/{uuid}", "Environment", Some(true)),
];

/// `GET /`.
pub(super) fn index(call: &Call<'_>) -> Answer {
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    let mut relations = Map::new();
    relations.insert("self".into(), json!({"href": call.links.base(), "title": "Index", "templated": false}));
    for (relation, path, title, templated) in RELATIONS {
        let mut link = json!({"href": call.links.raw(path), "title": title});
        if let Some(templated) = templated {
            link["templated"] = Value::Bool(*templated);
        }
        relations.insert((*relation).to_owned(), link);
    }
    let beta = "beta:provider-pacts-for-verification";
    let href = call.links.raw("/pacts/provider/{provider}/for-verification");
    let title = "DEPRECATED - please use pb:provider-pacts-for-verification";
    relations.insert(beta.to_owned(), json!({"name": "beta", "href": href, "title": title, "templated": true}));
    let docs = call.links.raw("/doc/{rel}?context=index");
    let curie = |name: &str| json!({"name": name, "href": docs, "templated": true});
    relations.insert("curies".to_owned(), json!([curie("pb"), curie("beta")]));
    Answer::hal(200, &json!({ "_links": relations }))
}

/// `GET /diagnostic/status/heartbeat` and `…/dependencies`.
pub(super) fn diagnostic(call: &Call<'_>, what: &str) -> Answer {
    let mut body = match what {
        "heartbeat" => json!({"ok": true}),
        "dependencies" => json!({"database": {"ok": true}}),
        _ => return call.errors.not_found(),
    };
    if let Some(refused) = call.refused_read() {
        return refused;
    }
    body["_links"] = json!({"self": {"href": call.links.to(&["diagnostic", "status", what])}});
    Answer::json(200, "application/hal+json", &body)
}
