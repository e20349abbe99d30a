//! The same through the API server: the cost of the gate for a rollout.

use std::time::Instant;

use axum::http;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::load::{Flood, Medians};
use crate::realistic::{deployment, variables_for};
use crate::report::plot::{Line, Plot};
use crate::report::{Goal, Report, Spread, ratio};
use crate::setup::{CACHED, PATIENCE, PROVIDER, Setup};
use crate::sizes::Sizes;
use testbed::eventually::eventually;
use testbed::test_cluster::image;
use testbed::webhook::Person;

/// How large the Deployment is as the API server gives it.
const BYTES: usize = 20 << 10;

pub async fn measure(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let person = Person::developer(&setup.cluster.control_plane).await;
    let namespaces = [&setup.gated, &setup.floor, &setup.free];
    let mut stored = 0;
    for namespace in namespaces {
        let api: Api<Deployment> = Api::namespaced(setup.cluster.client(), namespace);
        let object = deployment(PROVIDER, PROVIDER, "1.0.0", variables_for(BYTES));
        // As the admin, about whose rollouts the gate is not asked.
        let created = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        stored = serde_json::to_string(&created).unwrap().len();
    }
    until_routed(setup, &person).await;
    report.section(
        "Cached verdicts, through the API server",
        &format!(
            "A developer changes the image of a Deployment of {stored} bytes as a server-side dry-run, from so many clients \
             at once, each with a connection of its own. The same in a namespace about which the webhook that always says \
             yes is asked, under the same matchConditions, and in one about which nobody is. All three take turns, {} of \
             {:.1} s each; medians of the turns. p50 / p99 / p99.9. Everything shares the cores, so with many clients the \
             API server's own work is most of what is seen.",
            sizes.turns,
            sizes.turn.as_secs_f64(),
        ),
    );
    let mut measured = Vec::new();
    for clients in sizes.clients {
        let people: Vec<Client> = (0..*clients).map(|_| person.client()).collect();
        let mut turns: [Vec<Flood>; 3] = Default::default();
        for namespace in namespaces {
            drop(flood(&people, namespace, sizes.turn / 4).await);
        }
        for turn in 0..sizes.turns {
            for offset in 0..3 {
                let which = (turn + offset) % 3;
                turns[which].push(flood(&people, namespaces[which], sizes.turn).await);
            }
        }
        let medians = turns.map(|turns| Medians::of(&turns));
        rows(*clients, &medians, report);
        measured.push((*clients as f64, medians));
    }
    picture(&measured, report);
}

fn picture(measured: &[(f64, [Medians; 3])], report: &mut Report) {
    let line = |which: usize, quantile: fn(&Medians) -> f64| -> Vec<(f64, f64)> {
        measured.iter().map(|(clients, medians)| (*clients, quantile(&medians[which]) * 1e3)).collect()
    };
    let names = ["pact-operator", "always yes", "no webhook"];
    let lines = names.iter().enumerate().flat_map(|(which, name)| {
        let (median, p99) = (line(which, |it| it.p50), line(which, |it| it.p99));
        [Line::new(&format!("{name}, p50"), median), Line::second(&format!("{name}, p99"), p99)]
    });
    let title = "An image change through the API server";
    report.plot("latency", &Plot::growth(title, "clients at once", "latency (ms)", lines.collect()));
}

/// Waits until the API server has adopted the configurations, which takes it some time.
async fn until_routed(setup: &Setup, person: &Person) {
    let client = person.client();
    eventually("the API server to ask the right webhooks", PATIENCE, async || {
        let mut asked = [0, 0];
        for (asked, namespace) in asked.iter_mut().zip([&setup.gated, &setup.free]) {
            let before = setup.webhook.reviews().await;
            change(&client, namespace).await.map_err(|error| error.to_string())?;
            *asked = setup.webhook.reviews().await - before;
        }
        change(&client, &setup.floor).await.map_err(|error| error.to_string())?;
        if asked == [1, 0] { Ok(()) } else { Err(format!("reviews of the gated and the free namespace: {asked:?}")) }
    })
    .await;
}

async fn change(client: &Client, namespace: &str) -> Result<(), kube::Error> {
    let patch = json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image(CACHED)}]}}}});
    let address = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{PROVIDER}?dryRun=All&fieldManager=bench");
    let request = http::Request::patch(address).header("content-type", "application/strategic-merge-patch+json");
    client.request_text(request.body(patch.to_string().into_bytes()).unwrap()).await.map(drop)
}

async fn flood(people: &[Client], namespace: &str, time: std::time::Duration) -> Flood {
    let began = Instant::now();
    let until = began + time;
    let workers = people.iter().map(|client| {
        let (client, namespace) = (client.clone(), namespace.to_owned());
        tokio::spawn(async move {
            let mut seconds = Vec::new();
            // At least one, however busy the machine is.
            loop {
                let sent = Instant::now();
                change(&client, &namespace).await.unwrap_or_else(|error| panic!("{namespace}: {error}"));
                seconds.push(sent.elapsed().as_secs_f64());
                if Instant::now() >= until {
                    break;
                }
            }
            seconds
        })
    });
    let seconds: Vec<f64> = join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    Flood { rate: seconds.len() as f64 / began.elapsed().as_secs_f64(), took: Spread::of(seconds) }
}

fn rows(clients: usize, [gate, yes, free]: &[Medians; 3], report: &mut Report) {
    let what = if clients == 1 { "1 client".to_owned() } else { format!("{clients} clients") };
    let more = |with: f64, without: f64| format!("{:+.2} ms", (with - without) * 1e3);
    report.row(&format!("{what}: each, beside always yes"), &gate.shown(), &yes.shown(), "", "");
    for (quantile, ours, floor) in [("p50", gate.p50, yes.p50), ("p99", gate.p99, yes.p99)] {
        report.judged(
            &format!("{what}: {quantile} beside always yes"),
            [&format!("{:.2} ms", ours * 1e3), &format!("{:.2} ms", floor * 1e3), &ratio(ours, floor)],
            &Goal::at_most(1.1, "×", ours / floor),
        );
    }
    report.row(
        &format!("{what}: each, beside no webhook"),
        &gate.shown(),
        &free.shown(),
        &format!("p50 {}, p99 {}", ratio(gate.p50, free.p50), ratio(gate.p99, free.p99)),
        "",
    );
    report.row(
        &format!("{what}: added to a call without any webhook, at p50 / p99"),
        &format!("{} / {}", more(gate.p50, free.p50), more(gate.p99, free.p99)),
        &format!("{} / {} (always yes)", more(yes.p50, free.p50), more(yes.p99, free.p99)),
        "",
        "",
    );
    report.row(
        &format!("{what}: changes per second"),
        &format!("{:.0}", gate.rate),
        &format!("{:.0} (always yes), {:.0} (none)", yes.rate, free.rate),
        &format!("{:.2} × / {:.2} ×", gate.rate / yes.rate, gate.rate / free.rate),
        "",
    );
}
