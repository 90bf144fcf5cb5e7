//! Sealift as a platform team releases it, and the controller that such a release brings. No kubelet here runs images, so
//! the program is started by hand, as the account and against the cluster that its Deployment would have.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use crate::{
    cli::Cli, control_plane::ControlPlane, keys::KeyPair, loopback, process::Process, process::free_port,
    registry::Registry, tool::binary, tool::workspace,
};

/// An image that nobody pulls.
const IMAGE: &str =
    "registry.example/sealift-controller@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// Namespace and name of the Deployment that a release brings.
const CONTROLLER: (&str, &str) = ("sealift-system", "sealift-controller");

/// A registry with Sealift's own releases, whom they are signed by, and what clusters are told to believe.
#[derive(Debug)]
pub struct Platform {
    /// The command line; its home holds the kubeconfig that is used without another word.
    pub cli: Cli,
    /// Who signs them.
    pub key: KeyPair,
    host: String,
    registry: Option<Registry>,
}

impl Platform {
    /// With a registry of its own, and nothing released yet.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::embedded();
        let platform = Self::at(&registry.host());
        Self { registry: Some(registry), ..platform }
    }

    /// At a registry that somebody else runs.
    #[must_use]
    pub fn at(host: &str) -> Self {
        let cli = Cli::new();
        let key = KeyPair::generate(&cli, "platform");
        Self { cli, key, host: host.to_owned(), registry: None }
    }

    /// Ends the registry; what it was called stays known.
    pub fn lose_registry(&mut self) {
        self.registry = None;
    }

    /// `HOST:PORT` of the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `HOST/PATH` of Sealift's own releases.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/platform/sealift", self.host)
    }

    /// Makes this the cluster that is meant from now on.
    ///
    /// # Panics
    /// Where no file can be written.
    pub fn aim(&self, control_plane: &ControlPlane) {
        let kubeconfig = fs::read(control_plane.kubeconfig()).expect("a control plane has a kubeconfig");
        self.cli.write(".kube/config", kubeconfig);
    }

    /// `policies/platform.yaml` with these keys, any one of which is enough, for this registry, changed; gives its path.
    ///
    /// # Panics
    /// Where the file of the repository is not as expected.
    pub fn policy(&self, path: &str, keys: &[&KeyPair], change: impl FnOnce(&mut Value)) -> PathBuf {
        let text = fs::read_to_string(workspace().join("policies/platform.yaml")).expect("it is in the repository");
        let mut policy: Value = serde_saphyr::from_str(&text).expect("it is YAML");
        let names: Vec<String> = (0..keys.len()).map(|at| format!("key-{at}")).collect();
        let authority = |(name, key): (&String, &&KeyPair)| json!({"name": name, "key": {"pem": key.public()}});
        let spec = &mut policy["spec"];
        spec["authorities"] = names.iter().zip(keys).map(authority).collect();
        spec["require"] = json!({"anyOf": names});
        spec["match"]["repositories"] = json!([format!("{}/**", self.host)]);
        change(&mut policy);
        self.cli.write(path, policy.to_string())
    }

    /// Runs `ci-examples/shell/release-sealift.sh`, with whatever lies in the folder `platform/` of the home.
    ///
    /// # Panics
    /// Where it fails.
    pub fn release(&self, version: &str, policy: &str) -> Digest {
        let mut command = self.cli.program(workspace().join("ci-examples/shell/release-sealift.sh"));
        command.env("SEALIFT", workspace()).env("IMAGE", IMAGE).env("REPOSITORY", self.repository());
        command.env("CHANNEL", "prod").env("VERSION", version).env("PLATFORM", "platform").env("POLICY", policy);
        let output = command.env("SEALIFT_KEY", self.key.private()).output().expect("a shell runs it");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let digest = said.trim_end().rsplit_once('@').and_then(|(_, digest)| digest.parse().ok());
        digest.unwrap_or_else(|| panic!("{said} names no digest"))
    }

    /// What the script would push, as files that a test changes: `install.yaml` and `root.yaml` in this folder.
    ///
    /// # Panics
    /// Where no file can be written.
    pub fn manifests(&self, folder: &str, change: impl Fn(&str) -> String) {
        let repository = format!("repository: {}", self.repository());
        for name in ["install.yaml", "root.yaml"] {
            let text = fs::read_to_string(workspace().join("deploy").join(name)).expect("it is in the repository");
            let text = text.replace("image: sealift-controller:0.1.0", &format!("image: {IMAGE}"));
            let text = change(&text.replace("repository: registry.example/platform/sealift", &repository));
            if !text.is_empty() {
                self.cli.write(&format!("{folder}/{name}"), text);
            }
        }
    }

    /// Starts the controller that the Deployment in this cluster describes, with its arguments and as its account, and waits
    /// until it is ready. What comes last counts: `more`, and what a program beside the cluster needs.
    ///
    /// # Panics
    /// Where there is no such Deployment, or it does not become ready.
    pub async fn controller(&self, control_plane: &ControlPlane, more: &[&str]) -> Process {
        let (namespace, name) = CONTROLLER;
        let deployment = control_plane.kubectl(&["get", "deployment", name, "-n", namespace, "-o", "json"]);
        let deployment: Value = serde_json::from_str(&deployment.unwrap_or_else(|error| panic!("{error}")))
            .expect("kubectl prints what it was asked for");
        let pod = &deployment["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().expect("it runs as an account of its own");
        let (kubeconfig, _folder) = control_plane.service_account_kubeconfig(namespace, account).await;
        let port = free_port();
        // Of each its own: a new Pod finds an empty folder.
        let own = self.path(&format!("controller-{port}"));
        let cache = own.join("cache");
        fs::create_dir_all(&cache).expect("a temp folder can be made");
        fs::copy(&kubeconfig, own.join("kubeconfig")).expect("a temp file can be copied");
        let mut command = self.cli.program(binary("sealift-controller"));
        command.env("RUST_LOG", "info,sealift=debug,kube=warn");
        let given = pod["containers"][0]["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        command.args(given.map(|argument| {
            argument
                .replace("$(POD_NAMESPACE)", namespace)
                .replace("$(POD_NAME)", &format!("{name}-{port}"))
                .replace("/var/cache/sealift", &cache.display().to_string())
        }));
        command.arg("--kubeconfig").arg(own.join("kubeconfig"));
        command.args(["--metrics-listen", &format!("127.0.0.1:{port}"), "--plain-http-host", &self.host]).args(more);
        let process = Process::start("sealift-controller", command, &self.path("controller.log"));
        let mut process = process.unwrap_or_else(|error| panic!("{error}"));
        let ready = || loopback::get(port, "/readyz").is_some_and(|answer| answer.status == 200);
        let waited = process.wait_until("ready", Duration::from_secs(120), ready);
        waited.unwrap_or_else(|error| panic!("{error}"));
        process
    }

    /// A path in the home.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.cli.home()).join(name)
    }
}

impl Default for Platform {
    fn default() -> Self {
        Self::new()
    }
}
