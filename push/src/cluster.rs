//! Clusters as kubectl finds them: a context somebody named, or the current one of the kubeconfig. Never a guess.

use kube::{
    Config,
    api::ApiResource,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use sealift_apply::{
    api::Delivery,
    cluster::{Class, Cluster, ClusterError, Resource},
};
use sealift_verify::objects::ObjectId;
use serde::de::DeserializeOwned;

use crate::{exit::Exit, failure::Failure};

/// A cluster, and the namespace its context names.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) cluster: Cluster,
    pub(crate) namespace: String,
    pub(crate) context: String,
}

/// Why there is no cluster to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no kubeconfig can be used")]
    Kubeconfig(#[source] KubeconfigError),
    #[error("the kubeconfig names no current context")]
    NoContext,
    #[error("context {context} cannot be used")]
    Context {
        context: String,
        #[source]
        source: KubeconfigError,
    },
}

/// There is no such Delivery.
#[derive(Debug, thiserror::Error)]
#[error("there is no Delivery {namespace}/{name} in the cluster of context {context}")]
struct NoDelivery {
    namespace: String,
    name: String,
    context: String,
}

/// Connects to the cluster of a context.
pub(crate) async fn connect(context: Option<&str>) -> Result<Connected, Failure> {
    let failed = |error| {
        Failure::new(Exit::InvalidInput, error)
            .hint("set KUBECONFIG, or name one of `kubectl config get-contexts` with --context")
    };
    let kubeconfig = Kubeconfig::read().map_err(|error| failed(ConnectError::Kubeconfig(error)))?;
    let context = context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone());
    let context = context.filter(|context| !context.is_empty()).ok_or_else(|| failed(ConnectError::NoContext))?;
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|source| failed(ConnectError::Context { context: context.clone(), source }))?;
    // What the API server's audit log knows this program by.
    const AGENT: http::HeaderValue = http::HeaderValue::from_static(concat!("sealift/", env!("CARGO_PKG_VERSION")));
    config.headers.push((http::header::USER_AGENT, AGENT));
    let namespace = config.default_namespace.clone();
    Ok(Connected { cluster: Cluster::connect(config)?, namespace, context })
}

/// A Delivery that somebody named.
pub(crate) async fn delivery(connected: &Connected, namespace: &str, name: &str) -> Result<Delivery, Failure> {
    custom(&connected.cluster, Some(namespace), name).await?.ok_or_else(|| {
        let (namespace, name, context) = (namespace.to_owned(), name.to_owned(), connected.context.clone());
        let error = NoDelivery { namespace, name, context };
        Failure::new(Exit::NotFound, error).hint("`sealift status -A` lists all of them")
    })
}

/// How one of our own kinds, or a built-in one, is served; its type says so, and no discovery is needed.
pub(crate) fn resource<K: kube::Resource<DynamicType = ()>>(namespaced: bool) -> Resource {
    Resource { api: ApiResource::erase::<K>(&()), namespaced, has_status: false }
}

/// One object of a known type, if it is there.
pub(crate) async fn custom<K>(cluster: &Cluster, namespace: Option<&str>, name: &str) -> Result<Option<K>, ClusterError>
where
    K: kube::Resource<DynamicType = ()> + DeserializeOwned,
{
    let id = ObjectId {
        group: K::group(&()).into_owned(),
        version: K::version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let found = cluster.get(&resource::<K>(namespace.is_some()), &id).await?;
    found
        .map(serde_json::from_value)
        .transpose()
        .map_err(|source| ClusterError::Unreadable { source: Box::new(source) })
}

/// The ValidatingAdmissionPolicies that `sealift-controller admission-policy` prints, as the API server names them.
const OWN_POLICIES: [&str; 2] = ["'sealift-managed-objects'", "'sealift-records'"];

/// Whom they let change what is managed.
const BREAK_GLASS: &str = "Sealift's admission policy lets nobody but the controller and break-glass groups change this: \
                           run it as a member of one (docs/tenants.md)";

/// What an error means for scripts, and what to do about it.
pub(crate) fn meaning(error: &ClusterError) -> (Exit, Option<&'static str>) {
    match error {
        error if error.is_transient() => {
            (Exit::CouldNotCheck, Some("is the cluster up? Nothing is wrong with the command: try again"))
        }
        ClusterError::Answer { class: Class::Unauthorized, .. } => {
            (Exit::Credentials, Some("log in to the cluster again: the kubeconfig's credentials are refused"))
        }
        ClusterError::Answer { class: Class::Forbidden, .. } => {
            (Exit::Credentials, Some("this account may not do that; `kubectl auth can-i` tells what it may"))
        }
        ClusterError::Answer { class: Class::NotFound | Class::NotServed, .. } => (
            Exit::NotFound,
            Some("is Sealift installed in this cluster? `sealift bootstrap` or deploy/install.yaml installs it"),
        ),
        ClusterError::Answer { class: Class::Denied, message, .. } => {
            let is_own = OWN_POLICIES.iter().any(|name| message.contains(name));
            (
                Exit::Refused,
                Some(if is_own { BREAK_GLASS } else { "ask whoever set up that admission policy or webhook" }),
            )
        }
        ClusterError::Configuration { .. } => (Exit::InvalidInput, None),
        _ => (Exit::Failed, None),
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let (exit, hint) = meaning(&error);
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_denied_by_our_own_policy_is_told_who_is_not() {
        for (message, says) in [
            (
                "ValidatingAdmissionPolicy 'sealift-records' with binding 'sealift-records' denied request: no",
                "break-glass",
            ),
            ("ValidatingAdmissionPolicy 'names' with binding 'names' denied request: no", "whoever set up"),
        ] {
            let message = message.to_owned();
            let (exit, hint) = meaning(&ClusterError::Answer { class: Class::Denied, message, retry_after: None });
            assert!(exit == Exit::Refused && hint.is_some_and(|hint| hint.contains(says)), "{hint:?}");
        }
    }
}
