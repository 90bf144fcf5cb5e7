//! What many clusters ask of one registry: while nothing moves, when a tag moves, whether or not they are told of it, and when all
//! of them begin at once.
//!
//! Each cluster is what its controller runs to follow tags ([`Polling`]): the same shared questions, jitter, caches and HTTP
//! clients, each with its own. What has no part in it, the verdict and the cluster itself, is left out. All of them and the
//! registry are in one process, so times are of this machine; requests are not.

use std::{
    collections::HashMap,
    error::Error,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser as _;
use sealift_apply::api::ReceiverType;
use sealift_controller::{
    controller::{Ear, Follows, Polling, Seen},
    options::{Cli, Command, Options},
    queue::Key,
};
use sealift_registry::server::{Running, ServerOptions, spawn};
use serde_json::json;
use tokio::{runtime::Runtime, time::sleep};

use crate::{Bench, figures::Table, ground::Ground};

const CLUSTERS: usize = 500;
/// Tags that each cluster follows, the same ones everywhere.
const TAGS: usize = 8;
/// Deliveries of each tag in a cluster.
const DELIVERIES: usize = 5;
const INTERVAL: Duration = Duration::from_secs(60);
/// How often each cluster is told of the same.
const TOLD: usize = 3;
/// How many intervals nothing happens, and is counted.
const IDLE: u32 = 2;
/// Beyond this something is wrong.
const PATIENCE: Duration = Duration::from_secs(600);

/// What all clusters have been seen to have.
#[derive(Default)]
struct Progress {
    /// Deliveries whose layer is there, by tag and digest.
    have: Mutex<HashMap<(usize, String), usize>>,
    looks: AtomicUsize,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new()?;
    let registry = runtime.block_on(spawn(ServerOptions::default()))?;
    let host = registry.addr.to_string();
    let ground = Ground::at(&bench.folder.path().join("clusters"), &host)?;
    for tag in 0..TAGS {
        release(&ground, tag, "1")?;
    }
    let options = options(&host)?;
    let mut table = Table::new(
        format!(
            "{CLUSTERS} clusters at one registry, {TAGS} tags and {} Deliveries each, every {INTERVAL:?}",
            TAGS * DELIVERIES
        ),
        &["", "requests", "a second", "in the busiest second", "what"],
    );
    runtime.block_on(measured(&registry, &ground, &options, &mut table))?;
    bench.tables.push(table);
    Ok(())
}

async fn measured(
    registry: &Running,
    ground: &Ground,
    options: &Options,
    table: &mut Table,
) -> Result<(), Box<dyn Error>> {
    let progress = Arc::new(Progress::default());
    let began = Instant::now();
    let counting = Counting::begin(registry);
    let clusters: Vec<_> = (0..CLUSTERS).map(|_| cluster(options, ground, &progress)).collect::<Result<_, _>>()?;
    let ears: Vec<Ear> = clusters.iter().map(Polling::ear).collect();
    let running: Vec<_> = clusters.into_iter().map(|cluster| tokio::spawn(cluster.run())).collect();
    let counted = counting.until(|| progress.all(CLUSTERS * TAGS * DELIVERIES)).await?;
    counted
        .row(&format!("all begin at once, nothing cached; done after {:.1} s", began.elapsed().as_secs_f64()), table);

    // Whoever began together has drifted apart by its jitter, a little more each interval.
    let idle = Counting::begin(registry);
    let end = Instant::now() + INTERVAL * IDLE;
    idle.until(|| Instant::now() >= end).await?.row(&format!("nothing moves, for {IDLE} intervals"), table);

    let moved = release(ground, 0, "2")?;
    let (counted, half, last) = arrives(Counting::begin(registry), &progress, 0, &moved).await?;
    counted.row(&format!("one tag moves; half of all have it after {half:.0} s, the last after {last:.0} s"), table);

    let moved = release(ground, 1, "2")?;
    let counting = Counting::begin(registry);
    tell(&ears, &notification(ground, 1, &moved))?;
    let (counted, half, last) = arrives(counting, &progress, 1, &moved).await?;
    let what = format!(
        "another moves, and the registry tells each cluster of it {TOLD} times; half of all have it after {half:.1} s, the last after {last:.1} s"
    );
    counted.row(&what, table);
    running.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

/// What is asked until all clusters have this release, and after how many seconds half of them do, and the last one.
async fn arrives(
    counting: Counting<'_>,
    progress: &Progress,
    tag: usize,
    moved: &str,
) -> Result<(Counted, f64, f64), Box<dyn Error>> {
    let pushed = counting.began;
    let (mut half, all) = (None, CLUSTERS * DELIVERIES);
    let done = || {
        let have = progress.of(tag, moved);
        if have * 2 >= all {
            half.get_or_insert_with(|| pushed.elapsed());
        }
        have == all
    };
    let counted = counting.until(done).await?;
    let last = counted.took.as_secs_f64();
    Ok((counted, half.unwrap_or_default().as_secs_f64(), last))
}

/// What CNCF distribution tells of a tag that moved.
fn notification(ground: &Ground, tag: usize, digest: &str) -> String {
    let target = json!({"repository": format!("app-{tag}"), "tag": "prod", "digest": digest});
    let request = json!({"host": ground.host, "method": "PUT"});
    json!({"events": [{"action": "push", "target": target, "request": request}]}).to_string()
}

/// Tells every cluster, and again: who tells at least once tells more than once.
fn tell(ears: &[Ear], notification: &str) -> Result<(), Box<dyn Error>> {
    for _ in 0..TOLD {
        for ear in ears {
            let asked = ear.hear(ReceiverType::Distribution, notification.as_bytes());
            (asked == Some(1)).then_some(()).ok_or("a cluster was told, and did not ask")?;
        }
    }
    Ok(())
}

impl Progress {
    fn of(&self, tag: usize, digest: &str) -> usize {
        let have = self.have.lock().unwrap_or_else(PoisonError::into_inner);
        have.get(&(tag, digest.to_owned())).copied().unwrap_or_default()
    }

    fn all(&self, wanted: usize) -> bool {
        self.have.lock().unwrap_or_else(PoisonError::into_inner).values().sum::<usize>() >= wanted
    }
}

/// One cluster, which follows every tag by several Deliveries.
fn cluster(options: &Options, ground: &Ground, progress: &Arc<Progress>) -> Result<Polling, Box<dyn Error>> {
    let mut deliveries = HashMap::new();
    for tag in 0..TAGS {
        let follows = Follows { repository: format!("{}/app-{tag}", ground.host).parse()?, tag: "prod".to_owned() };
        deliveries.extend((0..DELIVERIES).map(|at| (Key::new(format!("tag-{tag}"), format!("{at}")), follows.clone())));
    }
    let (progress, had) = (Arc::clone(progress), Mutex::new(HashMap::new()));
    let seen: Seen = Arc::new(move |key, digest| {
        progress.looks.fetch_add(1, Ordering::Relaxed);
        let tag = key.namespace.trim_start_matches("tag-").parse().unwrap_or_default();
        let digest = digest.to_string();
        let before = had.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), digest.clone());
        if before.as_ref() != Some(&digest) {
            *progress.have.lock().unwrap_or_else(PoisonError::into_inner).entry((tag, digest)).or_default() += 1;
        }
    });
    Ok(Polling::new(options, deliveries, INTERVAL, seen)?)
}

/// Requests, second by second.
struct Counting<'a> {
    registry: &'a Running,
    first: u64,
    began: Instant,
}

struct Counted {
    total: u64,
    took: Duration,
    busiest: u64,
    by: String,
}

impl<'a> Counting<'a> {
    fn begin(registry: &'a Running) -> Self {
        Self { registry, first: registry.requests().total(), began: Instant::now() }
    }

    async fn until(self, mut done: impl FnMut() -> bool) -> Result<Counted, Box<dyn Error>> {
        let before = self.registry.requests();
        let (mut last, mut second, mut busiest) = (self.first, Instant::now(), 0);
        while !done() {
            if self.began.elapsed() > PATIENCE {
                return Err("it did not come to its end".into());
            }
            sleep(Duration::from_millis(50)).await;
            if second.elapsed() >= Duration::from_secs(1) {
                let now = self.registry.requests().total();
                busiest = busiest.max(now - last);
                (last, second) = (now, second + Duration::from_secs(1));
            }
        }
        let since = self.registry.requests().since(&before);
        busiest = busiest.max(self.registry.requests().total() - last);
        let by: Vec<_> = since.iter().map(|(method, endpoint, count)| format!("{count} {method} {endpoint}")).collect();
        Ok(Counted { total: since.total(), took: self.began.elapsed(), busiest, by: by.join(", ") })
    }
}

impl Counted {
    fn row(&self, what: &str, table: &mut Table) {
        let Self { total, took, busiest, by } = self;
        let rate = *total as f64 / took.as_secs_f64();
        table.row([what.to_owned(), total.to_string(), format!("{rate:.0}"), busiest.to_string(), by.clone()]);
    }
}

fn options(host: &str) -> Result<Options, Box<dyn Error>> {
    match Cli::parse_from(["sealift-controller", "run", "--plain-http-host", host]).command {
        Command::Run(options) => Ok(*options),
        Command::Crds | Command::AdmissionPolicy(_) => Err("these are the arguments of a run".into()),
    }
}

fn release(ground: &Ground, tag: usize, value: &str) -> Result<String, Box<dyn Error>> {
    let file = ground.home.join(format!("map-{tag}.yaml"));
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"value": value}});
    fs::write(&file, map.to_string())?;
    ground.push(Path::new(&file), &format!("app-{tag}"), &[])
}
