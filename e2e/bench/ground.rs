//! Where a part of the benchmark stands: a registry, a key pair, and a home of its own.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use sealift_e2e::{Process, binary, free_port};

/// A registry and a key pair.
pub(crate) struct Ground {
    pub(crate) host: String,
    pub(crate) home: PathBuf,
    _registry: Option<Process>,
}

impl Ground {
    /// At an embedded registry, in memory.
    pub(crate) fn new(home: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(home)?;
        let host = format!("127.0.0.1:{}", free_port());
        let mut serve = Command::new(binary("sealift"));
        serve.args(["registry", "serve", "--listen", &host]);
        let mut registry = Process::start("registry", serve, &home.join("registry.log"))?;
        let listens = || std::net::TcpStream::connect(&host).is_ok();
        registry.wait_until("listening", Duration::from_secs(10), listens)?;
        Ok(Self { _registry: Some(registry), ..Self::at(home, &host)? })
    }

    /// At a registry that somebody else runs.
    pub(crate) fn at(home: &Path, host: &str) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(home)?;
        let ground = Self { host: host.to_owned(), home: home.to_owned(), _registry: None };
        succeed(ground.sealift().args(["keygen"]))?;
        Ok(ground)
    }

    /// `sealift` with a home of its own and the key's password.
    pub(crate) fn sealift(&self) -> Command {
        let mut command = Command::new(binary("sealift"));
        command.current_dir(&self.home).env("HOME", &self.home).env("SEALIFT_PASSWORD", "bench");
        command
    }

    /// Pushes `files` to `repository` under the tag `prod` and returns the digest.
    pub(crate) fn push(&self, files: &Path, repository: &str, more: &[&str]) -> Result<String, Box<dyn Error>> {
        let target = format!("oci://{}/{repository}:prod", self.host);
        let mut command = self.sealift();
        command
            .args(["push", &target, "--key", "cosign.key", "--env", "prod", "-q", "--allow-secrets", "-f"])
            .arg(files)
            .args(more);
        let output = succeed(&mut command)?;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.trim().rsplit('@').next().unwrap_or_default().to_owned())
    }

    /// A policy that accepts what this ground's key signs.
    pub(crate) fn policy(&self, name: &str) -> Result<String, Box<dyn Error>> {
        let key = fs::read_to_string(self.home.join("cosign.pub"))?;
        let policy = serde_json::json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": name},
            "spec": {
                "match": {"repositories": [format!("{}/**", self.host)]},
                "authorities": [{"name": "release", "key": {"pem": key}}],
                "require": {"anyOf": ["release"]},
                "release": {"streams": [{"regex": "[a-z0-9./-]+"}]},
            }
        });
        Ok(policy.to_string())
    }
}

/// How long it took.
pub(crate) fn timed(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

/// Runs it to a good end.
pub(crate) fn succeed(command: &mut Command) -> Result<Output, Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}
