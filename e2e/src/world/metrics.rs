//! What the controller of a world counts.

use super::World;
use crate::loopback;

impl World<'_> {
    /// Waits until the controller whose probes are at this port says so in its metrics. A gauge is read off watches, which
    /// may be a moment behind what a status says.
    ///
    /// # Panics
    /// When it does not in time, with what it says.
    pub async fn counts(&self, port: u16, line: &str) {
        self.until(line, async || {
            let answer = loopback::get(port, "/metrics").ok_or("no answer")?;
            let metrics = String::from_utf8_lossy(&answer.body);
            if metrics.lines().any(|told| told == line) { Ok(()) } else { Err(metrics.into_owned()) }
        })
        .await;
    }
}
