//! What is in the cluster as far as it can be told without asking: for a new release, where what was applied is watched
//! anyway and what is new is most likely absent.

use std::collections::BTreeMap;

use sealift_verify::objects::{ObjectId, Objects};

use crate::{
    cluster::{Cluster, ClusterError},
    inventory::{Inventory, Key},
    observe::{Known, Live, Seen, look_at, owners, told},
};

/// Takes the watches' word for every object they know, and the inventory's for the others. Only what it names without having seen (an apply was cut short, another
/// Delivery is to hand it over) is looked at, as [`crate::observe`] does.
///
/// # Errors
/// If the cluster cannot be asked at all; what concerns one object stands beside it.
pub async fn presume(
    account: &Cluster,
    controller: &Cluster,
    objects: &Objects,
    inventory: &Inventory,
    known: &dyn Known,
) -> Result<Live, ClusterError> {
    let mut seen = BTreeMap::new();
    let mut doubtful: Vec<&ObjectId> = vec![];
    for id in objects.iter().map(|object| &object.id) {
        let key = Key::of(id);
        if inventory.row(&key).is_some_and(|row| row.mark.is_none()) {
            doubtful.push(id);
            continue;
        }
        let found = match account.resolve(id).await {
            Ok(resource) => match known.meta(&key) {
                Some(meta) => Seen::Present(resource, meta),
                None => Seen::Unseen(resource),
            },
            Err(ClusterError::UnknownKind { .. }) => Seen::UnknownKind,
            Err(error) => return Err(error),
        };
        seen.insert(key, found);
    }
    if !doubtful.is_empty() {
        seen.extend(look_at(account, &doubtful, None, known).await?);
    }
    let owners = owners(controller, &seen, Some(&inventory.owner().uid)).await?;
    Ok(told(seen, owners, known))
}
