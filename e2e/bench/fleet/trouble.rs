//! What happens when something is wrong all the time, for a while, or never.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use sealift_apply::api::Delivery;
use sealift_e2e::is_ready;
use serde_json::json;

use crate::{
    Failed, application,
    cluster::Fleet,
    meter::{Requests, Usage},
    say,
    scenarios::{State, change_by_hand, report},
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
    let mark = fleet.control_plane.audit().mark();
    Usage::reset_peak(controller);
    let (used, pulled, started) = (Usage::of(controller)?, fleet.pulls(), Instant::now());
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
    say(&format!(
        "{} of {} applications fail: told {:.2} s",
        bad.len(),
        fleet.apps,
        all.duration_since(started).as_secs_f64()
    ));
    let cpu = state.next_cpu();
    state.digests = fleet.push(cpu, "prod")?;
    let (digests, started) = (&state.digests, Instant::now());
    // The first one of all does not follow what the others do.
    fleet.ask_from(1, &format!("upgrade-{}", state.upgrades)).await?;
    let done = |delivery: &Delivery| !is_bad(delivery) && healthy(delivery, digests);
    let all = state.watching.until("are upgraded", well, fleet.patience(), done).await?;
    say(&format!("  the other {well} upgraded: ready {:.2} s", all.duration_since(started).as_secs_f64()));
    Requests::until_quiet(fleet.control_plane, mark).await;
    let idle = fleet.control_plane.audit().mark();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let requests = Requests::of_controller(fleet.control_plane, idle);
    say(&format!("  then {} API requests in 30 s", requests.but_watches()));
    report(fleet, controller, used, mark, &pulled).await?;
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
    let (mark, before) = (fleet.control_plane.audit().mark(), fleet.door().turned_away());
    Usage::reset_peak(controller);
    let (used, pulled) = (Usage::of(controller)?, fleet.pulls());
    fleet.door().shut(true);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let changed = fleet.apps.min(10);
    let (_, right) = change_by_hand(fleet, changed).await?;
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(right)).await;
    say(&format!(
        "registry down for a minute, 12 intervals: {} connections tried; {changed} objects changed by hand put right after {:.2} s",
        fleet.door().turned_away() - before,
        right.as_secs_f64()
    ));
    let requests = Requests::of_controller(fleet.control_plane, mark);
    say(&format!("  meanwhile {requests}"));
    fleet.door().shut(false);
    let back = Instant::now();
    let cpu = state.next_cpu();
    state.digests = fleet.push(cpu, "prod")?;
    let digests = &state.digests;
    let all = state.watching.until("are upgraded", fleet.apps, fleet.patience(), |d| healthy(d, digests)).await?;
    say(&format!(
        "  back again, with a new release that nobody asks for: all ready {:.2} s later",
        all.duration_since(back).as_secs_f64()
    ));
    fleet.declare(&json!({})).await?;
    report(fleet, controller, used, mark, &pulled).await
}

/// Sixty intervals of two seconds, and the memory at both ends.
pub(crate) async fn steady(fleet: &Arc<Fleet>, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    fleet.declare(&json!({"interval": "2s"})).await?;
    state.watching.until("are ready", fleet.apps, fleet.patience(), is_ready).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (mark, pulled) = (fleet.control_plane.audit().mark(), fleet.pulls());
    Usage::reset_peak(controller);
    let (used, started, first) = (Usage::of(controller)?, Instant::now(), Usage::resident(controller)?);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (now, last) = (Usage::of(controller)?, Usage::resident(controller)?);
    say(&format!(
        "sixty intervals: {:.2} % of a core at an interval of 2 s, {first:.1} MiB first and {last:.1} MiB last",
        now.share(used, started.elapsed())
    ));
    report(fleet, controller, used, mark, &pulled).await?;
    fleet.declare(&json!({})).await
}
