//! Reviews sent directly to one replica: what the handler itself costs.

use crate::cost;
use crate::load::{Flood, Medians, Target};
use crate::report::{Goal, Report, mib, ratio};
use crate::setup::{NAMED_BY_EACH, OTHERS, Setup};
use crate::sizes::Sizes;

/// The results of the turns of one of the two.
struct Side {
    turns: Vec<Flood>,
    cpu: f64,
}

impl Side {
    /// CPU seconds per 1,000 reviews.
    fn per_thousand(&self) -> f64 {
        self.cpu * 1e3 / Medians::of(&self.turns).count as f64
    }
}

pub async fn measure(setup: &Setup, sizes: &Sizes, report: &mut Report) {
    let bodies = setup.cached();
    let (gate_pid, yes_pid) = (setup.webhook.pid(), setup.always_yes.pid());
    let answer = setup.gate(&bodies).send(0).await;
    assert!(answer.body.contains(r#""verdict":"Yes""#), "not what is to be measured: {}", answer.body);
    let before = (cost::resident(gate_pid), cost::resident(yes_pid));
    let remembered = (setup.answers("Remembered").await, setup.answers("Asked").await);
    report.section(
        "Cached verdicts, called directly",
        &format!(
            "One replica, TLS 1.3, HTTP/1.1, kept connections, one for each request under way. Each review is an update of an annotated Deployment with `managedFields`, {} bytes in all, \
             of {} Deployments in turn, answered Yes from what is remembered (for 10 s; then the broker is asked again, \
             which is part of the measurement). {OTHERS} more environments name {NAMED_BY_EACH} namespaces each. The floor is a process of its own with the same TLS server and threads \
             that reads the body and says yes. Both take turns, {} of {:.1} s each; medians of the turns. The requests \
             are sent by this bench, on the same cores; CPU is that of the webhook's process alone. p50 / p99 / p99.9.",
            bodies[0].len(),
            bodies.len(),
            sizes.turns,
            sizes.turn.as_secs_f64(),
        ),
    );
    let mut reviews = 0;
    for at_once in sizes.direct {
        let (gate, yes) = (setup.gate(&bodies), setup.yes(&bodies));
        let [gate, yes] = take_turns([(&gate, gate_pid), (&yes, yes_pid)], *at_once, sizes).await;
        reviews += gate.turns.iter().map(|turn| turn.took.len()).sum::<usize>();
        rows(&format!("{at_once} at once"), &gate, &yes, report);
    }
    let after = (cost::resident(gate_pid), cost::resident(yes_pid));
    let memory = |before, after| format!("{} → {}", mib(before), mib(after));
    report.row(
        &format!("resident memory, before and after {reviews} reviews"),
        &memory(before.0, after.0),
        &memory(before.1, after.1),
        &ratio(after.0 as f64, after.1 as f64),
        "",
    );
    let (more, asked) = (setup.answers("Remembered").await, setup.answers("Asked").await);
    let answers = format!("{} remembered, {} asked", more - remembered.0, asked - remembered.1);
    report.fact("where the answers came from", &answers);
}

/// The time and the CPU time of a review, as many times those of the floor.
pub async fn beside_floor(setup: &Setup, at_once: usize, sizes: &Sizes) -> (f64, f64) {
    let bodies = setup.cached();
    let targets = [(&setup.gate(&bodies), setup.webhook.pid()), (&setup.yes(&bodies), setup.always_yes.pid())];
    let [gate, yes] = take_turns(targets, at_once, sizes).await;
    let (ours, floor) = (Medians::of(&gate.turns), Medians::of(&yes.turns));
    (floor.rate / ours.rate, gate.per_thousand() / yes.per_thousand())
}

async fn take_turns(targets: [(&Target, Option<u32>); 2], at_once: usize, sizes: &Sizes) -> [Side; 2] {
    let mut both = [Side { turns: Vec::new(), cpu: 0.0 }, Side { turns: Vec::new(), cpu: 0.0 }];
    for (target, _) in &targets {
        // Connections are made, and the verdict is cached.
        drop(target.flood(at_once, sizes.turn / 6).await);
    }
    for turn in 0..sizes.turns {
        // Neither is always first.
        for side in if turn % 2 == 0 { [0, 1] } else { [1, 0] } {
            let (target, pid) = targets[side];
            let before = cost::cpu(pid);
            both[side].turns.push(target.flood(at_once, sizes.turn).await);
            both[side].cpu += cost::cpu(pid).saturating_sub(before).as_secs_f64();
        }
    }
    both
}

fn rows(what: &str, gate: &Side, yes: &Side, report: &mut Report) {
    let (ours, floor) = (Medians::of(&gate.turns), Medians::of(&yes.turns));
    report.judged(
        &format!("{what}: reviews per second"),
        [&format!("{:.0}", ours.rate), &format!("{:.0}", floor.rate), &ratio(ours.rate, floor.rate)],
        &Goal::at_least(0.75, "×", ours.rate / floor.rate),
    );
    report.row(
        &format!("{what}: each"),
        &ours.shown(),
        &floor.shown(),
        &format!("{:.2} / {:.2} / {:.2} ×", ours.p50 / floor.p50, ours.p99 / floor.p99, ours.p999 / floor.p999),
        "",
    );
    let (ours, floor) = (gate.per_thousand(), yes.per_thousand());
    report.judged(
        &format!("{what}: CPU seconds per 1,000 reviews"),
        [&format!("{ours:.3}"), &format!("{floor:.3}"), &ratio(ours, floor)],
        &Goal::at_most(1.5, "×", ours / floor),
    );
}
