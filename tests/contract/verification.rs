//! What the client needs to ask for verifications: a part of the operator's pact with the broker (see
//! [`mod@super::pact`]).

use pact_consumer::prelude::*;
use pact_operator::broker::Broker;
use pact_operator::decide::verification::{BrokersWebhook, Scope};
use serde_json::json;

use super::client::{pacticipant, version};
use super::pact::{Contract, get, hal, known, not_found};

const WEBHOOK: &str = "3eb400c5-0000-4000-8000-000000000001";
const EVENT: &str = "contract_requiring_verification_published";
const PATH: &str = "/pacts/provider/stock/consumer/web/version";

/// The interactions.
pub(crate) fn verification(contract: &mut Contract) {
    let pact = ("a pact", json!({ "consumer": "web", "version": "7", "provider": "stock" }));
    let content = json_pattern!({ "name": term!("^[0-9a-f]{40}$", "0123456789abcdef0123456789abcdef01234567") });
    let body = json_pattern!({
        "createdAt": term!("^[-0-9]{10}T[:0-9]{8}[+]00:00$", "2026-11-23T07:36:01+00:00"),
        "_links": { "pb:pact-version": content }
    });
    contract.add("a request for a pact", std::slice::from_ref(&pact), get(&format!("{PATH}/7")), hal(200, body));
    contract.add("a request for a pact that is not there", &[pact], get(&format!("{PATH}/8")), not_found);

    let branched = json_pattern!({ "number": "2", "_embedded": { "branchVersions": [{ "name": "main" }] } });
    let on_main = ("a version on a branch", json!({ "pacticipant": "stock", "version": "2", "branch": "main" }));
    let of_stock = "/pacticipants/stock/versions";
    contract.add("a request for a version on a branch", &[on_main], get(&format!("{of_stock}/2")), hal(200, branched));
    contract.add(
        "a request for a version on no branch",
        &[known("stock", "1")],
        get(&format!("{of_stock}/1")),
        hal(200, json_pattern!({ "number": "1", "_embedded": { "branchVersions": [] } })),
    );

    let webhook = || [("a webhook", json!({ "uuid": WEBHOOK, "provider": "stock", "event": EVENT }))];
    let href = format!("http://broker.test/webhooks/{WEBHOOK}");
    let link = json_pattern!({ "href": term!(format!("^.*/webhooks/{WEBHOOK}$"), href) });
    let list = json_pattern!({ "_links": { "pb:webhooks": [link] } });
    contract.add("a request for the webhooks", &webhook(), get("/webhooks"), hal(200, list));
    let body = json_pattern!({
        "enabled": true, "events": [{ "name": EVENT }], "provider": { "name": "stock" }
    });
    contract.add("a request for a webhook", &webhook(), get(&format!("/webhooks/{WEBHOOK}")), hal(200, body));
}

/// The calls.
pub(crate) async fn ask_verification(broker: &Broker) {
    let (web, stock) = (pacticipant("web"), pacticipant("stock"));
    let pact = broker.published_pact(&web, &version("7"), &stock).await.unwrap().unwrap();
    assert_eq!(pact.content.as_str().len(), 40);
    assert_eq!(pact.published.unwrap().to_string(), "2026-11-23T07:36:01Z");
    assert_eq!(broker.published_pact(&web, &version("8"), &stock).await, Ok(None));
    assert_eq!(broker.branch_of(&stock, &version("2")).await, Ok(Some("main".to_owned())));
    assert_eq!(broker.branch_of(&stock, &version("1")).await, Ok(None));
    let webhook = BrokersWebhook {
        enabled: true,
        events: vec![EVENT.to_owned()],
        consumer: Scope::All,
        provider: Scope::Named("stock".to_owned()),
    };
    assert_eq!(broker.webhooks().await, Ok(vec![webhook]));
}
