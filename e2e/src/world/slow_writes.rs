//! An API server that takes its time over what is written, since a webhook is asked about each of it.

use std::time::Duration;

use super::World;
use crate::webhook::{Says, Webhook};

/// Longer than any pause of a test: the API server gives up a webhook that takes longer.
const LONGEST: u8 = 20;

/// ConfigMaps of a world's first namespace are written slowly, until [`World::write_fast`].
#[derive(Debug)]
pub struct SlowWrites {
    webhook: Webhook,
    configuration: String,
}

impl SlowWrites {
    /// The names that were written, each with whether that was a dry-run.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, bool)> {
        self.webhook.asked()
    }
}

impl World<'_> {
    /// From now on each write of a ConfigMap in the first namespace takes so long.
    ///
    /// # Panics
    /// Where the API server does not ask in time.
    pub async fn write_slowly(&self, pause: Duration) -> SlowWrites {
        let webhook = Webhook::serve(Says::AllowAfter(pause));
        let path = self.cli.write("webhook.json", webhook.configuration(&self.namespace, LONGEST).to_string());
        let configuration = path.display().to_string();
        self.kubectl(&["create", "-f", &configuration]);
        let asked = async || {
            self.kubectl(&["create", "configmap", "probe", "-n", &self.namespace, "--dry-run=server"]);
            if webhook.asked().is_empty() { Err("not asked".to_owned()) } else { Ok(()) }
        };
        self.until("the webhook to be asked", asked).await;
        SlowWrites { webhook, configuration }
    }

    /// Writes are as fast as ever. The webhook goes on answering as long as `slow` lives: the API server may ask it a last time.
    pub fn write_fast(&self, slow: &SlowWrites) {
        self.kubectl(&["delete", "-f", &slow.configuration]);
    }
}
