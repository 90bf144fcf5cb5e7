//! Attaching a manifest to its subject, also where the registry keeps no list of referrers.

use std::time::Duration;

use bytes::Bytes;
use sealift_verify::{
    artifact::{Descriptor, IMAGE_INDEX, IMAGE_MANIFEST, Manifest},
    digest::Digest,
    reference::{Pinned, Repository},
};
use serde_json::{Value, json};

use super::{
    Client, ClientError, Fault, PutAs,
    referrers::{fallback_tag, referrer_entry},
};

/// How often the fallback tag is rewritten before giving up.
const MOST_ATTEMPTS: u32 = 10;

/// Who keeps the list that an attached manifest is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachedBy {
    /// The registry.
    Registry,
    /// The fallback tag, written by us.
    FallbackTag,
    /// The index of an image layout.
    Layout,
    /// Nobody: the manifest has no subject.
    Nothing,
}

/// A manifest that was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The referring manifest.
    pub pinned: Pinned,
    /// Who keeps the list it is on.
    pub by: AttachedBy,
}

impl Client {
    /// Puts `manifest` by digest and makes it findable from its subject. Its blobs must be there already.
    ///
    /// # Errors
    /// [`ClientError::Contended`] if others kept overwriting the fallback tag, and others.
    pub async fn attach(&self, repository: &Repository, manifest: &Manifest) -> Result<Attached, ClientError> {
        self.attach_bytes(repository, IMAGE_MANIFEST, manifest.to_bytes().into()).await
    }

    /// The same for a manifest that was read somewhere: its bytes stay what they are.
    ///
    /// # Errors
    /// As of [`Client::attach`].
    pub(crate) async fn attach_bytes(
        &self,
        repository: &Repository,
        media_type: &str,
        manifest: Bytes,
    ) -> Result<Attached, ClientError> {
        let about = referrer_entry(&manifest);
        let put = self.put_manifest(repository, PutAs::Digest, media_type, manifest).await?;
        let by = match about {
            None => AttachedBy::Nothing,
            Some(_) if put.subject_acknowledged => AttachedBy::Registry,
            Some((subject, entry)) => {
                self.enter(repository, &subject, &entry).await?;
                AttachedBy::FallbackTag
            }
        };
        Ok(Attached { pinned: put.pinned, by })
    }

    /// Enters `entry` into the index under the fallback tag.
    ///
    /// The specification knows no conditional write, so two writers can lose an entry. Each looks again, after a pause in
    /// which a writer that had read the old index will have written, and enters itself again.
    async fn enter(&self, repository: &Repository, subject: &Digest, entry: &Descriptor) -> Result<(), ClientError> {
        let tag = fallback_tag(subject);
        let at = self.at(&self.url(repository, &format!("manifests/{tag}"))?, repository);
        let has_entry = |bytes: &Option<Bytes>| match bytes {
            None => Ok(false),
            Some(bytes) => read_index(bytes).map(|index| lists(&index, &entry.digest)),
        };
        let not_an_index = |fault| ClientError::protocol(at.clone(), fault);
        for attempt in 0..MOST_ATTEMPTS {
            let current = self.tag_content(repository, &tag).await?;
            if !has_entry(&current).map_err(not_an_index)? {
                let next = with_entry(current.as_deref(), entry).map_err(not_an_index)?;
                self.put_manifest(repository, PutAs::Tag(&tag), IMAGE_INDEX, next.into()).await?;
            }
            tokio::time::sleep(settle(entry, attempt)).await;
            let now = self.tag_content(repository, &tag).await?;
            if has_entry(&now).map_err(not_an_index)? {
                return Ok(());
            }
            tracing::debug!(%at, attempt, "another writer replaced the referrers tag");
        }
        Err(ClientError::Contended { at: Box::new(at), attempts: MOST_ATTEMPTS })
    }
}

/// A pause that grows and differs between writers: their entries differ, so their digests do.
fn settle(entry: &Descriptor, attempt: u32) -> Duration {
    let spread = u64::from(entry.digest.as_bytes()[attempt as usize % 32]);
    Duration::from_millis(100 + spread * u64::from(attempt + 1).min(4))
}

/// The index, with whatever else is in it: entries of other tools must survive.
fn read_index(bytes: &[u8]) -> Result<Value, Fault> {
    let index: Value = serde_json::from_slice(bytes).map_err(Fault::Json)?;
    let is_index = index.get("mediaType").is_none_or(|media_type| media_type == IMAGE_INDEX);
    if is_index && index.get("manifests").is_some_and(|list| list.is_array() || list.is_null()) {
        Ok(index)
    } else {
        Err(Fault::NotAnIndex)
    }
}

fn lists(index: &Value, digest: &Digest) -> bool {
    let digest = digest.to_string();
    index["manifests"].as_array().is_some_and(|list| list.iter().any(|entry| entry["digest"] == digest.as_str()))
}

/// The bytes of the index with `entry` in it.
fn with_entry(current: Option<&[u8]>, entry: &Descriptor) -> Result<Vec<u8>, Fault> {
    let mut index = match current {
        None => json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}),
        Some(bytes) => read_index(bytes)?,
    };
    let mut list = index["manifests"].as_array().cloned().unwrap_or_default();
    list.push(serde_json::to_value(entry).map_err(Fault::Json)?);
    index["manifests"] = Value::Array(list);
    serde_json::to_vec(&index).map_err(Fault::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_fields_of_other_tools_survive() {
        let other = json!({"schemaVersion": 2, "mediaType": IMAGE_INDEX, "annotations": {"a": "b"}, "manifests": [
            {"mediaType": "x", "digest": format!("sha512:{}", "0".repeat(128)), "size": 1, "data": "e30=", "platform": {"os": "linux"}},
        ]});
        let entry = Descriptor::of(IMAGE_MANIFEST, b"mine");
        let bytes = with_entry(Some(other.to_string().as_bytes()), &entry).unwrap();
        let index = read_index(&bytes).unwrap();
        assert_eq!(index["manifests"][0], other["manifests"][0]);
        assert_eq!(index["annotations"], other["annotations"]);
        assert!(lists(&index, &entry.digest));
    }

    #[test]
    fn what_is_no_index_is_not_overwritten() {
        let image = json!({"schemaVersion": 2, "mediaType": IMAGE_MANIFEST, "layers": []});
        let entry = Descriptor::of(IMAGE_MANIFEST, b"mine");
        assert!(matches!(with_entry(Some(image.to_string().as_bytes()), &entry), Err(Fault::NotAnIndex)));
    }
}
