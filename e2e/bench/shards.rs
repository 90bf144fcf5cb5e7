//! How long Deliveries wait for another replica when theirs is gone, with Leases as long as they are by default.

use std::{error::Error, time::Instant};

use sealift_e2e::{ControlPlane, Replica, World};
use tokio::runtime::Runtime;

use crate::{Bench, figures::Figures};

const DELIVERIES: usize = 30;
/// The default of `--lease-duration`, in seconds.
const LEASE: u64 = 15;

pub(crate) fn measure(bench: &mut Bench, control_plane: &ControlPlane) -> Result<(), Box<dyn Error>> {
    let (rounds, figures) = (bench.rounds, &mut bench.figures);
    Runtime::new()?.block_on(World::run(control_plane, "bench-shards", async |world| {
        measured(world, rounds, figures).await;
    }));
    Ok(())
}

async fn measured(world: &World<'_>, rounds: usize, figures: &mut Figures) {
    let copies = world.copies(DELIVERIES);
    copies.declare("1s").await;
    let mut replicas =
        [start(world, "replica-0").await, start(world, "replica-1").await, start(world, "replica-2").await];
    shared(world, &replicas).await;
    copies.applied(copies.release("0")).await;
    let (mut killed, mut killed_applied, mut stopped, mut stopped_applied) = (vec![], vec![], vec![], vec![]);
    let mut left_behind = 0;
    for round in 1..=2 * rounds {
        let [gone, one, two] = replicas;
        let is_killed = round % 2 == 1;
        let id = gone.id.clone();
        let began = Instant::now();
        if is_killed {
            gone.kill()
        } else {
            gone.stop();
            left_behind += usize::from(world.lease_holders().await.contains(&id));
        }
        let digest = copies.release(&round.to_string());
        world.shared_by(&[&one, &two]).await;
        let held = began.elapsed();
        copies.applied(digest).await;
        let applied = began.elapsed();
        match is_killed {
            true => (killed.push(held), killed_applied.push(applied)),
            false => (stopped.push(held), stopped_applied.push(applied)),
        };
        let again = start(world, &format!("{id}-again")).await;
        replicas = [one, two, again];
        shared(world, &replicas).await;
    }
    figures.times("one of three replicas killed: all shards held again after", killed);
    figures.times(&format!("  a release pushed then is applied by all {DELIVERIES} Deliveries after"), killed_applied);
    figures.times("one of three replicas asked to stop: all shards held again after", stopped);
    figures.times(&format!("  a release pushed then is applied by all {DELIVERIES} Deliveries after"), stopped_applied);
    figures.count("  of those, Leases that were left behind", format!("{left_behind} of {rounds}"));
}

async fn start(world: &World<'_>, id: &str) -> Replica {
    world.start_replica(id, LEASE, &["--min-interval=1s"]).await
}

async fn shared(world: &World<'_>, replicas: &[Replica; 3]) {
    world.shared_by(&replicas.each_ref()).await;
}
