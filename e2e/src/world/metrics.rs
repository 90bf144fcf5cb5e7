//! What the controller of a world counts.

use super::World;
use crate::loopback;

impl World<'_> {
    /// All that the controller whose probes are at this port tells in its metrics, if it answers.
    #[must_use]
    pub fn metrics(&self, port: u16) -> Option<String> {
        let answer = loopback::get(port, "/metrics")?;
        Some(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Waits until the controller whose probes are at this port says so in its metrics. A gauge is read off watches, which
    /// may be a moment behind what a status says.
    ///
    /// # Panics
    /// When it does not in time, with what it says.
    pub async fn counts(&self, port: u16, line: &str) {
        self.until(line, async || {
            let metrics = self.metrics(port).ok_or("no answer")?;
            if metrics.lines().any(|told| told == line) { Ok(()) } else { Err(metrics) }
        })
        .await;
    }
}
