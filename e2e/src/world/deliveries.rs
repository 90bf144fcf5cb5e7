//! Deliveries: making them and waiting for what becomes of them.

use std::time::{Duration, Instant};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use sealift_apply::api::{Delivery, REQUESTED_AT_ANNOTATION, condition, is_true};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use super::World;

/// The limit of each wait: what takes seconds on an idle machine takes longer on a busy one.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

impl World<'_> {
    /// The Deliveries of a namespace.
    #[must_use]
    pub fn deliveries(&self, namespace: &str) -> Api<Delivery> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Makes a Delivery, or changes it to this, and gives its uid.
    ///
    /// # Panics
    /// Where the API server refuses it.
    pub async fn deliver(&self, namespace: &str, name: &str, spec: Value) -> String {
        let delivery = json!({
            "apiVersion": "sealift.dev/v1alpha1",
            "kind": "Delivery",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        });
        let apply = PatchParams::apply("tests").force();
        let made = self.deliveries(namespace).patch(name, &apply, &Patch::Apply(&delivery)).await;
        let made = made.unwrap_or_else(|error| panic!("Delivery {namespace}/{name}: {error}"));
        made.metadata.uid.expect("the API server gives every object a uid")
    }

    /// A specification of a Delivery that follows `PATH:TAG` of this world's registry.
    #[must_use]
    pub fn following(&self, path: &str, tag: &str, account: &str) -> Value {
        json!({
            "repository": self.repository(path),
            "select": {"tag": tag},
            "serviceAccountName": account,
        })
    }

    /// Waits until `done` says so of a Delivery.
    ///
    /// # Panics
    /// When it does not in time, with its status.
    pub async fn wait_for(&self, of: (&str, &str), what: &str, done: impl Fn(&Delivery) -> bool) -> Delivery {
        let (namespace, name) = of;
        let deliveries = self.deliveries(namespace);
        let started = Instant::now();
        loop {
            // the API server may be busy, and an answer it does not give is asked for again
            let found = deliveries.get(name).await;
            match found {
                Ok(delivery) if done(&delivery) => return delivery,
                found => {
                    let state = || match &found {
                        Ok(delivery) => serde_json::to_string_pretty(&delivery.status).unwrap_or_default(),
                        Err(error) => error.to_string(),
                    };
                    assert!(started.elapsed() < PATIENCE, "{namespace}/{name}: waited for {what}: {}", state());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until this artifact is what was last applied completely, and the status is about the present spec.
    pub async fn applied(&self, of: (&str, &str), digest: Digest) -> Delivery {
        self.wait_for(of, &format!("{digest} applied"), |delivery| {
            let status = delivery.status.as_ref();
            status.and_then(|status| status.last_applied.as_ref()).is_some_and(|last| last.digest == digest)
                && status.and_then(|status| status.observed_generation) == delivery.metadata.generation
        })
        .await
    }

    /// The same, and the Delivery is ready.
    pub async fn delivered(&self, of: (&str, &str), digest: Digest) -> Delivery {
        self.applied(of, digest).await;
        self.wait_for(of, &format!("{digest} ready"), |delivery| {
            let last = delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
            is_ready(delivery) && last.is_some_and(|last| last.digest == digest)
        })
        .await
    }

    /// Waits until a Delivery is not ready for this reason, and gives the message.
    pub async fn refused(&self, of: (&str, &str), wanted: &str) -> String {
        let delivery = self.wait_for(of, wanted, |delivery| !is_ready(delivery) && reason(delivery) == wanted).await;
        let conditions = delivery.status.unwrap_or_default().conditions;
        condition(&conditions, "Ready").map(|ready| ready.message.clone()).unwrap_or_default()
    }

    /// Asks for a reconcile now and waits until it is over.
    pub async fn reconcile(&self, of: (&str, &str)) -> Delivery {
        let asked = self.request(of).await;
        self.handled(of, &asked).await
    }

    /// Asks for a reconcile now, and gives what it is asked by.
    ///
    /// # Panics
    /// Where the API server refuses it.
    pub async fn request(&self, of: (&str, &str)) -> String {
        let (namespace, name) = of;
        let now = jiff::Timestamp::now().to_string();
        let asked = json!({"metadata": {"annotations": {REQUESTED_AT_ANNOTATION: now}}});
        let params = PatchParams { field_manager: Some("tests".into()), ..PatchParams::default() };
        let patched = self.deliveries(namespace).patch(name, &params, &Patch::Merge(asked)).await;
        patched.unwrap_or_else(|error| panic!("Delivery {namespace}/{name}: {error}"));
        now
    }

    /// Waits until what [`World::request`] asked for is over.
    pub async fn handled(&self, of: (&str, &str), asked: &str) -> Delivery {
        self.wait_for(of, "the reconcile that was asked for", |delivery| {
            let handled = delivery.status.as_ref().and_then(|status| status.last_handled_reconcile_at.as_deref());
            handled == Some(asked)
        })
        .await
    }

    /// Deletes a Delivery and waits until it is gone.
    ///
    /// # Panics
    /// When it does not go in time.
    pub async fn undeliver(&self, of: (&str, &str)) {
        let (namespace, name) = of;
        let deleted = self.deliveries(namespace).delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("Delivery {namespace}/{name}: {error}"));
        self.gone(of).await;
    }

    /// Waits until a Delivery is gone.
    ///
    /// # Panics
    /// When it does not go in time.
    pub async fn gone(&self, of: (&str, &str)) {
        let (namespace, name) = of;
        self.until(&format!("Delivery {namespace}/{name} gone"), async || {
            match self.deliveries(namespace).get_opt(name).await {
                Ok(None) => Ok(()),
                Ok(Some(left)) => Err(serde_json::to_string_pretty(&left).unwrap_or_default()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// Waits until something is so; `look` answers what is not.
    ///
    /// # Panics
    /// When it is not so in time, with the last answer.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
        let started = Instant::now();
        loop {
            match look().await {
                Ok(found) => return found,
                Err(state) => assert!(started.elapsed() < PATIENCE, "waited for {what}: {state}"),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Whether the Ready condition says so of the present spec.
#[must_use]
pub fn is_ready(delivery: &Delivery) -> bool {
    delivery.status.as_ref().is_some_and(|status| {
        is_true(&status.conditions, "Ready") && status.observed_generation == delivery.metadata.generation
    })
}

/// The reason of the Ready condition.
#[must_use]
pub fn reason(delivery: &Delivery) -> String {
    let conditions = delivery.status.as_ref().map(|status| &status.conditions[..]).unwrap_or_default();
    condition(conditions, "Ready").map(|ready| ready.reason.clone()).unwrap_or_default()
}
