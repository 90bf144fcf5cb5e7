//! All the parts together: a control plane with Sealift installed, a registry, the controller as a process out of
//! cluster under its own service account, and the command line.
//!
//! Tests share a control plane, so each world has namespaces, a registry, policies and a controller of its own; the
//! controller looks only into these namespaces (`--watch-namespace`).

mod copies;
mod deliveries;
mod metrics;
mod objects;
mod replicas;
mod slow_writes;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use sealift_apply::api::{Delivery, SignaturePolicy};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use copies::Copies;
pub use deliveries::{is_ready, reason};
pub use replicas::Replica;
pub use slow_writes::SlowWrites;

use crate::{
    cli::Cli, control_plane::ControlPlane, keys::KeyPair, keys::policy, loopback, process::Process, process::free_port,
    registry::Registry, tool::binary, tool::workspace,
};

/// The namespace and the service account of the controller in `deploy/install.yaml`.
const CONTROLLER: (&str, &str) = ("sealift-system", "sealift-controller");
/// The service account that Deliveries of tests act as.
const DEPLOYER: &str = "deployer";

/// One test's world. Made by [`World::run`].
pub struct World<'a> {
    /// Where everything runs; shared with other tests unless the test started its own.
    pub control_plane: &'a ControlPlane,
    /// A client as administrator.
    pub client: Client,
    /// The embedded registry, of this world alone.
    pub registry: Registry,
    /// The command line.
    pub cli: Cli,
    /// The key that the policies of this world trust.
    pub key: KeyPair,
    /// The first namespace.
    pub namespace: String,
    namespaces: Mutex<Vec<String>>,
    cluster_scoped: Mutex<Vec<(&'static str, String)>>,
    controller: Mutex<Option<Process>>,
    controller_env: Mutex<Vec<(String, String)>>,
    controller_by: Mutex<Vec<String>>,
    controller_log: PathBuf,
    _folder: TempDir,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl<'a> World<'a> {
    /// Runs a test in a world of its own on this control plane; prints the state of that world if it panics, and takes
    /// it down either way.
    ///
    /// # Panics
    /// When the test does, or where the world cannot be made.
    pub async fn run<T>(control_plane: &'a ControlPlane, prefix: &str, test: impl AsyncFnOnce(&Self) -> T) -> T {
        install(control_plane);
        let world = Self::begin(control_plane, prefix).await;
        let outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
        if outcome.is_err() {
            let _ = writeln!(std::io::stderr(), "{}", world.state());
        }
        world.end().await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    async fn begin(control_plane: &'a ControlPlane, prefix: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let cli = Cli::new().with_env("KUBECONFIG", &control_plane.kubeconfig().display().to_string());
        let key = KeyPair::generate(&cli, "release");
        let namespace = control_plane.namespace(prefix).await;
        Self {
            control_plane,
            client: control_plane.client().await,
            registry: Registry::embedded(),
            cli,
            key,
            namespaces: Mutex::new(vec![namespace.clone()]),
            namespace,
            cluster_scoped: Mutex::default(),
            controller: Mutex::default(),
            controller_env: Mutex::default(),
            controller_by: Mutex::default(),
            controller_log: folder.path().join("controller.log"),
            _folder: folder,
        }
    }

    /// One more namespace, which a controller started later watches too.
    pub async fn another_namespace(&self, prefix: &str) -> String {
        let namespace = self.control_plane.namespace(prefix).await;
        lock(&self.namespaces).push(namespace.clone());
        namespace
    }

    /// A service account that may do anything in its namespace, and nothing outside.
    pub fn namespace_account(&self, namespace: &str) -> &'static str {
        self.kubectl(&["create", "serviceaccount", DEPLOYER, "-n", namespace]);
        let account = format!("--serviceaccount={namespace}:{DEPLOYER}");
        self.kubectl(&["create", "rolebinding", DEPLOYER, "--clusterrole=cluster-admin", &account, "-n", namespace]);
        DEPLOYER
    }

    /// A service account that may do anything anywhere.
    pub fn cluster_account(&self, namespace: &str) -> &'static str {
        self.kubectl(&["create", "serviceaccount", DEPLOYER, "-n", namespace]);
        let account = format!("--serviceaccount={namespace}:{DEPLOYER}");
        self.kubectl(&["create", "clusterrolebinding", namespace, "--clusterrole=cluster-admin", &account]);
        lock(&self.cluster_scoped).push(("clusterrolebinding", namespace.to_owned()));
        DEPLOYER
    }

    /// Runs kubectl as administrator.
    ///
    /// # Panics
    /// Where it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.control_plane.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `HOST/PATH` in the registry of this world.
    #[must_use]
    pub fn repository(&self, path: &str) -> String {
        format!("{}/{path}", self.registry.host())
    }

    /// Packs, signs with the key of this world, pushes and moves the tag `PATH:TAG`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn push(&self, path_and_tag: &str, files: &[&Path], more: &[&str]) -> Digest {
        let reference = format!("oci://{}", self.repository(path_and_tag));
        let key = self.key.private().display().to_string();
        let mut arguments: Vec<String> = ["push", &reference, "--key", &key].map(str::to_owned).to_vec();
        arguments.extend(files.iter().flat_map(|file| ["-f".to_owned(), file.display().to_string()]));
        // What clusters make of releases that no careful person would push is what most of these tests are about.
        arguments.extend(["--skip-validation", "all"].map(str::to_owned));
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let output = self.cli.run(&arguments);
        assert_eq!(output.code, 0, "sealift {} failed:\n{}", arguments.join(" "), output.stderr);
        output.digest()
    }

    /// A policy for everything in this world's registry that this world's key signed, in the cluster and as a file.
    pub async fn trust(&self) -> PathBuf {
        self.put_policy(policy(&self.namespace, &[&format!("{}/**", self.registry.host())], &self.key)).await
    }

    /// Puts a policy into the cluster, gone with this world, and into a file.
    ///
    /// # Panics
    /// Where the API server refuses it.
    pub async fn put_policy(&self, policy: Value) -> PathBuf {
        let name = policy["metadata"]["name"].as_str().expect("a policy has a name").to_owned();
        let policies: Api<SignaturePolicy> = Api::all(self.client.clone());
        let apply = PatchParams::apply("tests").force();
        policies.patch(&name, &apply, &Patch::Apply(&policy)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        lock(&self.cluster_scoped).push(("signaturepolicy", name.clone()));
        self.cli.write(&format!("policies/{name}.yaml"), policy.to_string())
    }

    /// A cluster-scoped object that somebody makes goes with this world.
    pub fn gone_with_this_world(&self, kind: &'static str, name: &str) {
        lock(&self.cluster_scoped).push((kind, name.to_owned()));
    }

    /// Sets a variable for controllers that are started later.
    pub fn set_controller_env(&self, name: &str, value: &str) {
        lock(&self.controller_env).push((name.to_owned(), value.to_owned()));
    }

    /// Runs controllers that are started later by this program, whose arguments end in the controller and its own.
    pub fn run_controllers_by(&self, words: &[String]) {
        *lock(&self.controller_by) = words.to_vec();
    }

    /// The process of the controller, if it runs.
    #[must_use]
    pub fn controller_id(&self) -> Option<u32> {
        lock(&self.controller).as_ref().map(Process::id)
    }

    /// Starts the controller for the namespaces so far, under its own service account, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_controller(&self) {
        self.start_controller_with(&[]).await;
    }

    /// The same with more arguments.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn start_controller_with(&self, more: &[&str]) {
        let port = self.launch_controller(more).await;
        let mut process = lock(&self.controller).take().expect("it was launched");
        let ready = process.wait_until("ready", Duration::from_secs(60), || {
            loopback::get(port, "/readyz").is_some_and(|answer| answer.status == 200)
        });
        *lock(&self.controller) = Some(process);
        ready.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts the controller and waits for nothing; gives the port of its probes.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn launch_controller(&self, more: &[&str]) -> u16 {
        let (mut command, port) = self.controller_command().await;
        command.args(more);
        let process = Process::start("sealift-controller", command, &self.controller_log);
        *lock(&self.controller) = Some(process.unwrap_or_else(|error| panic!("{error}")));
        port
    }

    /// The command that runs a controller for the namespaces so far, and the port of its probes.
    async fn controller_command(&self) -> (Command, u16) {
        let own = self.controller_log.with_file_name("controller.kubeconfig");
        if !own.exists() {
            let (namespace, account) = CONTROLLER;
            let (kubeconfig, _folder) = self.control_plane.service_account_kubeconfig(namespace, account).await;
            fs::copy(&kubeconfig, &own).expect("a temp file can be copied");
        }
        let port = free_port();
        let controller = binary("sealift-controller");
        let mut command = match lock(&self.controller_by).split_first() {
            Some((program, arguments)) => {
                let mut command = self.cli.program(program);
                command.args(arguments).arg(controller);
                command
            }
            None => self.cli.program(controller),
        };
        command.env_remove("KUBECONFIG").env("RUST_LOG", "info,sealift=debug,kube=warn");
        command.envs(lock(&self.controller_env).iter().cloned());
        command.args(["run", "--kubeconfig", &own.display().to_string()]);
        command.args(["--metrics-listen", &format!("127.0.0.1:{port}")]);
        command.args(["--plain-http-host", &self.registry.host()]);
        command.args(lock(&self.namespaces).iter().map(|namespace| format!("--watch-namespace={namespace}")));
        (command, port)
    }

    /// Ends the controller at once, as when its machine loses power (SIGKILL).
    pub fn kill_controller(&self) {
        if let Some(mut process) = lock(&self.controller).take() {
            process.kill();
        }
    }

    /// Asks the controller to end, and waits until it has: what it put off is written then.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop_controller(&self) {
        self.stop_controller_within(Duration::from_secs(60));
    }

    /// The same with a limit.
    ///
    /// # Panics
    /// Where it does not end in time.
    pub fn stop_controller_within(&self, limit: Duration) {
        if let Some(mut process) = lock(&self.controller).take() {
            let ended = process.terminate(limit);
            assert!(ended.is_some_and(|status| status.success()), "it ended otherwise: {ended:?}");
        }
    }

    /// What the controller has logged.
    #[must_use]
    pub fn controller_log(&self) -> String {
        fs::read(&self.controller_log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// A client for objects of any kind.
    #[must_use]
    pub fn objects(&self, api_version: &str, kind: &str, plural: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    fn state(&self) -> String {
        let mut text = String::new();
        for namespace in lock(&self.namespaces).iter() {
            text += &self.control_plane.dump(namespace);
        }
        let folder = self.controller_log.parent().and_then(|folder| fs::read_dir(folder).ok());
        let logs = folder.into_iter().flatten().flatten().map(|entry| entry.path());
        for log in logs.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
            let told = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let lines: Vec<&str> = told.lines().collect();
            let name = log.file_stem().unwrap_or_default().to_string_lossy();
            text += &format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        text
    }

    /// Takes down what others would stumble over; the rest goes with the control plane.
    async fn end(self) {
        self.kill_controller();
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let own = lock(&self.namespaces).clone();
        for namespace in own {
            let deliveries: Api<Delivery> = Api::namespaced(self.client.clone(), &namespace);
            let left = deliveries.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
            for delivery in left {
                // nobody is left to take the finalizer off
                let none = Patch::Merge(json!({"metadata": {"finalizers": null}}));
                let _ = deliveries.patch(&delivery.name_any(), &PatchParams::default(), &none).await;
            }
            let _ = namespaces.delete(&namespace, &DeleteParams::background()).await;
        }
        for (kind, name) in lock(&self.cluster_scoped).iter() {
            let _ = self.control_plane.kubectl(&["delete", kind, name, "--ignore-not-found", "--wait=false"]);
        }
    }
}

/// Applies `deploy/install.yaml`, once a control plane and process; again from another process it changes nothing.
fn install(control_plane: &ControlPlane) {
    static INSTALLED: Mutex<BTreeMap<PathBuf, ()>> = Mutex::new(BTreeMap::new());
    let mut installed = lock(&INSTALLED);
    if installed.contains_key(control_plane.kubeconfig()) {
        return;
    }
    let file = workspace().join("deploy/install.yaml").display().to_string();
    let definitions = [
        "deliveries",
        "freezes",
        "signaturepolicies",
        "trustroots",
        "acceptedreleases",
        "inventories",
        "notifications",
        "receivers",
    ];
    let definitions = definitions.map(|plural| format!("crd/{plural}.sealift.dev"));
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &file];
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    let wait: Vec<&str> = wait.into_iter().chain(definitions.iter().map(String::as_str)).collect();
    for arguments in [&apply[..], &wait[..]] {
        control_plane.kubectl(arguments).unwrap_or_else(|error| panic!("{error}"));
    }
    installed.insert(control_plane.kubeconfig().to_owned(), ());
}

/// What a panicking test left locked is still what it was.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
