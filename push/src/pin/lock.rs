//! `images.lock`: which image each name meant when somebody looked. People commit it, so it holds no time and has one
//! order.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use sealift_verify::{
    digest::Digest,
    objects::{emit, images::Place},
};
use serde::{Deserialize, Serialize};

use super::written::{Written, pinned};
use crate::{exit::Exit, failure::Failure, yaml};

/// The file's name where nobody gave another.
pub(crate) const NAME: &str = "images.lock";
const SCHEMA: &str = "sealift.dev/images-lock/v1";
const HEAD: &str = "# Written by `sealift pin`; commit it. `sealift push` puts these digests into the manifests.\n";
/// A longer file is no lock.
const LARGEST: u64 = 8 << 20;

/// The images as they are written, and what each means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) images: BTreeMap<String, Digest>,
    /// Where custom resources name images outside of pods.
    pub(crate) places: Vec<Place>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    places: Vec<String>,
    images: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    image: String,
    pinned: String,
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{} is larger than the {LARGEST} bytes that a lock of images may have", .0.display())]
    TooLarge(PathBuf),
    #[error("{} is no lock of images", .0.display())]
    Parse(PathBuf, #[source] ParseError),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

/// Why a text is no lock.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("it is not YAML")]
    Yaml(#[source] yaml::YamlError),
    #[error("field {path} cannot be read")]
    Field {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("its schema is {0:?}, not {SCHEMA:?}")]
    Schema(String),
    #[error("{0} stands there twice")]
    Twice(String),
    #[error("{0:?} is no name with a tag that could be pinned")]
    Image(String),
    #[error("{image} is pinned to {pinned:?}, which is not {image}@ and a digest")]
    Pinned { image: String, pinned: String },
    #[error("a place cannot be used")]
    Place(#[source] sealift_verify::objects::images::PlaceError),
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let exit = match &error {
            LockError::Read(_, source) if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            LockError::Read(..) | LockError::TooLarge(_) | LockError::Parse(..) => Exit::InvalidInput,
            LockError::Write(..) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

/// Where the lock of manifests lies unless somebody says otherwise: in the first folder, or beside the first file.
pub(crate) fn beside(files: &[PathBuf]) -> Option<PathBuf> {
    let first = files.first().filter(|path| path.as_os_str() != "-")?;
    let folder = if first.is_dir() { first.as_path() } else { first.parent()? };
    Some(folder.join(NAME))
}

impl Lock {
    /// The lock at a path; `None` if nothing is there.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, LockError> {
        match Self::read(path) {
            Err(LockError::Read(_, error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, LockError> {
        let unreadable = |source| LockError::Read(path.to_owned(), source);
        if fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
            return Err(LockError::TooLarge(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|source| LockError::Parse(path.to_owned(), source))
    }

    fn parse(text: &str) -> Result<Self, ParseError> {
        let value = yaml::read(text).map_err(ParseError::Yaml)?;
        let document: Document = serde_path_to_error::deserialize(value)
            .map_err(|error| ParseError::Field { path: error.path().to_string(), source: error.into_inner() })?;
        let Document { schema, places, images: entries } = document;
        if schema != SCHEMA {
            return Err(ParseError::Schema(schema));
        }
        let places = places.iter().map(|place| place.parse()).collect::<Result<_, _>>().map_err(ParseError::Place)?;
        let mut images = BTreeMap::new();
        for Entry { image, pinned } in entries {
            if !matches!(Written::of(&image), Written::Tag(_)) {
                return Err(ParseError::Image(image));
            }
            let digest = pinned.strip_prefix(&image).and_then(|rest| rest.strip_prefix('@')?.parse().ok());
            let Some(digest) = digest else { return Err(ParseError::Pinned { image, pinned }) };
            if images.insert(image.clone(), digest).is_some() {
                return Err(ParseError::Twice(image));
            }
        }
        Ok(Self { images, places })
    }

    /// The lock as it is written; the same images give the same bytes.
    pub(crate) fn to_text(&self) -> String {
        let entry = |(image, digest): (&String, &Digest)| Entry { image: image.clone(), pinned: pinned(image, digest) };
        let document = Document {
            schema: SCHEMA.to_owned(),
            places: self.places.iter().map(ToString::to_string).collect(),
            images: self.images.iter().map(entry).collect(),
        };
        let value = serde_json::to_value(document).expect("texts and lists are JSON");
        format!("{HEAD}{}", emit::to_yaml(&value))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), LockError> {
        fs::write(path, self.to_text()).map_err(|source| LockError::Write(path.to_owned(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn lock() -> Lock {
        let images = ["nginx:1.27", "ghcr.io/acme/shop:2"].map(|image| (image.to_owned(), DIGEST.parse().unwrap()));
        let places = vec!["Prometheus.monitoring.coreos.com/spec/image".parse().unwrap()];
        Lock { images: images.into(), places }
    }

    #[test]
    fn the_file_is_sorted_and_reads_back_as_it_was() {
        let text = lock().to_text();
        assert_eq!(
            text,
            format!(
                "{HEAD}images:\n- image: \"ghcr.io/acme/shop:2\"\n  pinned: \"ghcr.io/acme/shop:2@{DIGEST}\"\n\
                 - image: \"nginx:1.27\"\n  pinned: \"nginx:1.27@{DIGEST}\"\n\
                 places:\n- Prometheus.monitoring.coreos.com/spec/image\nschema: sealift.dev/images-lock/v1\n"
            )
        );
        assert_eq!(Lock::parse(&text).unwrap(), lock());
    }

    #[test]
    fn what_contradicts_itself_or_is_something_else_is_no_lock() {
        let file = |images: &str| format!("schema: {SCHEMA}\nimages: {images}\n");
        for (text, wrong) in [
            ("".to_owned(), "field"),
            ("a: [".to_owned(), "YAML"),
            ("schema: other/v1\nimages: []\n".to_owned(), "schema"),
            (file("[]") + "more: 1\n", "field"),
            (file(&format!("[{{image: nginx, pinned: 'redis@{DIGEST}'}}]")), "is pinned to"),
            (file("[{image: nginx, pinned: 'nginx@sha256:1'}]"), "is pinned to"),
            (file(&format!("[{{image: 'nginx@{DIGEST}', pinned: 'nginx@{DIGEST}'}}]")), "no name with a tag"),
            (file(&format!("[{{image: 'A b', pinned: 'A b@{DIGEST}'}}]")), "no name with a tag"),
            (
                file(&format!(
                    "[{{image: nginx, pinned: 'nginx@{DIGEST}'}}, {{image: nginx, pinned: 'nginx@{DIGEST}'}}]"
                )),
                "twice",
            ),
        ] {
            let error = Lock::parse(&text).unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn lies_in_the_first_folder_or_beside_the_first_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "").unwrap();
        let expected = folder.path().join(NAME);
        assert_eq!(beside(&[folder.path().to_owned(), "-".into()]), Some(expected.clone()));
        assert_eq!(beside(&[file]), Some(expected));
        assert_eq!(beside(&["a.yaml".into()]), Some(NAME.into()));
        assert_eq!(beside(&["-".into(), folder.path().to_owned()]), None);
    }
}
