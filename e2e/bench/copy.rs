//! `sealift copy` between registries and into and out of a tar, beside `oras copy` where that does the same.
//!
//! Sealift reads everything back at the destination before a tag names it; oras does not.

use std::{error::Error, fs, path::Path, process::Command, time::Duration};

use sealift_e2e::{Registry, Tool, faulty::Referrers};

use crate::{
    Bench,
    counted::{Counted, recording},
    figures::{Table, median},
    ground::{Ground, succeed, timed},
    noise::Noise,
};

/// What is copied: an artifact of four layers that do not compress, each larger than what goes in one piece.
const LAYERS: usize = 4;
const LAYER: usize = 48 << 20;
const REPOSITORY: &str = "copied/one";

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let oras = Tool::find("oras").ok_or("oras is missing: testenv/build bench")?;
    let folder = bench.folder.path().join("copy");
    fs::create_dir_all(&folder)?;
    let layers = layers(&folder)?;
    // On disk, as any registry of that size would be.
    let (from, to) = (Registry::embedded(), Registry::embedded());
    let ground = Ground::at(&folder, &from.host())?;
    push(&oras, &folder, &from.host(), &layers)?;
    let source = format!("{}/{REPOSITORY}:v1", from.host());
    let oci = format!("oci://{source}");
    let tar = folder.join("copied.tar");
    let tar = tar.to_str().ok_or("the temporary folder's name is no text")?;
    let mut times: [Vec<Duration>; 4] = Default::default();
    for run in 0..=bench.rounds {
        let target = |name: &str| format!("{}/{name}/run-{run}", to.host());
        let _ = fs::remove_file(tar);
        let (ours, theirs) = (target("ours"), target("theirs"));
        let took = [
            timed(|| succeed(ground.sealift().args(["copy", "-q", &oci, &format!("oci://{ours}:v1")])).map(drop))?,
            timed(|| {
                let copy = ["copy", "--from-plain-http", "--to-plain-http", &source, &format!("{theirs}:v1")];
                succeed(oras.command().env("HOME", &folder).args(copy)).map(drop)
            })?,
            timed(|| succeed(ground.sealift().args(["copy", "-q", &oci, tar])).map(drop))?,
            timed(|| {
                let again = format!("oci://{}:v1", target("unpacked"));
                succeed(ground.sealift().args(["copy", "-q", &format!("{tar}:v1"), &again])).map(drop)
            })?,
        ];
        // The first round warms the page cache.
        if run > 0 {
            times.iter_mut().zip(took).for_each(|(times, took)| times.push(took));
        }
    }
    let counted = count(&folder, &oras, &layers)?;
    let ways = ["registry to registry", "the same by `oras copy`", "registry to tar", "tar to registry"];
    let megabytes = (LAYERS * LAYER) as f64 / 1e6;
    let mut table = Table::new(
        format!("copy of {megabytes:.0} MB in {LAYERS} layers, median of {} rounds", bench.rounds),
        &["", "time", "MB/s", "requests at the source", "requests at the destination"],
    );
    for ((way, times), [source, destination]) in ways.into_iter().zip(&times).zip(counted) {
        let seconds = median(times).as_secs_f64();
        let told = |counted: Option<Counted>| counted.map_or_else(|| "-".to_owned(), |counted| counted.to_string());
        table.row([
            way.to_owned(),
            format!("{seconds:.2} s"),
            format!("{:.0}", megabytes / seconds),
            told(source),
            told(destination),
        ]);
    }
    bench.tables.push(table);
    Ok(())
}

/// Writes the layers, and gives their files' names.
fn layers(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut noise = Noise::new();
    (0..LAYERS)
        .map(|number| {
            let name = format!("layer-{number}");
            fs::write(folder.join(&name), noise.bytes(LAYER))?;
            Ok(name)
        })
        .collect()
}

fn push(oras: &Tool, folder: &Path, host: &str, layers: &[String]) -> Result<(), Box<dyn Error>> {
    let target = format!("{host}/{REPOSITORY}:v1");
    let mut command: Command = oras.command();
    command.current_dir(folder).env("HOME", folder).args(["push", "--plain-http", &target]).args(layers);
    succeed(&mut command).map(drop)
}

/// What each way asks of source and destination; nothing of a tar.
fn count(folder: &Path, oras: &Tool, layers: &[String]) -> Result<[[Option<Counted>; 2]; 4], Box<dyn Error>> {
    let source = recording(Referrers::Kept);
    let ground = Ground::at(&folder.join("counted"), source.host())?;
    push(oras, folder, source.host(), layers)?;
    let from = format!("{}/{REPOSITORY}:v1", source.host());
    let tar = ground.home.join("counted.tar");
    let tar = tar.to_str().ok_or("the temporary folder's name is no text")?;
    let mut asked = source.seen().len();
    let mut at_source = || {
        let seen = source.seen();
        let counted = Counted::of(&seen[asked..]);
        asked = seen.len();
        Some(counted)
    };
    let copied = |source: &str| -> Result<Option<Counted>, Box<dyn Error>> {
        let destination = recording(Referrers::Kept);
        let to = format!("oci://{}/{REPOSITORY}:v1", destination.host());
        succeed(ground.sealift().args(["copy", "-q", source, &to]))?;
        Ok(Some(Counted::of(&destination.seen())))
    };
    let ours = copied(&format!("oci://{from}"))?;
    let ours = [at_source(), ours];
    let destination = recording(Referrers::Kept);
    let to = format!("{}/{REPOSITORY}:v1", destination.host());
    let copy = ["copy", "--from-plain-http", "--to-plain-http", &from, &to];
    succeed(oras.command().env("HOME", &ground.home).args(copy))?;
    let theirs = [at_source(), Some(Counted::of(&destination.seen()))];
    succeed(ground.sealift().args(["copy", "-q", &format!("oci://{from}"), tar]))?;
    let packed = [at_source(), None];
    Ok([ours, theirs, packed, [None, copied(&format!("{tar}:v1"))?]])
}
