//! The command line: push and verify, in turn with `tar`, `oras push` and `cosign sign` doing the same.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use sealift_e2e::{Cosign, Process, Tool, binary, free_port};
use serde_json::Value;

use crate::Bench;

const RUNS: usize = 9;
const ORAS_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An embedded registry and a key pair.
pub(crate) struct Ground {
    pub(crate) host: String,
    pub(crate) home: PathBuf,
    _registry: Process,
}

impl Ground {
    pub(crate) fn new(home: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(home)?;
        let host = format!("127.0.0.1:{}", free_port());
        let mut serve = Command::new(binary("sealift"));
        serve.args(["registry", "serve", "--listen", &host]);
        let mut registry = Process::start("registry", serve, &home.join("registry.log"))?;
        let listens = || std::net::TcpStream::connect(&host).is_ok();
        registry.wait_until("listening", Duration::from_secs(10), listens)?;
        let ground = Self { host, home: home.to_owned(), _registry: registry };
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

pub(crate) fn measure(bench: &mut Bench) -> Result<(), Box<dyn Error>> {
    let ground = Ground::new(&bench.folder.path().join("commands"))?;
    let (Some(oras), Some(cosign)) = (Tool::find("oras"), Cosign::find()) else {
        return Err("oras or cosign is missing: testenv/build bench".into());
    };
    let _ = cosign.succeed(&["generate-key-pair"]);
    let (mut ours, mut theirs, mut signing, mut verifying) = (vec![], vec![], vec![], vec![]);
    let mut digest = String::new();
    for run in 0..=RUNS {
        let ours_now = timed(|| {
            digest = ground.push(&bench.manifests, &format!("ours-{run}"), &[])?;
            Ok(())
        })?;
        let reference = format!("{}/theirs-{run}", ground.host);
        let archive = ground.home.join("manifests.tar.gz");
        let theirs_now = timed(|| {
            succeed(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&bench.manifests).arg("."))?;
            let file = format!("manifests.tar.gz:{ORAS_TYPE}");
            succeed(oras.command().current_dir(&ground.home).args([
                "push",
                "--plain-http",
                &format!("{reference}:prod"),
                &file,
            ]))
            .map(drop)
        })?;
        let resolved = succeed(oras.command().args(["resolve", "--plain-http", &format!("{reference}:prod")]))?;
        let pinned = format!("{reference}@{}", String::from_utf8(resolved.stdout)?.trim());
        let signing_now = timed(|| {
            let sign =
                ["sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "--yes", &pinned];
            succeed(&mut cosign.command(&sign)).map(drop)
        })?;
        let policy = ground.home.join("policy.yaml");
        fs::write(&policy, ground.policy("bench")?)?;
        let target = format!("oci://{}/ours-{run}@{digest}", ground.host);
        let verifying_now =
            timed(|| succeed(ground.sealift().args(["verify", &target, "--policy", "policy.yaml"])).map(drop))?;
        // The first round warms the page cache.
        if run > 0 {
            ours.push(ours_now);
            theirs.push(theirs_now);
            signing.push(signing_now);
            verifying.push(verifying_now);
        }
    }
    bench.figures.times("push kube-prometheus: sealift push (pack, sign, push, tag)", ours);
    bench.figures.times("push kube-prometheus: tar + oras push (unsigned)", theirs);
    bench.figures.times("push kube-prometheus: cosign sign, after that", signing);
    bench.figures.times("sealift verify (fetch, verify, all rules)", verifying);
    for (name, format) in [("sealift", "sealift"), ("flux", "flux")] {
        let inspected = {
            let repository = format!("size-{name}");
            ground.push(&bench.manifests, &repository, &["--format", format])?;
            let target = format!("oci://{}/{repository}:prod", ground.host);
            succeed(ground.sealift().args(["inspect", &target, "--output", "json"]))?
        };
        let inspected: Value = serde_json::from_slice(&inspected.stdout)?;
        let size = layer_size(&inspected).ok_or("inspect shows no layer size")?;
        bench.figures.add(&format!("layer of kube-prometheus, --format {name}"), size as f64 / 1e3, "kB");
    }
    let archive = fs::metadata(ground.home.join("manifests.tar.gz"))?.len();
    bench.figures.add("layer of kube-prometheus, tar -czf", archive as f64 / 1e3, "kB");
    Ok(())
}

/// The size of the one layer, wherever `inspect` shows the manifest.
fn layer_size(value: &Value) -> Option<u64> {
    match value {
        Value::Object(fields) => match fields.get("layers").and_then(|layers| layers[0]["size"].as_u64()) {
            Some(size) => Some(size),
            None => fields.values().find_map(layer_size),
        },
        Value::Array(items) => items.iter().find_map(layer_size),
        _ => None,
    }
}

fn timed(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

pub(crate) fn succeed(command: &mut Command) -> Result<Output, Box<dyn Error>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}
