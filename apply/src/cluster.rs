//! The one handle to a cluster: who speaks, which kinds it serves, and how a call is bounded and repeated.

mod error;
mod impersonate;
mod kinds;
mod limit;
mod retry;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http::HeaderValue;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client, Config,
    api::{DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ObjectList, PartialObjectMeta, Request, Status},
};
use sealift_verify::objects::{ObjectId, scope::Scope};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

pub use self::{
    error::{Class, ClusterError},
    kinds::Resource,
};
use crate::FIELD_MANAGER;

/// Every call ends by then: admission webhooks may take up to 30 seconds of it.
const CALL_LIMIT: Duration = Duration::from_secs(40);

/// Requests in flight over all identities. kube speaks HTTP/1: each has a connection of its own.
const CONNECTIONS: usize = 64;

/// Objects a page of a list holds.
const PAGE: u32 = 500;

/// A cluster as one identity sees it. Cheap to clone; clones and impersonations share the discovered kinds.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    kinds: Arc<kinds::Kinds>,
    slots: Arc<Semaphore>,
    /// For which Delivery requests are made, as a header.
    delivery: Option<HeaderValue>,
}

/// Whether a write is only tried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The server answers as if it had been written, and writes nothing.
    DryRun,
    /// It is written.
    Persist,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cluster")
    }
}

impl Cluster {
    /// Connects as `config` says, except that retries are ours: kube's own may last for a quarter of an hour.
    ///
    /// # Errors
    /// If the configuration cannot be used. Nothing is sent yet.
    pub fn connect(mut config: Config) -> Result<Self, ClusterError> {
        config.default_retry = false;
        Client::try_from(config).map(Self::new).map_err(ClusterError::from)
    }

    /// A handle on a client that was built elsewhere, with its own retries off.
    pub fn new(client: Client) -> Self {
        Self {
            kinds: Arc::new(kinds::Kinds::new(client.clone())),
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            delivery: None,
            client,
        }
    }

    /// The same cluster as a service account sees it. Connections and discovered kinds are shared.
    ///
    /// # Errors
    /// If one of the names is not a name.
    pub fn as_service_account(&self, namespace: &str, name: &str) -> Result<Self, ClusterError> {
        let client = impersonate::service_account(&self.client, namespace, name)?;
        Ok(Self { client, delivery: None, ..self.clone() })
    }

    /// The same account at work for one Delivery: what is read and written through this handle tells the API server so, by
    /// the extra `sealift.dev/delivery`, which whoever is behind the client needs the right to impersonate.
    ///
    /// The client is shared by all Deliveries of an account, so [`Self::client`] and watches made with it say nothing:
    /// admission, which the extra is for, is never asked about them.
    ///
    /// # Errors
    /// If one of the names is not a name.
    pub fn for_delivery(&self, namespace: &str, name: &str) -> Result<Self, ClusterError> {
        Ok(Self { delivery: Some(impersonate::delivery(namespace, name)?), ..self.clone() })
    }

    /// The client underneath, for typed resources and watches.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How the cluster serves the kind of `id`. Discovery is cached; an unknown kind refreshes it, not too often.
    ///
    /// # Errors
    /// [`ClusterError::UnknownKind`], or what kept discovery from answering.
    pub async fn resolve(&self, id: &ObjectId) -> Result<Resource, ClusterError> {
        self.kinds.resolve(id).await
    }

    /// How the cluster serves the kind of `id` in whatever version, for objects that were applied in one that is gone.
    ///
    /// # Errors
    /// [`ClusterError::UnknownKind`] if it serves none, or what kept discovery from answering.
    pub async fn resolve_any_version(&self, id: &ObjectId) -> Result<Resource, ClusterError> {
        match self.kinds.resolve(id).await {
            Err(ClusterError::UnknownKind { .. }) => self.kinds.in_any_version(id).await,
            answer => answer,
        }
    }

    /// The scope of every kind the cluster serves, by group and kind: what settles kinds unknown offline.
    ///
    /// # Errors
    /// What kept discovery from answering.
    pub async fn scopes(&self) -> Result<BTreeMap<(String, String), Scope>, ClusterError> {
        self.kinds.scopes().await
    }

    /// Discovers the served kinds anew, for when a definition was just established, and says whether `wanted` are among
    /// them: the server's own list follows a definition a moment later.
    ///
    /// # Errors
    /// What kept discovery from answering; the old answer stays.
    pub async fn refresh_kinds<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a Resource>,
    ) -> Result<bool, ClusterError> {
        self.kinds.refresh(wanted).await
    }

    /// The whole object, if it is there.
    ///
    /// # Errors
    /// Anything but its absence.
    pub async fn get(&self, resource: &Resource, id: &ObjectId) -> Result<Option<Value>, ClusterError> {
        let request = at(resource, id.namespace.as_deref()).get(&id.name, &GetParams::default());
        present(self.call(request?).await)
    }

    /// The object's metadata, if it is there.
    ///
    /// # Errors
    /// Anything but its absence.
    pub async fn get_metadata(&self, resource: &Resource, id: &ObjectId) -> Result<Option<ObjectMeta>, ClusterError> {
        let request = at(resource, id.namespace.as_deref()).get_metadata(&id.name, &GetParams::default());
        let object: Option<PartialObjectMeta<DynamicObject>> = present(self.call(request?).await)?;
        Ok(object.map(|object| object.metadata))
    }

    /// Whole objects, page by page until the end.
    ///
    /// # Errors
    /// What kept the cluster from answering.
    pub async fn list(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<Value>, ClusterError> {
        let (mut all, mut params) = (vec![], page(labels));
        loop {
            let list: Value = self.call(at(resource, namespace).list(&params)?).await?;
            let Value::Object(mut list) = list else { return Ok(all) };
            params.continue_token = list.get("metadata").and_then(|m| m["continue"].as_str()).map(str::to_owned);
            if let Some(Value::Array(items)) = list.remove("items") {
                all.extend(items);
            }
            if params.continue_token.as_deref().unwrap_or_default().is_empty() {
                return Ok(all);
            }
        }
    }

    /// Metadata of objects; without labels at most one page, and `false` if there would have been more.
    ///
    /// # Errors
    /// What kept the cluster from answering.
    pub async fn list_metadata(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<(Vec<ObjectMeta>, bool), ClusterError> {
        let (mut all, mut params) = (vec![], page(labels));
        loop {
            let request = at(resource, namespace).list_metadata(&params)?;
            let list: ObjectList<PartialObjectMeta<DynamicObject>> = self.call(request).await?;
            all.extend(list.items.into_iter().map(|object| object.metadata));
            params.continue_token = list.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() || labels.is_none() {
                return Ok((all, params.continue_token.is_none()));
            }
        }
    }

    /// Server-side apply by our field manager, taking over fields that others own. Answers with the object as it is then.
    ///
    /// # Errors
    /// Why the server did not take it.
    pub async fn apply(
        &self,
        resource: &Resource,
        id: &ObjectId,
        value: &Value,
        write: Write,
    ) -> Result<Value, ClusterError> {
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.dry_run = write == Write::DryRun;
        let request = at(resource, id.namespace.as_deref()).patch(&id.name, &params, &Patch::Apply(value))?;
        // With a precondition in it a conflict is the answer, and not an accident.
        let metadata = &value["metadata"];
        let conditional = metadata["uid"].is_string() || metadata["resourceVersion"].is_string();
        let worth = |error: &ClusterError| error.is_momentary() || !conditional && error.is_conflict();
        let answer = retry::bounded(|| self.once(request.clone()), worth);
        let is_secret = id.group.is_empty() && id.kind == "Secret";
        answer.await.map_err(|error| if is_secret { error.without_value() } else { error })
    }

    /// Writes a JSON patch, which names the version it is for. Answers with the object as it is then.
    ///
    /// # Errors
    /// A conflict if the object has another version by now.
    pub async fn json_patch(&self, resource: &Resource, id: &ObjectId, patch: &Value) -> Result<Value, ClusterError> {
        let body = serde_json::to_vec(patch).map_err(|source| ClusterError::Unreadable { source: Box::new(source) })?;
        let uri = format!("{}/{}?fieldManager={FIELD_MANAGER}", resource.path(id.namespace.as_deref()), id.name);
        let request = http::Request::patch(uri)
            .header(http::header::CONTENT_TYPE, "application/json-patch+json")
            .body(body)
            .map_err(|source| ClusterError::Request { source: Box::new(source) })?;
        self.call(request).await
    }

    /// Deletes the object if it still has this uid, in the background. False if it was not there any more.
    ///
    /// # Errors
    /// Why it was not deleted: a conflict if the name now belongs to another object.
    pub async fn delete(&self, resource: &Resource, id: &ObjectId, uid: &str) -> Result<bool, ClusterError> {
        let guard = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(guard);
        let request = at(resource, id.namespace.as_deref()).delete(&id.name, &params)?;
        Ok(present::<Value>(self.call(request).await)?.is_some())
    }

    /// Creates an object, or replaces the very version that `value` carries in `metadata.resourceVersion`.
    ///
    /// # Errors
    /// A conflict if somebody was faster.
    pub async fn store(&self, resource: &Resource, id: &ObjectId, value: &Value) -> Result<Value, ClusterError> {
        let params = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let body = serde_json::to_vec(value).map_err(|source| ClusterError::Unreadable { source: Box::new(source) })?;
        let requests = at(resource, id.namespace.as_deref());
        let replaces = value["metadata"]["resourceVersion"].is_string();
        let request = if replaces { requests.replace(&id.name, &params, body) } else { requests.create(&params, body) };
        self.call(request?).await
    }

    async fn call<T: DeserializeOwned>(&self, request: http::Request<Vec<u8>>) -> Result<T, ClusterError> {
        retry::bounded(|| self.once(request.clone()), ClusterError::is_momentary).await
    }

    async fn once<T: DeserializeOwned>(&self, mut request: http::Request<Vec<u8>>) -> Result<T, ClusterError> {
        if let Some(delivery) = &self.delivery {
            request.headers_mut().insert(impersonate::DELIVERY, delivery.clone());
        }
        // Never closed, and taken before the clock starts: waiting for our own bound is no time-out of the server.
        let _slot = self.slots.acquire().await.ok();
        let (request, limit) = limit::of(request, crate::permit::left(), CALL_LIMIT)?;
        let answer = tokio::time::timeout(limit, self.client.request(request)).await;
        crate::progress::made();
        match answer {
            Ok(answer) => answer.map_err(ClusterError::from),
            Err(_) => Err(ClusterError::Timeout { seconds: limit.as_secs() }),
        }
    }
}

fn at(resource: &Resource, namespace: Option<&str>) -> Request {
    Request::new(resource.path(namespace))
}

fn page(labels: Option<&str>) -> ListParams {
    let params = ListParams::default().limit(PAGE);
    match labels {
        Some(labels) => params.labels(labels),
        None => params,
    }
}

fn present<T>(answer: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ClusterError::Answer { class: Class::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<kube::core::request::Error> for ClusterError {
    fn from(source: kube::core::request::Error) -> Self {
        Self::Request { source: Box::new(source) }
    }
}

impl From<Box<Status>> for ClusterError {
    fn from(status: Box<Status>) -> Self {
        Self::answer(*status)
    }
}
