//! The leading controller is killed with SIGKILL at the end of each minute but the last one, and another one is started.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;
use tokio::time::sleep;

use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

use crate::clock::Clock;
use crate::controllers::Controllers;
use crate::memory::{Role, Roster};

/// A standby takes over when the chart's 15 s of the Lease have run out; with room for a busy machine.
const TAKEOVER: Duration = Duration::from_secs(45);

/// What the kills came to.
#[derive(Default)]
pub struct Kills {
    /// How long after each kill another controller held the Lease.
    pub takeovers: Vec<Duration>,
    /// How many times the new controller took over, and not the one that had stood by.
    pub by_the_new_one: usize,
    /// When no controller led that should have, with the reason.
    pub without_leader: Vec<String>,
}

/// Who is who before the first kill.
pub async fn enrol(controllers: &Controllers, roster: &Roster) {
    let leads = eventually("a controller to lead", SOON, async || controllers.leader().await).await;
    set_roles(controllers, leads, roster);
}

/// Kills until the run is over.
pub async fn each_minute(
    controllers: &mut Controllers,
    control_plane: &ControlPlane,
    roster: &Roster,
    clock: Clock,
) -> Kills {
    let mut kills = Kills::default();
    for minute in 1..clock.minutes {
        clock.wait(Duration::from_secs(u64::from(minute) * 60)).await;
        let killed = async {
            let leads = controllers.leader().await?;
            kill(controllers, leads, control_plane, roster).await;
            take_over(controllers, 1 - leads, roster, &mut kills).await
        };
        if let Err(reason) = killed.await {
            kills.without_leader.push(format!("at the end of minute {minute}: {reason}"));
        }
    }
    kills
}

/// The one that stands by counts as the leader from now on, and the new one as the standby.
async fn kill(controllers: &mut Controllers, leads: usize, control_plane: &ControlPlane, roster: &Roster) {
    roster.set(Role::Leader, controllers.running[1 - leads].pid());
    roster.set(Role::Standby, None);
    let mut before = controllers.replace(leads, control_plane);
    block_in_place(|| before.kill9());
    let fresh = &controllers.running[leads];
    let pid = eventually("the new controller to run", SOON, async || fresh.pid().ok_or("no pid".to_owned())).await;
    roster.set(Role::Standby, Some(pid));
}

async fn take_over(
    controllers: &Controllers,
    expected: usize,
    roster: &Roster,
    kills: &mut Kills,
) -> Result<(), String> {
    let killed = Instant::now();
    loop {
        match controllers.leader().await {
            Ok(leads) => {
                kills.takeovers.push(killed.elapsed());
                if leads != expected {
                    kills.by_the_new_one += 1;
                    set_roles(controllers, leads, roster);
                }
                return Ok(());
            }
            Err(reason) if killed.elapsed() > TAKEOVER => return Err(reason),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn set_roles(controllers: &Controllers, leads: usize, roster: &Roster) {
    roster.set(Role::Leader, controllers.running[leads].pid());
    roster.set(Role::Standby, controllers.running[1 - leads].pid());
}
