//! What `push` packs for other tools, read by these tools. Heavier programs than the rest of the tests need: run by
//! `make interop`, which sets `SEALIFT_INTEROP`.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use sealift_e2e::{Cli, KeyPair, Process, Tool, Vault, free_port, interop, shared_folder};
use serde_json::Value;

struct Ground {
    cli: Cli,
    key: String,
    host: String,
    manifests: PathBuf,
    _registry: Process,
}

/// `None`, after saying so, unless `make interop` runs this.
fn ground() -> Option<Ground> {
    if !interop() {
        return None;
    }
    let manifests = shared_folder("corpus")?.join("kube-prometheus/manifests");
    let cli = Cli::new();
    let host = format!("127.0.0.1:{}", free_port());
    let mut serve = cli.program(sealift_e2e::binary("sealift"));
    serve.args(["registry", "serve", "--listen", &host]);
    let mut registry = Process::start("registry", serve, &cli.home().join("registry.log")).unwrap();
    let listens = || std::net::TcpStream::connect(&host).is_ok();
    registry.wait_until("listening", std::time::Duration::from_secs(10), listens).unwrap();
    let key = KeyPair::generate(&cli, "release").private().to_string_lossy().into_owned();
    Some(Ground { cli, key, host, manifests, _registry: registry })
}

impl Ground {
    fn push(&self, repository: &str, files: &Path, format: &str) -> String {
        let target = format!("oci://{}/{repository}:prod", self.host);
        let files = files.to_string_lossy();
        self.cli.succeed(&[
            "push",
            &target,
            "-q",
            "-f",
            &files,
            "--key",
            &self.key,
            "--format",
            format,
            "--allow-secrets",
        ])
    }

    fn inspect(&self, reference: &str) -> Value {
        serde_json::from_str(&self.cli.succeed(&["inspect", &format!("oci://{reference}"), "-o", "json"])).unwrap()
    }

    /// The digest over identity and content of every object: equal for equal objects in whatever format.
    fn inventory(&self, repository: &str, files: &Path) -> Value {
        let inventory = self.inspect(&self.push(repository, files, "sealift"))["inventory"].clone();
        assert!(inventory.is_string(), "inspect shows the inventory's digest");
        inventory
    }
}

fn succeed(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn flux_pulls_what_is_packed_for_it_and_finds_the_same_objects() {
    let Some(ground) = ground() else { return };
    let flux = Tool::for_interop("flux-pull").unwrap();
    ground.push("flux", &ground.manifests, "flux");
    let pulled = ground.cli.home().join("pulled-by-flux");
    std::fs::create_dir(&pulled).unwrap();
    succeed(flux.command().arg(format!("{}/flux:prod", ground.host)).arg(&pulled));
    assert_eq!(ground.inventory("again", &pulled), ground.inventory("original", &ground.manifests));
}

#[test]
fn oras_and_tar_unpack_what_is_packed_for_generic_tools() {
    let Some(ground) = ground() else { return };
    let oras = Tool::for_interop("oras").unwrap();
    let reference = ground.push("generic", &ground.manifests, "oci");
    let manifest = succeed(oras.command().args(["manifest", "fetch", "--plain-http", &reference]));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let archive = ground.cli.home().join("layer.tar.gz");
    let blob = format!("{}/generic@{layer}", ground.host);
    succeed(oras.command().args(["blob", "fetch", "--plain-http", "--output"]).arg(&archive).arg(&blob));
    let unpacked = ground.cli.home().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    succeed(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&unpacked));
    assert_eq!(ground.inventory("again", &unpacked), ground.inventory("original", &ground.manifests));
}

#[test]
fn vault_makes_keys_and_signs_with_the_ones_that_a_token_is_for() {
    let Some(vault) = Vault::start() else { return };
    for (name, kind) in [("release", "ecdsa-p256"), ("other", "rsa-3072")] {
        let public = vault.make_key(name, kind);
        sealift_verify::keys::PublicKey::from_pem(&public).unwrap();
    }
    let token = vault.signer_token("release");
    assert!(vault.signs(&token, "release"), "{}", vault.log());
    assert!(!vault.signs(&token, "other"));
    assert!(!vault.signs("a guess", "release"));
}
