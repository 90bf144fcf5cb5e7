//! The files and arguments of a control plane.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::process::HarnessError;

pub(crate) const AUDIT_LOG: &str = "audit.log";
/// Where etcd answers.
pub(crate) const ETCD: &str = "etcd.url";
const STAGES: &str = include_str!("../../../testenv/kwok.yaml");

/// Those who ask for the control plane's own sake: their requests are not what tests count.
const PARTS: &[&str] = &["system:kube-controller-manager", "system:kube-scheduler", "kwok"];
const ADMINISTRATOR: &str = "admin";

/// The folder of one control plane.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    port: u16,
    /// User to bearer token.
    tokens: Vec<(&'static str, String)>,
}

impl Files {
    /// Writes what must be there before the first program starts.
    pub(crate) fn write(folder: &Path, port: u16) -> Result<Self, HarnessError> {
        let tokens = PARTS.iter().chain(&[ADMINISTRATOR]).map(|user| (*user, random_token())).collect();
        let files = Self { folder: folder.to_owned(), port, tokens };
        for sub in ["", "logs", "etcd", "certs"] {
            let path = folder.join(sub);
            fs::create_dir_all(&path).map_err(|source| HarnessError::File { path, source })?;
        }
        // tokens and keys lie here
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .map_err(|source| HarnessError::File { path: folder.to_owned(), source })?;
        files.put("tokens.csv", &files.token_file())?;
        let (private, public) = service_account_keys();
        files.put("service-account.key", &private)?;
        files.put("service-account.pub", &public)?;
        files.put("audit-policy.yaml", &audit_policy().to_string())?;
        files.put("kwok.yaml", STAGES)?;
        files.put("nodes.json", &nodes().to_string())?;
        Ok(files)
    }

    /// Writes the kubeconfig of each user, the administrator's last, and gives the path of that one.
    pub(crate) fn write_kubeconfigs(&self) -> Result<PathBuf, HarnessError> {
        let path = self.path("certs/apiserver.crt");
        let certificate = fs::read(&path).map_err(|source| HarnessError::File { path: path.into(), source })?;
        let server = format!("https://127.0.0.1:{}", self.port);
        for (user, token) in &self.tokens {
            self.put(&kubeconfig_name(user), &kubeconfig(&server, &certificate, user, token).to_string())?;
        }
        Ok(self.folder.join(kubeconfig_name(ADMINISTRATOR)))
    }

    /// kube-apiserver signs itself a certificate when it starts; the key is written after it.
    pub(crate) fn has_certificate(&self) -> bool {
        self.folder.join("certs/apiserver.key").exists()
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn nodes(&self) -> String {
        self.path("nodes.json")
    }

    pub(crate) fn etcd_arguments(&self, clients: u16, peers: u16) -> Vec<String> {
        vec![
            "--name=testenv".into(),
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls=http://127.0.0.1:{clients}"),
            format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
            format!("--initial-advertise-peer-urls=http://127.0.0.1:{peers}"),
            format!("--initial-cluster=testenv=http://127.0.0.1:{peers}"),
            "--unsafe-no-fsync".into(), // nothing here outlives the test
            "--log-level=warn".into(),
        ]
    }

    pub(crate) fn apiserver_arguments(&self, etcd: u16) -> Vec<String> {
        vec![
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            "--bind-address=127.0.0.1".into(),
            "--external-hostname=127.0.0.1".into(),
            format!("--secure-port={}", self.port),
            format!("--cert-dir={}", self.path("certs")),
            "--endpoint-reconciler-type=none".into(), // a loopback address is no endpoint
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", self.path("service-account.pub")),
            format!("--service-account-signing-key-file={}", self.path("service-account.key")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--allow-privileged=true".into(),
            format!("--audit-policy-file={}", self.path("audit-policy.yaml")),
            format!("--audit-log-path={}", self.path(AUDIT_LOG)),
            "--audit-log-maxsize=0".into(), // one file, never rotated away under a test
        ]
    }

    pub(crate) fn controller_manager_arguments(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path(&kubeconfig_name(PARTS[0]))),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            format!("--service-account-private-key-file={}", self.path("service-account.key")),
            format!("--root-ca-file={}", self.path("certs/apiserver.crt")),
            "--node-monitor-grace-period=30m".into(), // a slow machine is no dead node
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
        ]
    }

    pub(crate) fn scheduler_arguments(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path(&kubeconfig_name(PARTS[1]))),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
        ]
    }

    pub(crate) fn kwok_arguments(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.path(&kubeconfig_name(PARTS[2]))),
            format!("--config={}", self.path("kwok.yaml")),
            "--manage-all-nodes=true".into(),
            "--node-lease-duration-seconds=40".into(),
        ]
    }

    /// `token,user,uid,groups`: all in `system:masters`; RBAC is for those whom tests create or impersonate.
    fn token_file(&self) -> String {
        self.tokens.iter().map(|(user, token)| format!("{token},{user},{user},system:masters\n")).collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn put(&self, name: &str, text: &str) -> Result<(), HarnessError> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(|source: io::Error| HarnessError::File { path, source })
    }
}

fn kubeconfig_name(user: &str) -> String {
    if user == ADMINISTRATOR { "kubeconfig".into() } else { format!("{}.kubeconfig", user.replace(':', "-")) }
}

/// A kubeconfig in JSON, which is YAML, for one bearer token.
pub(crate) fn kubeconfig(server: &str, certificate: &[u8], user: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testenv", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(certificate),
        }}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "testenv", "context": {"cluster": "testenv", "user": user}}],
        "current-context": "testenv",
    })
}

fn audit_policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": PARTS.iter().chain(&["system:apiserver"]).collect::<Vec<_>>()},
            {"level": "Metadata"},
        ],
    })
}

/// Two nodes that kwok plays, with room for every corpus.
fn nodes() -> Value {
    let node = |name: &str| {
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            }},
        })
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [node("node-0"), node("node-1")]})
}

fn random_token() -> String {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The pair that signs and checks service account tokens, as PEM.
fn service_account_keys() -> (String, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key pair can be made");
    let private = pair.to_pkcs8v1().expect("a new key can be written");
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().expect("a new key can be written");
    let pem = |label: &str, der: &[u8]| pem::encode(&pem::Pem::new(label, der));
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}
