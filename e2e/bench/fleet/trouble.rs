//! What happens when something is wrong all the time, for a while, or never.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use sealift_apply::api::Delivery;
use sealift_e2e::is_ready;
use serde_json::json;

use crate::{
    Failed, application,
    cluster::Fleet,
    figures::Told,
    meter::Usage,
    scenarios::{Begun, State, change_by_hand},
    watching::healthy,
};

/// One in so many applications fails.
const ONE_IN: usize = 10;
/// The tag that these follow.
const FAILING: &str = "failing";

/// A tenth follows a release whose Deployment wants a replica that no node takes, while the others are upgraded.
pub(crate) async fn failing(fleet: &Arc<Fleet>, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    let mut objects = application::objects("${INDEX}", application::CPU_BEFORE);
    for object in objects.iter_mut().filter(|object| object["kind"] == "Deployment") {
        object["spec"]["replicas"] = json!(1);
        object["spec"]["template"]["spec"]["nodeSelector"] = json!({"fleet.example/no-such": "node"});
    }
    let bad: Vec<usize> = (0..fleet.apps).step_by(ONE_IN).collect();
    // Of the same stream under another tag: no Delivery takes a release of another one.
    let repositories: BTreeSet<String> = bad.iter().map(|app| fleet.repository(*app)).collect();
    for repository in &repositories {
        fleet.push_one(repository, &objects, FAILING)?;
    }
    let well = fleet.apps - bad.len();
    let begun = Begun::now(fleet, Some(controller))?;
    for app in &bad {
        let delivery = fleet.delivery(*app, &json!({"select": {"tag": FAILING}, "timeout": "10s"}));
        fleet.put(Fleet::tenant(*app), format!("app-{app}"), delivery).await?;
    }
    let is_bad = |delivery: &Delivery| delivery.spec.select.tag.as_deref() == Some(FAILING);
    let failed = |delivery: &Delivery| {
        let conditions = delivery.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let ready = sealift_apply::api::condition(conditions, "Ready");
        is_bad(delivery) && ready.is_some_and(|ready| ready.reason == "HealthCheckFailed")
    };
    let all = state.watching.until("have failed", bad.len(), fleet.patience(), failed).await?;
    let mut words = format!("{} applications fail: told {:.1} s", bad.len(), begun.until(all));
    let cpu = state.next_cpu();
    state.digests = fleet.push(cpu, "prod")?;
    let (digests, started) = (&state.digests, Instant::now());
    // The first one of all does not follow what the others do.
    fleet.ask_from(1, &format!("upgrade-{}", state.upgrades)).await?;
    let done = |delivery: &Delivery| !is_bad(delivery) && healthy(delivery, digests);
    let all = state.watching.until("are upgraded", well, fleet.patience(), done).await?;
    let _ = write!(
        words,
        "; the other {well} upgraded meanwhile: ready {:.1} s",
        all.duration_since(started).as_secs_f64()
    );
    begun.quiet(fleet).await;
    let quiet = Begun::now(fleet, None)?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let _ = write!(words, "; then {} API requests in 30 s", quiet.requests(fleet).but_watches());
    begun.end(fleet, controller, Told::Words(words)).await?;
    fleet.declare(&json!({})).await?;
    state.watching.until("are ready", fleet.apps, fleet.patience(), |d| healthy(d, digests)).await?;
    Ok(())
}

/// A minute without a registry, at an interval of five seconds.
pub(crate) async fn registry_down(fleet: &Arc<Fleet>, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    fleet.declare(&json!({"interval": "5s"})).await?;
    state.watching.until("are ready", fleet.apps, fleet.patience(), is_ready).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (begun, before) = (Begun::now(fleet, Some(controller))?, fleet.door().turned_away());
    fleet.door().shut(true);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let changed = fleet.apps.min(10);
    let (_, right) = change_by_hand(fleet, changed).await?;
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(right)).await;
    let mut words = format!(
        "registry down for 12 intervals: {} connections tried, {} API requests; {changed} objects changed by hand put right after {:.1} s",
        fleet.door().turned_away() - before,
        begun.requests(fleet).but_watches(),
        right.as_secs_f64()
    );
    fleet.door().shut(false);
    let back = Instant::now();
    let cpu = state.next_cpu();
    state.digests = fleet.push(cpu, "prod")?;
    let digests = &state.digests;
    let all = state.watching.until("are upgraded", fleet.apps, fleet.patience(), |d| healthy(d, digests)).await?;
    let later = all.duration_since(back).as_secs_f64();
    let _ = write!(words, "; back with a new release: all ready {later:.1} s later");
    fleet.declare(&json!({})).await?;
    begun.end(fleet, controller, Told::Words(words)).await
}

/// Sixty intervals of two seconds, and the memory at both ends.
pub(crate) async fn steady(fleet: &Arc<Fleet>, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    fleet.declare(&json!({"interval": "2s"})).await?;
    state.watching.until("are ready", fleet.apps, fleet.patience(), is_ready).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (begun, first) = (Begun::now(fleet, Some(controller))?, Usage::resident(controller)?);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (share, last) = (begun.share(controller)?, Usage::resident(controller)?);
    let words = format!("sixty intervals of 2 s: {share:.2} % of a core, {first:.1} MiB first and {last:.1} MiB last");
    begun.end(fleet, controller, Told::Words(words)).await?;
    fleet.declare(&json!({})).await
}
