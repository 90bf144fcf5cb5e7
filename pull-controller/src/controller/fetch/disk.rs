//! What was fetched, kept in a folder: with the registry down, repair goes on after a restart.
//!
//! Contents are named by their digest and hashed again when they are read. Beside them stand small records of who had
//! what: a content is given to nobody who has no record of it. Nothing that follows from a password is written.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use sealift_registry::{
    fetch::Legacy,
    store::{Location, Place},
};
use sealift_verify::{
    digest::{Digest, Hasher},
    reference::Pinned,
    signature::{Candidate, Content, SimpleSigning, Skipped},
    verify::Unverified,
};
use serde::{Deserialize, Serialize};

const CONTENTS: &str = "sha256";
const RECORDS: &str = "records";
/// What a file takes beyond its bytes: a folder full of small ones is not for nothing.
const OVERHEAD: u64 = 512;

/// The folder. Files that were not used for longest go once all together take more than the budget.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    budget: u64,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    known: HashMap<PathBuf, File>,
    bytes: u64,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct File {
    bytes: u64,
    used: u64,
}

/// The name of a record: who has what from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held(PathBuf);

impl Held {
    pub(super) fn signatures(
        version: Option<&str>,
        tenant: &str,
        place: &Place,
        reference: &Pinned,
        legacy: Legacy,
    ) -> Self {
        let what = match legacy {
            Legacy::Ignored => "signatures",
            Legacy::Included => "signatures, legacy ones too",
        };
        Self::of(what, version, tenant, place, &reference.to_string())
    }

    pub(super) fn layer(version: Option<&str>, tenant: &str, place: &Place, layer: Digest) -> Self {
        Self::of("layer", version, tenant, place, &layer.to_string())
    }

    /// Credentials are told apart by the very version of the Secret they stand in, or the identity they come from.
    fn of(what: &str, version: Option<&str>, tenant: &str, place: &Place, of: &str) -> Self {
        let (tenant, version) = version.map_or(("", ""), |version| (tenant, version));
        let mut hasher = Hasher::new();
        for part in [what, tenant, version, &place.to_string(), of] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        Self(Path::new(RECORDS).join(hasher.finish().hex()))
    }
}

/// What a record of manifest and signatures says.
#[derive(Serialize, Deserialize)]
struct Signatures {
    /// Referrer and content of each candidate.
    candidates: Vec<(Digest, Kept)>,
    skipped: Vec<(Digest, String)>,
    truncated: bool,
}

/// A signature; what may be large stands under its digest.
#[derive(Serialize, Deserialize)]
enum Kept {
    Bundle(Digest),
    SimpleSigning {
        payload: Digest,
        signature: String,
        certificate: Option<String>,
        promise: Option<String>,
        timestamp: Option<String>,
    },
}

impl Disk {
    /// The folder with what it holds from before, as far as the budget goes.
    ///
    /// # Errors
    /// If it cannot be made or read.
    pub(super) fn open(root: &Path, budget: u64) -> io::Result<Self> {
        let mut found: Vec<(SystemTime, PathBuf, u64)> = Vec::new();
        for part in [CONTENTS, RECORDS] {
            fs::create_dir_all(root.join(part))?;
            for entry in fs::read_dir(root.join(part))? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                // What a killed process left half written.
                if entry.path().extension().is_some() || !metadata.is_file() {
                    let _ = fs::remove_file(entry.path());
                    continue;
                }
                let name = Path::new(part).join(entry.file_name());
                found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, metadata.len()));
            }
        }
        found.sort();
        let disk = Self { root: root.to_owned(), budget, files: Mutex::default() };
        found.into_iter().for_each(|(_, name, bytes)| disk.noted(name, bytes));
        Ok(disk)
    }

    /// Manifest and signatures as they were last fetched.
    pub(super) fn signatures(&self, held: &Held, reference: &Pinned, place: &Place) -> Option<Unverified> {
        let record: Signatures = serde_json::from_slice(&self.read(&held.0)?).ok()?;
        let manifest = self.content(reference.digest)?;
        let candidate = |(referrer, kept): (Digest, Kept)| Some(Candidate { referrer, content: self.signature(kept)? });
        Some(Unverified {
            reference: reference.clone(),
            transport: (place.location != Location::Registry(reference.repository.clone())).then(|| place.to_string()),
            manifest,
            candidates: record.candidates.into_iter().map(candidate).collect::<Option<_>>()?,
            skipped: record.skipped.into_iter().map(|(referrer, reason)| Skipped { referrer, reason }).collect(),
            truncated: record.truncated,
        })
    }

    /// Keeps manifest and signatures. What cannot be written is not kept.
    pub(super) fn keep_signatures(&self, held: &Held, unverified: &Unverified) {
        let Unverified { reference, transport: _, manifest, candidates, skipped, truncated } = unverified;
        let kept =
            candidates.iter().map(|candidate| Some((candidate.referrer, self.keep_signature(&candidate.content)?)));
        let Some(candidates) = kept.collect::<Option<Vec<_>>>() else { return };
        if !self.keep(reference.digest, manifest) {
            return;
        }
        let skipped = skipped.iter().map(|skipped| (skipped.referrer, skipped.reason.clone())).collect();
        if let Ok(record) = serde_json::to_vec(&Signatures { candidates, skipped, truncated: *truncated }) {
            self.write(&held.0, &record);
        }
    }

    fn signature(&self, kept: Kept) -> Option<Content> {
        Some(match kept {
            Kept::Bundle(bundle) => Content::Bundle(self.content(bundle)?),
            Kept::SimpleSigning { payload, signature, certificate, promise, timestamp } => {
                let payload = self.content(payload)?;
                Content::SimpleSigning(SimpleSigning { payload, signature, certificate, promise, timestamp })
            }
        })
    }

    fn keep_signature(&self, content: &Content) -> Option<Kept> {
        let keep = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            self.keep(digest, bytes).then_some(digest)
        };
        Some(match content {
            Content::Bundle(bundle) => Kept::Bundle(keep(bundle)?),
            Content::SimpleSigning(SimpleSigning { payload, signature, certificate, promise, timestamp }) => {
                Kept::SimpleSigning {
                    payload: keep(payload)?,
                    signature: signature.clone(),
                    certificate: certificate.clone(),
                    promise: promise.clone(),
                    timestamp: timestamp.clone(),
                }
            }
        })
    }

    /// A layer, if whoever asks has fetched it.
    pub(super) fn layer(&self, held: &Held, digest: Digest) -> Option<Bytes> {
        self.read(&held.0)?;
        self.content(digest).map(Bytes::from)
    }

    /// Keeps a layer.
    pub(super) fn keep_layer(&self, held: &Held, digest: Digest, bytes: &[u8]) {
        if self.keep(digest, bytes) {
            self.write(&held.0, b"{}");
        }
    }

    /// How many bytes the folder takes.
    pub(super) fn bytes(&self) -> u64 {
        self.files().bytes
    }

    /// A content, hashed again: what changed on disk is taken away.
    fn content(&self, digest: Digest) -> Option<Vec<u8>> {
        let name = Path::new(CONTENTS).join(digest.hex());
        let bytes = self.read(&name)?;
        if Digest::of(&bytes) == digest {
            return Some(bytes);
        }
        tracing::warn!(%digest, "the cache on disk holds other bytes under this digest; they are deleted");
        let _ = fs::remove_file(self.root.join(&name));
        self.files().forget(&name);
        None
    }

    fn keep(&self, digest: Digest, bytes: &[u8]) -> bool {
        let name = Path::new(CONTENTS).join(digest.hex());
        self.files().touch(&name) || self.write(&name, bytes)
    }

    fn read(&self, name: &Path) -> Option<Vec<u8>> {
        if !self.files().touch(name) {
            return None;
        }
        fs::read(self.root.join(name)).inspect_err(|_| self.files().forget(name)).ok()
    }

    /// Whole or not at all: it is written beside and then renamed.
    fn write(&self, name: &Path, bytes: &[u8]) -> bool {
        let size = bytes.len() as u64;
        if size + OVERHEAD > self.budget {
            return false;
        }
        let path = self.root.join(name);
        let serial = {
            let mut files = self.files();
            files.clock += 1;
            files.clock
        };
        let beside = path.with_extension(format!("{serial}.part"));
        let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            tracing::warn!(error = &error as &dyn std::error::Error, "the cache on disk cannot be written");
            let _ = fs::remove_file(&beside);
            return false;
        }
        self.noted(name.to_owned(), size);
        true
    }

    fn noted(&self, name: PathBuf, bytes: u64) {
        let mut files = self.files();
        files.forget(&name);
        files.clock += 1;
        let used = files.clock;
        files.bytes += bytes + OVERHEAD;
        files.known.insert(name, File { bytes, used });
        while files.bytes > self.budget {
            let oldest = files.known.iter().min_by_key(|(_, file)| file.used).map(|(name, _)| name.clone());
            let Some(oldest) = oldest else { return };
            let _ = fs::remove_file(self.root.join(&oldest));
            files.forget(&oldest);
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn touch(&mut self, name: &Path) -> bool {
        self.clock += 1;
        let now = self.clock;
        self.known.get_mut(name).map(|file| file.used = now).is_some()
    }

    fn forget(&mut self, name: &Path) {
        if let Some(file) = self.known.remove(name) {
            self.bytes -= file.bytes + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::registries::PullSecret;

    fn place(repository: &str) -> Place {
        repository.parse::<sealift_verify::reference::Repository>().unwrap().into()
    }

    fn reference() -> Pinned {
        let repository: sealift_verify::reference::Repository = "registry.example/app".parse().unwrap();
        repository.pin(Digest::of(b"manifest"))
    }

    fn unverified() -> Unverified {
        let candidate = |content: Content| Candidate { referrer: Digest::of(b"referrer"), content };
        let legacy = SimpleSigning { payload: b"two".to_vec(), signature: "c2ln".into(), ..SimpleSigning::default() };
        Unverified {
            reference: reference(),
            transport: Some("mirror.example/app".into()),
            manifest: b"manifest".to_vec(),
            candidates: vec![candidate(Content::Bundle(b"one".to_vec())), candidate(Content::SimpleSigning(legacy))],
            skipped: vec![Skipped { referrer: Digest::of(b"junk"), reason: "an SBOM".into() }],
            truncated: false,
        }
    }

    fn held(secret: &PullSecret, tenant: &str) -> Held {
        let version = secret.version();
        Held::signatures(version.as_deref(), tenant, &place("mirror.example/app"), &reference(), Legacy::Included)
    }

    fn kept(disk: &Disk, held: &Held) -> Option<Unverified> {
        disk.signatures(held, &reference(), &place("mirror.example/app"))
    }

    #[test]
    fn what_was_kept_outlives_a_restart_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Disk::open(folder.path(), 1 << 20).unwrap();
        let (nobody, secret) = (PullSecret::default(), PullSecret::for_test("pull", "uid-7"));
        open().keep_signatures(&held(&secret, "apps"), &unverified());
        fs::write(folder.path().join("sha256/00.3.part"), "half").unwrap();
        let disk = open();
        assert_eq!(format!("{:?}", kept(&disk, &held(&secret, "apps")).unwrap()), format!("{:?}", unverified()));
        assert_eq!(fs::read_dir(folder.path().join("sha256")).unwrap().count(), 3, "what was half written is gone");
        for other in [
            held(&nobody, "apps"),
            held(&secret, "others"),
            held(&PullSecret::for_test("pull", "uid-8"), "apps"),
            held(&PullSecret::for_test("other", "uid-7"), "apps"),
        ] {
            assert!(kept(&disk, &other).is_none(), "{other:?}");
        }
        assert_eq!(held(&nobody, "apps"), held(&nobody, "others"), "what anybody gets is everybody's");
    }

    #[test]
    fn bytes_that_changed_on_disk_are_not_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), 1 << 20).unwrap();
        let (secret, digest) = (PullSecret::default(), Digest::of(b"layer"));
        let held = Held::layer(secret.version().as_deref(), "apps", &place("registry.example/app"), digest);
        disk.keep_layer(&held, digest, b"layer");
        assert_eq!(disk.layer(&held, digest).as_deref(), Some(&b"layer"[..]));
        let path = folder.path().join("sha256").join(digest.hex());
        fs::write(&path, "other").unwrap();
        assert_eq!((disk.layer(&held, digest), path.exists()), (None, false));
        disk.keep_layer(&held, digest, b"layer");
        assert!(disk.layer(&held, digest).is_some());
    }

    #[test]
    fn the_budget_holds_and_what_was_used_last_stays() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path(), 4 * (1000 + OVERHEAD)).unwrap();
        let contents: Vec<Vec<u8>> = (0..6_u8).map(|n| vec![n; 1000]).collect();
        for content in &contents {
            assert!(disk.keep(Digest::of(content), content));
            disk.content(Digest::of(&contents[0]));
            assert!(disk.bytes() <= 4 * (1000 + OVERHEAD));
        }
        let there: Vec<_> = contents.iter().map(|content| disk.content(Digest::of(content)).is_some()).collect();
        assert_eq!(there, [true, false, false, true, true, true]);
        assert_eq!(fs::read_dir(folder.path().join(CONTENTS)).unwrap().count(), 4);
        assert!(!disk.keep(Digest::of(b"huge"), &[0; 1 << 14]));
        let less = Disk::open(folder.path(), 2 * (1000 + OVERHEAD)).unwrap();
        assert_eq!((less.bytes(), less.files().known.len()), (2 * (1000 + OVERHEAD), 2));
    }
}
