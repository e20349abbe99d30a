//! The rights of the chart's accounts, tried for real: neither account becomes the other one, or anybody else, whatever it
//! asks the API server for with its own token.

use http::{Method, Request};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::chart::ChartCluster;
use testbed::chart::RELEASE;
use testbed::control_plane::config;
use testbed::eventually::eventually;
use testbed::kubectl::apply;
use testbed::test_cluster::SOON;

const AUTHORITY: &str = "pact-operator-webhook-authority";

/// What an account asks for: the method, the path, the body, and whom it claims to be.
struct Attempt {
    method: Method,
    path: String,
    body: Value,
    claims: Option<(&'static str, String)>,
}

fn post(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: Method::POST, path: path.into(), body, claims: None }
}

fn patch(path: impl Into<String>, body: Value) -> Attempt {
    Attempt { method: Method::PATCH, path: path.into(), body, claims: None }
}

fn get(path: impl Into<String>) -> Attempt {
    Attempt { method: Method::GET, path: path.into(), body: Value::Null, claims: None }
}

impl Attempt {
    fn claiming(mut self, header: &'static str, value: &str) -> Self {
        self.claims = Some((header, value.to_owned()));
        self
    }

    /// The status that the API server answers with.
    async fn ends_with(&self, client: &Client) -> u16 {
        let media_type = if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let mut request = Request::builder().method(self.method.clone()).uri(&self.path);
        request = request.header("content-type", media_type);
        if let Some((header, value)) = &self.claims {
            request = request.header(*header, value);
        }
        let body = if self.body.is_null() { Vec::new() } else { self.body.to_string().into_bytes() };
        match client.request_text(request.body(body).unwrap()).await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(error) => panic!("{} {}: {error}", self.method, self.path),
        }
    }
}

/// What would make an account another one.
fn attempts(other: &str) -> Vec<Attempt> {
    let pod = |account: &str| json!({"serviceAccountName": account, "containers": [{"name": "app", "image": "registry.example.com/app:1"}]});
    let mut attempts = Vec::new();
    for namespace in [RELEASE, "shop", "kube-system"] {
        let (core, apps) =
            (format!("/api/v1/namespaces/{namespace}"), format!("/apis/apps/v1/namespaces/{namespace}/deployments"));
        let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
        let token = json!({
            "metadata": {"name": "made", "annotations": {"kubernetes.io/service-account.name": other}},
            "type": "kubernetes.io/service-account-token",
        });
        let account = if namespace == RELEASE { other } else { "default" };
        let workload = json!({"metadata": {"name": "made"}, "spec": {
            "selector": {"matchLabels": {"app": "made"}},
            "template": {"metadata": {"labels": {"app": "made"}}, "spec": pod(account)},
        }});
        let binding = json!({
            "metadata": {"name": "made"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": RELEASE, "name": other}],
        });
        attempts.extend([
            post(format!("{core}/secrets"), token),
            post(format!("{core}/secrets"), json!({"metadata": {"name": "made"}})),
            post(format!("{core}/serviceaccounts/{account}/token"), json!({"spec": {}})),
            post(format!("{core}/serviceaccounts"), json!({"metadata": {"name": "made"}})),
            patch(format!("{core}/serviceaccounts/{account}"), json!({"secrets": [{"name": AUTHORITY}]})),
            get(format!("{core}/secrets")),
            get(format!("{core}/secrets?watch=1&timeoutSeconds=1")),
            get(format!("{core}/secrets/token-of-{other}")),
            post(format!("{core}/pods"), json!({"metadata": {"name": "made"}, "spec": pod(account)})),
            post(format!("{core}/pods/any/exec?command=id"), Value::Null),
            post(apps.clone(), workload),
            patch(format!("{apps}/{other}"), json!({"spec": {"template": {"spec": pod(account)}}})),
            post(format!("{rbac}/rolebindings"), binding),
            patch(format!("{rbac}/roles/{other}"), json!({"rules": []})),
        ]);
    }
    let whole = "/apis/rbac.authorization.k8s.io/v1";
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    attempts.push(get("/api/v1/secrets"));
    attempts.push(patch(format!("{whole}/clusterroles/{other}"), json!({"rules": everything})));
    attempts.push(post(format!("{whole}/clusterroles"), json!({"metadata": {"name": "made"}, "rules": everything})));
    let request = json!({"metadata": {"name": "made"}, "spec": {
        "request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
    }});
    attempts.push(post("/apis/certificates.k8s.io/v1/certificatesigningrequests", request));
    let look = || get("/api/v1/namespaces");
    attempts.push(look().claiming("impersonate-user", &format!("system:serviceaccount:{RELEASE}:{other}")));
    attempts.push(look().claiming("impersonate-user", "admin"));
    attempts
}

#[tokio::test]
async fn case_113_neither_account_becomes_the_other_one() {
    let cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let accounts = ["pact-operator-controller", "pact-operator-webhook"];
    // Tokens that an administrator has made, which are there to be read.
    for account in accounts {
        let token = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
            "metadata": {"name": format!("token-of-{account}"), "annotations": {"kubernetes.io/service-account.name": account}},
        });
        apply(cluster.control_plane.kubeconfig(), RELEASE, &token.to_string()).await;
    }
    for (own, other) in [(accounts[1], accounts[0]), (accounts[0], accounts[1])] {
        let kubeconfig = cluster.control_plane.user_kubeconfig(RELEASE, own).await;
        let client = Client::try_from(config(&kubeconfig).await).unwrap();
        let works = get("/api/v1/namespaces").ends_with(&client).await;
        assert_eq!(works, 200, "the token of {own} is good");
        let attempts = attempts(other);
        assert_eq!(attempts.len(), 48);
        for attempt in attempts {
            let ended = attempt.ends_with(&client).await;
            let Attempt { method, path, body, claims } = attempt;
            assert_eq!(ended, 403, "{own}: {method} {path} {body} {claims:?}");
        }
        let authority = get(format!("/api/v1/namespaces/{RELEASE}/secrets/{AUTHORITY}")).ends_with(&client).await;
        assert_eq!(authority, if own == accounts[1] { 200 } else { 403 }, "{own}");
    }
}

#[tokio::test]
async fn case_113_the_secret_that_the_webhook_may_write_becomes_no_token() {
    let cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let kubeconfig = cluster.control_plane.user_kubeconfig(RELEASE, "pact-operator-webhook").await;
    let client = Client::try_from(config(&kubeconfig).await).unwrap();
    let secrets = Api::<Secret>::namespaced(cluster.control_plane.client(), RELEASE);
    let before = secrets.get(AUTHORITY).await.unwrap();
    let account = json!({"kubernetes.io/service-account.name": "pact-operator-controller"});
    let mut changed = serde_json::to_value(&before).unwrap();
    changed["metadata"]["annotations"] = account;
    let path = format!("/api/v1/namespaces/{RELEASE}/secrets/{AUTHORITY}");
    let put = |body: &Value| Attempt { method: Method::PUT, path: path.clone(), body: body.clone(), claims: None };
    let mut retyped = changed.clone();
    retyped["type"] = json!("kubernetes.io/service-account-token");
    assert_eq!(put(&retyped).ends_with(&client).await, 422, "the type of a Secret does not change");
    // It may annotate its own Secret. The controller that fills in tokens looks at Secrets of the other type only: once
    // it has filled in one that was made later, it has seen this one, too.
    assert_eq!(put(&changed).ends_with(&client).await, 200);
    let token = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "later", "annotations": {"kubernetes.io/service-account.name": "pact-operator-controller"}},
    });
    apply(cluster.control_plane.kubeconfig(), RELEASE, &token.to_string()).await;
    eventually("a token to be filled in", SOON, async || {
        let data = secrets.get("later").await.map_err(|error| error.to_string())?.data.unwrap_or_default();
        if data.contains_key("token") { Ok(()) } else { Err(format!("{:?}", data.keys())) }
    })
    .await;
    let data = secrets.get(AUTHORITY).await.unwrap().data.unwrap_or_default();
    assert!(!data.contains_key("token"), "{:?}", data.keys());
}
