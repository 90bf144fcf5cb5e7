//! Emergency holds: for a bounded time a Delivery runs a release again that it has accepted before.
//!
//! A hold is asked for by whoever may edit the Delivery, and is signed by nobody. So it reaches nothing that this very
//! Delivery has not accepted, lasts no longer than [`LONGEST`] for each newer release, and lowers no mark: the next higher
//! release ends it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    memory::{Mark, Memory},
    statement::Position,
};

/// No hold, nor any row of holds under one mark, lasts longer.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Most characters of a reason.
pub const REASON_LIMIT: usize = 256;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The artifact to run; or the statement, where several releases are about one artifact.
    pub digest: Digest,
    /// Until when.
    pub until: Timestamp,
    /// Why.
    pub reason: String,
}

/// The hold that was last taken note of, and since when there have been holds under the mark that was reached by then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holding {
    /// What was asked for.
    pub digest: Digest,
    /// Until when.
    #[schemars(with = "String")]
    pub until: Timestamp,
    /// The stream whose mark it is about.
    pub stream: String,
    /// The environment, if the mark names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The mark at that time. A release above it ends the hold.
    pub mark: Position,
    /// When the first hold under this mark was seen: all of them together end [`LONGEST`] after.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Why there is no hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeld {
    /// A policy does not allow it.
    #[error("policy {policy} does not allow emergency holds (release.emergency)")]
    Forbidden {
        /// The policy.
        policy: String,
    },
    /// Nobody says why.
    #[error("a hold needs a reason of 1 to {REASON_LIMIT} characters on one line")]
    Reason,
    /// Never accepted by this Delivery, or so long ago that it is forgotten.
    #[error("{digest} is none of the releases that this Delivery has accepted before")]
    Unknown {
        /// What was asked for.
        digest: Digest,
    },
    /// There is nothing to hold.
    #[error("{digest} is what was accepted last, and runs without a hold")]
    Newest {
        /// What was asked for.
        digest: Digest,
    },
    /// Longer than holds may last.
    #[error("until {until} is too long: holds under this release end by {latest}, and a signed rollback does not")]
    TooLong {
        /// The end that was asked for.
        until: Timestamp,
        /// The latest there is.
        latest: Timestamp,
    },
    /// Its time is over.
    #[error("the hold ended at {until}")]
    Over {
        /// When.
        until: Timestamp,
    },
    /// A higher release came.
    #[error("release {by} ended the hold")]
    Superseded {
        /// Where it stands.
        by: Position,
    },
}

impl NotHeld {
    /// True if the hold was in its right and has come to its end.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Over { .. } | Self::Superseded { .. })
    }
}

impl Holding {
    /// True if it is about this very hold, for whatever reason that is asked for.
    pub fn is(&self, hold: &Hold) -> bool {
        (self.digest, self.until) == (hold.digest, hold.until)
    }

    /// True if it is about the stream and environment of this mark.
    fn is_of(&self, mark: &Mark) -> bool {
        (&self.stream, &self.environment) == (&mark.stream, &mark.environment)
    }

    /// True if it was taken note of under this mark.
    fn is_under(&self, mark: &Mark) -> bool {
        self.is_of(mark) && self.mark == mark.position
    }
}

impl Memory {
    /// The earlier release that a hold is to, as far as the memory can tell. The policies have their say besides.
    ///
    /// # Errors
    /// [`NotHeld`].
    pub fn held(&self, hold: &Hold, now: Timestamp) -> Result<&Mark, NotHeld> {
        let Hold { digest, until, reason } = hold;
        let (digest, until) = (*digest, *until);
        if reason.trim().is_empty() || reason.chars().count() > REASON_LIMIT || reason.chars().any(char::is_control) {
            return Err(NotHeld::Reason);
        }
        if now >= until {
            return Err(NotHeld::Over { until });
        }
        let risen = |noted: &Holding| {
            let mark = self.mark(&noted.stream, noted.environment.as_deref())?;
            (noted.is(hold) && mark.position > noted.mark).then_some(mark.position)
        };
        if let Some(by) = self.holding.as_ref().and_then(risen) {
            return Err(NotHeld::Superseded { by });
        }
        let current = |mark: &Mark| self.mark(&mark.stream, mark.environment.as_deref());
        // A statement's digest is nobody else's; an artifact's may be that of many releases.
        let same_artifact =
            |mark: &&Mark| mark.artifact == digest && current(mark).is_none_or(|current| current.artifact != digest);
        let found = self.earlier.iter().find(|mark| mark.statement == digest);
        let Some(mark) = found.or_else(|| self.earlier.iter().find(same_artifact)) else {
            let newest = self.marks.iter().any(|mark| digest == mark.artifact || digest == mark.statement);
            return Err(if newest { NotHeld::Newest { digest } } else { NotHeld::Unknown { digest } });
        };
        let since = current(mark).map_or(now, |current| self.holds_since(current, now));
        let latest = since.saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
        if until > latest {
            return Err(NotHeld::TooLong { until, latest });
        }
        Ok(mark)
    }

    /// The memory once note is taken of a hold that may be, before it is carried out.
    #[must_use]
    pub fn holding(&self, hold: &Hold, now: Timestamp) -> Self {
        let mut next = self.clone();
        let Ok(held) = self.held(hold, now) else { return next };
        let Some(mark) = self.mark(&held.stream, held.environment.as_deref()) else { return next };
        next.holding = Some(Holding {
            digest: hold.digest,
            until: hold.until,
            stream: mark.stream.clone(),
            environment: mark.environment.clone(),
            mark: mark.position,
            since: self.holds_since(mark, now),
        });
        next
    }

    /// Since when there have been holds that nothing newer has ended. There is one note for all streams, so what is noted
    /// of another one counts until either has something newer: going to and fro between them prolongs nothing.
    fn holds_since(&self, mark: &Mark, now: Timestamp) -> Timestamp {
        let counts = |noted: &&Holding| {
            let of_another = || {
                let reached = self.mark(&noted.stream, noted.environment.as_deref()).map(|mark| mark.position);
                !noted.is_of(mark) && reached == Some(noted.mark) && mark.first_seen <= noted.since
            };
            noted.is_under(mark) || of_another()
        };
        self.holding.as_ref().filter(counts).map_or(now, |noted| noted.since.min(now))
    }
}

#[cfg(test)]
mod tests;
