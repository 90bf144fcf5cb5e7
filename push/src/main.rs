//! The command line of Sealift: push, sign, approve, tag, promote, refresh, verify, audit, policy, inspect,
//! plan, status, keygen, public-key, a small registry.
//!
//! `main` parses, runs one command and prints its error once; [`exit`] says what the exit codes mean. Commands write
//! through [`output::Output`] only: the product to stdout, everything else to stderr.

mod annotation;
mod approve;
mod attest;
mod audit;
mod bootstrap;
mod channel;
mod ci;
mod cli;
mod cluster;
mod completion;
mod copy;
mod delivery;
mod diff;
mod exit;
mod failure;
mod freeze;
mod inspect;
mod judge;
mod keygen;
mod line;
mod list;
mod login;
mod man;
mod manifests;
mod origin;
mod output;
mod packed;
mod parameters;
mod pin;
mod plan;
mod policies;
mod policy;
mod promote;
mod public_key;
mod pull;
mod push;
mod refresh;
mod registry_serve;
mod release;
mod render;
mod rollback;
mod sign;
mod signing;
mod status;
mod table;
mod tag;
mod trace;
mod transport;
mod trust;
mod validate;
mod variants;
mod verify;
mod verify_bundle;
mod wait;
mod yaml;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command, registry::RegistryCommand, trust::TrustCommand},
    exit::Exit,
    failure::Failure,
    output::Output,
};

fn main() -> ExitCode {
    let Cli { command, global } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap's own exit codes: 0 for help and version, 2 for what cannot be understood.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    log(global.verbose);
    let mut output = Output::new(global.output, global.color, global.quiet);
    let result = match command.can_write(global.output) {
        true => start(command, &mut output),
        false => Err(failure::usage("this command writes text and JSON only").hint("leave out -o, or use -o json")),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn start(command: Command, output: &mut Output) -> Result<Exit, Failure> {
    // The only provider there is; a second installation cannot happen in one process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, error))?;
    runtime.block_on(run(command, output))
}

async fn run(command: Command, output: &mut Output) -> Result<Exit, Failure> {
    match command {
        Command::Keygen(args) => keygen::run(&args, output),
        Command::PublicKey(args) => public_key::run(&args, output).await,
        Command::Pin(args) => pin::run(&args, output).await,
        Command::Push(args) => push::run(&args, output).await,
        Command::Sign(args) => sign::run(&args, output).await,
        Command::Approve(args) => approve::run(&args, output).await,
        Command::Attest(args) => attest::run(&args, output).await,
        Command::Tag(args) => tag::run(&args, output).await,
        Command::Promote(args) => promote::run(&args, output).await,
        Command::Rollback(args) => rollback::run(&args, output).await,
        Command::Refresh(args) => refresh::run(&args, output).await,
        Command::Validate(args) => validate::run(&args, output).await,
        Command::Verify(args) => verify::run(&args, output).await,
        Command::Audit(args) => audit::run(&args, output).await,
        Command::Policy(args) => policy::run(&args, output).await,
        Command::VerifyBundle(args) => verify_bundle::run(&args, output),
        Command::Copy(args) => copy::run(&args, output).await,
        Command::Inspect(args) => inspect::run(&args, output).await,
        Command::List(args) => list::run(&args, output).await,
        Command::Diff(args) => diff::run(&args, output).await,
        Command::Pull(args) => pull::run(&args, output).await,
        Command::Plan(args) => plan::run(&args, output).await,
        Command::Bootstrap(args) => bootstrap::run(&args, output).await,
        Command::Status(args) => status::run(&args, output).await,
        Command::Trust(args) => match args.command {
            TrustCommand::Update(args) => trust::update(&args, output).await,
        },
        Command::Wait(args) => wait::run(&args, output).await,
        Command::Freeze(args) => freeze::run(&args, output).await,
        Command::Registry(args) => match args.command {
            RegistryCommand::Serve(args) => registry_serve::run(&args, output).await,
        },
        Command::Login(args) => login::login(&args, output).await,
        Command::Logout(args) => login::logout(&args, output).await,
        Command::Completion(args) => completion::run(&args, output),
        Command::Man(args) => man::run(&args, output),
    }
}

/// What the libraries say about their work goes to stderr too.
fn log(verbose: u8) {
    // kube reports each failed try as an error of its own; what it comes to in the end is said once.
    let filter = match verbose {
        0 => "warn,kube_client=off",
        1 => "info",
        _ => "debug",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
}
