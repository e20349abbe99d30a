//! What happens: teams deploy, the Deployment controller goes on, other clients write, and things fail.

use crate::{
    Simulation,
    broker::Writer,
    truth::{Left, Truth, deployment},
    world::World,
};
use pact_operator::workload::WorkloadRef;

const PACTICIPANTS: [&str; 2] = ["orders", "web"];
/// The last one is published late, if ever.
const VERSIONS: [&str; 4] = ["1", "2", "3", "4"];

/// One thing happens.
pub fn happens(simulation: &mut Simulation) {
    match simulation.dice.below(100) {
        0..8 => a_team_acts(simulation),
        8..28 => progress(simulation),
        28..36 => {
            let seconds = i64::try_from(simulation.dice.below(8)).unwrap();
            simulation.world.borrow_mut().now += seconds;
        }
        36..38 => another_client_writes(simulation),
        38..42 => something_fails(simulation),
        _ => {
            for _ in 0..4 {
                a_process_goes_on(simulation);
            }
        }
    }
}

fn a_process_goes_on(simulation: &mut Simulation) {
    let number = simulation.dice.below(simulation.processes.len());
    match simulation.dice.below(20) {
        0..5 => deliver(simulation),
        5..7 => {
            let mut process = simulation.processes[number].borrow_mut();
            if !process.paused {
                process.renew(&mut simulation.world.borrow_mut());
            }
        }
        7..10 => simulation.begin(number),
        10 => simulation.read_environment(number),
        _ => {
            if !simulation.tasks.is_empty() {
                let at = simulation.dice.below(simulation.tasks.len());
                simulation.go_on(at);
            }
        }
    }
}

fn a_team_acts(simulation: &mut Simulation) {
    let (dice, mut world) = (&mut simulation.dice, simulation.world.borrow_mut());
    let (namespace, name) = (dice.of(&["shop", "bank", "lab"]), dice.of(&["x", "y"]));
    let reference = deployment(namespace, name);
    let version = dice.of(&VERSIONS).to_owned();
    let uid = world.step;
    let Some(truth) = world.cluster.workloads.get_mut(&reference) else {
        let pacticipant = dice.of(&PACTICIPANTS);
        // The pods that an earlier one left behind are adopted or replaced.
        world.cluster.left.retain(|left| left.namespace != namespace);
        world.cluster.workloads.insert(reference, Truth::new(uid, pacticipant, &version));
        return;
    };
    match dice.below(12) {
        0..5 => {
            if truth.version != version {
                truth.version = version;
                truth.generation += 1;
            }
        }
        5 => {
            truth.replicas = u32::try_from(dice.below(3)).unwrap();
            truth.generation += 1;
        }
        6 => truth.pacticipant = Some(dice.of(&PACTICIPANTS).to_owned()),
        7 if dice.percent(30) => truth.pacticipant = None,
        8 | 9 => {
            world.cluster.workloads.remove(&reference);
        }
        10 => {
            // --cascade=orphan. Of a workload that the operator never noted nobody looks for pods.
            let named = truth.pacticipant.clone();
            let of_it = world.records.iter().filter(|(key, _)| Some(key.pacticipant.as_str()) == named.as_deref());
            let mut noted = of_it.flat_map(|(_, (status, _))| &status.members);
            let noted = noted.any(|member| member.namespace == namespace && member.name == name);
            if let Some(gone) = world.cluster.workloads.remove(&reference)
                && let Some(pacticipant) = gone.pacticipant.clone()
                && gone.all_pods() > 0
                && noted
            {
                world.cluster.left.push(Left {
                    namespace: namespace.to_owned(),
                    pacticipant,
                    versions: gone.pods.into_keys().collect(),
                });
            }
        }
        _ => {
            let stage = dice.of(&["prod", "test"]);
            world.cluster.stages.insert(namespace.to_owned(), stage.to_owned());
            let now = world.now;
            world.moved.insert(namespace.to_owned(), now);
        }
    }
    tell(&world, "a team acts");
}

/// What is in the cluster, after somebody changed it.
fn tell(world: &World, what: &str) {
    world.tell(|| {
        let one = |(reference, it): (&WorkloadRef, &Truth)| {
            format!("{}/{} {:?} {} {:?}", reference.namespace, reference.name, it.pacticipant, it.version, it.pods)
        };
        let all: Vec<_> = world.cluster.workloads.iter().map(one).collect();
        format!("{what}: {:?} {all:?}", world.cluster.stages)
    });
}

fn progress(simulation: &mut Simulation) {
    let mut world = simulation.world.borrow_mut();
    let references: Vec<_> = world.cluster.workloads.keys().cloned().collect();
    if references.is_empty() {
        return;
    }
    let reference = simulation.dice.of(&references);
    if let Some(truth) = world.cluster.workloads.get_mut(&reference) {
        truth.progress();
    }
    if simulation.dice.percent(2) {
        world.cluster.left.clear();
    }
}

/// A watch tells a process something: a state that it has not seen yet, not always the newest, and of any object.
fn deliver(simulation: &mut Simulation) {
    let (dice, world) = (&mut simulation.dice, simulation.world.borrow());
    let mut process = simulation.processes[dice.below(simulation.processes.len())].borrow_mut();
    match dice.below(10) {
        0 => {
            let namespace = dice.of(&["shop", "bank", "lab"]);
            let stage = world.cluster.stages[namespace].clone();
            process.namespace(namespace, &stage);
        }
        1 => {
            let key = dice.of(&world.keys);
            match world.records.get(&key) {
                Some(record) => process.records.insert(key.clone(), record.clone()),
                None => process.records.remove(&key),
            };
            process.due.insert(key);
        }
        2 if dice.percent(20) => process.list(&world),
        _ => {
            let references: Vec<_> = world.history.keys().cloned().collect();
            let reference = dice.of(&references);
            let seen = process.seen.get(&reference).copied().unwrap_or_default();
            let newest = world.history[&reference].len() - 1;
            if newest > seen {
                let state = seen + 1 + dice.below(newest - seen);
                process.deliver(&world, &reference, state);
            }
        }
    }
}

fn another_client_writes(simulation: &mut Simulation) {
    let (dice, mut world) = (&mut simulation.dice, simulation.world.borrow_mut());
    let key = dice.of(&world.keys);
    match dice.below(4) {
        0 => {
            let version = dice.of(&VERSIONS);
            world.broker.published.insert((key.pacticipant.to_string(), version.to_owned()));
        }
        1 => {
            let row = world.broker.rows.get(&key).map(|row| row.uuid.clone());
            if let Some(uuid) = row {
                world.broker.undeploy(&uuid);
                world.tell(|| format!("somebody else undeploys {key}"));
                world.foreign.insert(key.clone());
                *world.changes.entry(key).or_default() += 1;
            }
        }
        _ => {
            let version = dice.of(&VERSIONS);
            if world.broker.record(&key, version, Writer::Other) {
                world.tell(|| format!("somebody else records {version} of {key}"));
                world.foreign.insert(key.clone());
                *world.changes.entry(key).or_default() += 1;
            }
        }
    }
}

fn something_fails(simulation: &mut Simulation) {
    let number = simulation.dice.below(simulation.processes.len());
    match simulation.dice.below(14) {
        0..3 => simulation.restart(number),
        3..5 => {
            let mut process = simulation.processes[number].borrow_mut();
            process.paused = !process.paused;
        }
        5..8 => {
            let mut world = simulation.world.borrow_mut();
            world.broker.down = !world.broker.down;
        }
        8 => {
            let mut world = simulation.world.borrow_mut();
            world.api_down = !world.api_down;
        }
        9 => simulation.backup = Some(simulation.world.borrow().records.clone()),
        10 if simulation.dice.percent(30) => restore(simulation),
        11 => {
            // Long enough for a lease to run out.
            simulation.world.borrow_mut().now += 16;
        }
        _ => {
            let mut world = simulation.world.borrow_mut();
            world.broker.down = false;
            world.api_down = false;
        }
    }
}

/// etcd is restored from a backup: the records are old ones, with old revisions, and everybody lists again.
fn restore(simulation: &mut Simulation) {
    let Some(backup) = simulation.backup.clone() else { return };
    let mut world = simulation.world.borrow_mut();
    world.tell(|| "etcd is restored".to_owned());
    world.records = backup;
    world.restored = true;
    for key in world.keys.clone() {
        world.doubts.insert(key.clone());
        world.excused(&key);
    }
    for process in &simulation.processes {
        process.borrow_mut().list(&world);
    }
}
