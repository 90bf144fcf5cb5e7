//! What following a tag asks of a registry: while nothing changes, when it moves, and of a verification that knows nothing.

use std::{
    error::Error,
    fs, thread,
    time::{Duration, Instant},
};

use sealift_e2e::{
    ControlPlane,
    faulty::{FaultyRegistry, Referrers, Seen},
};
use serde_json::json;

use crate::{
    Bench,
    counted::{Counted, recording},
    figures::Table,
    ground::{Ground, succeed},
    tenant::Tenant,
};

/// Polls that are counted.
const POLLS: usize = 10;
const NAMESPACE: &str = "bench-poll";

pub(crate) fn measure(bench: &mut Bench, control_plane: &ControlPlane) -> Result<(), Box<dyn Error>> {
    let registry = recording(Referrers::Kept);
    let ground = Ground::at(&bench.folder.path().join("poll"), registry.host())?;
    let first = release(&ground, "1")?;

    fs::write(ground.home.join("policy.yaml"), ground.policy("bench")?)?;
    let before = registry.seen().len();
    let target = format!("oci://{}/stack:prod", ground.host);
    succeed(ground.sealift().args(["verify", &target, "--policy", "policy.yaml"]))?;
    let verified = Counted::of(&registry.seen()[before..]);

    let tenant = Tenant::new(control_plane, &ground, NAMESPACE)?;
    let before = registry.seen().len();
    let controller = tenant.controller(&["--min-interval", "1s", "--watch-namespace", NAMESPACE])?;
    tenant.deliver("1s")?;
    tenant.applied(&first)?;
    let installed = asked(&registry, before);
    // From one poll on, ten more of them.
    let before = polled(&registry, registry.seen().len(), 1)?;
    let end = polled(&registry, before, POLLS)?;
    let unchanged = of_controller(&registry.seen()[before..end]);
    let before = registry.seen().len();
    let second = release(&ground, "2")?;
    tenant.applied(&second)?;
    let moved = asked(&registry, before);
    drop(controller);

    let mut table = Table::new("following a tag: requests at the registry", &["", "requests"]);
    table.row(["`sealift verify REF:TAG`, nothing known before".to_owned(), verified.to_string()]);
    table.row(["controller, first delivery (polls left out)".to_owned(), installed.to_string()]);
    table.row([format!("controller, {POLLS} intervals of a tag that did not move"), unchanged.to_string()]);
    table.row(["controller, a moved tag (polls that saw nothing new left out)".to_owned(), moved.to_string()]);
    bench.tables.push(table);
    Ok(())
}

/// Pushes one object with this content.
fn release(ground: &Ground, value: &str) -> Result<String, Box<dyn Error>> {
    let file = ground.home.join("map.yaml");
    let metadata = json!({"name": "settings", "namespace": NAMESPACE});
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"value": value}});
    fs::write(&file, map.to_string())?;
    ground.push(&file, "stack", &[])
}

fn is_poll(seen: &Seen) -> bool {
    seen.method == "HEAD" && seen.path.ends_with("/manifests/prod")
}

fn is_controller(seen: &Seen) -> bool {
    let agent = seen.headers.get("user-agent").and_then(|value| value.to_str().ok());
    agent.is_some_and(|agent| agent.starts_with("sealift-controller"))
}

fn of_controller(seen: &[Seen]) -> Counted {
    Counted::of(seen.iter().filter(|seen| is_controller(seen)))
}

/// What the controller asked from there on to know one answer: one poll, and all that is none.
fn asked(registry: &FaultyRegistry, from: usize) -> Counted {
    let seen = registry.seen();
    let mut polls = 0;
    let counts = |seen: &&Seen| {
        polls += usize::from(is_poll(seen));
        !is_poll(seen) || polls == 1
    };
    Counted::of(seen[from..].iter().filter(|seen| is_controller(seen)).filter(counts))
}

/// Waits for so many polls after `from`, and says where the last one is.
fn polled(registry: &FaultyRegistry, from: usize, polls: usize) -> Result<usize, Box<dyn Error>> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(120) {
        let seen = registry.seen();
        let mut of_controller = (from..seen.len()).filter(|at| is_controller(&seen[*at]) && is_poll(&seen[*at]));
        if let Some(last) = of_controller.nth(polls - 1) {
            return Ok(last + 1);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(format!("the controller did not ask {polls} times within two minutes").into())
}
