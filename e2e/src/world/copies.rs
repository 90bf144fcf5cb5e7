//! Many Deliveries of one artifact, each of which makes a ConfigMap of its own of it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _, api::ListParams};
use sealift_verify::digest::Digest;
use serde_json::json;

use super::World;
use crate::keys::policy;

const PATH: &str = "acme/app";
const TAG: &str = "prod";

/// So many Deliveries in a world's first namespace.
#[derive(Debug)]
pub struct Copies<'a> {
    world: &'a World<'a>,
    count: usize,
}

impl World<'_> {
    /// So many Deliveries, once they are [declared](Copies::declare).
    #[must_use]
    pub fn copies(&self, count: usize) -> Copies<'_> {
        Copies { world: self, count }
    }
}

impl Copies<'_> {
    /// Releases this value for all of them.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn release(&self, value: &str) -> Digest {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map-${INDEX}"}, "data": {"value": value}});
        let file = self.world.cli.write("map.json", map.to_string());
        self.world.push(&format!("{PATH}:{TAG}"), &[&file], &["--var", "INDEX"])
    }

    /// Makes the Deliveries, which look for something new this often, and the policy that they need.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub async fn declare(&self, interval: &str) {
        let world = self.world;
        let account = world.namespace_account(&world.namespace);
        let mut open = policy(&world.namespace, &[&format!("{}/**", world.registry.host())], &world.key);
        open["spec"]["objects"] = json!({"parameters": ["names"]});
        world.put_policy(open).await;
        for (index, name) in self.names().enumerate() {
            let mut spec = world.following(PATH, TAG, account);
            spec["parameters"] = json!([{"name": "INDEX", "value": index.to_string()}]);
            spec["interval"] = json!(interval);
            world.deliver(&world.namespace, &name, spec).await;
        }
    }

    /// Waits until all of them have applied this release.
    ///
    /// # Panics
    /// When one has not in time.
    pub async fn applied(&self, digest: Digest) {
        for name in self.names() {
            self.world.applied((&self.world.namespace, &name), digest).await;
        }
    }

    /// The same, and all of them are ready.
    ///
    /// # Panics
    /// When one is not in time.
    pub async fn delivered(&self, digest: Digest) {
        for name in self.names() {
            self.world.delivered((&self.world.namespace, &name), digest).await;
        }
    }

    /// What stands in their ConfigMaps, in the order of their names.
    ///
    /// # Panics
    /// Where the API server does not tell.
    pub async fn values(&self) -> Vec<String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let listed = maps.list(&ListParams::default()).await.expect("ConfigMaps can be listed").items;
        let own = listed.into_iter().filter(|map| map.name_any().starts_with("map-"));
        own.filter_map(|map| map.data?.remove("value")).collect()
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.count).map(|index| format!("app-{index}"))
    }
}
