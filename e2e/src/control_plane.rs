//! A whole Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok
//! in place of kubelets.

mod client;
mod files;

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    audit::Audit,
    process::{HarnessError, Process, free_port, listens, with_retry},
    reaper,
    tool::Tool,
};
use files::Files;

/// The limit of each wait: a start takes 8 s on an idle machine, and a busy one is no failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// The programs of a control plane.
#[derive(Debug)]
struct Tools {
    etcd: Tool,
    apiserver: Tool,
    controller_manager: Tool,
    scheduler: Tool,
    kwok: Tool,
    kubectl: Tool,
}

impl Tools {
    fn find() -> Option<Self> {
        Some(Self {
            etcd: Tool::find("etcd")?,
            apiserver: Tool::find("kube-apiserver")?,
            controller_manager: Tool::find("kube-controller-manager")?,
            scheduler: Tool::find("kube-scheduler")?,
            kwok: Tool::find("kwok")?,
            kubectl: Tool::find("kubectl")?,
        })
    }
}

/// A running control plane, ours or one that another process started.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    kubectl: Tool,
    /// Held to be killed, in this order: kube-apiserver before etcd, which it would wait for.
    _others: Vec<Process>,
    apiserver: Option<Mutex<ApiServer>>,
    _etcd: Option<Process>,
    /// Removed last.
    _own_folder: Option<TempDir>,
}

/// The API server, and how it was started.
#[derive(Debug)]
struct ApiServer {
    process: Process,
    tool: Tool,
    arguments: Vec<String>,
    log: PathBuf,
}

impl ApiServer {
    fn start(tool: &Tool, arguments: Vec<String>, folder: &Path, log: PathBuf) -> Result<Self, HarnessError> {
        let mut command = tool.command();
        command.args(&arguments).current_dir(folder).env("HOME", folder);
        let process = Process::start("kube-apiserver", command, &log)?;
        Ok(Self { process, tool: tool.clone(), arguments, log })
    }
}

impl ControlPlane {
    /// The control plane that all tests of this process share, each in namespaces of its own: the one that
    /// `SEALIFT_E2E_KUBECONFIG` names (so does `make test`), else one started now. `None` where its programs are missing.
    ///
    /// # Panics
    /// Where it does not start; with `CI=true` where its programs are missing.
    pub fn shared() -> Option<&'static Self> {
        // a failure is kept too: the other tests need not wait for it again
        static SHARED: OnceLock<Result<Option<ControlPlane>, HarnessError>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| match env::var_os("SEALIFT_E2E_KUBECONFIG") {
            Some(kubeconfig) => Ok(Self::attach(kubeconfig.into())),
            None => Self::launch(),
        });
        shared.as_ref().unwrap_or_else(|error| panic!("no control plane: {error}")).as_ref()
    }

    fn attach(kubeconfig: PathBuf) -> Option<Self> {
        let kubectl = Tool::find("kubectl")?;
        Some(Self { kubeconfig, kubectl, _others: Vec::new(), apiserver: None, _etcd: None, _own_folder: None })
    }

    /// One of this test's own, for tests that break it. `None` where its programs are missing.
    ///
    /// # Panics
    /// As [`ControlPlane::shared`].
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::launch().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`ControlPlane::start`], for programs.
    pub fn launch() -> Result<Option<Self>, HarnessError> {
        let Some(tools) = Tools::find() else { return Ok(None) };
        let started = with_retry(|| {
            let folder = tempfile::tempdir().map_err(|source| HarnessError::File { path: env::temp_dir(), source })?;
            reaper::watch_folder(folder.path());
            Self::launch_with(&tools, folder.path()).map(|running| Self { _own_folder: Some(folder), ..running })
        });
        started.map(Some)
    }

    /// As [`ControlPlane::launch`], with files, logs and kubeconfig in `folder`, which stays.
    pub fn launch_in(folder: &Path) -> Result<Option<Self>, HarnessError> {
        let Some(tools) = Tools::find() else { return Ok(None) };
        let folder =
            std::path::absolute(folder).map_err(|source| HarnessError::File { path: folder.into(), source })?;
        Self::launch_with(&tools, &folder).map(Some)
    }

    /// A kubeconfig of a member of `system:masters`; it holds the server's certificate and needs no other file.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The audit log, of a control plane that this harness started (in whatever process).
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit::at(&self.kubeconfig.with_file_name(files::AUDIT_LOG))
    }

    /// Writes an object into etcd, past everything the API server asks of one: what an older server has left behind.
    ///
    /// # Panics
    /// Where etcd does not take it.
    pub async fn store(&self, key: &str, object: &Value) {
        let etcd =
            fs::read_to_string(self.kubeconfig.with_file_name(files::ETCD)).expect("it was written at the start");
        let put = json!({"key": STANDARD.encode(key), "value": STANDARD.encode(object.to_string())});
        let answer = reqwest::Client::new().post(format!("{etcd}/v3/kv/put")).json(&put).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("etcd: {error}"));
        assert!(answer.status().is_success(), "etcd: {}", answer.status());
    }

    /// Runs kubectl as administrator and gives what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, HarnessError> {
        run_kubectl(&self.kubectl, &self.kubeconfig, arguments)
    }

    /// The last lines of each program's log, where this process started them.
    pub(crate) fn log_tails(&self, lines: usize) -> Vec<(String, String)> {
        let folder = self.kubeconfig.with_file_name("logs");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let tail = |path: PathBuf| {
            let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let all: Vec<&str> = text.lines().collect();
            (path.display().to_string(), all[all.len().saturating_sub(lines)..].join("\n"))
        };
        entries.flatten().map(|entry| tail(entry.path())).collect()
    }

    fn launch_with(tools: &Tools, folder: &Path) -> Result<Self, HarnessError> {
        let files = Files::write(folder, free_port())?;
        let start = |name: &str, tool: &Tool, arguments: Vec<String>| {
            let mut command = tool.command();
            command.args(arguments).current_dir(folder).env("HOME", folder);
            Process::start(name, command, &files.log(name))
        };
        let (clients, peers) = (free_port(), free_port());
        let mut etcd = start("etcd", &tools.etcd, files.etcd_arguments(clients, peers))?;
        etcd.wait_until("listening", PATIENCE, || listens(clients))?;
        files.put(files::ETCD, &format!("http://127.0.0.1:{clients}"))?;

        let log = files.log("kube-apiserver");
        let mut server = ApiServer::start(&tools.apiserver, files.apiserver_arguments(clients), folder, log)?;
        let apiserver = &mut server.process;
        apiserver.wait_until("its certificate", PATIENCE, || files.has_certificate())?;
        let kubeconfig = files.write_kubeconfigs()?;
        let kubectl = |arguments: &[&str]| run_kubectl(&tools.kubectl, &kubeconfig, arguments);
        apiserver.wait_until("/readyz", PATIENCE, || kubectl(&["get", "--raw", "/readyz"]).is_ok())?;

        let mut manager =
            start("kube-controller-manager", &tools.controller_manager, files.controller_manager_arguments())?;
        let mut scheduler = start("kube-scheduler", &tools.scheduler, files.scheduler_arguments())?;
        let mut kwok = start("kwok", &tools.kwok, files.kwok_arguments())?;
        kubectl(&["create", "-f", &files.nodes()])?;
        manager.wait_until("the default service account", PATIENCE, || {
            kubectl(&["get", "serviceaccount", "default", "-n", "default"]).is_ok()
        })?;
        kwok.wait_until("a node without taints", PATIENCE, || {
            let taints = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].spec.taints}{.items[0].status.phase}"]);
            taints.is_ok_and(|taints| taints == "Running")
        })?;
        scheduler.wait_until("running", PATIENCE, || true)?;

        let (kubectl, _others) = (tools.kubectl.clone(), vec![kwok, scheduler, manager]);
        Ok(Self {
            kubeconfig,
            kubectl,
            _others,
            apiserver: Some(Mutex::new(server)),
            _etcd: Some(etcd),
            _own_folder: None,
        })
    }

    /// Ends the API server at once and starts it again, with everything it has stored.
    ///
    /// # Panics
    /// Where another process started it, or it does not become ready.
    pub fn restart_apiserver(&self) {
        let server = self.apiserver.as_ref().expect("only what this process started can be restarted");
        let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
        server.process.kill();
        let folder = self.kubeconfig.parent().expect("a kubeconfig lies in a folder").to_owned();
        let (tool, arguments, log) = (server.tool.clone(), server.arguments.clone(), server.log.clone());
        let started = ApiServer::start(&tool, arguments, &folder, log);
        *server = started.unwrap_or_else(|error| panic!("{error}"));
        let ready = || self.kubectl(&["get", "--raw", "/readyz"]).is_ok();
        let ready = server.process.wait_until("/readyz", PATIENCE, ready);
        ready.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn run_kubectl(kubectl: &Tool, kubeconfig: &Path, arguments: &[&str]) -> Result<String, HarnessError> {
    // a cache beside the kubeconfig, since discovery of one control plane is wrong for the next
    let cache = kubeconfig.with_file_name("kubectl-cache");
    let output = kubectl
        .command()
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--cache-dir={}", cache.display()))
        .args(arguments)
        .output()
        .map_err(|source| HarnessError::Spawn { name: "kubectl".into(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(HarnessError::Command {
        command: format!("kubectl {}", arguments.join(" ")),
        output: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
