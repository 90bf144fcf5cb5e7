//! Each test in namespaces of its own, dumped when it fails, deleted when it ends.

use std::{io::Write as _, panic::AssertUnwindSafe, panic::resume_unwind};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, PostParams},
};

use crate::ControlPlane;

impl ControlPlane {
    /// Creates a namespace `PREFIX-…` that nobody else uses and waits for its default service account.
    ///
    /// # Panics
    /// Where the control plane does not do so.
    pub async fn namespace(&self, prefix: &str) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client().await);
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let created = namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace can be created");
        created.name_any()
    }

    /// Runs a test with a client and a fresh namespace; prints [`ControlPlane::dump`] if it panics, and deletes the
    /// namespace either way without waiting.
    ///
    /// # Panics
    /// When the test does.
    pub async fn in_namespace<T>(&self, prefix: &str, test: impl AsyncFnOnce(Client, String) -> T) -> T {
        let namespace = self.namespace(prefix).await;
        let client = self.client().await;
        let outcome = AssertUnwindSafe(test(client.clone(), namespace.clone())).catch_unwind().await;
        if outcome.is_err() {
            let _ = writeln!(std::io::stderr(), "{}", self.dump(&namespace));
        }
        let namespaces: Api<Namespace> = Api::all(client);
        let _ = namespaces.delete(&namespace, &DeleteParams::background()).await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
