//! The controller: requests for an install, for nothing and for one changed object; time from tag to applied; memory.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use sealift_e2e::{AuditMark, ControlPlane, Process, Request};

use crate::{Bench, ground::Ground, tenant::Tenant};

pub(crate) fn measure(bench: &mut Bench, control_plane: &ControlPlane) -> Result<(), Box<dyn Error>> {
    let ground = Ground::new(&bench.folder.path().join("cluster"))?;
    let manifests = ground.home.join("manifests");
    copy(&bench.manifests, &manifests)?;
    let tenant = Tenant::new(control_plane, &ground, "bench")?;
    let digest = ground.push(&manifests, "stack", &[])?;

    let controller = tenant.controller(&[])?;
    thread::sleep(Duration::from_secs(2));
    bench.figures.add("controller, resident at idle", resident(&controller, "VmRSS:")?, "MiB");

    let audit = control_plane.audit();
    let mark = audit.mark();
    let started = Instant::now();
    tenant.deliver("1h")?;
    tenant.applied(&digest)?;
    bench.figures.times("install kube-prometheus: declared to applied", vec![started.elapsed()]);
    bench.figures.count("install kube-prometheus: API requests", requests(control_plane, mark));
    bench.figures.add("controller, resident after the install", resident(&controller, "VmRSS:")?, "MiB");
    bench.figures.add("controller, peak", resident(&controller, "VmHWM:")?, "MiB");

    let mark = audit.mark();
    tenant.handled("noop")?;
    bench.figures.count("nothing changed, one reconcile: API requests", requests(control_plane, mark));

    let service = manifests.join("grafana-service.yaml");
    let text = fs::read_to_string(&service)?;
    fs::write(&service, text.replacen("metadata:\n", "metadata:\n  annotations: {bench: changed}\n", 1))?;
    let digest = ground.push(&manifests, "stack", &[])?;
    let mark = audit.mark();
    let moved = Instant::now();
    tenant.annotate("upgrade")?;
    tenant.applied(&digest)?;
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
