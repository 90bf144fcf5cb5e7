//! The kinds a cluster serves, discovered once and shared by every identity.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{
    Client, Resource as _,
    api::{ApiResource, DynamicObject},
    discovery::{Discovery, Scope, verbs},
};
use sealift_verify::objects::{ObjectId, scope};
use tokio::sync::RwLock;

use super::{ClusterError, retry};

/// Unknown kinds ask the cluster again, but no more often than this: a release full of them is one question.
const FRESH: Duration = Duration::from_secs(5);

/// How the cluster serves a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Group, version, kind and plural.
    pub api: ApiResource,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether a status is served apart: then somebody may be expected to write one.
    pub has_status: bool,
}

impl Resource {
    /// Where requests about it go.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        DynamicObject::url_path(&self.api, namespace.filter(|_| self.namespaced))
    }
}

type Table = HashMap<(String, String, String), Resource>;

/// The cache.
pub(super) struct Kinds {
    client: Client,
    known: RwLock<Option<(Instant, Arc<Table>)>>,
}

impl Kinds {
    pub(super) fn new(client: Client) -> Self {
        Self { client, known: RwLock::new(None) }
    }

    pub(super) async fn resolve(&self, id: &ObjectId) -> Result<Resource, ClusterError> {
        let key = (id.group.clone(), id.version.clone(), id.kind.clone());
        let known = self.known.read().await.clone();
        if let Some((at, table)) = known {
            if let Some(resource) = table.get(&key) {
                return Ok(resource.clone());
            }
            if at.elapsed() < FRESH {
                return Err(unknown(id));
            }
        }
        let table = self.discover_unless_fresh().await?;
        table.get(&key).cloned().ok_or_else(|| unknown(id))
    }

    /// From what is known: an unknown kind was asked for a moment ago.
    pub(super) async fn in_any_version(&self, id: &ObjectId) -> Result<Resource, ClusterError> {
        let known = self.known.read().await.clone();
        let table = known.map(|(_, table)| table).unwrap_or_default();
        // Of several the last by name: which one is asked makes no difference to an object's identity.
        let versions = table.iter().filter(|((group, _, kind), _)| *group == id.group && *kind == id.kind);
        let found = versions.max_by(|((_, one, _), _), ((_, other, _), _)| one.cmp(other));
        found.map(|(_, resource)| resource.clone()).ok_or_else(|| unknown(id))
    }

    pub(super) async fn scopes(&self) -> Result<BTreeMap<(String, String), scope::Scope>, ClusterError> {
        let known = self.known.read().await.as_ref().map(|(_, table)| Arc::clone(table));
        let table = match known {
            Some(table) => table,
            None => self.discover_unless_fresh().await?,
        };
        let scope = |resource: &Resource| match resource.namespaced {
            true => scope::Scope::Namespaced,
            false => scope::Scope::Cluster,
        };
        Ok(table.iter().map(|((group, _, kind), found)| ((group.clone(), kind.clone()), scope(found))).collect())
    }

    pub(super) async fn refresh<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a Resource>,
    ) -> Result<bool, ClusterError> {
        let table = Arc::new(retry::bounded(|| discover(&self.client), ClusterError::is_transient).await?);
        let key = |api: &ApiResource| (api.group.clone(), api.version.clone(), api.kind.clone());
        let all = wanted.into_iter().all(|resource| table.get(&key(&resource.api)) == Some(resource));
        *self.known.write().await = Some((Instant::now(), table));
        Ok(all)
    }

    /// Of many that ask at once, one discovers and the others wait for its answer.
    async fn discover_unless_fresh(&self) -> Result<Arc<Table>, ClusterError> {
        let mut known = self.known.write().await;
        if let Some((at, table)) = &*known
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(retry::bounded(|| discover(&self.client), ClusterError::is_transient).await?);
        *known = Some((Instant::now(), Arc::clone(&table)));
        Ok(table)
    }
}

fn unknown(id: &ObjectId) -> ClusterError {
    ClusterError::UnknownKind { api_version: id.api_version(), kind: id.kind.clone() }
}

/// Two requests on servers with aggregated discovery (1.26 and later), else one a group and version.
async fn discover(client: &Client) -> Result<Table, ClusterError> {
    let discovery = match Discovery::new(client.clone()).run_aggregated().await {
        Ok(discovery) => discovery,
        Err(kube::Error::SerdeError(_) | kube::Error::Discovery(_)) => Discovery::new(client.clone()).run().await?,
        Err(kube::Error::Api(status)) if status.code == 406 => Discovery::new(client.clone()).run().await?,
        Err(error) => return Err(error.into()),
    };
    let mut table = Table::new();
    for group in discovery.groups() {
        for version in group.versions() {
            for (api, capabilities) in group.versioned_resources(version) {
                let namespaced = capabilities.scope == Scope::Namespaced;
                let has_status = capabilities.subresources.iter().any(|(of, _)| of.plural == "status");
                let key = (api.group.clone(), api.version.clone(), api.kind.clone());
                if capabilities.supports_operation(verbs::GET) || !table.contains_key(&key) {
                    table.insert(key, Resource { api, namespaced, has_status });
                }
            }
        }
    }
    Ok(table)
}
