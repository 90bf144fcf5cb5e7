//! A controller under the limits of its Deployment on half a core of this machine, which is about what a small board has: what it takes
//! when idle and while it installs.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use sealift_e2e::{ControlPlane, World, policy, workspace};
use sealift_verify::digest::Digest;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{Bench, figures::Table};

const DEPLOYMENT: &str = "deploy/base/controller.yaml";
/// Where version 1 of control groups is mounted, a folder for each controller.
const GROUPS: &str = "/sys/fs/cgroup";
/// A CPU has so many microseconds in a period of the scheduler.
const PERIOD: u64 = 100_000;
/// Time for what was put off, and for memory to be given back.
const SETTLED: Duration = Duration::from_secs(30);

pub(crate) fn measure(bench: &mut Bench, control_plane: &ControlPlane) -> Result<(), Box<dyn Error>> {
    let memory = memory_limit(&fs::read_to_string(workspace().join(DEPLOYMENT))?)?;
    let title = format!("the controller with {} MiB at most, as {DEPLOYMENT} has it, and half a core", memory >> 20);
    let mut table = Table::new(title, &["Deliveries", "applied after", "idle", "peak", "charged to the group, peak"]);
    for deliveries in [0, 1, 100] {
        let group = Group::new(memory, PERIOD / 2)?;
        let manifests = &bench.manifests;
        let row = Runtime::new()?.block_on(World::run(control_plane, "bench-limits", async |world| {
            taken(world, &group, manifests, deliveries).await.map_err(|error| error.to_string())
        }))?;
        table.row(row);
    }
    bench.tables.push(table);
    Ok(())
}

async fn taken(
    world: &World<'_>,
    group: &Group,
    manifests: &Path,
    deliveries: usize,
) -> Result<[String; 5], Box<dyn Error>> {
    let prepared = match deliveries {
        1 => Some(stack(world, manifests)),
        _ => None,
    };
    world.run_controllers_by(&group.entry());
    world.start_controller().await;
    let began = Instant::now();
    match prepared {
        Some(digest) => {
            let account = world.cluster_account(&world.namespace);
            world.trust().await;
            world.deliver(&world.namespace, "stack", world.following("stack", "prod", account)).await;
            world.applied((&world.namespace, "stack"), digest).await;
        }
        None if deliveries > 0 => small(world, deliveries).await,
        None => {}
    }
    let applied = began.elapsed();
    thread::sleep(SETTLED);
    let process = world.controller_id().ok_or("the controller is gone")?;
    let what = match deliveries {
        0 => "none".to_owned(),
        1 => "1: kube-prometheus".to_owned(),
        many => format!("{many}, of one object each"),
    };
    Ok([
        what,
        if deliveries == 0 { String::new() } else { format!("{:.1} s", applied.as_secs_f64()) },
        format!("{} MiB", kernel(process, "VmRSS:")? >> 10),
        format!("{} MiB", kernel(process, "VmHWM:")? >> 10),
        format!(
            "{} MiB, {} times at the limit",
            group.count("memory.max_usage_in_bytes")? >> 20,
            group.count("memory.failcnt")?
        ),
    ])
}

fn stack(world: &World<'_>, manifests: &Path) -> Digest {
    world.push("stack:prod", &[manifests], &["--allow-secrets"])
}

/// Many Deliveries of one artifact with one object.
async fn small(world: &World<'_>, deliveries: usize) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map-${INDEX}"}});
    let file = world.cli.write("map.json", map.to_string());
    let digest = world.push("acme/app:prod", &[&file], &["--var", "INDEX"]);
    let mut open = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
    open["spec"]["objects"] = json!({"parameters": ["names"]});
    world.put_policy(open).await;
    let account = world.namespace_account(&world.namespace);
    let names: Vec<String> = (0..deliveries).map(|index| format!("app-{index}")).collect();
    for (index, name) in names.iter().enumerate() {
        let mut spec = world.following("acme/app", "prod", account);
        spec["parameters"] = json!([{"name": "INDEX", "value": index.to_string()}]);
        world.deliver(&world.namespace, name, spec).await;
    }
    for name in &names {
        world.applied((&world.namespace, name), digest).await;
    }
}

/// The memory limit of the Deployment's container, in bytes.
fn memory_limit(deployment: &str) -> Result<u64, Box<dyn Error>> {
    let line = deployment.lines().find_map(|line| line.trim().strip_prefix("limits: {memory: "));
    let mebibytes = line.and_then(|line| line.strip_suffix("Mi}")).ok_or("the Deployment has no memory limit in Mi")?;
    Ok(mebibytes.parse::<u64>()? << 20)
}

/// A field of what the kernel says of a process, in KiB.
fn kernel(process: u32, field: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the kernel tells no memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Control groups for memory and CPU, version 1, which go with it.
struct Group {
    memory: PathBuf,
    cpu: PathBuf,
}

impl Group {
    fn new(memory: u64, quota: u64) -> Result<Self, Box<dyn Error>> {
        let folder = |controller: &str| Path::new(GROUPS).join(controller).join("sealift-bench");
        let group = Self { memory: folder("memory"), cpu: folder("cpu") };
        for (folder, file, value) in [
            (&group.memory, "memory.limit_in_bytes", memory),
            (&group.cpu, "cpu.cfs_period_us", PERIOD),
            (&group.cpu, "cpu.cfs_quota_us", quota),
        ] {
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(folder.join(file), value.to_string()))
                .map_err(|error| format!("limits need root and control groups of version 1 at {GROUPS}: {error}"))?;
        }
        Ok(group)
    }

    /// The words that, before a command, run it in these groups.
    fn entry(&self) -> [String; 3] {
        let procs = [&self.memory, &self.cpu].map(|folder| folder.join("cgroup.procs").display().to_string());
        let script = format!("echo $$ > {} && echo $$ > {} && exec \"$0\" \"$@\"", procs[0], procs[1]);
        ["sh".to_owned(), "-c".to_owned(), script]
    }

    fn count(&self, file: &str) -> Result<u64, Box<dyn Error>> {
        Ok(fs::read_to_string(self.memory.join(file))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Processes leave a moment after they were killed; a folder that stays is used again.
        for folder in [&self.memory, &self.cpu] {
            for _ in 0..50 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}
