//! The Leases of members and the table, as the API server keeps them. *cluster*

use std::{future::Future, time::Duration};

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
    runtime::{WatchStreamExt as _, watcher},
};
use sealift_apply::cluster::{Class, ClusterError};
use serde_json::json;

use super::{
    membership::{Burial, Lease, Terms, Writing},
    rendezvous::Member,
    table::Table,
};

/// Which Leases and which table belong together.
const GROUP_LABEL: &str = "sealift.dev/lease-group";
/// A member takes no more shards.
const LEAVING_ANNOTATION: &str = "sealift.dev/leaving";
/// The table.
const SHARDS_ANNOTATION: &str = "sealift.dev/shards";

/// Where they are.
#[derive(Clone)]
pub(super) struct Leases {
    api: Api<Object>,
    group: String,
    terms: Terms,
}

/// What the watch tells.
#[derive(Debug)]
pub(super) enum Event {
    Listing,
    Listed,
    Lease(Member, Lease),
    Gone(Member),
    /// The table, or that it is gone.
    Table(Option<(String, Table)>),
}

impl Leases {
    pub(super) fn new(client: Client, namespace: &str, group: &str, terms: Terms) -> Self {
        Self { api: Api::namespaced(client, namespace), group: group.to_owned(), terms }
    }

    /// Makes a member's Lease, and gives its uid.
    pub(super) async fn make(&self, member: &Member) -> Result<String, ClusterError> {
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(member.id().to_owned()),
            lease_duration_seconds: Some(i32::try_from(self.terms.lasts().as_secs().max(1)).unwrap_or(i32::MAX)),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let lease = Object { metadata: self.metadata(member.name()), spec: Some(spec) };
        let made = self.within(self.api.create(&PostParams::default(), &lease)).await?;
        Ok(made.metadata.uid.unwrap_or_default())
    }

    /// Renews it. The time is for people: nobody compares it with a clock.
    pub(super) async fn renew(&self, member: &Member, uid: &str, is_leaving: bool) -> Result<(), ClusterError> {
        let annotations = if is_leaving { json!({LEAVING_ANNOTATION: "true"}) } else { json!({}) };
        let spec = json!({"renewTime": MicroTime(Timestamp::now())});
        let patch = json!({"metadata": {"uid": uid, "annotations": annotations}, "spec": spec});
        self.within(self.api.patch(member.name(), &PatchParams::default(), &Patch::Merge(patch))).await.map(drop)
    }

    /// Deletes the own Lease.
    pub(super) async fn release(&self, member: &Member, uid: &str) -> Result<(), ClusterError> {
        self.delete(member, Preconditions { uid: Some(uid.to_owned()), resource_version: None }).await
    }

    /// Deletes another's, in the version that was seen.
    pub(super) async fn bury(&self, burial: &Burial) -> Result<(), ClusterError> {
        let Lease { uid, version, is_leaving: _ } = &burial.lease;
        let seen = Preconditions { uid: Some(uid.clone()), resource_version: Some(version.clone()) };
        self.delete(&burial.member, seen).await
    }

    async fn delete(&self, member: &Member, preconditions: Preconditions) -> Result<(), ClusterError> {
        let params = DeleteParams::default().preconditions(preconditions);
        match self.within(self.api.delete(member.name(), &params)).await {
            Err(error) if is_not_there(&error) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Writes the table over the version that it was made from.
    pub(super) async fn write(&self, writing: &Writing) -> Result<(), ClusterError> {
        let Writing { over, table } = writing;
        let mut lease = Object { metadata: self.metadata(&self.group), spec: Some(LeaseSpec::default()) };
        lease.annotations_mut().insert(SHARDS_ANNOTATION.to_owned(), table.text());
        lease.metadata.resource_version.clone_from(over);
        let params = PostParams::default();
        match over {
            Some(_) => self.within(self.api.replace(&self.group, &params, &lease)).await.map(drop),
            None => self.within(self.api.create(&params, &lease)).await.map(drop),
        }
    }

    /// Follows all of them, in the order in which they are written.
    pub(super) fn follow(&self) -> impl Stream<Item = Result<Event, watcher::Error>> + Send + use<> {
        let (group, config) = (self.group.clone(), watcher::Config::default());
        let config = config.labels(&format!("{GROUP_LABEL}={group}"));
        watcher(self.api.clone(), config).default_backoff().map(move |event| {
            Ok(match event? {
                watcher::Event::Init => Event::Listing,
                watcher::Event::InitDone => Event::Listed,
                watcher::Event::InitApply(lease) | watcher::Event::Apply(lease) if lease.name_any() == group => {
                    Event::Table(Some(table(&lease)))
                }
                watcher::Event::InitApply(lease) | watcher::Event::Apply(lease) => {
                    let is_leaving = lease.annotations().contains_key(LEAVING_ANNOTATION);
                    let ObjectMeta { name, uid, resource_version, .. } = lease.metadata;
                    let (uid, version) = (uid.unwrap_or_default(), resource_version.unwrap_or_default());
                    Event::Lease(Member::named(name.unwrap_or_default()), Lease { uid, version, is_leaving })
                }
                watcher::Event::Delete(lease) if lease.name_any() == group => Event::Table(None),
                watcher::Event::Delete(lease) => Event::Gone(Member::named(lease.name_any())),
            })
        })
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        let labels = [("app.kubernetes.io/name", "sealift"), (GROUP_LABEL, &self.group)];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
        let limit = self.terms.renewed_every().max(Duration::from_millis(500));
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(ClusterError::from),
            Err(_) => Err(ClusterError::Timeout { seconds: limit.as_secs() }),
        }
    }
}

/// A table that cannot be read is no table: each replica ends what it does, and all agree anew.
fn table(lease: &Object) -> (String, Table) {
    let text = lease.annotations().get(SHARDS_ANNOTATION).map(String::as_str).unwrap_or_default();
    let table = Table::parse(text).unwrap_or_else(|error| {
        let error = &error as &dyn std::error::Error;
        tracing::error!(lease = lease.name_any(), error, "the table of shards cannot be read; it is made anew");
        Table::default()
    });
    (lease.resource_version().unwrap_or_default(), table)
}

/// True if there is no such Lease (any more).
pub(super) fn is_not_there(error: &ClusterError) -> bool {
    matches!(error, ClusterError::Answer { class: Class::NotFound, .. })
}
