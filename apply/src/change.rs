//! What an apply or prune did, as data; status, events and metrics read it.

use std::{fmt, sync::Arc};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sealift_verify::objects::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{api::Mark, cluster::ClusterError, drift::Found, health::always_healthy, owner::Meta};

/// What was done with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was not there.
    Created,
    /// It was there and now differs.
    Configured,
    /// It is as it should be.
    Unchanged,
    /// It left the release and its deletion was accepted.
    Deleted,
    /// It was left alone, for the reason beside it.
    Skipped,
}

/// What was done with one object, and why if that is not plain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The object.
    pub id: ObjectId,
    /// What was done.
    pub action: Action,
    /// Why it was skipped, created anew, or written without a dry-run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the server answered to the write, if there was one.
    #[serde(skip)]
    pub live: Option<Answer>,
}

/// An object as the server answered a write: what nobody need ask for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its uid, generation and our entry in its managed fields.
    pub mark: Mark,
    /// Its version in etcd.
    pub resource_version: String,
    /// What its metadata says, as a watch would.
    pub meta: Meta,
    /// The object without its managed fields, where its kind can be unhealthy.
    pub value: Option<Arc<Value>>,
}

/// What was done with every object, in the order it was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeSet {
    /// One entry an object.
    pub entries: Vec<Change>,
    /// Objects of the last stage that wait until the release's workloads are healthy: apply again then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<ObjectId>,
    /// Objects of which a dry-run was made because something had happened to them.
    #[serde(skip)]
    pub looks: Vec<Look>,
}

/// A dry-run of an object that something had happened to, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The object.
    pub id: ObjectId,
    /// What was found to differ, if anything.
    pub found: Option<Found>,
    /// What other managers have added beside the release, by manager, as JSON pointers. It stays.
    pub foreign: Vec<(String, Vec<String>)>,
}

/// One object that was refused.
#[derive(Debug)]
pub struct Refused {
    /// The object.
    pub id: ObjectId,
    /// Why.
    pub why: Why,
}

/// Why an object is refused.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// Neither the cluster nor the release defines the kind.
    #[error("unknown kind: neither the cluster nor this release defines {kind} in {api_version}")]
    UnknownKind {
        /// The API version.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// A namespaced object without a namespace.
    #[error("the object is namespaced but names no namespace, and the Delivery sets no targetNamespace")]
    NoNamespace,
    /// A cluster-scoped object with a namespace: what a policy judged is not what the server would do.
    #[error("the object is cluster-scoped but names the namespace {namespace:?}")]
    NotNamespaced {
        /// The namespace it names.
        namespace: String,
    },
    /// What the controller remembers is not delivered.
    #[error("only the controller writes objects of this kind")]
    Reserved,
    /// Another Delivery owns the object and still wants it.
    #[error("the object belongs to Delivery {namespace}/{name}, which still wants it")]
    OwnedByDelivery {
        /// That Delivery's namespace.
        namespace: String,
        /// That Delivery's name.
        name: String,
    },
    /// Another delivery tool owns the object.
    #[error(
        "the object is managed by {by}; to take it over annotate it in the release with sealift.dev/adopt: enabled, or all such objects with spec.adopt: takeOver"
    )]
    ManagedElsewhere {
        /// Who.
        by: String,
    },
    /// An annotation of the release says nothing that is known.
    #[error("the annotation {annotation}: {value:?} means nothing; it is {wanted}")]
    Annotation {
        /// The annotation.
        annotation: &'static str,
        /// What it says.
        value: String,
        /// What it may say.
        wanted: String,
    },
    /// The server took a definition and does not serve it.
    #[error("the definition is not served: {reason}")]
    NotEstablished {
        /// The server's words.
        reason: String,
    },
    /// A field that would have to change is immutable.
    #[error(
        "{message}; to delete and create it anew annotate it in the release with sealift.dev/immutable: recreate, or say so for all with spec.immutable: recreate"
    )]
    Immutable {
        /// The server's words.
        message: String,
    },
    /// The same, for a kind that only its own annotation may have deleted.
    #[error(
        "{message}; what it holds would be deleted with it: only the annotation sealift.dev/immutable: recreate in the release has it created anew"
    )]
    Held {
        /// The server's words.
        message: String,
    },
    /// The live object is being deleted.
    #[error("the object is being deleted; it is applied again once it is gone{}", in_brackets(held.as_deref()))]
    Terminating {
        /// What holds it, as far as that is known.
        held: Option<String>,
    },
    /// It was not sent, since whoever applies was asked to come to an end.
    #[error("not sent: the process is stopping, and the next one goes on")]
    Stopping,
    /// The cluster said no, or nothing.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

fn in_brackets(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

impl Why {
    /// True if it may go by itself.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Terminating { .. } | Self::Stopping | Self::OwnedByDelivery { .. } => true,
            Self::Cluster(error) => error.is_transient(),
            Self::UnknownKind { .. }
            | Self::NoNamespace
            | Self::Reserved
            | Self::NotNamespaced { .. }
            | Self::ManagedElsewhere { .. }
            | Self::Annotation { .. }
            | Self::Immutable { .. }
            | Self::Held { .. }
            | Self::NotEstablished { .. } => false,
        }
    }
}

impl ChangeSet {
    /// Adds an entry.
    pub fn push(&mut self, id: ObjectId, action: Action, reason: Option<String>) {
        self.entries.push(Change { id, action, reason, live: None });
    }

    /// What the server answered to the last write of an object.
    pub fn answer(&self, id: &ObjectId) -> Option<&Answer> {
        self.entries.iter().rev().find(|change| change.id == *id)?.live.as_ref()
    }

    /// How many entries have this action.
    pub fn count(&self, action: Action) -> usize {
        self.entries.iter().filter(|change| change.action == action).count()
    }

    /// True if the cluster was changed.
    pub fn changed(&self) -> bool {
        self.entries.iter().any(|change| !matches!(change.action, Action::Unchanged | Action::Skipped))
    }

    /// Adds everything of another change set.
    pub fn extend(&mut self, other: Self) {
        let Self { entries, waiting, looks } = other;
        self.entries.extend(entries);
        self.waiting.extend(waiting);
        self.looks.extend(looks);
    }
}

impl Answer {
    /// What is kept of an answer; `None` if it is no object.
    pub fn of(id: &ObjectId, mut value: Value) -> Option<Self> {
        let metadata: ObjectMeta = serde_json::from_value(value.get("metadata")?.clone()).ok()?;
        let meta = Meta::of(&metadata);
        let mark = meta.mark.clone();
        let resource_version = value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let value = (!always_healthy(id)).then(|| Arc::new(value));
        Some(Self { mark, resource_version, meta, value })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
        })
    }
}

/// `3 created, 1 configured, 40 unchanged`: what is not zero.
impl fmt::Display for ChangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = [Action::Created, Action::Configured, Action::Unchanged, Action::Deleted, Action::Skipped]
            .map(|action| (action, self.count(action)));
        let counts: Vec<_> =
            actions.iter().filter(|(_, count)| *count > 0).map(|(action, count)| format!("{count} {action}")).collect();
        f.write_str(if counts.is_empty() { "nothing to do" } else { "" })?;
        f.write_str(&counts.join(", "))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_not_zero() {
        let id = ObjectId {
            group: String::new(),
            kind: "Pod".into(),
            namespace: None,
            name: "a".into(),
            version: "v1".into(),
        };
        let mut changes = ChangeSet::default();
        assert_eq!(changes.to_string(), "nothing to do");
        changes.push(id.clone(), Action::Created, None);
        changes.push(id.clone(), Action::Created, None);
        changes.push(id, Action::Unchanged, None);
        assert_eq!(changes.to_string(), "2 created, 1 unchanged");
        assert!(changes.changed());
    }
}
