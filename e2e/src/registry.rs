//! Real registries: the most used one, which lacks the referrers API, and one that has it.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    process::{HarnessError, Process, free_port, listens, with_retry},
    reaper,
    tool::{Tool, binary},
};

/// The only credentials a registry started by [`Registry::distribution_with_login`] takes.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// The user's name.
    pub user: &'static str,
    /// The user's password.
    pub password: &'static str,
}

const LOGIN: Login = Login { user: "tester", password: "a-password-for-tests" };
/// `LOGIN` as htpasswd knows it (bcrypt, cost 4).
const HTPASSWD: &str = "tester:$2a$04$lM2PdtGttqo6sKr4QuqDFuNtntJQoVgNjjurGJP8xp.jd4D/vcXtW\n";

const LAYOUT: &str = "layout";

/// A registry on loopback, plain HTTP, gone when dropped.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    process: Process, // dropped, hence killed, before its folder goes
    folder: TempDir,
}

impl Registry {
    /// CNCF distribution v3: no referrers API, so the fallback tag is what counts. `None` where the tool is missing.
    ///
    /// # Panics
    /// Where it does not start; with `CI=true` where the tool is missing.
    #[must_use]
    pub fn distribution() -> Option<Self> {
        Self::start("registry", |port, folder| distribution(port, folder, ""))
    }

    /// The same, for one user only.
    ///
    /// # Panics
    /// As [`Registry::distribution`].
    #[must_use]
    pub fn distribution_with_login() -> Option<(Self, Login)> {
        let registry = Self::start("registry", |port, folder| {
            let path = folder.path().join("htpasswd");
            fs::write(&path, HTPASSWD).map_err(|source| HarnessError::File { path: path.clone(), source })?;
            let auth = format!("auth: {{htpasswd: {{realm: tests, path: '{}'}}}}\n", path.display());
            distribution(port, folder, &auth)
        })?;
        Some((registry, LOGIN))
    }

    /// go-containerregistry's, the one of `crane registry serve`, with the referrers API.
    ///
    /// # Panics
    /// As [`Registry::distribution`].
    #[must_use]
    pub fn crane() -> Option<Self> {
        Self::start("referrers-registry", |port, folder| {
            Ok(vec![format!("127.0.0.1:{port}"), folder.path().display().to_string()])
        })
    }

    /// Our own, `sealift registry serve`, on an OCI layout that the test may look into and damage.
    ///
    /// # Panics
    /// Where it does not start or `sealift` has not been built.
    #[must_use]
    pub fn embedded() -> Self {
        let arguments = |port, folder: &TempDir| {
            let layout = folder.path().join(LAYOUT).display().to_string();
            let words = ["registry", "serve", "--listen", &format!("127.0.0.1:{port}"), "--dir", &layout];
            Ok(words.map(str::to_owned).to_vec())
        };
        Self::start_program("sealift", || Command::new(binary("sealift")), arguments)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    fn start(tool: &str, arguments: impl Fn(u16, &TempDir) -> Result<Vec<String>, HarnessError>) -> Option<Self> {
        let program = Tool::find(tool)?;
        let started = Self::start_program(tool, || program.command(), arguments);
        Some(started.unwrap_or_else(|error| panic!("{error}")))
    }

    fn start_program(
        name: &str,
        program: impl Fn() -> Command,
        arguments: impl Fn(u16, &TempDir) -> Result<Vec<String>, HarnessError>,
    ) -> Result<Self, HarnessError> {
        with_retry(|| {
            let port = free_port();
            let folder =
                tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
            reaper::watch_folder(folder.path());
            let mut command = program();
            command.args(arguments(port, &folder)?).env("OTEL_TRACES_EXPORTER", "none");
            let mut process = Process::start(name, command, &folder.path().join("log"))?;
            process.wait_until("listening", Duration::from_secs(60), || listens(port))?;
            Ok(Self { port, process, folder })
        })
    }

    /// The OCI layout of [`Registry::embedded`].
    #[must_use]
    pub fn layout(&self) -> PathBuf {
        self.folder.path().join(LAYOUT)
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A `crane` command to look at it with.
    #[must_use]
    pub fn crane_command(&self) -> Option<Command> {
        Tool::find("crane").map(|tool| tool.command())
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends it now, as when a registry goes down; its address stays known.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}

/// The arguments of CNCF distribution, after writing its configuration.
fn distribution(port: u16, folder: &TempDir, auth: &str) -> Result<Vec<String>, HarnessError> {
    let path = folder.path().join("config.yaml");
    let config = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\n\
         http: {{addr: '127.0.0.1:{port}', secret: for-tests}}\n{auth}",
        folder.path().join("data").display()
    );
    fs::write(&path, config).map_err(|source| HarnessError::File { path: path.clone(), source })?;
    Ok(vec!["serve".into(), path.display().to_string()])
}
