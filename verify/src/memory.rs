//! What a Delivery has already accepted: the memory that makes old releases recognisable.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    hold::Holding,
    refusal::Refusal,
    statement::{Position, Statement},
};

/// How many earlier releases are remembered.
pub const EARLIER: usize = 10;

/// The high-water marks of one Delivery, one a stream and environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The marks, in no particular order.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// The marks before them, newest first and [`EARLIER`] at most: what an emergency hold may go back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Mark>,
    /// The emergency hold that was last taken note of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holding: Option<Holding>,
}

/// The highest release accepted on one stream for one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mark {
    /// The stream.
    pub stream: String,
    /// The environment, if the statement names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Its epoch and sequence.
    pub position: Position,
    /// Digest of the statement's payload.
    pub statement: Digest,
    /// Digest of the artifact's manifest.
    pub artifact: Digest,
    /// When this statement was first seen.
    #[schemars(with = "String")]
    pub first_seen: Timestamp,
}

/// What was followed so far where a statement speaks of something else; see [`Memory::followed_instead`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed<'a> {
    /// A stream followed so far, if the statement's was never followed.
    pub stream: Option<&'a str>,
    /// An environment followed so far, if the statement's was never followed.
    pub environment: Option<&'a str>,
}

/// How a statement stands to the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing of this stream was ever accepted here.
    First,
    /// Higher than the mark: the mark may advance.
    Advance,
    /// The same statement, or an older one without parameters about the accepted artifact: nothing to do.
    Current,
    /// An earlier one that an emergency hold brings back for a time. The mark stays.
    Held,
}

impl Memory {
    /// The mark of a stream and environment.
    pub fn mark(&self, stream: &str, environment: Option<&str>) -> Option<&Mark> {
        self.marks.iter().find(|m| m.stream == stream && m.environment.as_deref() == environment)
    }

    /// The stream or environment followed so far, if `release` is of another one: every stream has an order of its own,
    /// so changing streams would be a way around it unless somebody asks for the change.
    pub fn followed_instead(&self, stream: &str, environment: Option<&str>) -> Followed<'_> {
        let any = |same: &dyn Fn(&&Mark) -> bool| self.marks.is_empty() || self.marks.iter().any(|mark| same(&mark));
        let last = self.marks.last();
        let in_stream = any(&|mark| mark.stream == stream);
        let in_environment = any(&|mark| mark.environment.as_deref() == environment);
        Followed {
            stream: last.filter(|_| !in_stream).map(|mark| mark.stream.as_str()),
            environment: last.filter(|_| !in_environment).map(|mark| mark.environment.as_deref().unwrap_or_default()),
        }
    }

    /// Judges a statement, identified by the digest of its payload, against what was accepted before.
    ///
    /// # Errors
    /// [`Refusal::RolledBack`] or [`Refusal::Equivocation`].
    pub fn judge(&self, payload: &Digest, statement: &Statement) -> Result<Standing, Refusal> {
        let release = &statement.release;
        let Some(mark) = self.mark(&release.stream, release.environment.as_deref()) else {
            return Ok(Standing::First);
        };
        if mark.statement == *payload {
            return Ok(Standing::Current);
        }
        match release.position().cmp(&mark.position) {
            std::cmp::Ordering::Greater => Ok(Standing::Advance),
            std::cmp::Ordering::Equal => Err(Refusal::Equivocation {
                stream: release.stream.clone(),
                position: mark.position.to_string(),
                first: mark.statement,
                second: *payload,
            }),
            // Parameters are the statement's own: an older one may bring back older defaults of the same artifact.
            std::cmp::Ordering::Less if mark.artifact == statement.artifact && !release.declares_parameters() => {
                Ok(Standing::Current)
            }
            std::cmp::Ordering::Less => Err(Refusal::RolledBack {
                stream: release.stream.clone(),
                actual: release.position().to_string(),
                accepted: mark.position.to_string(),
            }),
        }
    }

    /// The memory after `statement` was accepted. Marks only ever rise.
    #[must_use]
    pub fn advanced(&self, payload: Digest, statement: &Statement, now: Timestamp) -> Self {
        let release = &statement.release;
        if !matches!(self.judge(&payload, statement), Ok(Standing::First | Standing::Advance)) {
            return self.clone();
        }
        let mark = Mark {
            stream: release.stream.clone(),
            environment: release.environment.clone(),
            position: release.position(),
            statement: payload,
            artifact: statement.artifact,
            first_seen: now,
        };
        let elsewhere = |m: &&Mark| m.stream != mark.stream || m.environment != mark.environment;
        let others = self.marks.iter().filter(elsewhere);
        Self {
            marks: others.cloned().chain([mark.clone()]).collect(),
            earlier: self.earlier_than(&mark, !release.declares_parameters()),
            holding: self.holding.clone(),
        }
    }

    /// The memory after another one about the same Delivery was added to it, such as one that a lost cluster left. Marks only
    /// ever rise.
    ///
    /// # Errors
    /// [`Refusal::Equivocation`] where the two have accepted different statements at one place.
    pub fn raised(&self, by: &Self) -> Result<Self, Refusal> {
        let mut raised = self.clone();
        for mark in &by.marks {
            let same = |m: &Mark| m.stream == mark.stream && m.environment == mark.environment;
            let Some(known) = raised.marks.iter_mut().find(|m| same(m)) else {
                raised.marks.push(mark.clone());
                continue;
            };
            match mark.position.cmp(&known.position) {
                std::cmp::Ordering::Greater => raised.earlier.insert(0, std::mem::replace(known, mark.clone())),
                std::cmp::Ordering::Equal if mark.statement != known.statement => {
                    return Err(Refusal::Equivocation {
                        stream: mark.stream.clone(),
                        position: mark.position.to_string(),
                        first: known.statement,
                        second: mark.statement,
                    });
                }
                std::cmp::Ordering::Equal | std::cmp::Ordering::Less => {}
            }
        }
        if self.marks.is_empty() {
            raised.earlier.clone_from(&by.earlier);
        }
        raised.earlier.truncate(EARLIER);
        raised.holding = raised.holding.or_else(|| by.holding.clone());
        Ok(raised)
    }

    /// What was accepted before `next`, without what is the same release again: an artifact under a newer statement is no
    /// other release, unless its parameters may make it one.
    fn earlier_than(&self, next: &Mark, is_plain: bool) -> Vec<Mark> {
        let same = |one: &Mark, other: &Mark| {
            (&one.stream, &one.environment, one.artifact) == (&other.stream, &other.environment, other.artifact)
        };
        let replaced = self.mark(&next.stream, next.environment.as_deref());
        let kept = |mark: &&Mark| {
            !is_plain
                || !same(mark, next) && !replaced.is_some_and(|replaced| same(mark, replaced) && *mark != replaced)
        };
        replaced.into_iter().chain(&self.earlier).filter(kept).take(EARLIER).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::tests::statement;

    fn at(sequence: u64, artifact: &str) -> (Digest, Statement) {
        let mut statement = statement();
        statement.release.sequence = sequence;
        statement.artifact = Digest::of(artifact.as_bytes());
        (Digest::of(&statement.to_payload()), statement)
    }

    fn memory() -> Memory {
        let (payload, statement) = at(10, "ten");
        Memory::default().advanced(payload, &statement, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_higher_release_advances_and_an_older_one_is_rolled_back() {
        let (payload, statement) = at(11, "eleven");
        assert_eq!(memory().judge(&payload, &statement), Ok(Standing::Advance));
        let (payload, statement) = at(9, "nine");
        assert!(matches!(memory().judge(&payload, &statement), Err(Refusal::RolledBack { .. })));
    }

    #[test]
    fn the_accepted_artifact_stays_current_under_an_older_statement() {
        let (payload, statement) = at(9, "ten");
        assert_eq!(memory().judge(&payload, &statement), Ok(Standing::Current));
    }

    /// Where versions are defaults of parameters, every release is about the same artifact.
    #[test]
    fn an_older_statement_with_parameters_of_its_own_is_rolled_back_even_about_the_accepted_artifact() {
        let (_, mut statement) = at(9, "ten");
        statement.release.parameters = vec!["TAG=v9".parse().unwrap()];
        let payload = Digest::of(&statement.to_payload());
        assert!(matches!(memory().judge(&payload, &statement), Err(Refusal::RolledBack { .. })));
    }

    #[test]
    fn another_payload_at_the_same_sequence_is_an_equivocation() {
        let (payload, statement) = at(10, "other");
        assert!(matches!(memory().judge(&payload, &statement), Err(Refusal::Equivocation { .. })));
    }

    #[test]
    fn a_higher_epoch_beats_any_sequence() {
        let (_, mut statement) = at(1, "recovered");
        statement.release.epoch = 1;
        let payload = Digest::of(&statement.to_payload());
        assert_eq!(memory().judge(&payload, &statement), Ok(Standing::Advance));
    }

    #[test]
    fn a_memory_is_raised_by_another_and_never_lowered() {
        let remembering = |sequence, artifact: &str| {
            let (payload, statement) = at(sequence, artifact);
            memory().advanced(payload, &statement, Timestamp::UNIX_EPOCH)
        };
        let (ten, eleven) = (memory(), remembering(11, "eleven"));
        assert_eq!(Memory::default().raised(&eleven).unwrap(), eleven);
        assert_eq!(eleven.raised(&ten).unwrap(), eleven);
        assert_eq!(eleven.raised(&Memory::default()).unwrap(), eleven);
        assert_eq!(ten.raised(&eleven).unwrap(), eleven, "and the one before is remembered as earlier");
        let (payload, statement) = at(10, "other");
        let other = Memory::default().advanced(payload, &statement, Timestamp::UNIX_EPOCH);
        assert!(matches!(ten.raised(&other), Err(Refusal::Equivocation { .. })));
        let mut many = ten;
        for sequence in 11..40 {
            let (payload, statement) = at(sequence, &sequence.to_string());
            let next = Memory::default().advanced(payload, &statement, Timestamp::UNIX_EPOCH);
            many = many.raised(&next).unwrap();
        }
        assert_eq!((many.earlier.len(), many.earlier[0].position.sequence), (EARLIER, 38));
    }

    #[test]
    fn marks_never_fall_and_streams_do_not_mix() {
        let (payload, statement) = at(3, "three");
        assert_eq!(memory().advanced(payload, &statement, Timestamp::UNIX_EPOCH), memory());
        let (_, mut other) = at(1, "one");
        other.release.environment = Some("dev".into());
        let payload = Digest::of(&other.to_payload());
        assert_eq!(memory().judge(&payload, &other), Ok(Standing::First));
        assert_eq!(memory().advanced(payload, &other, Timestamp::UNIX_EPOCH).marks.len(), 2);
    }
}
