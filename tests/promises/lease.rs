//! Leader election against a real API server: one leader, replaced soon when it is lost, and at once when it leaves.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use operator_kit::backoff::{entropy, fraction};
use operator_kit::lease::{self, Leadership, LeaseError, LeaseSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use testbed::components::Component;
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};
use testbed::flaky_client::{FlakyClient, Passes};
use testbed::kubectl;
use testbed::namespace::with_namespace;

/// For what happens soon on an idle machine.
const GENEROUS: Duration = Duration::from_mins(1);
/// So long that no Lease runs out during a test.
const LONG: Duration = Duration::from_mins(10);
const NAME: &str = "recorder";

struct Candidate {
    identity: String,
    leadership: Leadership,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), LeaseError>>,
    flaky_client: FlakyClient,
}

impl Candidate {
    fn start(client: Client, namespace: &str, who: &str, duration: Duration) -> Self {
        let settings = LeaseSettings::new(namespace, NAME, who).with_duration(duration);
        let (client, flaky_client) = FlakyClient::to(client);
        let (sender, leadership) = lease::leadership();
        let shutdown = CancellationToken::new();
        let identity = settings.identity.clone();
        let task = tokio::spawn(lease::run(client, settings, sender, shutdown.clone()));
        Self { identity, leadership, shutdown, task, flaky_client }
    }

    fn leads(&self) -> bool {
        self.leadership.is_leader()
    }

    async fn wait_leader(&self) {
        let leads = tokio::time::timeout(GENEROUS, self.leadership.wait_leader()).await;
        assert!(leads.is_ok(), "{} does not become leader", self.identity);
    }

    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(GENEROUS, self.task).await.expect("it ends").unwrap().unwrap();
        assert!(!self.leadership.is_leader());
    }
}

async fn holder(client: &Client, namespace: &str) -> (String, i32) {
    let lease = Api::<Lease>::namespaced(client.clone(), namespace).get(NAME).await.unwrap();
    let spec = lease.spec.unwrap();
    (spec.holder_identity.unwrap_or_default(), spec.lease_transitions.unwrap_or_default())
}

/// Waits until one of them leads, and says which.
async fn one_leads(candidates: &[&Candidate]) -> usize {
    eventually("a leader", GENEROUS, || async {
        candidates.iter().position(|candidate| candidate.leads()).ok_or_else(|| "no candidate leads".to_owned())
    })
    .await
}

#[tokio::test]
async fn of_two_candidates_one_leads_and_when_it_gives_the_lease_back_the_other_leads_at_once() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let client = cp.client();
        let candidates = ["a", "b"].map(|who| Candidate::start(client.clone(), &ns, who, LONG));
        let first = one_leads(&candidates.each_ref()).await;
        always("the other stands by", Duration::from_millis(500), async || {
            if candidates[1 - first].leads() { Err("two lead".to_owned()) } else { Ok(()) }
        })
        .await;
        let [a, b] = candidates;
        let (leader, standby) = if first == 0 { (a, b) } else { (b, a) };
        assert_eq!(holder(&client, &ns).await, (leader.identity.clone(), 0));
        leader.end().await;
        let released = Instant::now();
        standby.wait_leader().await;
        println!("took over {:?} after the release", released.elapsed());
        assert_eq!(holder(&client, &ns).await, (standby.identity.clone(), 1));
        standby.end().await;
        assert_eq!(holder(&client, &ns).await, (String::new(), 1), "given back");
    })
    .await;
}

#[tokio::test]
async fn a_killed_leader_is_replaced_when_its_claim_has_run_out_and_not_before() {
    let cp = ControlPlane::shared().await;
    let duration = Duration::from_secs(6);
    with_namespace(&cp, async |ns| {
        let leader = Candidate::start(cp.client(), &ns, "a", duration);
        leader.wait_leader().await;
        let standby = Candidate::start(cp.client(), &ns, "b", duration);
        // The last renewal may be up to a third of the duration old; the standby has seen one.
        tokio::time::sleep(duration / 2).await;
        assert!(leader.leads() && !standby.leads());
        leader.task.abort();
        let killed = Instant::now();
        standby.wait_leader().await;
        let waited = killed.elapsed();
        println!("took over {waited:?} after the kill, with a duration of {duration:?}");
        assert!(waited > duration / 2, "the claim of the dead was respected: {waited:?}");
        standby.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_cannot_renew_stops_before_another_one_may_lead() {
    let cp = ControlPlane::shared().await;
    let duration = Duration::from_secs(3);
    with_namespace(&cp, async |ns| {
        for passes in [Passes::Nothing, Passes::Requests] {
            let leader = Candidate::start(cp.client(), &ns, "a", duration);
            leader.wait_leader().await;
            let standby = Candidate::start(cp.client(), &ns, "b", duration);
            let both = [leader, standby];
            let witness = Witness::of(&both);
            let [leader, standby] = both;
            leader.flaky_client.set(passes);
            let cut = Instant::now();
            let mut watch = leader.leadership.watch();
            eventually("the leader to stop", GENEROUS, || async {
                if leader.leads() { Err("it leads".to_owned()) } else { Ok(()) }
            })
            .await;
            println!("stopped {:?} after the cut", cut.elapsed());
            let stopped = tokio::time::timeout(GENEROUS, watch.wait_for(|leads| !leads)).await;
            assert!(stopped.unwrap().is_ok(), "the watchers are notified");
            if passes == Passes::Nothing {
                standby.wait_leader().await;
                leader.flaky_client.set(Passes::Everything);
                always("the late requests of the old leader change nothing", duration, async || {
                    if leader.leads() { Err("it leads again".to_owned()) } else { Ok(()) }
                })
                .await;
                assert!(standby.leads());
            } else {
                // Its writes arrive, so the claim is renewed as long as it tries; with the connection restored, it
                // leads again.
                leader.flaky_client.set(Passes::Everything);
                one_leads(&[&leader, &standby]).await;
            }
            assert_eq!(witness.ends(), None);
            leader.end().await;
            standby.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn with_the_api_server_gone_nobody_leads_and_when_it_is_back_one_does() {
    let cp = ControlPlane::start().await;
    let duration = Duration::from_secs(4);
    with_namespace(&cp, async |ns| {
        let candidates = ["a", "b"].map(|who| Candidate::start(cp.client(), &ns, who, duration));
        for hangs in [true, false] {
            let leader = one_leads(&candidates.each_ref()).await;
            let stopped = Instant::now();
            if hangs {
                cp.signal(Component::ApiServer, "STOP");
            } else {
                cp.stop(Component::ApiServer);
            }
            let left = candidates[leader].leadership.time_left();
            assert!(left <= duration * 2 / 3, "without a renewal it ends before the Lease: {left:?}");
            eventually("no candidate to lead", GENEROUS, || async {
                if candidates.iter().any(Candidate::leads) { Err("a candidate leads".to_owned()) } else { Ok(()) }
            })
            .await;
            println!("no candidate leads {:?} after the API server went down", stopped.elapsed());
            always("no candidate leads", duration, async || {
                if candidates.iter().any(Candidate::leads) { Err("a candidate leads".to_owned()) } else { Ok(()) }
            })
            .await;
            if hangs {
                cp.signal(Component::ApiServer, "CONT");
            } else {
                cp.resume(Component::ApiServer).await;
            }
        }
        one_leads(&candidates.each_ref()).await;
        for candidate in candidates {
            candidate.end().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_shutdown_ends_although_the_api_server_is_out_of_reach() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let leader = Candidate::start(cp.client(), &ns, "a", Duration::from_secs(3));
        leader.wait_leader().await;
        leader.flaky_client.set(Passes::Nothing);
        leader.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_deleted_lease_is_made_again_by_its_holder() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let leader = Candidate::start(cp.client(), &ns, "a", LONG);
        leader.wait_leader().await;
        let api: Api<Lease> = Api::namespaced(cp.client(), &ns);
        api.delete(NAME, &kube::api::DeleteParams::default()).await.unwrap();
        let again =
            eventually("the Lease", GENEROUS, || async { api.get(NAME).await.map_err(|e| e.to_string()) }).await;
        assert_eq!(again.spec.unwrap().holder_identity, Some(leader.identity.clone()));
        assert!(leader.leads());
        leader.end().await;
    })
    .await;
}

/// Rights on leases, without list and watch when asked for fewer.
fn rights(verbs: &str) -> String {
    format!(
        "apiVersion: v1
kind: ServiceAccount
metadata: {{name: candidate}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: candidate}}
rules: [{{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [{verbs}]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: candidate}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: candidate}}
subjects: [{{kind: ServiceAccount, name: candidate}}]
"
    )
}

#[tokio::test]
async fn missing_rights_are_waited_for_and_without_watch_the_lease_is_polled() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        kubectl::apply(cp.kubeconfig(), &ns, &rights("get")).await;
        let kubeconfig = cp.user_kubeconfig(&ns, "candidate").await;
        let bounded = ControlPlane::from_kubeconfig(&kubeconfig).await.client();
        let candidate = Candidate::start(bounded, &ns, "a", LONG);
        always("no leader without rights", Duration::from_secs(1), async || {
            if candidate.leads() || candidate.task.is_finished() { Err("it leads, or gave up".into()) } else { Ok(()) }
        })
        .await;
        kubectl::apply(cp.kubeconfig(), &ns, &rights("get, create, update")).await;
        candidate.wait_leader().await;
        let other = Candidate::start(cp.client(), &ns, "b", LONG);
        candidate.end().await;
        other.wait_leader().await;
        // The other way round: the candidate without a watch follows the one that gives the Lease back.
        let bounded = ControlPlane::from_kubeconfig(&kubeconfig).await.client();
        let polling = Candidate::start(bounded, &ns, "c", LONG);
        tokio::time::sleep(Duration::from_millis(500)).await;
        other.end().await;
        polling.wait_leader().await;
        polling.end().await;
    })
    .await;
}

#[tokio::test]
async fn twenty_rounds_of_accidents_never_give_two_leaders_at_one_moment() {
    let cp = ControlPlane::shared().await;
    let duration = Duration::from_secs(2);
    with_namespace(&cp, async |ns| {
        let client = cp.client();
        let mut number = 0;
        let mut start = || {
            number += 1;
            Candidate::start(client.clone(), &ns, &format!("c{number}"), duration)
        };
        let mut candidates: Vec<Candidate> = (0..3).map(|_| start()).collect();
        for round in 0..20 {
            let leader = one_leads(&candidates.iter().collect::<Vec<_>>()).await;
            let witness = Witness::of(&candidates);
            // Somewhere between two renewals.
            tokio::time::sleep(fraction(duration / 2, entropy())).await;
            let accident = entropy() % 5;
            let struck = &candidates[leader];
            match accident {
                0 => {
                    struck.task.abort();
                    eventually("the killed candidate to end", GENEROUS, || async {
                        struck.task.is_finished().then_some(()).ok_or_else(|| "it still runs".to_owned())
                    })
                    .await;
                }
                1 => struck.flaky_client.cut_for(Passes::Nothing, duration * 3 / 2).await,
                2 => struck.flaky_client.cut_for(Passes::Requests, duration * 3 / 2).await,
                3 => struck.shutdown.cancel(),
                // All connections at once, and no candidate dies.
                _ => {
                    futures::future::join_all(
                        candidates.iter().map(|c| c.flaky_client.cut_for(Passes::Nothing, duration)),
                    )
                    .await;
                }
            }
            let living: Vec<&Candidate> =
                candidates.iter().filter(|c| !c.task.is_finished() && !c.shutdown.is_cancelled()).collect();
            let lived = living.len();
            assert!(lived >= 2, "one accident strikes one candidate");
            if lived < 3 {
                one_leads(&living).await;
            }
            if let Some(two) = witness.ends() {
                panic!("round {round}, accident {accident}: {two}");
            }
            if lived < 3 {
                candidates.remove(leader);
                candidates.push(start());
            }
        }
    })
    .await;
}

/// A thread that checks all the time whether two candidates lead at one moment.
struct Witness {
    ended: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<Option<String>>,
}

impl Witness {
    fn of(candidates: &[Candidate]) -> Self {
        let watched: Vec<(String, Leadership)> =
            candidates.iter().map(|c| (c.identity.clone(), c.leadership.clone())).collect();
        let ended = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
        let stop = ended.clone();
        let thread = std::thread::spawn(move || {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (one, leads) in &watched {
                    for (other, also) in watched.iter().filter(|(other, _)| other != one) {
                        // Looked at before and after: it led while the other did.
                        if leads.is_leader() && also.is_leader() && leads.is_leader() {
                            return Some(format!("{one} and {other} both lead"));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            None
        });
        Self { ended, thread }
    }

    fn ends(self) -> Option<String> {
        self.ended.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
