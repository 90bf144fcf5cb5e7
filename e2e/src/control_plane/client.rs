//! Clients of the control plane, as administrator, as somebody else, as a service account.

use std::{fs, path::PathBuf, time::Duration};

use k8s_openapi::api::{authentication::v1::TokenRequest, core::v1::ServiceAccount};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;

use super::{ControlPlane, files};

impl ControlPlane {
    /// A client as administrator. It belongs to the runtime it is made in, so each test makes its own.
    ///
    /// # Panics
    /// Where the kubeconfig cannot be used.
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client can be made from the configuration")
    }

    /// A client whose requests are impersonated: what they may do, RBAC alone says.
    ///
    /// # Panics
    /// As [`ControlPlane::client`].
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        let mut config = self.config().await;
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        Client::try_from(config).expect("a client can be made from the configuration")
    }

    /// A kubeconfig with a real token of that service account, such as its pods get. The folder goes with the guard.
    ///
    /// # Panics
    /// Where the account does not exist or gets no token.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> (PathBuf, TempDir) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let request = TokenRequest::default();
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .unwrap_or_else(|error| panic!("no token for {namespace}/{name}: {error}"));
        let token = answer.status.expect("an answered request has a status").token;
        let config = self.config().await;
        let certificate: String = config
            .root_cert
            .unwrap_or_default()
            .into_iter()
            .map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der)))
            .collect();
        let server = config.cluster_url.to_string();
        let content = files::kubeconfig(server.trim_end_matches('/'), certificate.as_bytes(), name, &token);
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let path = folder.path().join("kubeconfig");
        fs::write(&path, content.to_string()).expect("a temp file can be written");
        (path, folder)
    }

    /// A client with a real token of that service account.
    ///
    /// # Panics
    /// As [`ControlPlane::service_account_kubeconfig`].
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> Client {
        let (path, _folder) = self.service_account_kubeconfig(namespace, name).await;
        Client::try_from(read_config(&path).await).expect("a client can be made from the configuration")
    }

    async fn config(&self) -> Config {
        read_config(self.kubeconfig()).await
    }
}

async fn read_config(path: &std::path::Path) -> Config {
    // the first caller installs it; another one's is the same
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let kubeconfig =
        Kubeconfig::read_from(path).unwrap_or_else(|error| panic!("{} is no kubeconfig: {error}", path.display()));
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap_or_else(|error| panic!("{} cannot be used: {error}", path.display()));
    config.read_timeout = Some(Duration::from_secs(120));
    config
}
