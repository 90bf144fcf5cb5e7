//! Telling the hub what was applied, so that it is known when something happens to it. *cluster*

use std::collections::{HashMap, HashSet};

use sealift_apply::{
    api::{DeliveryReference, Mark},
    apply::Access,
    assess::HealthReport,
    change::ChangeSet,
    inventory::{Inventory, Key},
    observe::{Known, Live},
    takeover::Managers,
};
use sealift_verify::objects::ObjectId;

use crate::watch::{Applied, Followed, Hub, Observed, View};

/// What a plan saw of each object, and judged.
pub(super) type Glance = HashMap<Key, Observed>;

/// Whose objects are followed, and as whom they may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower<'a> {
    pub(super) hub: &'a Hub,
    pub(super) owner: &'a DeliveryReference,
    /// The name of the service account.
    pub(super) account: &'a str,
    pub(super) take_over: &'a [String],
}

/// What a plan is about to judge. What is not to be looked at yet is not among it.
pub(super) fn glance(live: &Live, known: &dyn Known) -> Glance {
    let judged = live.observed().filter(|(key, meta)| meta.is_none_or(|meta| !known.is_resting(key, meta)));
    let observed =
        judged.map(|(key, meta)| (key.clone(), meta.map_or(Observed::Absent, |meta| Observed::As(meta.fingerprint()))));
    observed.collect()
}

impl Follower<'_> {
    /// What the hub knows of this Delivery's objects. The first time, it begins to follow what the inventory names.
    pub(super) async fn view(&self, access: Access<'_>, inventory: &Inventory) -> View<'_> {
        let view = self.hub.view(&self.owner.namespace, self.account);
        if !inventory.is_empty() && !self.hub.knows(&self.owner.uid) {
            view.cover(self.applied(access, inventory, &Glance::new(), &HashSet::new()).await).await;
        }
        view
    }

    /// Follows what the inventory names from now on.
    pub(super) async fn own(&self, access: Access<'_>, inventory: &Inventory, glance: &Glance, changes: &ChangeSet) {
        let looked: HashSet<Key> = changes.looks.iter().map(|look| Key::of(&look.id)).collect();
        let mut glance = glance.clone();
        for change in &changes.entries {
            let Some(answer) = &change.live else { continue };
            // What was written was judged as it was answered: as it was before, it may be again within the second.
            let key = Key::of(&change.id);
            glance.insert(key.clone(), Observed::As(answer.meta.fingerprint()));
            self.hub.saw(key, answer.meta.clone());
        }
        self.hub.own(self.applied(access, inventory, &glance, &looked).await);
    }

    async fn applied(
        &self,
        access: Access<'_>,
        inventory: &Inventory,
        glance: &Glance,
        looked: &HashSet<Key>,
    ) -> Applied {
        let marked: Vec<(ObjectId, Mark)> =
            inventory.rows().filter_map(|row| Some((row.id(), row.mark.clone()?))).collect();
        let mut objects = Vec::with_capacity(marked.len());
        for (id, mark) in marked {
            // A kind that is not served has no objects to follow.
            let Ok(resource) = access.controller.resolve(&id).await else { continue };
            let key = Key::of(&id);
            let (observed, looked) = (glance.get(&key).copied(), looked.contains(&key));
            objects.push(Followed { resource, id, mark, observed, looked });
        }
        Applied {
            owner: self.owner.clone(),
            account: (self.owner.namespace.clone(), self.account.to_owned()),
            take_over: Managers::new(self.take_over.to_vec()),
            objects,
        }
    }
}

/// The objects whose health is waited for.
pub(super) fn waits(health: Option<&HealthReport>) -> HashSet<Key> {
    health.into_iter().flat_map(|health| &health.rest).map(|(id, _)| Key::of(id)).collect()
}
