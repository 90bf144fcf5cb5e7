//! One process under test: its own process group, its output in a file, killed on drop.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::reaper;

/// Why a part of the environment did not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A file of the environment could not be written or read.
    #[error("could not prepare {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started at all.
    #[error("could not start {name}")]
    Spawn {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A program ended before it was ready.
    #[error("{name} ended early ({status}); the end of its log:\n{log}")]
    Ended {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        log: String,
    },
    /// A program did not become ready in time.
    #[error("{name} was not ready after {seconds} s ({what}); the end of its log:\n{log}")]
    Late {
        /// Which.
        name: String,
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// Its last lines.
        log: String,
    },
    /// A command that sets the environment up failed.
    #[error("{command} failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// What it said.
        output: String,
    },
}

impl HarnessError {
    /// Whether another process took a port between our choosing it and the program's listening on it.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Self::Ended { log, .. } if log.contains("address already in use"))
    }
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, with its output in `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self, HarnessError> {
        let file = |source| HarnessError::File { path: log.to_owned(), source };
        let output = File::options().create(true).append(true).open(log).map_err(file)?;
        let errors = output.try_clone().map_err(file)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| HarnessError::Spawn { name: name.to_owned(), source })?;
        reaper::watch_group(child.id());
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Waits until `ready` says so, failing at once if the program ends and after `limit` in any case.
    pub fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), HarnessError> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Err(HarnessError::Ended { name: self.name.clone(), status, log: self.log_tail() });
            }
            if ready() {
                return Ok(());
            }
            if started.elapsed() > limit {
                return Err(HarnessError::Late {
                    name: self.name.clone(),
                    what: what.to_owned(),
                    seconds: limit.as_secs(),
                    log: self.log_tail(),
                });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Its process id, which is that of its group too.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Asks it to end (SIGTERM) and waits; kills it after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        self.ended()
    }

    /// Ends it and all its children at once (SIGKILL).
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Stops it and all its children where they are (SIGSTOP).
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Signals the whole group, unless its leader has been waited for: then the id may be somebody else's.
    fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            let _ = kill_process_group(Pid::from_child(&self.child), signal);
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        reaper::forget_group(self.id());
    }
}

/// A loopback port that nobody listens on now.
///
/// # Panics
/// On a machine without a loopback interface or a free port.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Whether somebody listens on that loopback port.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), Duration::from_secs(1)).is_ok()
}

/// Starts something that needs free ports, again where another process was quicker to take one.
pub(crate) fn with_retry<T>(mut start: impl FnMut() -> Result<T, HarnessError>) -> Result<T, HarnessError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start() {
            Err(error) if error.is_port_taken() && tries < 4 => {}
            answer => return answer,
        }
    }
}
