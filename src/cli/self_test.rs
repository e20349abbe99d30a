//! `pact-operator self-test`: checks an installation from outside: the gate through the API server, and the brokers. It
//! says what is not in force, too. `helm test` runs it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use k8s_openapi::api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Namespace};
use kube::{Api, Client, ResourceExt, api::ListParams, client::Body};
use serde_json::json;

use super::{
    cluster_name::ClusterArguments,
    process::{self, Failure, LogArguments},
};
use crate::{
    api::{PactBroker, PactEnvironment, annotations},
    cluster::client_factory::ClientFactory,
    decide::{
        admission::ServiceAccountName,
        messages,
        not_in_force::{self, Installation},
    },
};
use operator_kit::refusal;

/// How often the gate is called when it does not answer: an API server reads a new webhook configuration some seconds
/// after it was written.
const TRIES: u32 = 5;
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// Arguments of the verb `self-test`.
#[derive(Args, Debug)]
pub(super) struct SelfTestArguments {
    /// The namespace of the operator, with the Secrets of the brokers.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME")]
    namespace: String,
    /// The namespace in which a Deployment is created as a dry-run. The gate must be called for it: not the operator's
    /// own, and none that is excluded.
    #[arg(long, default_value = "default", value_name = "NAME")]
    dry_run_namespace: String,
    /// A service account whose bypass statements count, as the webhook is told; may be repeated.
    #[arg(long = "bypass-service-account", value_name = "NAMESPACE:NAME")]
    bypass_accounts: Vec<ServiceAccountName>,
    #[command(flatten)]
    cluster: ClusterArguments,
    #[command(flatten)]
    log: LogArguments,
}

pub(super) fn run(arguments: SelfTestArguments) -> ExitCode {
    let log = arguments.log.clone();
    process::run("self-test", &log, |asked| async move {
        tokio::select! {
            () = asked.cancelled() => Err("interrupted".into()),
            ended = test(&arguments) => ended,
        }
    })
}

/// Prints a line for each check and for each thing that is not in force, and fails when a check failed.
async fn test(arguments: &SelfTestArguments) -> Result<(), Failure> {
    let client = process::api_server().await?;
    let mut failed = 0_u32;
    let mut say = |what: &str, ended: Result<String, Failure>| {
        let line = match ended {
            Ok(found) => format!("ok      {what}: {found}"),
            Err(why) => {
                failed += 1;
                format!("FAILED  {what}: {why}")
            }
        };
        writeln!(io::stdout(), "{}", messages::one_line(&line))
    };
    say("gate", gate(&client, &arguments.dry_run_namespace).await)?;
    let brokers: Api<PactBroker> = Api::all(client.clone());
    match brokers.list(&ListParams::default()).await {
        Err(error) => {
            say("brokers", Err(format!("PactBrokers cannot be listed: {}", refusal::explain(&error)).into()))?;
        }
        Ok(brokers) if brokers.items.is_empty() => say("brokers", Ok("there is no PactBroker yet".to_owned()))?,
        Ok(brokers) => {
            let client_factory = ClientFactory {
                longest_pause: crate::broker::pause::LONGEST_PAUSE,
                client: client.clone(),
                namespace: arguments.namespace.clone(),
                user_agent: format!("{} self-test", arguments.cluster.user_agent()),
                observer: Arc::new(|_, _, _| {}),
            };
            for object in brokers {
                say(&format!("PactBroker {}", object.name_any()), broker(&client_factory, &object).await)?;
            }
        }
    }
    let notes = notes(&client, &arguments.bypass_accounts, not_in_force::notes).await;
    // Not knowing it makes no check fail.
    for note in notes.unwrap_or_else(|why| vec![format!("what is not in force is not known: {why}")]) {
        writeln!(io::stdout(), "note    {}", messages::one_line(&note))?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of the above failed").into()),
    }
}

/// Reads what is installed, and says what of it is not in force.
pub(super) async fn notes(
    client: &Client,
    bypass_accounts: &[ServiceAccountName],
    say: fn(&Installation<'_>) -> Vec<String>,
) -> Result<Vec<String>, String> {
    let all = ListParams::default();
    let configuration = Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .get_opt(not_in_force::CONFIGURATION)
        .await
        .map_err(|error| unread("the ValidatingWebhookConfiguration", &error))?;
    let environments = Api::<PactEnvironment>::all(client.clone()).list(&all).await;
    let environments = environments.map_err(|error| unread("PactEnvironments", &error))?;
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&all).await;
    let namespaces: BTreeMap<_, _> = namespaces
        .map_err(|error| unread("namespaces", &error))?
        .into_iter()
        .map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()))
        .collect();
    Ok(say(&Installation {
        configuration: configuration.as_ref(),
        bypass_accounts,
        environments: &environments.items,
        namespaces: &namespaces,
    }))
}

fn unread(what: &str, error: &kube::Error) -> String {
    format!("{what} cannot be read: {}", refusal::explain(error))
}

/// Reads the index of a broker, which every client reads first.
async fn broker(client_factory: &ClientFactory, object: &PactBroker) -> Result<String, Failure> {
    let made = client_factory.make(object, None).await.map_err(|why| why.message)?;
    let broker = made.ok_or("no client was made")?.client.map_err(|why| why.message)?;
    let probe = broker.probe().await?;
    let version = probe.broker_version.map_or_else(String::new, |version| format!(", version {version}"));
    Ok(format!("{} answers{version}", broker.base_url()))
}

/// Creates a Deployment with the self-test annotation as a dry-run: nothing is stored.
pub(super) async fn gate(client: &Client, namespace: &str) -> Result<String, Failure> {
    let mut answer = greeting(client, namespace).await;
    for _ in 1..TRIES {
        if answer.is_ok() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        answer = greeting(client, namespace).await;
    }
    answer
}

async fn greeting(client: &Client, namespace: &str) -> Result<String, Failure> {
    let labels = json!({"app.kubernetes.io/name": "pact-operator-self-test"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "pact-operator-self-test",
            "annotations": {annotations::PACTICIPANT: "pact-operator-self-test", annotations::SELF_TEST: "true"},
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "none", "image": "pact-operator-self-test:0",
                    "resources": {
                        "requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"},
                    },
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        }},
    });
    let path =
        format!("/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All&fieldManager=pact-operator-self-test");
    let request = http::Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(serde_json::to_vec(&deployment)?))?;
    let answer = client.send(request).await?;
    let status = answer.status();
    let warnings: Vec<_> = answer
        .headers()
        .get_all(http::header::WARNING)
        .iter()
        .map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned())
        .collect();
    let body = String::from_utf8_lossy(&answer.into_body().collect_bytes().await?).into_owned();
    gate_answer(namespace, status, &warnings, &body).map_err(Into::into)
}

/// Whether the answer proves that the gate was called.
fn gate_answer(namespace: &str, status: http::StatusCode, warnings: &[String], body: &str) -> Result<String, String> {
    if let Some(warning) = warnings.iter().find(|warning| warning.contains(messages::GREETING)) {
        // 299 - "text"
        let text = warning.split_once('"').map_or(warning.as_str(), |(_, text)| text.trim_end_matches('"'));
        return Ok(text.to_owned());
    }
    if status.is_success() {
        return Err(format!(
            "the API server admitted a Deployment in {namespace} without asking the gate; see that the \
             ValidatingWebhookConfiguration pact-operator is there, that it does not exclude {namespace}, and that the \
             pods of pact-operator-webhook are ready"
        ));
    }
    let message = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or(body);
    Err(format!("the API server refused a dry-run in {namespace} with {status}: {message}"))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn only_the_greeting_says_that_the_gate_was_asked() {
        let greeting = format!("299 - \"{}\"", messages::greeting());
        let others = ["299 - \"something else\"".to_owned(), greeting];
        assert_eq!(gate_answer("default", StatusCode::CREATED, &others, "{}").unwrap(), messages::greeting());
        let silent = gate_answer("default", StatusCode::CREATED, &others[..1], "{}").unwrap_err();
        assert!(silent.contains("without asking the gate"), "{silent}");
        let refused =
            gate_answer("default", StatusCode::FORBIDDEN, &[], r#"{"message": "no right to create"}"#).unwrap_err();
        assert!(refused.contains("403") && refused.ends_with("no right to create"), "{refused}");
    }
}
