//! Reading one object of a built-in kind by name. *cluster*

use k8s_openapi::{NamespaceResourceScope, api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::api::ApiResource;
use sealift_apply::cluster::{Cluster, ClusterError, Resource};
use sealift_verify::objects::ObjectId;
use serde::de::DeserializeOwned;

/// The object, if it is there. No discovery is needed: the kind is a type.
pub(super) async fn object<K>(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<K>, ClusterError>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let resource = Resource { api: ApiResource::erase::<K>(&()), namespaced: true, has_status: false };
    let id = ObjectId {
        group: K::group(&()).into_owned(),
        version: K::version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    };
    let found = cluster.get(&resource, &id).await?;
    let parsed = found.map(serde_json::from_value).transpose();
    parsed.map_err(|source| ClusterError::Unreadable { source: Box::new(source) })
}

/// A namespace's metadata, if it is there.
pub(super) async fn namespace(cluster: &Cluster, name: &str) -> Result<Option<ObjectMeta>, ClusterError> {
    let resource = Resource { api: ApiResource::erase::<Namespace>(&()), namespaced: false, has_status: false };
    let (group, version, kind) = (String::new(), "v1".to_owned(), "Namespace".to_owned());
    cluster.get_metadata(&resource, &ObjectId { group, version, kind, namespace: None, name: name.to_owned() }).await
}
