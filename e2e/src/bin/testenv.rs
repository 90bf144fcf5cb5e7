//! Starts the control plane for people, for `make test` and for the demo.

use std::{
    error::Error,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use sealift_e2e::ControlPlane;
use tokio::{
    process::Command as Program,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

#[derive(Parser)]
#[command(about = "A real Kubernetes control plane on loopback, with fake nodes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Keep it running until Ctrl-C, with its kubeconfig and logs in DIR
    Up {
        /// An empty or new folder
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Run a command with KUBECONFIG and SEALIFT_E2E_KUBECONFIG set, then tear all down and exit as it did
    Run {
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    // no signal is caught before all is up: until then the default action ends this process, and the reaper the rest
    let outcome = match Arguments::parse().command {
        Command::Up { dir } => up(&dir),
        Command::Run { command } => run(&command),
    };
    outcome.unwrap_or_else(|error| {
        say(&format!("testenv: {}", sealift_verify::chain(&*error)));
        ExitCode::FAILURE
    })
}

type Outcome = Result<ExitCode, Box<dyn Error>>;

fn up(dir: &Path) -> Outcome {
    if dir.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", dir.display()).into());
    }
    say("testenv: starting a control plane");
    let control_plane = ControlPlane::launch_in(dir)?.ok_or("the programs are missing; run: testenv/build demo")?;
    say(&format!("testenv: ready; Ctrl-C ends it; export KUBECONFIG={}", control_plane.kubeconfig().display()));
    Runtime::new()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended,
            _ = terminate.recv() => Ok(()),
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn run(command: &[String]) -> Outcome {
    let control_plane = ControlPlane::launch()?.ok_or("the programs are missing; run: testenv/build demo")?;
    let mut program = Program::new(&command[0]);
    program
        .args(&command[1..])
        .env("KUBECONFIG", control_plane.kubeconfig())
        .env("SEALIFT_E2E_KUBECONFIG", control_plane.kubeconfig());
    let status = Runtime::new()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        // Ctrl-C reaches the command too, being of the same process group: it decides how to end, we only wait
        let _interrupt = signal(SignalKind::interrupt())?;
        let mut child = program.kill_on_drop(true).spawn()?;
        tokio::select! {
            status = child.wait() => status,
            _ = terminate.recv() => {
                child.start_kill()?;
                child.wait().await
            }
        }
    })?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
