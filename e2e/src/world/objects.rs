//! What is in the cluster, and whose it is.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Resource as _,
    api::{DynamicObject, ListParams, ObjectMeta},
    core::PartialObjectMeta,
    discovery::{Discovery, Scope, verbs},
};
use sealift_apply::{
    FIELD_MANAGER,
    api::{AcceptedRelease, GROUP, Inventory, OWNER_LABEL, Row, accepted_release_name},
};

use super::{CONTROLLER, World};
use crate::{
    audit::{AuditMark, Request},
    manifests::Name,
};

impl World<'_> {
    /// Every object of every kind that carries the owner label of this Delivery and fields that we applied, whatever
    /// any inventory says.
    ///
    /// # Panics
    /// Where the API server does not list them.
    pub async fn owned(&self, uid: &str) -> BTreeMap<Name, ObjectMeta> {
        self.labelled(&format!("{OWNER_LABEL}={uid}")).await
    }

    /// Every object of every kind with these labels and fields that we applied.
    ///
    /// # Panics
    /// Where the API server does not list them.
    pub async fn labelled(&self, labels: &str) -> BTreeMap<Name, ObjectMeta> {
        // aggregated discovery: one answer, also while the server behind an APIService is down
        let discovery = Discovery::new(self.client.clone()).exclude(&[GROUP]).run_aggregated().await;
        let discovery = discovery.unwrap_or_else(|error| panic!("discovery: {error}"));
        let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
        let kinds = kinds.filter(|(_, capabilities)| capabilities.supports_operation(verbs::LIST));
        let lists = kinds.map(async |(resource, capabilities)| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            let listed = match api.list_metadata(&ListParams::default().labels(labels)).await {
                Ok(listed) => listed.items,
                // a kind may have gone since discovery, or its server not be up
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405 | 503) => Vec::new(),
                Err(error) => panic!("{}: {error}", resource.plural),
            };
            let named = move |object: PartialObjectMeta<DynamicObject>| {
                let metadata = object.metadata;
                let namespace = metadata.namespace.clone().filter(|_| capabilities.scope == Scope::Namespaced);
                let name = metadata.name.clone().unwrap_or_default();
                (Name { group: resource.group.clone(), kind: resource.kind.clone(), namespace, name }, metadata)
            };
            listed.into_iter().filter(|object| is_applied_by_us(&object.metadata)).map(named).collect::<Vec<_>>()
        });
        stream::iter(lists).buffer_unordered(16).flat_map(stream::iter).collect().await
    }

    /// The names alone.
    pub async fn owned_names(&self, uid: &str) -> BTreeSet<Name> {
        self.owned(uid).await.into_keys().collect()
    }

    /// Everything that was asked of the API server for this Delivery since `mark`: as its account, and as the controller
    /// about its own records.
    #[must_use]
    pub fn requests(&self, of: (&str, &str), uid: &str, mark: AuditMark) -> Vec<Request> {
        let (namespace, name) = of;
        let (home, account) = CONTROLLER;
        let controller = format!("system:serviceaccount:{home}:{account}");
        let tenant = format!("system:serviceaccount:{namespace}:");
        let memory = accepted_release_name(namespace, name);
        let is_ours = |request: &Request| {
            request.user == controller
                && match &request.impersonated {
                    Some(user) => user.starts_with(&tenant),
                    None => request.namespace == namespace || request.name.contains(uid) || request.name == memory,
                }
        };
        self.control_plane.audit().since(mark).into_iter().filter(is_ours).collect()
    }

    /// What the inventory of this Delivery holds.
    ///
    /// # Panics
    /// Where the API server does not list it.
    pub async fn inventory(&self, uid: &str) -> Vec<Row> {
        let inventories: Api<Inventory> = Api::all(self.client.clone());
        let listed = inventories.list(&ListParams::default().labels(&format!("{OWNER_LABEL}={uid}"))).await;
        let listed = listed.unwrap_or_else(|error| panic!("inventories: {error}"));
        listed.items.into_iter().flat_map(|chunk| chunk.spec.rows).collect()
    }

    /// The names in the inventory.
    pub async fn inventory_names(&self, uid: &str) -> BTreeSet<Name> {
        self.inventory(uid).await.iter().map(|row| Name::from(&row.id())).collect()
    }

    /// Waits for an Event with this reason in the world's namespace; they are sent when there is time.
    ///
    /// # Panics
    /// Where none comes.
    pub async fn event(&self, reason: &str) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.until(&format!("an event that says {reason}"), async || {
            let listed = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let reasons: BTreeSet<_> = listed.items.into_iter().filter_map(|event| event.reason).collect();
            if reasons.contains(reason) { Ok(()) } else { Err(format!("{reasons:?}")) }
        })
        .await;
    }

    /// Waits for so many Events with this reason, each about another object of the world's namespace.
    ///
    /// # Panics
    /// Where there are fewer.
    pub async fn event_of_each(&self, reason: &str, count: usize) {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.until(&format!("{count} objects of which an event says {reason}"), async || {
            let listed = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let said = listed.items.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
            let about: BTreeSet<_> = said.filter_map(|event| event.involved_object.name).collect();
            if about.len() >= count { Ok(()) } else { Err(format!("{} of them", about.len())) }
        })
        .await;
    }

    /// Waits until this Delivery's inventory says of each object how it was left; that is written when there is time.
    ///
    /// # Panics
    /// Where it does not in time.
    pub async fn confirmed(&self, uid: &str) {
        self.until("every apply to be confirmed", async || {
            let rows = self.inventory(uid).await;
            let open: Vec<_> = rows.iter().filter(|row| row.content.is_none() || row.mark.is_none()).collect();
            if open.is_empty() && !rows.is_empty() { Ok(()) } else { Err(format!("{} are not", open.len())) }
        })
        .await;
    }

    /// What this Delivery has accepted, if anything.
    ///
    /// # Panics
    /// Where the API server does not say.
    pub async fn accepted(&self, of: (&str, &str)) -> Option<AcceptedRelease> {
        let records: Api<AcceptedRelease> = Api::all(self.client.clone());
        let found = records.get_opt(&accepted_release_name(of.0, of.1)).await;
        found.unwrap_or_else(|error| panic!("{}: {error}", AcceptedRelease::kind(&())))
    }
}

fn is_applied_by_us(metadata: &ObjectMeta) -> bool {
    metadata
        .managed_fields
        .iter()
        .flatten()
        .any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply"))
}
