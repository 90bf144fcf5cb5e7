//! `make fleet`: many small applications, as fluxcd/flux-benchmark has them, each one Delivery.
//!
//! An application is a ServiceAccount, a Service, a Deployment at zero replicas and an Ingress, applied as an
//! impersonated service account with an `INDEX` of its own. Nothing is ever unsigned. Two limits are measured in the
//! same run, on the same API server: A, a bare loop of 16 concurrent server-side applies, one request an object; B, the
//! same with the four writes that a controller which survives a crash and a rollback owes each application.

mod aims;
mod application;
mod cluster;
mod door;
mod figures;
mod limits;
mod meter;
mod replicas;
mod scenarios;
mod trouble;
mod watching;

use std::{error::Error, io::Write as _, path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Parser, ValueEnum};
use sealift_e2e::ControlPlane;
use serde::{Deserialize, Serialize};

use crate::{cluster::Fleet, scenarios::Scenario};

/// What went wrong, told once at the end.
type Failed = Box<dyn Error + Send + Sync>;

/// Measure many small applications, each one Delivery, beside two limits taken in the same run
#[derive(Debug, Parser)]
struct Arguments {
    /// How many applications
    #[arg(long, default_value_t = 100, env = "APPS")]
    apps: usize,
    /// One artifact for all of them, or one each
    #[arg(long, value_enum, default_value_t, env = "ARTIFACTS")]
    artifacts: Artifacts,
    /// The Deliveries' `spec.validation`, if not the default
    #[arg(long, env = "VALIDATION")]
    validation: Option<String>,
    /// How many Deliveries at once (the controller's `--concurrent`)
    #[arg(long, default_value_t = 16, env = "CONCURRENT")]
    concurrent: usize,
    /// How many controllers share the Deliveries
    #[arg(long, default_value_t = 1, env = "REPLICAS")]
    replicas: usize,
    /// Keep what was measured in this file as well, a line of JSON a scenario
    #[arg(long, env = "FIGURES")]
    figures: Option<PathBuf>,
    /// Print what a file keeps as tables, and measure nothing
    #[arg(long, value_name = "FIGURES")]
    tables: Option<PathBuf>,
    /// What is measured, in this order; the limits, install, upgrade and idle if none is named
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
enum Artifacts {
    /// One, with the index as a parameter.
    #[default]
    Shared,
    /// One an application.
    Each,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(Failed::from).and_then(|runtime| runtime.block_on(run(&Arguments::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fleet: {}", sealift_verify::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failed> {
    if let Some(file) = &arguments.tables {
        say(&figures::tables(file)?);
        return Ok(());
    }
    let control_plane = ControlPlane::shared().ok_or("no control plane: run it by `make fleet`")?;
    let fleet = Arc::new(Fleet::new(control_plane, arguments).await?);
    let scenarios = match arguments.scenarios.as_slice() {
        [] => &[Scenario::Limits, Scenario::Install, Scenario::Upgrade, Scenario::Idle],
        named => named,
    };
    say(&format!(
        "{} applications on {} controllers, {}, validation {}, {} at once",
        arguments.apps,
        arguments.replicas,
        match arguments.artifacts {
            Artifacts::Shared => "one artifact",
            Artifacts::Each => "an artifact each",
        },
        arguments.validation.as_deref().unwrap_or("by dry-run"),
        arguments.concurrent
    ));
    scenarios::measure(&fleet, scenarios).await
}

/// A line of the result; it stands there as soon as it is known, since a run takes long.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
