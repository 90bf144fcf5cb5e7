//! `sealift-controller`: verifies releases and applies exactly what was signed.

use std::{error::Error, io::Write as _, process::ExitCode};

use clap::Parser as _;
use sealift_controller::{
    options::{Cli, Command},
    run, telemetry,
};

fn main() -> ExitCode {
    // Before anything speaks TLS: with no process-wide choice, rustls panics at the first handshake.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let outcome = match Cli::parse().command {
        Command::Crds => print_crds(),
        Command::AdmissionPolicy(options) => print(&options.policy().render()),
        Command::Run(options) => {
            telemetry::init(options.log_format);
            runtime().and_then(|runtime| {
                let outcome = runtime.block_on(run::run(*options)).map_err(Box::from);
                // A blocked thread (a decompression, a name lookup) must not outlive the grace period.
                runtime.shutdown_background();
                outcome
            })
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sealift-controller: {}", sealift_verify::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Box<dyn Error>> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn print_crds() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for crd in sealift_apply::api::crds() {
        let text = sealift_apply::api::render(&crd)?;
        write!(out, "---\n{}\n", text.trim_end())?;
    }
    Ok(out.flush()?)
}
