//! The floor of everything that records: the same requests at the same stand-in, from a plain client that knows what
//! to ask and does nothing else.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};

use testbed::standin::StandIn;

/// How many requests a `PactBroker` allows at once by default.
pub const AT_ONCE: usize = 6;

/// A plain client with kept connections.
pub fn client() -> reqwest::Client {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("accept", "application/hal+json".parse().unwrap());
    reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap()
}

/// Records one version.
pub async fn record(client: &reqwest::Client, broker: &StandIn, environment: &str, pacticipant: &str, version: &str) {
    let path = format!("pacticipants/{pacticipant}/versions/{version}/deployed-versions/environment/{environment}");
    let request = client.post(format!("{}/{path}", broker.url())).header("content-type", "application/json").body("{}");
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    drop(answer.bytes().await.unwrap());
}

/// How long it takes to read the row, record the version and read the row again, for `NAME-0` … `NAME-(COUNT-1)`.
pub async fn read_record_read(
    broker: &StandIn,
    environment: &str,
    (name, count): (&str, usize),
    version: &str,
) -> Duration {
    let client = client();
    let environment = broker.store().environment_uuid(environment).unwrap();
    let began = Instant::now();
    let all = stream::iter(0..count).map(|number| {
        let (client, environment, pacticipant) = (&client, &environment, format!("{name}-{number}"));
        async move { record_as_operator(client, broker, environment, &pacticipant, version).await }
    });
    all.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    began.elapsed()
}

/// Records one version as the operator does: it reads the row before and after.
pub async fn record_as_operator(
    client: &reqwest::Client,
    broker: &StandIn,
    environment: &str,
    pacticipant: &str,
    version: &str,
) {
    read(client, broker, environment, pacticipant).await;
    record(client, broker, environment, pacticipant, version).await;
    read(client, broker, environment, pacticipant).await;
}

async fn read(client: &reqwest::Client, broker: &StandIn, environment: &str, pacticipant: &str) {
    let path = format!("environments/{environment}/deployed-versions/currently-deployed?pacticipant={pacticipant}");
    let answer = client.get(format!("{}/{path}", broker.url())).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    drop(answer.bytes().await.unwrap());
}
