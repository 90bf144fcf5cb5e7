//! What is to be done with one object.

use sealift_verify::{digest::Digest, objects::ObjectId};
use serde_json::Value;

use crate::{api::Mark, change::Look, cluster::Resource, drift::Sign, options::Own};

/// What is to be done with one object.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// It is not there.
    Create(Value),
    /// It is there, and was last applied with other content or by somebody else.
    Configure(Value),
    /// It was applied with this content, and its metadata moved since: a dry-run decides.
    Check(Value),
    /// It is there, and a field that no update may change would have to: it is deleted and created anew.
    Recreate(Value),
    /// It was applied with this content and nobody touched it: no request.
    Unchanged,
    /// A dry-run showed that it is as it should be; this is how it looks now.
    Confirmed(Mark),
    /// It is left alone.
    Skip(&'static str),
}

/// What must hold of the live object for a write to be the one that was planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    None,
    /// It is not there.
    Absent,
    /// It is the object with this uid.
    Uid(String),
}

/// Whether the server was asked by a dry-run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Not yet.
    No,
    /// It would take it.
    Passed,
    /// It cannot be asked: a webhook takes no part in dry-runs.
    Impossible,
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The object.
    pub id: ObjectId,
    /// How the cluster serves it.
    pub resource: Resource,
    /// Digest of what is sent.
    pub content: Digest,
    /// What is to be done.
    pub todo: Todo,
    /// The resourceVersion of the live object: an apply that keeps it changed nothing.
    pub live_version: Option<String>,
    /// Whether the kind's definition is in this release and not yet in the cluster.
    pub defined_here: bool,
    /// What the object says for itself.
    pub own: Own,
    /// What must hold of the live object.
    pub guard: Guard,
    /// Whether fields of managers that are taken over become ours first.
    pub migrate: bool,
    /// Whether the server was asked.
    pub asked: Asked,
    /// Fields that stay as they are in the cluster, as JSON pointers.
    pub leave: Vec<String>,
    /// What happened to it since it was applied, if that is known.
    pub sign: Option<Sign>,
    /// What was found by looking closer.
    pub look: Option<Look>,
    /// Whether a break-glass change of it is not held any longer: it is written in any case, and its annotations go.
    pub ends_break_glass: bool,
}

/// No object has it: etcd's first revision is that of the empty store.
const NO_VERSION: &str = "1";

impl Guard {
    /// The value as it is sent. A server-side apply of a version that differs is a conflict where the object is there,
    /// and a creation where it is not; one of a uid that differs is refused in either case.
    pub fn on(&self, value: &Value) -> Value {
        let mut value = value.clone();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            match self {
                Self::None => {}
                Self::Absent => drop(metadata.insert("resourceVersion".to_owned(), NO_VERSION.into())),
                Self::Uid(uid) => drop(metadata.insert("uid".to_owned(), uid.as_str().into())),
            }
        }
        value
    }
}

impl Todo {
    /// The same with another value.
    #[must_use]
    pub(crate) fn with(self, value: Value) -> Self {
        match self {
            Self::Create(_) => Self::Create(value),
            Self::Configure(_) => Self::Configure(value),
            Self::Check(_) => Self::Check(value),
            Self::Recreate(_) => Self::Recreate(value),
            Self::Unchanged | Self::Confirmed(_) | Self::Skip(_) => self,
        }
    }

    /// What is sent, if anything is.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Create(value) | Self::Configure(value) | Self::Check(value) | Self::Recreate(value) => Some(value),
            Self::Unchanged | Self::Confirmed(_) | Self::Skip(_) => None,
        }
    }
}
