//! What is measured, one function a scenario.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures::{TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use sealift_apply::api::Delivery;
use sealift_e2e::{AuditMark, Process, is_ready};
use sealift_registry::server::Requests as RegistryRequests;
use serde_json::json;

use crate::{
    Failed, aims, application,
    cluster::Fleet,
    figures::{Figures, Release, Told},
    limits::{self, Limits},
    meter::{Requests, Usage},
    replicas, say, trouble,
    watching::{Watching, applied, healthy},
};

/// A part of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The two limits.
    Limits,
    /// From declared to applied and ready.
    Install,
    /// A changed request of CPU in every application.
    Upgrade,
    /// Nothing happens for a while.
    Idle,
    /// One field changed by hand in a hundred objects.
    Drift,
    /// An upgrade during which the controller is killed and started again.
    Kill,
    /// A chain of ten applications, each of which depends on the one before.
    Chain,
    /// One application of 10,000 objects.
    Big,
    /// A tenth of the applications never becomes healthy, while the others are upgraded.
    Failing,
    /// The registry is gone for a minute, and something is changed by hand meanwhile.
    RegistryDown,
    /// Several controllers: what each holds and takes, an upgrade by all of them, and one during which one of them is killed.
    Replicas,
    /// Sixty intervals, an hour of them where they last a minute, and what memory does.
    Steady,
}

/// What the scenarios leave behind for those after them.
pub(crate) struct State {
    pub(crate) controller: Option<Process>,
    pub(crate) digests: BTreeMap<String, String>,
    pub(crate) watching: Watching,
    pub(crate) upgrades: usize,
    limits: Option<Limits>,
}

impl State {
    /// The controller that an install has started.
    pub(crate) fn controller(&self) -> Result<u32, Failed> {
        Ok(self.controller.as_ref().ok_or("install comes first")?.id())
    }

    /// What the next upgrade requests of CPU.
    pub(crate) fn next_cpu(&mut self) -> &'static str {
        self.upgrades += 1;
        if self.upgrades.is_multiple_of(2) { application::CPU_BEFORE } else { application::CPU_AFTER }
    }
}

pub(crate) async fn measure(fleet: &Arc<Fleet>, scenarios: &[Scenario]) -> Result<(), Failed> {
    let watching = Watching::new(fleet.client.clone());
    let mut state = State { controller: None, digests: BTreeMap::new(), watching, upgrades: 0, limits: None };
    for scenario in scenarios {
        match scenario {
            Scenario::Limits => state.limits = Some(take_limits(fleet).await?),
            Scenario::Install => install(fleet, &mut state).await?,
            Scenario::Upgrade => upgrade(fleet, &mut state).await?,
            Scenario::Kill => kill(fleet, &mut state).await?,
            Scenario::Idle => idle(fleet, &mut state).await?,
            Scenario::Drift => drift(fleet, &mut state).await?,
            Scenario::Chain => chain(fleet, &mut state).await?,
            Scenario::Big => big(fleet, &mut state).await?,
            Scenario::Failing => trouble::failing(fleet, &mut state).await?,
            Scenario::RegistryDown => trouble::registry_down(fleet, &mut state).await?,
            Scenario::Replicas => replicas::measure(fleet, &mut state).await?,
            Scenario::Steady => trouble::steady(fleet, &mut state).await?,
        }
    }
    Ok(())
}

async fn take_limits(fleet: &Fleet) -> Result<Limits, Failed> {
    let namespaces = ["limit-a", "limit-b"];
    for namespace in namespaces {
        fleet.kubectl(&["create", "namespace", namespace])?;
    }
    // Connections and the API server's caches are warm for whatever comes first after this.
    limits::bare(&fleet.client, namespaces[1], 5.min(fleet.apps)).await?;
    let bare = limits::bare(&fleet.client, namespaces[0], fleet.apps).await?;
    say(&format!("limit A, 16 applies in flight, one an object        {:.2} s", bare.as_secs_f64()));
    let owed = limits::with_owed(&fleet.client, namespaces[1], fleet.apps).await?;
    say(&format!("limit B, with finalizer, inventory, mark and status {:.2} s", owed.as_secs_f64()));
    limits::release(&fleet.client, namespaces[1], fleet.apps).await?;
    for namespace in namespaces {
        fleet.kubectl(&["delete", "namespace", namespace, "--wait=true"])?;
    }
    Ok(Limits { bare, owed })
}

/// Where counters stood when a scenario began.
pub(crate) struct Begun {
    mark: AuditMark,
    used: Usage,
    pulled: RegistryRequests,
    at: Instant,
}

impl Begun {
    /// Now; of a controller that is not there yet, nothing is used.
    pub(crate) fn now(fleet: &Fleet, controller: Option<u32>) -> Result<Self, Failed> {
        controller.inspect(|controller| Usage::reset_peak(*controller));
        let used = controller.map(Usage::of).transpose()?.unwrap_or_default();
        Ok(Self { mark: fleet.control_plane.audit().mark(), used, pulled: fleet.pulls(), at: Instant::now() })
    }

    /// Seconds until then.
    pub(crate) fn until(&self, then: Instant) -> f64 {
        then.duration_since(self.at).as_secs_f64()
    }

    /// The share of a core that the controller has used since.
    pub(crate) fn share(&self, controller: u32) -> Result<f64, Failed> {
        Ok(Usage::of(controller)?.share(self.used, self.at.elapsed()))
    }

    /// What the controller has asked since.
    pub(crate) fn requests(&self, fleet: &Fleet) -> Requests {
        Requests::of_controller(fleet.control_plane, self.mark)
    }

    /// Waits until the controller asks nothing any more.
    pub(crate) async fn quiet(&self, fleet: &Fleet) {
        Requests::until_quiet(fleet.control_plane, self.mark).await;
    }

    /// Tells what it came to: CPU and memory as they are now, and every request until nothing more is asked.
    pub(crate) async fn end(self, fleet: &Fleet, controller: u32, told: Told) -> Result<(), Failed> {
        let Usage { cpu, peak } = Usage::of(controller)?;
        let cpu = cpu - self.used.cpu;
        match &told {
            Told::Release { what, applied, ready, limits } => {
                say(&format!("{what:?}: applied {applied:.2} s, ready {ready:.2} s"));
                if let Some(limits) = limits {
                    say(&aims::line(*what, fleet.dry_runs(), Duration::from_secs_f64(*applied), *limits));
                }
            }
            Told::Words(words) => say(words),
        }
        say(&format!("  {cpu:.2} CPU-seconds, peak {peak:.0} MiB"));
        let requests = Requests::until_quiet(fleet.control_plane, self.mark).await;
        say(&format!("  {requests}, {:.1} an application", requests.but_watches() as f64 / fleet.apps as f64));
        let pulls = fleet.pulls().since(&self.pulled);
        let parts: Vec<_> =
            pulls.iter().map(|(method, endpoint, count)| format!("{count} {method} {endpoint}")).collect();
        say(&format!("  {} registry requests ({})", pulls.total(), parts.join(", ")));
        let Some(file) = &fleet.figures else { return Ok(()) };
        let (apps, artifacts, dry_runs) = (fleet.apps, fleet.artifacts, fleet.dry_runs());
        let (requests, pulls) = (requests.but_watches(), pulls.total());
        Figures { apps, artifacts, dry_runs, told, cpu, peak, requests, pulls }.keep(file)
    }
}

/// Declared while no controller runs, so that what is timed is the controller and not who declares.
async fn install(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    state.digests = fleet.push(application::CPU_BEFORE, "prod")?;
    fleet.declare(&json!({})).await?;
    let begun = Begun::now(fleet, None)?;
    let controller = fleet.start_controller()?;
    let (applied, ready) = settled(fleet, state, &begun).await?;
    let told = Told::Release { what: Release::Install, applied, ready, limits: state.limits };
    begun.end(fleet, controller.id(), told).await?;
    state.controller = Some(controller);
    Ok(())
}

async fn upgrade(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    let (controller, cpu) = (state.controller()?, state.next_cpu());
    state.digests = fleet.push(cpu, "prod")?;
    let begun = Begun::now(fleet, Some(controller))?;
    fleet.ask(&format!("upgrade-{}", state.upgrades)).await?;
    let (applied, ready) = settled(fleet, state, &begun).await?;
    let told = Told::Release { what: Release::Upgrade, applied, ready, limits: state.limits };
    begun.end(fleet, controller, told).await
}

async fn kill(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    let cpu = state.next_cpu();
    let mut controller = state.controller.take().ok_or("install comes first")?;
    state.digests = fleet.push(cpu, "prod")?;
    let mut begun = Begun::now(fleet, Some(controller.id()))?;
    fleet.ask(&format!("upgrade-{}", state.upgrades)).await?;
    let (digests, some) = (&state.digests, (fleet.apps / 3).max(1));
    state.watching.until("are upgraded", some, fleet.patience(), |d| applied(d, digests)).await?;
    controller.kill();
    let controller = fleet.start_controller()?;
    begun.used = Usage::default();
    let (applied, ready) = settled(fleet, state, &begun).await?;
    let words = format!(
        "upgrade, killed and started again at a third: applied {applied:.1} s, ready {ready:.1} s; CPU of the second"
    );
    begun.end(fleet, controller.id(), Told::Words(words)).await?;
    state.controller = Some(controller);
    Ok(())
}

/// Seconds until all were applied, and until all were ready.
pub(crate) async fn settled(fleet: &Fleet, state: &State, begun: &Begun) -> Result<(f64, f64), Failed> {
    let State { digests, watching, .. } = state;
    let all = watching.until("are applied", fleet.apps, fleet.patience(), |d| applied(d, digests)).await?;
    let well = watching.until("are ready", fleet.apps, fleet.patience(), |d| healthy(d, digests)).await?;
    Ok((begun.until(all), begun.until(well)))
}

/// With an interval of five seconds in place of an hour, for a minute: twelve intervals.
async fn idle(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    fleet.declare(&json!({"interval": "5s"})).await?;
    let quiet = |d: &Delivery| is_ready(d);
    state.watching.until("are ready", fleet.apps, fleet.patience(), quiet).await?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begun = Begun::now(fleet, Some(controller))?;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let words = format!("idle for 12 intervals of 5 s: {:.2} % of a core", begun.share(controller)?);
    begun.end(fleet, controller, Told::Words(words)).await?;
    fleet.declare(&json!({})).await?;
    state.watching.until("are ready", fleet.apps, fleet.patience(), quiet).await?;
    Ok(())
}

/// A field that we own, changed as `kubectl edit` does.
async fn drift(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    let controller = state.controller()?;
    let changed = fleet.apps.min(100);
    let begun = Begun::now(fleet, Some(controller))?;
    let (written, right) = change_by_hand(fleet, changed).await?;
    let words = format!(
        "a field changed by hand in {changed} objects within {:.1} s: all put right after {:.1} s",
        written.as_secs_f64(),
        right.as_secs_f64()
    );
    begun.end(fleet, controller, Told::Words(words)).await
}

/// Changes a field of so many Deployments, and waits until all are put right: how long each of the two took from the start.
pub(crate) async fn change_by_hand(fleet: &Fleet, changed: usize) -> Result<(Duration, Duration), Failed> {
    let started = Instant::now();
    let by_hand = json!({"spec": {"revisionHistoryLimit": 7}});
    stream::iter((0..changed).map(Ok::<_, Failed>))
        .try_for_each_concurrent(16, async |app| {
            let api: Api<Deployment> = Api::namespaced(fleet.client.clone(), &Fleet::tenant(app));
            let params = PatchParams { field_manager: Some("by-hand".to_owned()), ..PatchParams::default() };
            api.patch(&format!("app-{app}"), &params, &Patch::Merge(by_hand.clone())).await?;
            Ok(())
        })
        .await?;
    let written = started.elapsed();
    let mut left: Vec<usize> = (0..changed).collect();
    while !left.is_empty() {
        if started.elapsed() > fleet.patience() {
            return Err(format!("{} of {changed} objects are still changed", left.len()).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut still = Vec::new();
        for namespace in left.iter().map(|app| Fleet::tenant(*app)).collect::<std::collections::BTreeSet<_>>() {
            let api: Api<Deployment> = Api::namespaced(fleet.client.clone(), &namespace);
            for deployment in api.list(&Default::default()).await? {
                let drifted = deployment.spec.as_ref().is_some_and(|spec| spec.revision_history_limit == Some(7));
                let app = deployment.name_any().trim_start_matches("app-").parse::<usize>().ok();
                still.extend(app.filter(|_| drifted));
            }
        }
        left.retain(|app| still.contains(app));
    }
    Ok((written, started.elapsed()))
}

async fn chain(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    let (controller, namespace) = (state.controller()?, Fleet::tenant(0));
    let begun = Begun::now(fleet, Some(controller))?;
    // The last one first, so that the order they were declared in helps nobody.
    for link in (0..10).rev() {
        let name = format!("chain-{link}");
        let mut delivery = fleet.delivery(0, &json!({"parameters": [{"name": "INDEX", "value": name}]}));
        delivery["metadata"]["name"] = json!(name);
        if link > 0 {
            delivery["spec"]["dependsOn"] = json!([{"name": format!("chain-{}", link - 1)}]);
        }
        fleet.put(namespace.clone(), name, delivery).await?;
    }
    let is_link = |d: &Delivery| d.name_any().starts_with("chain-") && is_ready(d);
    let done = state.watching.until("of the chain are ready", 10, fleet.patience(), is_link).await?;
    let words = format!("a chain of ten, each depending on the one before: ready {:.1} s", begun.until(done));
    begun.end(fleet, controller, Told::Words(words)).await
}

async fn big(fleet: &Fleet, state: &mut State) -> Result<(), Failed> {
    const OBJECTS: usize = 10_000;
    let controller = state.controller()?;
    let objects: Vec<_> = (0..OBJECTS)
        .map(|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("big-${{INDEX}}-{n}")}, "data": {"n": n.to_string()}}))
        .collect();
    let repository = format!("{}/big", fleet.host());
    let (_, digest) = fleet.push_one(&repository, &objects, "prod")?;
    let digests = BTreeMap::from([(repository.clone(), digest)]);
    let begun = Begun::now(fleet, Some(controller))?;
    let mut delivery = fleet.delivery(0, &json!({"repository": repository}));
    delivery["metadata"]["name"] = json!("big");
    fleet.put(Fleet::tenant(0), "big".to_owned(), delivery).await?;
    let limit = Duration::from_secs(600);
    let done = state.watching.until("of 10,000 objects are ready", 1, limit, |d| healthy(d, &digests)).await?;
    let words = format!("one Delivery of {OBJECTS} objects: ready {:.1} s", begun.until(done));
    begun.end(fleet, controller, Told::Words(words)).await
}
