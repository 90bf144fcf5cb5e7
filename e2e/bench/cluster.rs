//! The controller: requests for an install, for nothing and for one changed object; time from tag to applied; memory.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sealift_e2e::{AuditMark, ControlPlane, Process, Request, binary, workspace};
use serde_json::{Value, json};

use crate::{Bench, commands::Ground};

const NAMESPACE: &str = "bench";

pub(crate) fn measure(bench: &mut Bench, control_plane: &ControlPlane) -> Result<(), Box<dyn Error>> {
    let ground = Ground::new(&bench.folder.path().join("cluster"))?;
    let manifests = ground.home.join("manifests");
    copy(&bench.manifests, &manifests)?;
    let crds = workspace().join("deploy/crds");
    control_plane.kubectl(&["apply", "--server-side", "-f", &crds.to_string_lossy()])?;
    let setup = ground.home.join("setup.json");
    fs::write(&setup, tenant(&ground)?)?;
    control_plane.kubectl(&["apply", "--server-side", "-f", &setup.to_string_lossy()])?;
    let digest = ground.push(&manifests, "stack", &[])?;

    let mut run = Command::new(binary("sealift-controller"));
    run.args(["run", "--metrics-listen", "127.0.0.1:0", "--plain-http-host", &ground.host]);
    run.env("KUBECONFIG", control_plane.kubeconfig());
    let controller = Process::start("sealift-controller", run, &ground.home.join("controller.log"))?;
    thread::sleep(Duration::from_secs(2));
    bench.figures.add("controller, resident at idle", resident(&controller, "VmRSS:")?, "MiB");

    let audit = control_plane.audit();
    let mark = audit.mark();
    let started = Instant::now();
    let delivery = ground.home.join("delivery.json");
    fs::write(&delivery, declared(&ground))?;
    control_plane.kubectl(&["apply", "--server-side", "-f", &delivery.to_string_lossy()])?;
    applied(control_plane, &digest)?;
    bench.figures.times("install kube-prometheus: declared to applied", vec![started.elapsed()]);
    bench.figures.count("install kube-prometheus: API requests", requests(control_plane, mark));
    bench.figures.add("controller, resident after the install", resident(&controller, "VmRSS:")?, "MiB");
    bench.figures.add("controller, peak", resident(&controller, "VmHWM:")?, "MiB");

    let mark = audit.mark();
    handled(control_plane, "noop")?;
    bench.figures.count("nothing changed, one reconcile: API requests", requests(control_plane, mark));

    let service = manifests.join("grafana-service.yaml");
    let text = fs::read_to_string(&service)?;
    fs::write(&service, text.replacen("metadata:\n", "metadata:\n  annotations: {bench: changed}\n", 1))?;
    let digest = ground.push(&manifests, "stack", &[])?;
    let mark = audit.mark();
    let moved = Instant::now();
    annotate(control_plane, "upgrade")?;
    applied(control_plane, &digest)?;
    bench.figures.times("one object changed: tag moved to applied", vec![moved.elapsed()]);
    bench.figures.count("one object changed: API requests", requests(control_plane, mark));
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

fn tenant(ground: &Ground) -> Result<String, Box<dyn Error>> {
    let policy: Value = serde_json::from_str(&ground.policy("bench")?)?;
    let items = json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": NAMESPACE}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "bench-deployer"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": NAMESPACE}],
        },
        policy,
    ]);
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

fn declared(ground: &Ground) -> String {
    json!({
        "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"name": "stack", "namespace": NAMESPACE},
        "spec": {
            "repository": format!("{}/stack", ground.host), "select": {"tag": "prod"}, "interval": "1h",
            "timeout": "5m", "serviceAccountName": "deployer",
        }
    })
    .to_string()
}

fn status(control_plane: &ControlPlane, path: &str) -> Result<String, Box<dyn Error>> {
    let query = format!("jsonpath={path}");
    Ok(control_plane
        .kubectl(&["get", "deliveries.sealift.dev", "stack", "-n", NAMESPACE, "-o", &query])?
        .trim()
        .to_owned())
}

fn await_status(control_plane: &ControlPlane, path: &str, wanted: &str) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    while status(control_plane, path)? != wanted {
        if started.elapsed() > Duration::from_secs(300) {
            return Err(format!("{path} is not {wanted} after 300 s: {}", status(control_plane, "{.status}")?).into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn applied(control_plane: &ControlPlane, digest: &str) -> Result<(), Box<dyn Error>> {
    await_status(control_plane, "{.status.lastApplied.digest}", digest)
}

fn annotate(control_plane: &ControlPlane, token: &str) -> Result<(), Box<dyn Error>> {
    let annotation = format!("reconcile.sealift.dev/requestedAt={token}");
    control_plane.kubectl(&[
        "annotate",
        "deliveries.sealift.dev",
        "stack",
        "-n",
        NAMESPACE,
        "--overwrite",
        &annotation,
    ])?;
    Ok(())
}

fn handled(control_plane: &ControlPlane, token: &str) -> Result<(), Box<dyn Error>> {
    annotate(control_plane, token)?;
    await_status(control_plane, "{.status.lastHandledReconcileAt}", token)
}

/// What the controller asked since `mark`, by verb; kubectl's own requests are left out.
fn requests(control_plane: &ControlPlane, mark: AuditMark) -> String {
    let mut verbs: BTreeMap<&str, usize> = BTreeMap::new();
    let all = control_plane.audit().since(mark);
    let ours = |request: &&Request| request.user_agent.contains("sealift") && request.verb != "watch";
    let ours: Vec<_> = all.iter().filter(ours).collect();
    for request in &ours {
        let verb = if request.is_dry_run() { "dry-run" } else { request.verb.as_str() };
        *verbs.entry(verb).or_default() += 1;
    }
    let parts: Vec<_> = verbs.iter().map(|(verb, n)| format!("{n} {verb}")).collect();
    format!("{} ({})", ours.len(), parts.join(", "))
}

fn resident(controller: &Process, field: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{}/status", controller.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the kernel tells no memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}
