//! Several controllers that share all applications: what each of them takes, and what becomes of those of one that is killed.

use std::time::{Duration, Instant};

use sealift_e2e::Process;
use serde_json::json;

use crate::{
    Failed, application,
    cluster::Fleet,
    meter::Usage,
    say,
    scenarios::{Begun, State, settled},
};

/// A controller takes part within so long.
const JOINED: Duration = Duration::from_secs(20);

/// Declares everything with no controller there, and starts all of them at once.
pub(crate) async fn measure(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    if fleet.replicas < 2 {
        return Err("replicas are measured with REPLICAS=2 or more".into());
    }
    state.digests = fleet.push(application::CPU_BEFORE, "prod")?;
    fleet.declare(&json!({})).await?;
    let begun = Begun::now(fleet, None)?;
    let mut replicas: Vec<Process> = (0..fleet.replicas).map(|at| fleet.start_replica(at)).collect::<Result<_, _>>()?;
    let (applied, ready) = settled(fleet, state, &begun).await?;
    say(&format!("install by {} controllers: applied {applied:.1} s, ready {ready:.1} s", fleet.replicas));
    told(&replicas)?;
    begun.quiet(fleet).await;

    upgrade(fleet, state, "upgrade by all of them").await?;
    told(&replicas)?;

    let mut gone = replicas.remove(0);
    gone.kill();
    upgrade(fleet, state, "upgrade right after one of them was killed").await?;
    told(&replicas)?;

    replicas.insert(0, fleet.start_replica(0)?);
    tokio::time::sleep(JOINED).await;
    let mut gone = replicas.remove(1);
    let began = Instant::now();
    let ended = gone.terminate(Duration::from_secs(60));
    let ended = ended.is_some_and(|status| status.success());
    say(&format!(
        "one of them asked to stop: ended {} in {:.1} s",
        if ended { "well" } else { "badly" },
        began.elapsed().as_secs_f64()
    ));
    upgrade(fleet, state, "upgrade right after it has stopped").await?;
    told(&replicas)?;
    state.controller = Some(replicas.remove(0));
    Ok(())
}

async fn upgrade(fleet: &Fleet, state: &mut State, what: &str) -> Result<(), Failed> {
    let cpu = state.next_cpu();
    state.digests = fleet.push(cpu, "prod")?;
    let begun = Begun::now(fleet, None)?;
    fleet.ask(&format!("upgrade-{}", state.upgrades)).await?;
    let (applied, ready) = settled(fleet, state, &begun).await?;
    say(&format!("{what}: applied {applied:.1} s, ready {ready:.1} s"));
    Ok(())
}

fn told(replicas: &[Process]) -> Result<(), Failed> {
    for replica in replicas {
        let Usage { cpu, peak } = Usage::of(replica.id())?;
        let now = Usage::resident(replica.id())?;
        say(&format!("  a controller: {cpu:.1} CPU-seconds since its start, {now:.0} MiB now, peak {peak:.0} MiB"));
    }
    Ok(())
}
