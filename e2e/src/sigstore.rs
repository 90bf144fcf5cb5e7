//! A private Sigstore: the real Fulcio, Rekor v2 and timestamp authority on loopback, with an OpenID issuer of our own in
//! front. Every start makes new keys, so two of them trust each other as little as strangers do.

mod identity;
mod issuer;
mod trust;

use std::{fs, path::Path, path::PathBuf, process::Command, sync::OnceLock, time::Duration};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use identity::Identity;

use crate::{
    loopback,
    process::{HarnessError, Process, free_port, listens, with_retry},
    reaper,
    tool::Tool,
};
use issuer::Issuer;
use trust::{Log, Services};

/// The limit of each wait: a start takes 2 s on an idle machine, and a busy one is no failure.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
struct Tools {
    fulcio: Tool,
    rekor: Tool,
    timestamps: Tool,
}

/// A running private Sigstore, gone when dropped. It has no certificate log: policies must say `sct: "off"`.
#[derive(Debug)]
pub struct Sigstore {
    issuer: Issuer,
    fulcio: u16,
    rekor: u16,
    timestamps: u16,
    trusted_root: Value,
    /// Killed before their folder goes.
    processes: Vec<Process>,
    folder: TempDir,
}

impl Sigstore {
    /// The one that all tests of this process share. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// Where it does not start, or a program of it has not been built.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Sigstore>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// One more, which nobody trusts who trusts another. `None` unless `make interop` runs the tests.
    ///
    /// # Panics
    /// As [`Sigstore::shared`].
    #[must_use]
    pub fn start() -> Option<Self> {
        let tools = Tools {
            fulcio: Tool::for_interop("fulcio")?,
            rekor: Tool::for_interop("rekor-server")?,
            timestamps: Tool::for_interop("timestamp-server")?,
        };
        Some(with_retry(|| Self::launch(&tools)).unwrap_or_else(|error| panic!("no Sigstore: {error}")))
    }

    fn launch(tools: &Tools) -> Result<Self, HarnessError> {
        let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: std::env::temp_dir(), source })?;
        reaper::watch_folder(folder.path());
        let issuer = Issuer::start();
        let (fulcio, rekor, timestamps) = (free_port(), free_port(), free_port());
        let key = Ed25519KeyPair::generate().expect("a key pair can be made");
        // all three at once, then wait for each
        let mut processes = vec![
            start(folder.path(), "fulcio", fulcio_command(tools, folder.path(), &issuer, fulcio)?)?,
            start(folder.path(), "rekor-server", rekor_command(tools, folder.path(), &key, rekor)?)?,
            start(folder.path(), "timestamp-server", {
                let mut command = tools.timestamps.command();
                command.arg(timestamps.to_string());
                command
            })?,
        ];
        let [certificates, log, stamps] = processes.as_mut_slice() else { unreachable!("three were started") };
        let mut bundle = None;
        certificates.wait_until("its certificates", PATIENCE, || {
            bundle = ok(fulcio, "/api/v2/trustBundle");
            bundle.is_some()
        })?;
        log.wait_until("listening", PATIENCE, || listens(rekor))?;
        let mut chain = None;
        stamps.wait_until("its certificates", PATIENCE, || {
            chain = ok(timestamps, "/api/v1/timestamp/certchain");
            chain.is_some()
        })?;
        let bundle: Value = serde_json::from_slice(&bundle.unwrap_or_default()).expect("Fulcio speaks JSON");
        let bundle = bundle["chains"][0]["certificates"].as_array().into_iter().flatten();
        let bundle: String = bundle.filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
        let chain = String::from_utf8(chain.unwrap_or_default()).expect("a chain is PEM");
        let services = Services { fulcio: url(fulcio), rekor: url(rekor), timestamps: stamp_url(timestamps) };
        let log = Log { origin: "127.0.0.1", key: key.public_key().as_ref() };
        let trusted_root = services.trusted_root(&bundle, &chain, &log);
        let started = Self { issuer, fulcio, rekor, timestamps, trusted_root, processes, folder };
        write(&started.trusted_root_file(), started.trusted_root.to_string())?;
        write(&started.signing_config_file(), services.signing_config(&started.issuer.url()).to_string())?;
        Ok(started)
    }

    /// What its programs have logged, one after the other.
    #[must_use]
    pub fn log(&self) -> String {
        self.processes.iter().map(Process::log).collect::<Vec<_>>().join("\n")
    }

    /// The address of Fulcio.
    #[must_use]
    pub fn fulcio(&self) -> String {
        url(self.fulcio)
    }

    /// The address of Rekor, version 2.
    #[must_use]
    pub fn rekor(&self) -> String {
        url(self.rekor)
    }

    /// The address that answers RFC 3161 requests, path included.
    #[must_use]
    pub fn timestamps(&self) -> String {
        stamp_url(self.timestamps)
    }

    /// Whom it believes, as Sigstore's `trusted_root.json`.
    #[must_use]
    pub fn trusted_root(&self) -> &Value {
        &self.trusted_root
    }

    /// The file of [`Sigstore::trusted_root`], for `cosign --trusted-root`.
    #[must_use]
    pub fn trusted_root_file(&self) -> PathBuf {
        self.folder.path().join("trusted_root.json")
    }

    /// Where it signs, for `cosign --signing-config`.
    #[must_use]
    pub fn signing_config_file(&self) -> PathBuf {
        self.folder.path().join("signing_config.json")
    }

    /// The same trust as a `TrustRoot` of that name, for `--trust-root` and for the cluster.
    #[must_use]
    pub fn trust_root(&self, name: &str) -> Value {
        json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name},
            "spec": {"trustedRoot": self.trusted_root.to_string()},
        })
    }

    /// A policy that accepts whatever this identity released for these repositories, by the `TrustRoot` of the same name.
    #[must_use]
    pub fn policy(&self, name: &str, repositories: &[&str], identity: &Identity) -> Value {
        json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "SignaturePolicy", "metadata": {"name": name},
            "spec": {
                "match": {"repositories": repositories},
                "authorities": [{"name": "ci", "keyless": {
                    "issuer": {"exact": self.issuer(identity)}, "subject": {"exact": identity.subject()}, "trustRoot": name,
                }}],
                "require": {"anyOf": ["ci"]},
                "transparency": {"timestamp": "required", "sct": "off"},
                "release": {"streams": [{"regex": "[a-z0-9./-]+"}]},
            },
        })
    }

    /// The issuer of somebody's tokens, as it stands in his certificates.
    #[must_use]
    pub fn issuer(&self, identity: &Identity) -> String {
        self.issuer.of(identity)
    }

    /// A token that says so for the next ten minutes.
    #[must_use]
    pub fn token(&self, identity: &Identity) -> String {
        self.issuer.token(identity, "sigstore")
    }

    /// The variables that GitHub sets in such a job, with which it asks for its tokens.
    #[must_use]
    pub fn github_variables(&self, identity: &Identity) -> Vec<(String, String)> {
        self.issuer.github_variables(identity)
    }
}

fn fulcio_command(tools: &Tools, folder: &Path, issuer: &Issuer, port: u16) -> Result<Command, HarnessError> {
    let config = folder.join("fulcio.yaml");
    // the comment makes it YAML: read as JSON, its fields would have other names
    write(&config, format!("# Fulcio\n{}\n", issuer.fulcio_config()))?;
    let mut command = tools.fulcio.command();
    command.args(["serve", "--ca", "ephemeralca", "--ct-log-url", "", "--host", "127.0.0.1"]);
    command.args(["--grpc-host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--grpc-port", &free_port().to_string(), "--metrics-port", &free_port().to_string()]);
    command.arg("--config-path").arg(config);
    command.arg("--legacy-unix-domain-socket").arg(folder.join("fulcio.socket"));
    Ok(command)
}

fn rekor_command(tools: &Tools, folder: &Path, key: &Ed25519KeyPair, port: u16) -> Result<Command, HarnessError> {
    let file = folder.join("rekor.key");
    let private = key.to_pkcs8v1().expect("a new key can be written");
    write(&file, pem::encode(&pem::Pem::new("PRIVATE KEY", private.as_ref())))?;
    let mut command = tools.rekor.command();
    // clients take the host of its address for the origin of its checkpoints
    command.args(["serve", "--hostname", "127.0.0.1", "--http-address", "127.0.0.1"]);
    command.args(["--http-port", &port.to_string(), "--grpc-port", &free_port().to_string()]);
    command.args(["--http-metrics-port", &free_port().to_string()]);
    // an entry is answered once a checkpoint holds it
    command.args(["--checkpoint-interval", "200ms", "--batch-max-age", "50ms"]);
    command.arg("--signer-filepath").arg(file).arg("--storage-dir").arg(folder.join("log"));
    Ok(command)
}

fn start(folder: &Path, name: &str, command: Command) -> Result<Process, HarnessError> {
    Process::start(name, command, &folder.join(format!("{name}.log")))
}

fn ok(port: u16, path: &str) -> Option<Vec<u8>> {
    loopback::get(port, path).filter(|answer| answer.status == 200).map(|answer| answer.body)
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), HarnessError> {
    fs::write(path, content).map_err(|source| HarnessError::File { path: path.to_owned(), source })
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn stamp_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/api/v1/timestamp")
}
