//! The requests of a pass: each takes a while, may fail, and its answer may be lost.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use pact_operator::{
    api::{PactDeploymentStatus, names::Version},
    decide::{
        Explanation, Reason,
        record::{
            BrokerWrite, Done, Facts, Failure, Live, MemberFate, MemberView, Row, counted, counted_before,
            has_recorded, with_strangers,
        },
    },
    workload::{RecordKey, WorkloadKind, WorkloadRef},
};

use crate::{
    broker,
    process::{Handle, Shared},
    world::{Mutant, World, time},
};

/// A request is under way: whoever awaits this is polled again some time later, or never.
pub struct UnderWay(pub bool);

impl Future for UnderWay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn unreachable(what: &str) -> Explanation {
    Explanation::new(Reason::ApiServerUnavailable, format!("{what} does not answer"))
}

pub fn row(row: &broker::Row) -> Row {
    Row { version: Version::parse(&row.version).unwrap(), uuid: row.uuid.clone() }
}

/// Members as the record sees them.
pub fn members_of(world: &World, all: Vec<MemberView>, status: Option<&PactDeploymentStatus>) -> Vec<MemberView> {
    if world.mutant == Mutant::NoStrangers { all } else { with_strangers(all, status) }
}

pub fn find_fates(
    world: &Shared,
    process: &Handle,
    key: &RecordKey,
    facts: &Facts<'_>,
) -> Result<Vec<MemberFate>, Explanation> {
    let (world, process) = (world.borrow(), process.borrow());
    if world.api_down {
        return Err(unreachable("the API server"));
    }
    let now = members_of(&world, process.index.members(key), facts.status);
    let members = facts.status.into_iter().flat_map(|status| counted_before(status, &now));
    let fate = |member: &pact_operator::api::deployment::Member| {
        let kind = WorkloadKind::named(&member.kind).unwrap();
        let reference = WorkloadRef { kind, namespace: member.namespace.clone(), name: member.name.clone() };
        let live = world.cluster.workloads.get(&reference).map(|truth| {
            truth
                .object(&reference, world.mutant == Mutant::NoObservedGeneration)
                .observe(time(world.now + process.clock))
        });
        if live.is_some() && process.moved(&world, &reference.namespace) {
            return MemberFate::Unknown;
        }
        let left = live.is_none()
            && world.mutant != Mutant::NoPodsLeft
            && world
                .cluster
                .left
                .iter()
                .any(|left| left.namespace == reference.namespace && left.pacticipant == key.pacticipant.as_str());
        let recorded = |key: &RecordKey, version: &Version| {
            process.records.get(key).is_some_and(|(status, _)| has_recorded(status, version))
        };
        process.index.fate(key, &reference, live.as_ref(), left, recorded)
    };
    Ok(members.map(fate).collect())
}

pub fn read_live(world: &Shared, process: &Handle, key: &RecordKey, facts: &Facts<'_>) -> Result<Live, Failure> {
    let failed = |why| Failure { why, retry_after: None };
    let shared = world.borrow();
    if shared.broker.down {
        return Err(failed(unreachable("the broker")));
    }
    if shared.api_down {
        return Err(failed(unreachable("the API server")));
    }
    let found = shared.broker.rows.get(key).cloned();
    let mut process = process.borrow_mut();
    if let Some(rows) = &mut process.snapshot {
        match &found {
            Some(row) => rows.insert(key.clone(), row.clone()),
            None => rows.remove(key),
        };
    }
    let members = match &facts.live {
        Some(Ok(live)) => live.members.clone(),
        _ if facts.members.is_empty() => process.index.members(key),
        _ if shared.mutant == Mutant::NoLiveRead => facts.members.clone(),
        _ => {
            let live = |member: &MemberView| {
                let truth = shared.cluster.workloads.get(&member.workload)?;
                if process.moved(&shared, &member.workload.namespace) {
                    return None;
                }
                let blind = shared.mutant == Mutant::NoObservedGeneration;
                let workload = truth.object(&member.workload, blind).observe(time(shared.now + process.clock));
                process.index.member_for(key, &workload)
            };
            facts.members.iter().filter_map(live).collect()
        }
    };
    let members = counted(&members_of(&shared, members, facts.status)).to_vec();
    Ok(Live { members, row: found.as_ref().map(row), releases: Vec::new() })
}

/// A write: only with the lease, it may fail, and its answer may be lost although it was carried out.
pub async fn carry_out(world: &Shared, process: &Handle, facts: &Facts<'_>, write: &BrokerWrite, read: u64) -> Done {
    let key = facts.key;
    let leads = {
        let (world, process) = (world.borrow(), process.borrow());
        world.mutant == Mutant::NoLease || process.leads(&world)
    };
    // Noted, and from here on not certain.
    if !leads || world.borrow().broker.down {
        world.borrow_mut().doubts.insert(key.clone());
    }
    if !leads {
        return Done::LeaseLost;
    }
    let refused = |why| Done::Refused(Failure { why, retry_after: None });
    if matches!(write, BrokerWrite::Undeploy(_)) {
        UnderWay(false).await;
        let (world, mut process) = (world.borrow(), process.borrow_mut());
        let stored = world.records.get(key);
        if stored.map(|(status, _)| status) != facts.status {
            if let Some(stored) = stored {
                process.records.insert(key.clone(), stored.clone());
            }
            return Done::LeaseLost;
        }
        if !process.leads(&world) && world.mutant != Mutant::NoLease {
            return Done::LeaseLost;
        }
    }
    let number = process.borrow().number;
    let lost = {
        let mut world = world.borrow_mut();
        if world.broker.down {
            return refused(unreachable("the broker"));
        }
        match write {
            BrokerWrite::Record { version, correction } => {
                if !world.record(number, key, version.as_str(), *correction) {
                    let why = Explanation::new(Reason::VersionMissing, format!("{version} is not published"));
                    return refused(why);
                }
            }
            BrokerWrite::Undeploy(row) => world.undeploy(number, key, &row.uuid, read),
            BrokerWrite::Release { .. } => unreachable!("deployments only"),
        }
        let step = world.step;
        (step + world.seed).is_multiple_of(11)
    };
    // It is done; now the answer comes, or the process ends, or the answer is lost.
    UnderWay(false).await;
    if lost {
        let mut world = world.borrow_mut();
        world.excused(key);
        world.doubts.insert(key.clone());
        return refused(unreachable("the broker"));
    }
    match write {
        BrokerWrite::Record { version, correction } => {
            Done::Recorded { version: version.clone(), correction: *correction }
        }
        BrokerWrite::Undeploy(row) => Done::Undeployed { version: row.version.clone() },
        BrokerWrite::Release { .. } => Done::Released,
    }
}

/// Writes a status, if nobody else wrote since it was read.
pub async fn store(world: &Shared, process: &Handle, key: &RecordKey, status: PactDeploymentStatus) -> bool {
    let known = process.borrow().records.get(key).map(|(_, revision)| *revision);
    UnderWay(false).await;
    let written = {
        let (mut world, mut process) = (world.borrow_mut(), process.borrow_mut());
        if world.api_down {
            return false;
        }
        let stored = world.records.get(key).map(|(_, revision)| *revision);
        if known == stored {
            world.revision += 1;
            let revision = world.revision;
            world.reported(key, &status);
            world.records.insert(key.clone(), (status.clone(), revision));
            world.tell(|| {
                let ready = status.conditions.iter().find(|it| it.type_ == "Ready").map(|it| it.reason.clone());
                let recorded = status.recorded.as_ref().map(|it| (&it.version, it.found));
                let members: Vec<_> = status.members.iter().map(|it| (&it.namespace, &it.name, &it.version)).collect();
                format!(
                    "  process {} says of {key}: {ready:?} {recorded:?} {:?} {members:?}",
                    process.number, status.intended
                )
            });
            process.records.insert(key.clone(), (status, revision));
            true
        } else {
            // A conflict: the copy is read anew.
            match world.records.get(key) {
                Some(newest) => process.records.insert(key.clone(), newest.clone()),
                None => process.records.remove(key),
            };
            false
        }
    };
    UnderWay(false).await;
    written
}
