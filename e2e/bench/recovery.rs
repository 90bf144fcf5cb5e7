//! Cold recovery: an API server that has just begun, one artifact, and everything that runs on it; from a registry, and
//! offline from a file. The controller is started by hand the moment its Deployment is there, since no kubelet here pulls
//! images.

use std::{
    error::Error,
    fs, thread,
    time::{Duration, Instant},
};

use sealift_e2e::{ControlPlane, Platform, Request, faulty::Referrers};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use crate::{
    Bench,
    counted::{Counted, recording},
    figures::Table,
};

/// Each needs a control plane of its own.
const MOST: usize = 3;

/// Where a cluster comes back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Registry,
    File,
}

struct Sample {
    bootstrap: Duration,
    applied: Duration,
    by_bootstrap: usize,
    by_controller: usize,
    registry: Counted,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let registry = recording(Referrers::Kept);
    let platform = Platform::at(registry.host());
    let releases = release(bench, &platform)?;
    let mut table = Table::new(
        "cold recovery: empty API server to Sealift and kube-prometheus applied",
        &["", "bootstrap", "everything applied", "API requests (bootstrap, controller)", "registry requests"],
    );
    for source in [Source::Registry, Source::File] {
        let mut samples = Vec::new();
        for _ in 0..bench.rounds.min(MOST) {
            let control_plane = ControlPlane::launch()?.ok_or("no control plane: run it by `make bench`")?;
            platform.aim(&control_plane);
            let before = registry.seen().len();
            let sample = runtime.block_on(recover(&platform, &control_plane, source, releases))?;
            samples.push(Sample { registry: Counted::of(&registry.seen()[before..]), ..sample });
        }
        let seconds = |of: &dyn Fn(&Sample) -> Duration| {
            let mut all: Vec<_> = samples.iter().map(of).collect();
            all.sort();
            let at = |n: usize| all.get(n).copied().unwrap_or_default().as_secs_f64();
            format!("{:.1} s ({:.1} to {:.1})", at(all.len() / 2), at(0), at(all.len() - 1))
        };
        let last = samples.last().ok_or("no rounds")?;
        let name = if source == Source::Registry { "from a registry" } else { "offline, from a tar" };
        table.row([
            name.to_owned(),
            seconds(&|sample| sample.bootstrap),
            seconds(&|sample| sample.applied),
            format!("{} ({}, {})", last.by_bootstrap + last.by_controller, last.by_bootstrap, last.by_controller),
            last.registry.to_string(),
        ]);
    }
    bench.tables.push(table);
    Ok(())
}

/// Pushes the stack, and Sealift with a Delivery of it; brings both into files.
fn release(bench: &Bench, platform: &Platform) -> Result<(Digest, Digest), Box<dyn Error>> {
    let stack = format!("{}/platform/stack", platform.host());
    let key = platform.key.private().display().to_string();
    let (to, manifests) = (format!("oci://{stack}:prod"), bench.manifests.display().to_string());
    let push = ["push", &to, "-f", &manifests, "--key", &key, "--env", "prod", "-q", "--allow-secrets"];
    let app: Digest = platform.cli.run(&push).digest();
    platform.policy("platform/policy.yaml", &[&platform.key], |_| {});
    let delivery = json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
        "metadata": {"name": "stack", "namespace": "sealift-system"},
        "spec": {"repository": stack, "select": {"tag": "prod"}, "environment": "prod", "serviceAccountName": "sealift-root"},
    });
    platform.cli.write("platform/stack.yaml", delivery.to_string());
    let root = platform.release("0.1.0", "platform/policy.yaml");
    for (name, repository) in [("sealift", platform.repository()), ("stack", stack)] {
        let (from, to) = (format!("oci://{repository}:prod"), format!("{name}.tar"));
        platform.cli.succeed(&["copy", &from, &to, "-q"]);
        let site = format!("oci-layout:site/platform/{name}");
        platform.cli.succeed(&["copy", &format!("{to}:prod"), &site, "--as", &repository, "-q"]);
    }
    Ok((root, app))
}

async fn recover(
    platform: &Platform,
    control_plane: &ControlPlane,
    source: Source,
    (root, app): (Digest, Digest),
) -> Result<Sample, Box<dyn Error>> {
    let repository = platform.repository();
    let mirror = format!("{}=oci-layout:{}", platform.host(), platform.path("site").display());
    let (from, more): (String, &[&str]) = match source {
        Source::Registry => (format!("oci://{repository}:prod"), &[]),
        Source::File => ("sealift.tar:prod".to_owned(), &["--mirror", &mirror]),
    };
    let mark = control_plane.audit().mark();
    let began = Instant::now();
    let words = ["bootstrap", &from, "--as", &repository, "--policy", "platform/policy.yaml", "-q"];
    platform.cli.succeed(&words);
    let bootstrap = began.elapsed();
    let by_bootstrap = asked(control_plane, mark, "sealift/");
    let controller = platform.controller(control_plane, more).await;
    while began.elapsed() < Duration::from_secs(300) {
        if [("sealift", root), ("stack", app)].iter().all(|(name, digest)| is_applied(control_plane, name, *digest)) {
            let applied = began.elapsed();
            let by_controller = asked(control_plane, mark, "sealift-controller/");
            drop(controller);
            return Ok(Sample { bootstrap, applied, by_bootstrap, by_controller, registry: Counted::default() });
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(format!("not everything was applied: {}", fs::read_to_string(platform.path("controller.log"))?).into())
}

fn is_applied(control_plane: &ControlPlane, name: &str, digest: Digest) -> bool {
    let words = ["get", "deliveries.sealift.dev", name, "-n", "sealift-system", "-o", "json"];
    let found = control_plane.kubectl(&words).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    found.is_some_and(|found| found["status"]["lastApplied"]["digest"] == digest.to_string())
}

/// What this program has asked since, watches left out.
fn asked(control_plane: &ControlPlane, mark: sealift_e2e::AuditMark, agent: &str) -> usize {
    let ours = |request: &Request| request.user_agent.starts_with(agent) && request.verb != "watch";
    control_plane.audit().since(mark).iter().filter(|request| ours(request)).count()
}
