//! Taking over Deliveries from other replicas, and giving them away. *cluster*

use std::sync::Arc;

use sealift_apply::{
    api::{Delivery, accepted_release_name},
    cluster::ClusterError,
};

use super::{
    context::{Context, Memo},
    owed, publish,
};
use crate::{
    queue::{Key, Reason},
    shards::{Shard, ShardSet, Shardholder},
};

impl Shardholder for Context {
    fn hold(&self, shards: &ShardSet) {
        let before = self.queue().hold(shards);
        let new = shards.without(&before);
        for delivery in self.deliveries_of(&new) {
            self.queue().wake(&Key::from(&*delivery), Reason::Changed);
        }
    }

    fn busy(&self) -> ShardSet {
        self.queue().busy()
    }

    async fn part(&self, shards: &ShardSet, is_ours: bool) {
        let deliveries = self.deliveries_of(shards);
        if is_ours {
            owed::settle_given(self, deliveries.clone()).await;
        }
        for delivery in deliveries {
            self.notifier.part(delivery.metadata.uid.as_deref().unwrap_or_default());
            self.forget(delivery.metadata.uid.as_deref().unwrap_or_default());
            self.leave(&Key::from(&*delivery));
        }
    }
}

impl Context {
    fn deliveries_of(&self, shards: &ShardSet) -> Vec<Arc<Delivery>> {
        let all = self.deliveries.state().into_iter();
        all.filter(|delivery| shards.has(Shard::of(&Key::from(&**delivery)))).collect()
    }
}

/// The Delivery as whoever looked after it before has left it: what the watches here tell may be older. `None` if it is gone.
pub(super) async fn met(
    context: &Context,
    delivery: Arc<Delivery>,
    memo: &mut Memo,
) -> Result<Option<Arc<Delivery>>, ClusterError> {
    if memo.met || !context.shards.are_shared() {
        return Ok(Some(delivery));
    }
    let Some(fresh) = publish::fresh(context, &delivery).await? else { return Ok(None) };
    if fresh.metadata.uid != delivery.metadata.uid {
        // The watch brings the one that was made anew.
        return Ok(None);
    }
    let Key { namespace, name } = Key::from(&fresh);
    context.known.doubt(&accepted_release_name(&namespace, &name));
    memo.met = true;
    Ok(Some(Arc::new(fresh)))
}
