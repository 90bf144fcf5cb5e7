//! A release pushed and signed: by `sealift push`, and by `tar`, `oras push` and `cosign sign`. Each first into an empty
//! repository (cold) and then, with nothing changed, into the same one again (warm).
//!
//! Time is taken at two registries, one with the referrers API and one without; the ways take turns in each round.
//! Requests and bytes are counted in a run of their own, at a registry that writes everything down.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use sealift_e2e::{Cosign, Registry, Tool, faulty::Referrers};

use crate::{
    Bench,
    counted::{Counted, recording, size},
    figures::{Table, median},
    ground::{Ground, succeed, timed},
    tree,
};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// How a release comes into a registry.
#[derive(Clone, Copy, Debug)]
enum Way {
    Sealift,
    SealiftGzip,
    OrasAndCosign,
}

const WAYS: [Way; 3] = [Way::Sealift, Way::SealiftGzip, Way::OrasAndCosign];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Sealift => "`sealift push`",
            Self::SealiftGzip => "`sealift push --format flux` (tar+gzip)",
            Self::OrasAndCosign => "`tar -czf`, `oras push`, `cosign sign`",
        }
    }

    fn repository(self, run: &str) -> String {
        format!("{}-{run}", format!("{self:?}").to_lowercase())
    }
}

/// The other tools.
struct Peers {
    oras: Tool,
    cosign: Cosign,
}

impl Peers {
    fn find() -> Result<Self, Box<dyn Error>> {
        let (Some(oras), Some(cosign)) = (Tool::find("oras"), Cosign::find()) else {
            return Err("oras or cosign is missing: testenv/build bench".into());
        };
        let _ = cosign.succeed(&["generate-key-pair"]);
        Ok(Self { oras, cosign })
    }

    /// Packs, pushes and signs.
    fn push(&self, ground: &Ground, files: &Path, repository: &str) -> Result<(), Box<dyn Error>> {
        let archive = "manifests.tar.gz";
        succeed(Command::new("tar").arg("-czf").arg(ground.home.join(archive)).arg("-C").arg(files).arg("."))?;
        let target = format!("{}/{repository}", ground.host);
        let (tagged, file) = (format!("{target}:prod"), format!("{archive}:{LAYER}"));
        let push = ["push", "--plain-http", "--format", "go-template={{.digest}}", &tagged, &file];
        let pushed = succeed(self.oras.command().current_dir(&ground.home).env("HOME", &ground.home).args(push))?;
        let pinned = format!("{target}@{}", String::from_utf8(pushed.stdout)?.trim());
        let sign =
            ["sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--yes", &pinned];
        succeed(&mut self.cosign.command(&sign)).map(drop)
    }
}

/// Manifests, and what they are called.
struct Tree {
    name: String,
    files: PathBuf,
}

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let peers = Peers::find()?;
    let made = bench.folder.path().join("tree");
    tree::write(&made)?;
    let trees = [
        Tree { name: "kube-prometheus".to_owned(), files: bench.manifests.clone() },
        Tree { name: format!("{} objects", tree::OBJECTS), files: made },
    ];
    let mut times = Table::new(
        format!("push: time in ms, median (least to most) of {} rounds", bench.rounds),
        &["", "", "cold, referrers API", "warm, referrers API", "cold, without", "warm, without"],
    );
    let mut counts = Table::new(
        "push: bytes and requests",
        &["", "", "", "sent", "new at the registry", "requests, referrers API", "requests, without"],
    );
    for tree in &trees {
        let timed = time(bench, tree, &peers)?;
        for (way, cells) in WAYS.into_iter().zip(timed) {
            let [a, b, c, d] = cells.map(|samples| shown(&samples));
            times.row([tree.name.clone(), way.name().to_owned(), a, b, c, d]);
        }
        for way in WAYS {
            let folder = bench.folder.path().join(way.repository(&tree.name.replace(' ', "-")));
            let [with, without] = [Referrers::Kept, Referrers::Missing]
                .map(|referrers| count(&folder.join(format!("{referrers:?}")), tree, way, referrers, &peers));
            for ((state, with), without) in ["cold", "warm"].into_iter().zip(with?).zip(without?) {
                let (name, way) = (tree.name.clone(), way.name().to_owned());
                let (sent, stored) = (size(with.sent), size(with.stored));
                counts.row([name, way, state.to_owned(), sent, stored, with.to_string(), without.to_string()]);
            }
        }
    }
    bench.tables.extend([times, counts]);
    Ok(())
}

/// What each way took: cold and warm at a registry with the referrers API, then at one without.
fn time(bench: &Bench, tree: &Tree, peers: &Peers) -> Result<[[Vec<Duration>; 4]; 3], Box<dyn Error>> {
    let folder = bench.folder.path().join(format!("push-{}", tree.name.replace(' ', "-")));
    let other = Registry::distribution().ok_or("there is no registry: testenv/build bench")?;
    let grounds = [Ground::new(&folder.join("with"))?, Ground::at(&folder.join("without"), &other.host())?];
    let mut times: [[Vec<Duration>; 4]; 3] = Default::default();
    for run in 0..=bench.rounds {
        for (at, ground) in grounds.iter().enumerate() {
            for turn in 0..WAYS.len() {
                let which = (turn + run) % WAYS.len();
                let repository = WAYS[which].repository(&run.to_string());
                for warm in 0..2 {
                    let took = timed(|| push(WAYS[which], ground, tree, &repository, peers))?;
                    // The first round warms the page cache.
                    if run > 0 {
                        times[which][at * 2 + warm].push(took);
                    }
                }
            }
        }
    }
    Ok(times)
}

fn push(way: Way, ground: &Ground, tree: &Tree, repository: &str, peers: &Peers) -> Result<(), Box<dyn Error>> {
    match way {
        Way::Sealift => ground.push(&tree.files, repository, &[]).map(drop),
        Way::SealiftGzip => ground.push(&tree.files, repository, &["--format", "flux"]).map(drop),
        Way::OrasAndCosign => peers.push(ground, &tree.files, repository),
    }
}

/// What a cold and then a warm push ask.
fn count(
    folder: &Path,
    tree: &Tree,
    way: Way,
    referrers: Referrers,
    peers: &Peers,
) -> Result<[Counted; 2], Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let registry = recording(referrers);
    let ground = Ground::at(folder, registry.host())?;
    push(way, &ground, tree, "counted", peers)?;
    let before = registry.seen().len();
    push(way, &ground, tree, "counted", peers)?;
    let seen = registry.seen();
    if std::env::var_os("SEALIFT_BENCH_TRACE").is_some() {
        use std::io::Write as _;
        let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}\n", seen.line(), seen.body.len())).collect();
        let _ =
            write!(std::io::stderr(), "{way:?} {} {referrers:?}, warm from {before}\n{}", tree.name, lines.concat());
    }
    // What the first push has stored is not new in the second.
    let (cold, all) = (Counted::of(&seen[..before]), Counted::of(&seen));
    let mut warm = Counted::of(&seen[before..]);
    warm.stored = all.stored - cold.stored;
    Ok([cold, warm])
}

fn shown(samples: &[Duration]) -> String {
    let milliseconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1e3;
    let (least, most) = (samples.iter().min().copied(), samples.iter().max().copied());
    format!("{:.0} ({:.0} to {:.0})", milliseconds(Some(median(samples))), milliseconds(least), milliseconds(most))
}
