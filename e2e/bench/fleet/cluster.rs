//! The control plane, the registry, the artifacts and the Deliveries of a run.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use sealift_apply::api::Delivery;
use sealift_e2e::{Cli, ControlPlane, KeyPair, Process, binary, policy, workspace};
use sealift_registry::server::{self, Requests, Running, ServerOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Arguments, Artifacts, Failed, application, door::Door};

/// Deliveries are spread over so many namespaces.
const TENANTS: usize = 10;
/// Deliveries declared at once.
const AT_ONCE: usize = 16;

/// Everything a scenario needs.
pub(crate) struct Fleet {
    pub(crate) control_plane: &'static ControlPlane,
    pub(crate) client: Client,
    pub(crate) apps: usize,
    pub(crate) artifacts: Artifacts,
    registry: Running,
    door: Door,
    /// Where figures are kept.
    pub(crate) figures: Option<PathBuf>,
    validation: Option<String>,
    concurrent: usize,
    pub(crate) replicas: usize,
    key: KeyPair,
    cli: Cli,
    folder: TempDir,
}

impl Fleet {
    pub(crate) async fn new(control_plane: &'static ControlPlane, arguments: &Arguments) -> Result<Self, Failed> {
        let cli = Cli::new();
        // In this process, so that its requests can be counted.
        let registry = server::spawn(ServerOptions::default()).await?;
        let fleet = Self {
            control_plane,
            client: control_plane.client().await,
            apps: arguments.apps,
            artifacts: arguments.artifacts,
            door: Door::to(registry.addr).await?,
            registry,
            figures: arguments.figures.clone(),
            validation: arguments.validation.clone(),
            concurrent: arguments.concurrent,
            replicas: arguments.replicas,
            key: KeyPair::generate(&cli, "release"),
            cli,
            folder: tempfile::tempdir()?,
        };
        let install = workspace().join("deploy/install.yaml");
        fleet.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &install.display().to_string()])?;
        let kinds = ["deliveries", "acceptedreleases", "inventories", "signaturepolicies"]
            .map(|kind| format!("crd/{kind}.sealift.dev"));
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"].into_iter();
        fleet.kubectl(&wait.chain(kinds.iter().map(String::as_str)).collect::<Vec<_>>())?;
        fleet.declare_tenants()?;
        Ok(fleet)
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String, Failed> {
        Ok(self.control_plane.kubectl(arguments)?)
    }

    pub(crate) fn tenant(app: usize) -> String {
        format!("fleet-{}", app % TENANTS)
    }

    fn declare_tenants(&self) -> Result<(), Failed> {
        let mut policy = policy("fleet", &[&format!("{}/**", self.host())], &self.key);
        policy["spec"]["objects"] = json!({"parameters": ["names", "rbac"]});
        let tenants = (0..TENANTS).map(Self::tenant).flat_map(|namespace| {
            [
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
                json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": namespace}}),
                json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                    "metadata": {"name": "deployer", "namespace": namespace},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                    "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": namespace}],
                }),
            ]
        });
        let file = self.write("tenants.json", &application::manifest(tenants.chain([policy]).collect()))?;
        self.kubectl(&["apply", "--server-side", "-f", &file.display().to_string()])?;
        Ok(())
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, Failed> {
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Starts the controller as administrator; impersonation is what gives it a tenant's rights, as ever.
    pub(crate) fn start_controller(&self) -> Result<Process, Failed> {
        self.start_replica(0)
    }

    /// One of several, if there are to be several.
    pub(crate) fn start_replica(&self, replica: usize) -> Result<Process, Failed> {
        let mut run = Command::new(binary("sealift-controller"));
        run.args(["run", "--metrics-listen", "127.0.0.1:0", "--plain-http-host", &self.host()]);
        run.args(["--concurrent", &self.concurrent.to_string(), "--min-interval", "1s"]);
        run.env("KUBECONFIG", self.control_plane.kubeconfig()).env("RUST_LOG", "warn");
        if self.replicas > 1 {
            run.args(["--lease-namespace", "sealift-system", "--replica-id", &format!("fleet-{replica}")]);
        }
        Ok(Process::start("sealift-controller", run, &self.folder.path().join(format!("controller-{replica}.log")))?)
    }

    pub(crate) fn repository(&self, app: usize) -> String {
        match self.artifacts {
            Artifacts::Shared => format!("{}/fleet", self.host()),
            Artifacts::Each => format!("{}/fleet-{app}", self.host()),
        }
    }

    /// Pushes what the applications are to be, as `tag`, and gives each repository's digest.
    pub(crate) fn push(&self, cpu: &str, tag: &str) -> Result<BTreeMap<String, String>, Failed> {
        let pushed = match self.artifacts {
            Artifacts::Shared => 1,
            Artifacts::Each => self.apps,
        };
        (0..pushed)
            .map(|app| self.push_one(&self.repository(app), &application::objects("${INDEX}", cpu), tag))
            .collect()
    }

    /// Pushes objects with the variable `INDEX` to a repository.
    pub(crate) fn push_one(&self, repository: &str, objects: &[Value], tag: &str) -> Result<(String, String), Failed> {
        let file = self.write("push.json", &application::manifest(objects.to_vec()))?;
        let mut push = self.cli.program(binary("sealift"));
        push.args(["push", &format!("oci://{repository}:{tag}"), "-q", "--var", "INDEX", "-f"]).arg(file);
        push.arg("--key").arg(self.key.private()).stdin(Stdio::null());
        let output = push.output()?;
        if !output.status.success() {
            return Err(format!("push failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let pinned = String::from_utf8(output.stdout)?;
        let digest = pinned.trim().rsplit('@').next().unwrap_or_default().to_owned();
        Ok((repository.to_owned(), digest))
    }

    /// What one application is declared as; `more` is merged into its spec.
    pub(crate) fn delivery(&self, app: usize, more: &Value) -> Value {
        let mut spec = json!({
            "repository": self.repository(app), "select": {"tag": "prod"}, "interval": "1h", "timeout": "5m",
            "serviceAccountName": "deployer", "targetNamespace": Self::tenant(app),
            "parameters": [{"name": "INDEX", "value": app.to_string()}],
        });
        if let Some(validation) = &self.validation {
            spec["validation"] = json!(validation);
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            spec[name] = value.clone();
        }
        json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"name": format!("app-{app}"), "namespace": Self::tenant(app)}, "spec": spec,
        })
    }

    /// Declares all applications, `more` merged into each spec.
    pub(crate) async fn declare(&self, more: &Value) -> Result<(), Failed> {
        stream::iter((0..self.apps).map(Ok))
            .try_for_each_concurrent(AT_ONCE, |app| {
                let delivery = self.delivery(app, more);
                self.put(Self::tenant(app), format!("app-{app}"), delivery)
            })
            .await
    }

    pub(crate) async fn put(&self, namespace: String, name: String, delivery: Value) -> Result<(), Failed> {
        let api: Api<Delivery> = Api::namespaced(self.client.clone(), &namespace);
        api.patch(&name, &PatchParams::apply("fleet").force(), &Patch::Apply(delivery)).await?;
        Ok(())
    }

    /// Asks for a look now; of one Delivery where all share an artifact and a controller, since the others follow.
    pub(crate) async fn ask(&self, token: &str) -> Result<(), Failed> {
        self.ask_from(0, token).await
    }

    /// The same, but for the first so many.
    pub(crate) async fn ask_from(&self, first: usize, token: &str) -> Result<(), Failed> {
        let last = match self.artifacts {
            Artifacts::Shared if self.replicas == 1 => first + 1,
            Artifacts::Shared | Artifacts::Each => self.apps,
        };
        let patch = json!({"metadata": {"annotations": {"reconcile.sealift.dev/requestedAt": token}}});
        stream::iter(first..last)
            .map(Ok::<_, Failed>)
            .try_for_each_concurrent(AT_ONCE, async |app| {
                let api: Api<Delivery> = Api::namespaced(self.client.clone(), &Self::tenant(app));
                api.patch(&format!("app-{app}"), &PatchParams::default(), &Patch::Merge(patch.clone())).await?;
                Ok(())
            })
            .await
    }

    /// `127.0.0.1:PORT` of the registry.
    pub(crate) fn host(&self) -> String {
        self.door.address.to_string()
    }

    /// What stands before the registry.
    pub(crate) fn door(&self) -> &Door {
        &self.door
    }

    /// Whether everything is dry-run first.
    pub(crate) fn dry_runs(&self) -> bool {
        self.validation.as_deref().is_none_or(|validation| validation == "dryRun")
    }

    /// Requests that the registry has answered so far.
    pub(crate) fn pulls(&self) -> Requests {
        self.registry.requests()
    }

    /// How long a wait may take before something is wrong.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(120 + self.apps as u64)
    }
}
