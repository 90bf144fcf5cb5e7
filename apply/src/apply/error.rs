//! Why a plan was not done, or not done to the end.

use std::{collections::BTreeSet, fmt};

use crate::{
    change::{Action, ChangeSet, Refused},
    cluster::ClusterError,
    order::Stage,
};

/// Why a plan was not done, or not done to the end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Objects were refused; nothing of their stage was applied.
    #[error("{}", Listed { refused, what: "refused", stage: *stage, done })]
    Refused {
        /// The stage; `None` if the plan already refused them and nothing was applied.
        stage: Option<Stage>,
        /// Each object and why.
        refused: Vec<Refused>,
        /// What stages before did.
        done: ChangeSet,
    },
    /// Objects that passed the dry-run were not taken; others of their stage were applied.
    #[error("{}", Listed { refused: failed, what: "not applied", stage: Some(*stage), done })]
    Failed {
        /// The stage.
        stage: Stage,
        /// Each object and why.
        failed: Vec<Refused>,
        /// What was done.
        done: ChangeSet,
    },
    /// The inventory could not be stored, so nothing may be applied.
    #[error("the inventory cannot be stored")]
    Inventory {
        /// Why.
        #[source]
        source: ClusterError,
        /// What was done before.
        done: ChangeSet,
    },
}

impl ApplyError {
    /// What was done before it went wrong.
    pub fn done(&self) -> &ChangeSet {
        match self {
            Self::Refused { done, .. } | Self::Failed { done, .. } | Self::Inventory { done, .. } => done,
        }
    }

    /// The objects it is about.
    pub fn objects(&self) -> &[Refused] {
        match self {
            Self::Refused { refused, .. } => refused,
            Self::Failed { failed, .. } => failed,
            Self::Inventory { .. } => &[],
        }
    }

    pub(super) fn objects_mut(&mut self) -> &mut [Refused] {
        match self {
            Self::Refused { refused, .. } => refused,
            Self::Failed { failed, .. } => failed,
            Self::Inventory { .. } => &mut [],
        }
    }

    /// The stages of which something was applied before it went wrong, in order.
    pub fn applied(&self) -> Vec<Stage> {
        applied(self.done())
    }

    /// True if trying again may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Inventory { source, .. } => source.is_transient() || source.is_conflict(),
            Self::Refused { .. } | Self::Failed { .. } => {
                self.objects().iter().all(|refused| refused.why.is_transient())
            }
        }
    }
}

fn applied(done: &ChangeSet) -> Vec<Stage> {
    let changed = done.entries.iter().filter(|change| !matches!(change.action, Action::Unchanged | Action::Skipped));
    changed.map(|change| Stage::of(&change.id)).collect::<BTreeSet<_>>().into_iter().collect()
}

struct Listed<'a> {
    refused: &'a [Refused],
    what: &'static str,
    stage: Option<Stage>,
    done: &'a ChangeSet,
}

/// The first few in full: a condition's message is read by people.
impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let Self { refused, what, stage, done } = self;
        let objects = if refused.len() == 1 { "1 object".to_owned() } else { format!("{} objects", refused.len()) };
        match stage {
            Some(stage) => write!(f, "{objects} {what} in stage {stage}")?,
            None => write!(f, "{objects} {what}, nothing was applied")?,
        }
        for (at, refused) in refused.iter().take(SHOWN).enumerate() {
            write!(f, "{} {refused}", if at == 0 { ":" } else { ";" })?;
        }
        if refused.len() > SHOWN {
            write!(f, "; and {} more", refused.len() - SHOWN)?;
        }
        let applied: Vec<_> = applied(done).iter().map(ToString::to_string).collect();
        if applied.is_empty() { Ok(()) } else { write!(f, "; applied before: {}", applied.join(", ")) }
    }
}
