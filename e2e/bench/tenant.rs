//! One namespace of the control plane with a policy, an account that may do anything, a controller and one Delivery.

use std::{
    error::Error,
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use sealift_e2e::{ControlPlane, Process, binary, workspace};
use serde_json::{Value, json};

use crate::ground::Ground;

pub(crate) struct Tenant<'a> {
    control_plane: &'a ControlPlane,
    ground: &'a Ground,
    namespace: &'static str,
}

impl<'a> Tenant<'a> {
    /// Makes the namespace, and the resources of Sealift.
    pub(crate) fn new(
        control_plane: &'a ControlPlane,
        ground: &'a Ground,
        namespace: &'static str,
    ) -> Result<Self, Box<dyn Error>> {
        let tenant = Self { control_plane, ground, namespace };
        let crds = workspace().join("deploy/crds");
        control_plane.kubectl(&["apply", "--server-side", "-f", &crds.to_string_lossy()])?;
        tenant.apply("setup.json", &tenant.objects()?)?;
        Ok(tenant)
    }

    fn objects(&self) -> Result<Value, Box<dyn Error>> {
        let namespace = self.namespace;
        let policy: Value = serde_json::from_str(&self.ground.policy(namespace)?)?;
        let items = json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "deployer", "namespace": namespace}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": format!("{namespace}-deployer")},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
                "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": namespace}],
            },
            policy,
        ]);
        Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
    }

    fn apply(&self, file: &str, content: &Value) -> Result<(), Box<dyn Error>> {
        let path = self.ground.home.join(file);
        fs::write(&path, content.to_string())?;
        self.control_plane.kubectl(&["apply", "--server-side", "-f", &path.to_string_lossy()])?;
        Ok(())
    }

    /// A controller.
    pub(crate) fn controller(&self, more: &[&str]) -> Result<Process, Box<dyn Error>> {
        let mut run = Command::new(binary("sealift-controller"));
        run.args(["run", "--metrics-listen", "127.0.0.1:0", "--plain-http-host", &self.ground.host]);
        run.args(more);
        run.env("KUBECONFIG", self.control_plane.kubeconfig());
        Ok(Process::start("sealift-controller", run, &self.ground.home.join("controller.log"))?)
    }

    /// Declares what the tag `prod` of the repository `stack` names.
    pub(crate) fn deliver(&self, interval: &str) -> Result<(), Box<dyn Error>> {
        let delivery = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery",
            "metadata": {"name": "stack", "namespace": self.namespace},
            "spec": {
                "repository": format!("{}/stack", self.ground.host), "select": {"tag": "prod"}, "interval": interval,
                "timeout": "5m", "serviceAccountName": "deployer",
            }
        });
        self.apply("delivery.json", &delivery)
    }

    /// Waits until this artifact is applied.
    pub(crate) fn applied(&self, digest: &str) -> Result<(), Box<dyn Error>> {
        self.await_status("{.status.lastApplied.digest}", digest)
    }

    /// Asks for a reconcile.
    pub(crate) fn annotate(&self, token: &str) -> Result<(), Box<dyn Error>> {
        let annotation = format!("reconcile.sealift.dev/requestedAt={token}");
        let on = ["deliveries.sealift.dev", "stack", "-n", self.namespace];
        self.control_plane.kubectl(&[&["annotate"], &on[..], &["--overwrite", &annotation]].concat())?;
        Ok(())
    }

    /// The same, and waits for its end.
    pub(crate) fn handled(&self, token: &str) -> Result<(), Box<dyn Error>> {
        self.annotate(token)?;
        self.await_status("{.status.lastHandledReconcileAt}", token)
    }

    fn status(&self, path: &str) -> Result<String, Box<dyn Error>> {
        let query = format!("jsonpath={path}");
        let on = ["deliveries.sealift.dev", "stack", "-n", self.namespace];
        let found = self.control_plane.kubectl(&[&["get"], &on[..], &["-o", &query]].concat())?;
        Ok(found.trim().to_owned())
    }

    fn await_status(&self, path: &str, wanted: &str) -> Result<(), Box<dyn Error>> {
        let started = Instant::now();
        while self.status(path)? != wanted {
            if started.elapsed() > Duration::from_secs(300) {
                return Err(format!("{path} is not {wanted} after 300 s: {}", self.status("{.status}")?).into());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}
