//! Cold recovery: an API server that has just begun, one artifact, and everything that runs on it; from a registry, and
//! offline from a file, and with what else may be found then. The controller is started by hand the moment its Deployment is
//! there, since no kubelet here pulls images.

use std::{
    error::Error,
    fs, thread,
    time::{Duration, Instant},
};

use sealift_e2e::{
    Attacker, AuditMark, ControlPlane, KeyPair, Platform, Request,
    faulty::{FaultyRegistry, Referrers},
};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    Bench,
    counted::{Counted, recording},
    figures::Table,
};

/// Each needs a control plane of its own.
const MOST: usize = 3;
const PATIENCE: Duration = Duration::from_secs(300);
/// Whose policy is given by hand, and lies in the release.
const POLICY: &str = "platform/policy.yaml";
/// What the last cluster had accepted.
const MEMORY: &str = "memory.yaml";
/// How a release is refused that is older than what was accepted.
const REFUSED: &str = "RolledBack";

/// Where a cluster comes back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Registry,
    File,
    /// The same registry, by what the last cluster had accepted.
    RegistryAndMemory,
}

/// What there is of something: its name, and its releases.
#[derive(Clone, Debug)]
struct Releases {
    repository: String,
    older: Digest,
    latest: Digest,
}

/// What lies in a registry.
struct Scene {
    registry: FaultyRegistry,
    platform: Platform,
    sealift: Releases,
    stack: Releases,
}

/// How the releases of a scene are signed.
#[derive(Clone, Copy, Debug, Default)]
struct Signing {
    /// All are past their end by the time that they are needed.
    expired: bool,
    /// The application is signed by a key that the platform has given up since.
    rotated: bool,
}

struct Sample {
    bootstrap: Duration,
    /// Nothing where bootstrap was refused.
    applied: Option<Duration>,
    by_bootstrap: usize,
    by_controller: usize,
    registry: Counted,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let mut table = Table::new(
        "cold recovery: empty API server to Sealift and kube-prometheus applied",
        &["", "bootstrap", "everything applied", "API requests (bootstrap, controller)", "registry requests"],
    );
    let plain = Scene::new(bench, Signing::default())?;
    let rounds = bench.rounds.min(MOST);
    table.row(plain.row(&runtime, rounds, "from a registry", Source::Registry)?);
    table.row(plain.row(&runtime, rounds, "offline, from a tar", Source::File)?);
    for (name, signing) in [
        ("statements past expiresAt", Signing { expired: true, ..Signing::default() }),
        ("the application by a key rotated since", Signing { rotated: true, ..Signing::default() }),
    ] {
        table.row(Scene::new(bench, signing)?.row(&runtime, rounds, name, Source::Registry)?);
    }
    let Scene { sealift, stack, .. } = &plain;
    for (name, older) in [("the registry serves an older Sealift", sealift), ("… an older application", stack)] {
        let attacker = Attacker::at(&older.repository);
        runtime.block_on(attacker.move_tag("prod", older.older));
        table.row(plain.row(&runtime, rounds, name, Source::RegistryAndMemory)?);
        runtime.block_on(attacker.move_tag("prod", older.latest));
    }
    bench.tables.push(table);
    Ok(())
}

impl Scene {
    /// Pushes the stack, and Sealift with a Delivery of it, twice each; brings the latest of both into files.
    fn new(bench: &Bench, signing: Signing) -> Result<Self, Box<dyn Error>> {
        let registry = recording(Referrers::Kept);
        let platform = Platform::at(registry.host());
        let former = KeyPair::generate(&platform.cli, "former");
        let (key, by) = (&platform.key, if signing.rotated { &former } else { &platform.key });
        let keys: &[&KeyPair] = if signing.rotated { &[key, &former] } else { &[key] };
        platform.policy(POLICY, keys, |_| {});
        let repository = format!("{}/platform/stack", platform.host());
        let delivery = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"name": "stack", "namespace": "sealift-system"},
            "spec": {"repository": repository, "select": {"tag": "prod"}, "environment": "prod", "serviceAccountName": "sealift-root"},
        });
        platform.cli.write("platform/stack.yaml", delivery.to_string());
        platform.manifests("whole", str::to_owned);
        let manifests = bench.manifests.display().to_string();
        let released = |repository: String, folders: &[&str], key: &KeyPair| {
            let push = |version| push(&platform, &repository, folders, key, version, signing.expired);
            let (older, latest) = (push("0.1.0"), push("0.2.0"));
            Releases { repository, older, latest }
        };
        let stack = released(repository, &[&manifests], by);
        let sealift = released(platform.repository(), &["whole", "platform"], key);
        for (name, Releases { repository, .. }) in [("sealift", &sealift), ("stack", &stack)] {
            let (from, to) = (format!("oci://{repository}:prod"), format!("{name}.tar"));
            platform.cli.succeed(&["copy", &from, &to, "-q"]);
            let site = format!("oci-layout:site/platform/{name}");
            platform.cli.succeed(&["copy", &format!("{to}:prod"), &site, "--as", repository, "-q"]);
        }
        if signing.expired {
            thread::sleep(Duration::from_secs(2));
        }
        Ok(Self { registry, platform, sealift, stack })
    }

    /// The median of so many rounds.
    fn row(&self, runtime: &Runtime, rounds: usize, name: &str, source: Source) -> Result<[String; 5], Box<dyn Error>> {
        let mut samples = Vec::new();
        for _ in 0..rounds {
            let control_plane = ControlPlane::launch()?.ok_or("no control plane: run it by `make bench`")?;
            self.platform.aim(&control_plane);
            let before = self.registry.seen().len();
            let sample = runtime.block_on(self.recover(&control_plane, source))?;
            samples.push(Sample { registry: Counted::of(&self.registry.seen()[before..]), ..sample });
        }
        let last = samples.last().ok_or("no rounds")?;
        let Sample { by_bootstrap, by_controller, .. } = last;
        let applied: Vec<_> = samples.iter().filter_map(|sample| sample.applied).collect();
        let bootstrap = seconds(samples.iter().map(|sample| sample.bootstrap).collect());
        let (bootstrap, applied) = match (applied.is_empty(), source) {
            (true, _) => (format!("{REFUSED} after {bootstrap}"), "nothing".to_owned()),
            (false, Source::RegistryAndMemory) => (bootstrap, format!("Sealift; {REFUSED} after {}", seconds(applied))),
            (false, Source::Registry | Source::File) => (bootstrap, seconds(applied)),
        };
        let requests = format!("{} ({by_bootstrap}, {by_controller})", by_bootstrap + by_controller);
        Ok([name.to_owned(), bootstrap, applied, requests, last.registry.to_string().trim_end_matches(": ").to_owned()])
    }

    async fn recover(&self, control_plane: &ControlPlane, source: Source) -> Result<Sample, Box<dyn Error>> {
        let Self { platform, sealift, stack, .. } = self;
        let repository = &sealift.repository;
        let mirror = format!("{}=oci-layout:{}", platform.host(), platform.path("site").display());
        let registry = format!("oci://{repository}:prod");
        let (from, memory, more): (&str, &[&str], &[&str]) = match source {
            Source::Registry => (&registry, &[], &[]),
            Source::RegistryAndMemory => (&registry, &["--memory", MEMORY], &[]),
            Source::File => ("sealift.tar:prod", &[], &["--mirror", &mirror]),
        };
        let mark = control_plane.audit().mark();
        let began = Instant::now();
        let words = ["bootstrap", from, "--as", repository, "--policy", POLICY, "-q"];
        let made = platform.cli.run(&[&words, memory].concat());
        let bootstrap = began.elapsed();
        let by_bootstrap = asked(control_plane, mark, "sealift/");
        let mut sample =
            Sample { bootstrap, applied: None, by_bootstrap, by_controller: 0, registry: Counted::default() };
        match (made.code, source) {
            (0, _) => {}
            (3, Source::RegistryAndMemory) if made.stderr.contains(&format!("error: {REFUSED}:")) => return Ok(sample),
            _ => return Err(made.stderr.into()),
        }
        let controller = platform.controller(control_plane, more).await;
        let is_there = || {
            let stack_is = match source {
                Source::RegistryAndMemory => is_refused(control_plane, "stack"),
                Source::Registry | Source::File => is_applied(control_plane, "stack", stack.latest),
            };
            stack_is && is_applied(control_plane, "sealift", sealift.latest)
        };
        while !is_there() {
            if began.elapsed() > PATIENCE {
                return Err(format!("it never came: {}", fs::read_to_string(platform.path("controller.log"))?).into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        sample.applied = Some(began.elapsed());
        sample.by_controller = asked(control_plane, mark, "sealift-controller/");
        drop(controller);
        if source != Source::RegistryAndMemory {
            let records = control_plane.kubectl(&["get", "acceptedreleases.sealift.dev", "-o", "yaml"])?;
            platform.cli.write(MEMORY, records);
        }
        Ok(sample)
    }
}

fn push(
    platform: &Platform,
    repository: &str,
    folders: &[&str],
    key: &KeyPair,
    version: &str,
    expired: bool,
) -> Digest {
    let (to, key) = (format!("oci://{repository}:prod"), key.private().display().to_string());
    let words = ["push", &to, "--key", &key, "--env", "prod", "--version", version, "-q", "--allow-secrets"];
    let folders = folders.iter().flat_map(|folder| ["-f", folder]);
    let expires: &[&str] = if expired { &["--expires-in", "1s"] } else { &[] };
    let words: Vec<&str> = words.into_iter().chain(folders).chain(expires.iter().copied()).collect();
    platform.cli.run(&words).digest()
}

/// Median, least and most.
fn seconds(mut all: Vec<Duration>) -> String {
    all.sort();
    let at = |n: usize| all.get(n).copied().unwrap_or_default().as_secs_f64();
    format!("{:.1} s ({:.1} to {:.1})", at(all.len() / 2), at(0), at(all.len().saturating_sub(1)))
}

fn status(control_plane: &ControlPlane, name: &str) -> Value {
    let words = ["get", "deliveries.sealift.dev", name, "-n", "sealift-system", "-o", "json"];
    let found = control_plane.kubectl(&words).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
    found.map(|mut found| found["status"].take()).unwrap_or_default()
}

fn is_applied(control_plane: &ControlPlane, name: &str, digest: Digest) -> bool {
    status(control_plane, name)["lastApplied"]["digest"] == digest.to_string()
}

fn is_refused(control_plane: &ControlPlane, name: &str) -> bool {
    let status = status(control_plane, name);
    let refused = status["conditions"].as_array().into_iter().flatten().any(|condition| condition["reason"] == REFUSED);
    refused && status["lastApplied"].is_null()
}

/// What this program has asked since, watches left out.
fn asked(control_plane: &ControlPlane, mark: AuditMark, agent: &str) -> usize {
    let ours = |request: &Request| request.user_agent.starts_with(agent) && request.verb != "watch";
    control_plane.audit().since(mark).iter().filter(|request| ours(request)).count()
}
