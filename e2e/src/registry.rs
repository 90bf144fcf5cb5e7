//! Real registries: the most used one, which lacks the referrers API, and one that has it.

pub mod faulty;
mod seed;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

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

/// Whom CNCF distribution tells of what is pushed, as its configuration has it.
const TELLS: &str = "tells.yaml";

/// Its certificate and key, where it speaks TLS.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

const LAYOUT: &str = "layout";
const STORAGE: &str = "data";

/// Which program.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Distribution { login: bool },
    Crane,
    Embedded,
}

/// A registry on loopback, plain HTTP, gone when dropped.
#[derive(Debug)]
pub struct Registry {
    kind: Kind,
    port: u16,
    process: Process, // dropped, hence killed, before its folder goes
    folder: TempDir,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Distribution { .. } => "registry",
            Self::Crane => "referrers-registry",
            Self::Embedded => "sealift",
        }
    }

    /// The program; `None` where it is missing.
    fn program(self) -> Option<Command> {
        match self {
            Self::Distribution { .. } | Self::Crane => Tool::find(self.name()).map(|tool| tool.command()),
            Self::Embedded => Some(Command::new(binary("sealift"))),
        }
    }

    /// The program with its arguments, after writing what it reads.
    fn command(self, port: u16, folder: &Path) -> Result<Command, HarnessError> {
        let address = format!("127.0.0.1:{port}");
        let mut command = self.program().expect("it was there before");
        match self {
            Self::Distribution { login } => command.arg("serve").arg(distribution(&address, folder, login)?),
            Self::Crane => command.arg(address).arg(folder),
            Self::Embedded => {
                command.args(["registry", "serve", "--listen", &address, "--dir"]).arg(folder.join(LAYOUT))
            }
        };
        command.env("OTEL_TRACES_EXPORTER", "none");
        Ok(command)
    }

    fn start(self, port: u16, folder: &Path) -> Result<Process, HarnessError> {
        let mut process = Process::start(self.name(), self.command(port, folder)?, &folder.join("log"))?;
        process.wait_until("listening", Duration::from_secs(60), || listens(port))?;
        Ok(process)
    }
}

impl Registry {
    /// CNCF distribution v3: no referrers API, so the fallback tag is what counts. `None` where the tool is missing.
    ///
    /// # Panics
    /// Where it does not start; with `CI=true` where the tool is missing.
    #[must_use]
    pub fn distribution() -> Option<Self> {
        Self::start(Kind::Distribution { login: false })
    }

    /// The same, for one user only.
    ///
    /// # Panics
    /// As [`Registry::distribution`].
    #[must_use]
    pub fn distribution_with_login() -> Option<(Self, Login)> {
        Some((Self::start(Kind::Distribution { login: true })?, LOGIN))
    }

    /// CNCF distribution over TLS, by a certificate of its own for `name`, which is given as PEM.
    ///
    /// # Panics
    /// As [`Registry::distribution`], and where no certificate can be made.
    #[must_use]
    pub fn distribution_over_tls(name: &str) -> Option<(Self, String)> {
        let kind = Kind::Distribution { login: false };
        kind.program()?;
        let own = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate can be made");
        let files = [(CERTIFICATE, own.cert.pem()), (KEY, own.signing_key.serialize_pem())];
        let registry = with_retry(|| Self::launch(kind, &files)).unwrap_or_else(|error| panic!("{error}"));
        Some((registry, own.cert.pem()))
    }

    /// CNCF distribution that tells `url` of what is pushed, with `token` in the header `Authorization`.
    ///
    /// # Panics
    /// As [`Registry::distribution`].
    #[must_use]
    pub fn distribution_that_tells(url: &str, token: &str) -> Option<Self> {
        let kind = Kind::Distribution { login: false };
        kind.program()?;
        let endpoint = format!(
            "{{name: sealift, url: '{url}', headers: {{Authorization: ['Bearer {token}']}}, timeout: 5s, threshold: 3, backoff: 1s}}"
        );
        let tells = format!("notifications: {{endpoints: [{endpoint}]}}\n");
        Some(with_retry(|| Self::launch(kind, &[(TELLS, tells.clone())])).unwrap_or_else(|error| panic!("{error}")))
    }

    /// go-containerregistry's, the one of `crane registry serve`, with the referrers API.
    ///
    /// # Panics
    /// As [`Registry::distribution`].
    #[must_use]
    pub fn crane() -> Option<Self> {
        Self::start(Kind::Crane)
    }

    /// Our own, `sealift registry serve`, on an OCI layout that the test may look into and damage.
    ///
    /// # Panics
    /// Where it does not start or `sealift` has not been built.
    #[must_use]
    pub fn embedded() -> Self {
        Self::start(Kind::Embedded).expect("what is built here is there")
    }

    fn start(kind: Kind) -> Option<Self> {
        kind.program()?;
        Some(with_retry(|| Self::launch(kind, &[])).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Starts it on a folder that has these files.
    fn launch(kind: Kind, files: &[(&str, String)]) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::write(&path, content).map_err(|source| HarnessError::File { path, source })?;
        }
        let port = free_port();
        Ok(Self { kind, port, process: kind.start(port, folder.path())?, folder })
    }

    /// Ends it and starts it again on what it has stored, at another address.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        let again = with_retry(|| {
            let port = free_port();
            Ok((port, self.kind.start(port, self.folder.path())?))
        });
        (self.port, self.process) = again.unwrap_or_else(|error| panic!("{error}"));
    }

    /// The OCI layout of [`Registry::embedded`].
    #[must_use]
    pub fn layout(&self) -> PathBuf {
        self.folder.path().join(LAYOUT)
    }

    /// The storage of [`Registry::distribution`].
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join(STORAGE)
    }

    /// `127.0.0.1:PORT`, as it stands in a reference.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
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

/// Writes the configuration of CNCF distribution, and gives its path.
fn distribution(address: &str, folder: &Path, login: bool) -> Result<PathBuf, HarnessError> {
    let written = |name: &str, content: &str| {
        let path = folder.join(name);
        let error = |source| HarnessError::File { path: path.clone(), source };
        fs::write(&path, content).map(|()| path.clone()).map_err(error)
    };
    let auth = match login {
        true => format!("auth: {{htpasswd: {{realm: tests, path: '{}'}}}}\n", written("htpasswd", HTPASSWD)?.display()),
        false => String::new(),
    };
    let certificate = folder.join(CERTIFICATE);
    let tls = match certificate.exists() {
        true => format!(", tls: {{certificate: '{}', key: '{}'}}", certificate.display(), folder.join(KEY).display()),
        false => String::new(),
    };
    let config = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\n\
         http: {{addr: '{address}', secret: for-tests{tls}}}\n{auth}{}",
        folder.join(STORAGE).display(),
        fs::read_to_string(folder.join(TELLS)).unwrap_or_default(),
    );
    written("config.yaml", &config)
}
