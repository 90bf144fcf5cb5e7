//! What the rules found in one status. The worst of it is the verdict.

use super::{Health, words::Tone};

/// What was found, the worst of it kept.
#[derive(Debug, Default)]
pub(super) struct Findings {
    worst: Option<(Tone, String)>,
}

impl Findings {
    /// Takes note; of equals the first is kept.
    pub(super) fn add(&mut self, tone: Tone, says: impl Into<String>) {
        if self.worst.as_ref().is_none_or(|(worst, _)| tone > *worst) {
            self.worst = Some((tone, says.into()));
        }
    }

    /// `None` if nothing was recognised.
    pub(super) fn verdict(self) -> Option<Health> {
        let (tone, says) = self.worst?;
        Some(match tone {
            Tone::Healthy => Health::Healthy,
            Tone::Progressing => Health::Progressing(says),
            Tone::Unknown => Health::Unknown(says),
            Tone::Suspended => Health::Suspended { asked: false, reason: says },
            Tone::Missing => Health::Missing(says),
            Tone::Degraded => Health::Degraded(says),
        })
    }
}
