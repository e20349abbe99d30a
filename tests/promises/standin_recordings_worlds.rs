//! What the broker held when each recording was made, in the stand-in.

use serde_json::json;
use testbed::standin::Store;

pub(crate) const TEST: &str = "05b62dc5-3da9-4df0-b20f-e4661d5817c4";
pub(crate) const PRODUCTION: &str = "b30a2ab1-a7cd-4bd3-95ed-7671b9349e1f";
pub(crate) const MULTI: &str = "486307a8-941d-400f-bd40-e7fbc22d0eda";
pub(crate) const FIRST: &str = "e98c77d5-b9b9-406f-b60c-cf300e30acf3";
pub(crate) const BLUE: &str = "f2800ac1-0969-4e82-a992-919d1621d6db";
pub(crate) const SECOND: &str = "edb63311-57ec-4d5e-8727-8ebb94ae7613";
pub(crate) const RELEASE: &str = "01950e00-3ec0-4645-8316-a01ce936484d";
pub(crate) const ADMIN: &str = "3fd226a4-ac07-4495-a0e4-5addeae1275c";

pub(crate) fn nothing(_: &Store) {}

pub(crate) fn administered(store: &Store) {
    store.add_environment_with_uuid("e-adminx", false, ADMIN);
}

pub(crate) fn environments(store: &Store) {
    let contacts = json!([{"name": "Team Orders", "details": {"emailAddress": "orders@example.com"}}]);
    store.add_environment_with_contacts("production", true, PRODUCTION, contacts);
    store.add_environment_with_uuid("test", false, TEST);
}

pub(crate) fn three_environments(store: &Store) {
    environments(store);
    store.add_environment_with_uuid("multi", false, MULTI);
}

pub(crate) fn orders(store: &Store) {
    environments(store);
    store.publish_version("orders-web", "1.0.0");
    store.publish_version("orders-web", "1.0.1");
}

pub(crate) fn first_deployed(store: &Store) {
    orders(store);
    store.record_deployment_with_uuid("orders-web", "1.0.0", "test", None, FIRST);
}

pub(crate) fn first_and_blue_deployed(store: &Store) {
    first_deployed(store);
    store.record_deployment_with_uuid("orders-web", "1.0.0", "test", Some("blue"), BLUE);
}

pub(crate) fn second_and_blue_deployed(store: &Store) {
    first_and_blue_deployed(store);
    store.record_deployment_with_uuid("orders-web", "1.0.1", "test", None, SECOND);
}

pub(crate) fn released(store: &Store) {
    orders(store);
    store.record_release_with_uuid("orders-web", "1.0.0", "production", RELEASE);
}

pub(crate) fn web_published(store: &Store) {
    environments(store);
    store.publish_pact("web", "1", "api", "one");
    store.add_to_branch("web", "1", "main");
}

pub(crate) fn api_deployed(store: &Store) {
    web_published(store);
    assert!(store.verify("web", "1", "api", "10", true));
    store.record_deployment("api", "10", "test", None);
    store.publish_pact("web", "2", "api", "two");
    store.publish_version("web", "3");
    store.publish_version("lonely", "1");
}

pub(crate) fn second_failed(store: &Store) {
    api_deployed(store);
    assert!(store.verify("web", "2", "api", "10", false));
}

pub(crate) fn web_deployed(store: &Store) {
    second_failed(store);
    store.record_deployment("web", "1", "test", None);
    store.publish_version("api", "12");
}

pub(crate) fn mobile(store: &Store) {
    three_environments(store);
    store.publish_pact("mobile", "3", "mapi", "three");
    store.publish_pact("mobile", "4", "mapi", "four");
    assert!(store.verify("mobile", "3", "mapi", "4", false));
    assert!(store.verify("mobile", "3", "mapi", "5", true));
    assert!(store.verify("mobile", "4", "mapi", "5", true));
    store.record_deployment("mapi", "4", "multi", Some("blue"));
    store.record_deployment("mapi", "5", "multi", Some("green"));
}

pub(crate) fn mixed(store: &Store) {
    store.add_environment("mixed", false);
    store.publish_pact("mc", "1", "mp1", "one");
    store.publish_pact("mc", "1", "mp2", "two");
    store.publish_version("mp2", "1");
    assert!(store.verify("mc", "1", "mp1", "1", false));
    store.record_deployment("mp1", "1", "mixed", None);
    store.record_deployment("mp2", "1", "mixed", None);
}

/// Nothing is deployed. `pweb` 1 was verified by `pstock` 2, `pweb` 2 by `pstock` 1; `pother` has no pacts.
pub(crate) fn pairs(store: &Store) {
    store.publish_pact("pweb", "1", "pstock", "one");
    store.publish_pact("pweb", "2", "pstock", "two");
    store.publish_pact("pmobile", "7", "pweb", "seven");
    store.publish_version("pother", "9");
    assert!(store.verify("pweb", "1", "pstock", "2", true));
    assert!(store.verify("pweb", "2", "pstock", "1", true));
}
