//! What a Delivery applied or is about to apply: set arithmetic over rows, and the chunks that hold them.
//!
//! An object is in the inventory before it is in the cluster, and leaves it only when its deletion was confirmed or it
//! turned out to be somebody else's. So whatever kills the controller, nothing it made is forgotten.

pub mod store;

use std::collections::{BTreeMap, BTreeSet};

use sealift_verify::{digest::Digest, objects::ObjectId};

use crate::api::{self, DeliveryReference, Mark, Row};

/// Rows a chunk holds at most.
const CHUNK_ROWS: usize = 1_000;

/// Bytes of JSON a chunk holds at most; etcd takes 1.5 MiB.
const CHUNK_BYTES: usize = 512 * 1024;

/// What a row takes beside its names once every field is filled.
const ROW_BYTES: usize = 420;

/// An object's identity without its API version: what a row is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// The inventory of one Delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    owner: DeliveryReference,
    /// Each row with the chunk it lives in. Rows never move between chunks: a crash between the two writes would lose them.
    rows: BTreeMap<Key, (usize, Row)>,
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Chunk {
    /// The version that was read; `None` if the chunk is not stored.
    resource_version: Option<String>,
    rows: usize,
    bytes: usize,
    dirty: bool,
}

impl Inventory {
    /// The inventory of a Delivery that has applied nothing.
    pub fn empty(owner: DeliveryReference) -> Self {
        Self { owner, rows: BTreeMap::new(), chunks: vec![] }
    }

    /// The inventory in stored chunks.
    pub fn from_chunks(owner: DeliveryReference, stored: Vec<api::Inventory>) -> Self {
        let mut inventory = Self::empty(owner);
        for api::Inventory { metadata, spec } in stored {
            let at = spec.chunk as usize;
            if inventory.chunks.len() <= at {
                inventory.chunks.resize(at + 1, Chunk::default());
            }
            inventory.chunks[at].resource_version = metadata.resource_version;
            for row in spec.rows {
                inventory.insert(at, row);
            }
        }
        for chunk in &mut inventory.chunks {
            chunk.dirty = false;
        }
        inventory
    }

    /// Whose it is.
    pub fn owner(&self) -> &DeliveryReference {
        &self.owner
    }

    /// The row about an object.
    pub fn row(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key).map(|(_, row)| row)
    }

    /// Every row, sorted by object.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|(_, row)| row)
    }

    /// How many objects it names.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True if it names none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// True if it is stored just as it is.
    pub fn is_stored(&self) -> bool {
        !self.chunks.iter().any(|chunk| chunk.dirty)
    }

    /// The rows that no release wants any more: recorded − wanted.
    pub fn to_prune(&self, wanted: &BTreeSet<Key>) -> Vec<Row> {
        self.rows.iter().filter(|(key, _)| !wanted.contains(key)).map(|(_, (_, row))| row.clone()).collect()
    }

    /// Names objects that are about to be applied: recorded ∪ wanted.
    pub fn claim<'a>(&mut self, ids: impl IntoIterator<Item = &'a ObjectId>) {
        for id in ids {
            if !self.rows.contains_key(&Key::of(id)) {
                self.add(Row::about_to_apply(id));
            }
        }
    }

    /// Names an object that the Delivery with this uid still owns, so that it hands the object over instead of deleting it.
    pub fn claim_from(&mut self, id: &ObjectId, uid: &str) {
        self.claim([id]);
        self.change(&Key::of(id), |row| row.claimed_from = Some(uid.to_owned()));
    }

    /// Notes that an object was applied with this content and then looked like this.
    pub fn record(&mut self, id: &ObjectId, content: Digest, mark: Mark) {
        self.claim([id]);
        self.change(&Key::of(id), |row| {
            *row = Row { content: Some(content), mark: Some(mark), ..Row::about_to_apply(id) };
        });
    }

    /// Drops the row of an object whose deletion was confirmed or that is not ours.
    pub fn forget(&mut self, key: &Key) {
        if let Some((at, row)) = self.rows.remove(key) {
            let chunk = &mut self.chunks[at];
            chunk.rows -= 1;
            chunk.bytes -= size(&row);
            chunk.dirty = true;
        }
    }

    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Row)) {
        let Some((at, row)) = self.rows.get_mut(key) else { return };
        let (before, chunk) = (row.clone(), &mut self.chunks[*at]);
        change(row);
        if *row != before {
            chunk.bytes = chunk.bytes + size(row) - size(&before);
            chunk.dirty = true;
        }
    }

    fn add(&mut self, row: Row) {
        let bytes = size(&row);
        let fits = |chunk: &Chunk| chunk.rows < CHUNK_ROWS && chunk.bytes + bytes <= CHUNK_BYTES;
        let at = self.chunks.iter().position(fits).unwrap_or(self.chunks.len());
        if at == self.chunks.len() {
            self.chunks.push(Chunk::default());
        }
        self.insert(at, row);
    }

    fn insert(&mut self, at: usize, row: Row) {
        let chunk = &mut self.chunks[at];
        chunk.rows += 1;
        chunk.bytes += size(&row);
        chunk.dirty = true;
        self.rows.insert(Key::of(&row.id()), (at, row));
    }
}

fn size(row: &Row) -> usize {
    let Row { group, version, kind, namespace, name, content: _, mark: _, claimed_from: _ } = row;
    ROW_BYTES + group.len() + version.len() + kind.len() + namespace.as_ref().map_or(0, String::len) + name.len()
}

impl Key {
    /// The key of an object.
    pub fn of(id: &ObjectId) -> Self {
        let ObjectId { group, kind, namespace, name, version: _ } = id.clone();
        Self { group, kind, namespace, name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("a".into()),
            name: name.into(),
            version: "v1".into(),
        }
    }

    fn empty() -> Inventory {
        Inventory::empty(DeliveryReference { namespace: "apps".into(), name: "shop".into(), uid: "u1".into() })
    }

    fn mark(uid: &str) -> Mark {
        Mark { uid: uid.into(), generation: Some(1), fields: Some("f".into()), time: None, others: None }
    }

    #[test]
    fn prunes_what_is_recorded_and_not_wanted() {
        let mut inventory = empty();
        inventory.claim(&[id("a"), id("b"), id("c")]);
        let wanted = BTreeSet::from([Key::of(&id("b")), Key::of(&id("new"))]);
        let names: Vec<_> = inventory.to_prune(&wanted).into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["a", "c"]);
    }

    #[test]
    fn a_claim_keeps_what_was_recorded() {
        let mut inventory = empty();
        inventory.record(&id("a"), Digest::of(b"1"), mark("x"));
        let before = inventory.clone();
        inventory.claim(&[id("a")]);
        assert_eq!(inventory, before);
    }

    #[test]
    fn an_object_written_in_another_version_is_the_same_row() {
        let mut inventory = empty();
        inventory.claim(&[id("a")]);
        inventory.record(&ObjectId { version: "v2".into(), ..id("a") }, Digest::of(b"1"), mark("x"));
        assert_eq!((inventory.len(), inventory.rows().next().unwrap().version.as_str()), (1, "v2"));
    }

    #[test]
    fn applying_ends_a_claim() {
        let mut inventory = empty();
        inventory.claim_from(&id("a"), "u2");
        assert_eq!(inventory.row(&Key::of(&id("a"))).unwrap().claimed_from.as_deref(), Some("u2"));
        inventory.record(&id("a"), Digest::of(b"1"), mark("x"));
        assert_eq!(inventory.row(&Key::of(&id("a"))).unwrap().claimed_from, None);
    }

    #[test]
    fn chunks_are_bounded_and_rows_stay_where_they_are() {
        let mut inventory = empty();
        let ids: Vec<_> = (0..2_500).map(|n| id(&format!("object-{n:05}"))).collect();
        inventory.claim(&ids);
        assert!(inventory.chunks.iter().all(|chunk| chunk.rows <= CHUNK_ROWS && chunk.bytes <= CHUNK_BYTES));
        let before: Vec<_> = inventory.rows.values().map(|(at, row)| (row.name.clone(), *at)).collect();
        inventory.forget(&Key::of(&ids[0]));
        inventory.claim(&[id("zzz")]);
        assert_eq!(inventory.rows[&Key::of(&id("zzz"))].0, 0, "the free place is taken");
        for (name, at) in &before[1..] {
            assert_eq!(inventory.rows[&Key::of(&id(name))].0, *at);
        }
    }

    #[test]
    fn a_full_chunk_of_long_names_stays_within_what_etcd_takes() {
        let mut inventory = empty();
        let long = |n: usize| ObjectId {
            group: "g".repeat(253),
            kind: "K".repeat(63),
            namespace: Some("n".repeat(63)),
            name: format!("{n:0>253}"),
            version: "v1alpha1".into(),
        };
        for n in 0..1_000 {
            let mark = Mark {
                uid: "u".repeat(36),
                generation: Some(i64::MAX),
                fields: Some("f".repeat(16)),
                time: Some("2026-01-01T00:00:00Z".into()),
                others: Some("o".repeat(16)),
            };
            inventory.record(&long(n), Digest::of(b"1"), mark);
        }
        let rows: Vec<_> = inventory.rows.values().filter(|(at, _)| *at == 0).map(|(_, row)| row).collect();
        assert!(rows.len() < 1_000);
        assert!(serde_json::to_vec(&rows).unwrap().len() <= CHUNK_BYTES + 64 * 1024);
    }
}
