//! `make bench`: what the main job costs, beside oras and cosign where they do the same, in one run on one machine.
//!
//! Prints a table; the figures in the documents are pasted from it. Binaries are those of `SEALIFT_BIN_DIR` (release
//! builds under `make bench`), manifests those of `SEALIFT_CORPUS` or `../shared/corpus`.

mod cluster;
mod commands;
mod figures;
mod keyless;

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode};

use sealift_e2e::{ControlPlane, binary, shared_folder};

use crate::figures::Figures;

/// Everything a part of the benchmark needs.
struct Bench {
    folder: tempfile::TempDir,
    manifests: PathBuf,
    figures: Figures,
}

fn main() -> ExitCode {
    match run() {
        Ok(figures) => {
            let _ = write!(std::io::stdout(), "{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {}", sealift_verify::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Figures, Box<dyn Error>> {
    let corpus = shared_folder("corpus").ok_or("the corpus is missing: set SEALIFT_CORPUS")?;
    let mut bench = Bench {
        folder: tempfile::tempdir()?,
        manifests: corpus.join("kube-prometheus/manifests"),
        figures: Figures::default(),
    };
    for name in ["sealift", "sealift-controller"] {
        let megabytes = std::fs::metadata(binary(name))?.len() as f64 / 1e6;
        bench.figures.add(&format!("size of {name}"), megabytes, "MB");
    }
    commands::measure(&mut bench)?;
    keyless::measure(&mut bench)?;
    match ControlPlane::shared() {
        Some(control_plane) => cluster::measure(&mut bench, control_plane)?,
        None => return Err("no control plane: run it by `make bench`".into()),
    }
    Ok(bench.figures)
}
