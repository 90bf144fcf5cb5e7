//! `make bench`: what the main job costs, beside oras and cosign where they do the same, in one run on one machine.
//!
//! Prints tables; the figures in the documents are pasted from them. Binaries are those of `SEALIFT_BIN_DIR` (release
//! builds under `make bench`), manifests those of `SEALIFT_CORPUS` or `../shared/corpus`. Arguments name the parts to
//! run, all of them without; `SEALIFT_BENCH_ROUNDS` says how often what is timed is repeated.

mod cluster;
mod clusters;
mod copy;
mod counted;
mod figures;
mod ground;
mod keyless;
mod limits;
mod noise;
mod poll;
mod push;
mod recovery;
mod shards;
mod tenant;
mod tree;
mod verify;

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode};

use sealift_e2e::{ControlPlane, binary, shared_folder};

use crate::figures::{Figures, Table};

/// How often what is timed is repeated, unless somebody says otherwise. The first round, which warms caches, is not counted.
const ROUNDS: usize = 9;

/// Everything a part of the benchmark needs.
struct Bench {
    folder: tempfile::TempDir,
    manifests: PathBuf,
    rounds: usize,
    figures: Figures,
    tables: Vec<Table>,
}

/// A part, which can be run alone.
type Part = fn(&mut Bench) -> Result<(), Box<dyn Error>>;

const PARTS: &[(&str, Part)] = &[
    ("sizes", sizes),
    ("push", push::measure),
    ("verify", verify::measure),
    ("copy", copy::measure),
    ("keyless", keyless::measure),
    ("poll", |bench| poll::measure(bench, control_plane()?)),
    ("recovery", recovery::measure),
    ("clusters", clusters::measure),
    ("shards", |bench| shards::measure(bench, control_plane()?)),
    ("limits", |bench| limits::measure(bench, control_plane()?)),
    ("cluster", |bench| cluster::measure(bench, control_plane()?)),
];

fn main() -> ExitCode {
    match run() {
        Ok(Bench { figures, tables, .. }) => {
            let mut out = std::io::stdout();
            let _ =
                tables.iter().try_for_each(|table| writeln!(out, "{table}")).and_then(|()| write!(out, "{figures}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {}", sealift_verify::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Bench, Box<dyn Error>> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let known = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    if let Some(unknown) = wanted.iter().find(|name| !known(name)) {
        let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no part {unknown}: {}", names.join(", ")).into());
    }
    let rounds = std::env::var("SEALIFT_BENCH_ROUNDS").ok().map(|rounds| rounds.parse()).transpose()?;
    let corpus = shared_folder("corpus").ok_or("the corpus is missing: set SEALIFT_CORPUS")?;
    let mut bench = Bench {
        folder: tempfile::tempdir()?,
        manifests: corpus.join("kube-prometheus/manifests"),
        rounds: rounds.unwrap_or(ROUNDS),
        figures: Figures::default(),
        tables: Vec::new(),
    };
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&mut bench)?;
        }
    }
    Ok(bench)
}

fn sizes(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    for name in ["sealift", "sealift-controller"] {
        let megabytes = std::fs::metadata(binary(name))?.len() as f64 / 1e6;
        bench.figures.add(&format!("size of {name}"), megabytes, "MB");
    }
    Ok(())
}

fn control_plane() -> Result<&'static ControlPlane, Box<dyn Error>> {
    ControlPlane::shared().ok_or_else(|| "no control plane: run it by `make bench`".into())
}
