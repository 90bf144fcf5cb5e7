//! Kubernetes objects as data: identity, content, where they were read.

pub mod canonical;
pub mod emit;
pub mod identity;
pub mod images;
pub mod pointer;
pub mod scope;
pub mod yaml;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What names one object in a cluster, with the API version it is written in.
///
/// Two ids name the same object if all but `version` agree; see [`ObjectId::same_object`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId {
    /// The API group; empty for core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; `None` if the object names none.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The API version within the group.
    pub version: String,
}

/// One object as read from a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its identity, taken from the content.
    pub id: ObjectId,
    /// The whole object as JSON.
    pub value: Value,
    /// Where it was read, for messages; never an input to a decision.
    pub origin: Origin,
}

/// A place in a source: a file, `-` for standard input, or an entry of an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The file's name as given.
    pub file: String,
    /// The line the document starts at, from 1; 0 where lines mean nothing.
    pub line: usize,
}

/// A set of objects sorted by [`ObjectId`], none twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects(Vec<Object>);

/// Two manifests describe the same object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id} is defined twice: {first} and {second}")]
pub struct Duplicate {
    /// The object.
    pub id: Box<ObjectId>,
    /// Where it was first read.
    pub first: Origin,
    /// Where it was read again.
    pub second: Origin,
}

impl ObjectId {
    /// `v1` for core, else `group/version`: the object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// True if both ids name the same object, whatever API version each is written in.
    pub fn same_object(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// The identity without the version.
    pub fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (&self.group, &self.kind, self.namespace.as_deref(), &self.name)
    }
}

/// `Kind[.group] [namespace/]name`, as people write it.
impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " {namespace}/{}", self.name),
            None => write!(f, " {}", self.name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

impl Objects {
    /// Sorts `objects` and refuses a second definition of the same object, whatever version it is written in.
    ///
    /// # Errors
    /// Every [`Duplicate`], with both places.
    pub fn new(mut objects: Vec<Object>) -> Result<Self, Vec<Duplicate>> {
        // A stable sort keeps the order of reading among equals, so `first` is the earlier one.
        objects.sort_by(|a, b| a.id.key().cmp(&b.id.key()));
        let twice: Vec<_> = objects
            .windows(2)
            .filter(|pair| pair[0].id.same_object(&pair[1].id))
            .map(|pair| Duplicate {
                id: Box::new(pair[0].id.clone()),
                first: pair[0].origin.clone(),
                second: pair[1].origin.clone(),
            })
            .collect();
        if twice.is_empty() { Ok(Self(objects)) } else { Err(twice) }
    }

    /// The objects in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Object> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The objects themselves.
    pub fn into_vec(self) -> Vec<Object> {
        self.0
    }
}

impl<'a> IntoIterator for &'a Objects {
    type Item = &'a Object;
    type IntoIter = std::slice::Iter<'a, Object>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
