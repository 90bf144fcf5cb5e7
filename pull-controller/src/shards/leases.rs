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

/// No answer is waited for a shorter time, however short Leases are.
const SHORTEST: Duration = Duration::from_millis(500);

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
        self.within(self.api.create(&PostParams::default(), &lease)).await.map(uid)
    }

    /// Renews it, and gives its uid. The time is for people: nobody compares it with a clock.
    pub(super) async fn renew(
        &self,
        member: &Member,
        known: Option<&str>,
        is_leaving: bool,
    ) -> Result<String, ClusterError> {
        let annotations = if is_leaving { json!({LEAVING_ANNOTATION: "true"}) } else { json!({}) };
        let spec = json!({"renewTime": MicroTime(Timestamp::now())});
        let mut patch = json!({"metadata": {"annotations": annotations}, "spec": spec});
        if let Some(known) = known {
            patch["metadata"]["uid"] = json!(known);
        }
        self.within(self.api.patch(member.name(), &PatchParams::default(), &Patch::Merge(patch))).await.map(uid)
    }

    /// Deletes the own Lease. Whoever does so has little time: an answer that is late is asked for once more.
    pub(super) async fn release(&self, member: &Member, uid: Option<String>) -> Result<(), ClusterError> {
        let limit = self.terms.tried_again_after().max(SHORTEST);
        self.delete(member, Preconditions { uid, resource_version: None }, limit).await
    }

    /// Deletes another's, in the version that was seen.
    pub(super) async fn bury(&self, burial: &Burial) -> Result<(), ClusterError> {
        let Lease { uid, version, is_leaving: _ } = &burial.lease;
        let seen = Preconditions { uid: Some(uid.clone()), resource_version: Some(version.clone()) };
        self.delete(&burial.member, seen, self.limit()).await
    }

    async fn delete(&self, member: &Member, preconditions: Preconditions, limit: Duration) -> Result<(), ClusterError> {
        let params = DeleteParams::default().preconditions(preconditions);
        match within(limit, self.api.delete(member.name(), &params)).await {
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
                watcher::Event::InitApply(lease) | watcher::Event::Apply(lease) => seen(&group, lease),
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
        within(self.limit(), call).await
    }

    fn limit(&self) -> Duration {
        self.terms.renewed_every().max(SHORTEST)
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(ClusterError::from),
        Err(_) => Err(ClusterError::Timeout { seconds: limit.as_secs() }),
    }
}

/// What a Lease tells that is there. Neither its times nor its length are looked at: they are by another's clock.
fn seen(group: &str, lease: Object) -> Event {
    if lease.name_any() == group {
        return Event::Table(Some(table(&lease)));
    }
    let is_leaving = lease.annotations().contains_key(LEAVING_ANNOTATION);
    let ObjectMeta { name, uid, resource_version, .. } = lease.metadata;
    let (uid, version) = (uid.unwrap_or_default(), resource_version.unwrap_or_default());
    Event::Lease(Member::named(name.unwrap_or_default()), Lease { uid, version, is_leaving })
}

fn uid(lease: Object) -> String {
    lease.metadata.uid.unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clock_says_that_is_ten_minutes_off_is_not_looked_at() {
        let lease = |renewed: &str, seconds: i32| -> Object {
            let spec = json!({"holderIdentity": "a", "leaseDurationSeconds": seconds, "acquireTime": renewed, "renewTime": renewed});
            let metadata = json!({"name": "a.1", "uid": "u", "resourceVersion": "7"});
            serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
        };
        for (renewed, seconds) in [
            ("2026-11-24T10:00:00.000000Z", 15),
            ("2026-11-24T10:10:00.000000Z", 15),
            ("2026-11-24T09:50:00.000000Z", 15),
            ("1970-01-01T00:00:00.000000Z", 1),
        ] {
            let Event::Lease(member, told) = seen("g", lease(renewed, seconds)) else { panic!("it is a member's") };
            let as_seen = Lease { uid: "u".into(), version: "7".into(), is_leaving: false };
            assert_eq!((member, told), (Member::named("a.1"), as_seen), "{renewed}");
        }
        let mut leaving = lease("2026-11-24T10:00:00.000000Z", 15);
        leaving.annotations_mut().insert(LEAVING_ANNOTATION.to_owned(), "true".to_owned());
        assert!(matches!(seen("g", leaving.clone()), Event::Lease(_, Lease { is_leaving: true, .. })));
        assert!(matches!(seen("a.1", leaving), Event::Table(Some(_))));
    }
}
