//! The TrustRoot document: what stands in a file before, and what is written.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sealift_verify::{policy::API_VERSION, sigstore::TRUST_ROOT_KIND};
use serde_json::json;

use crate::yaml;

/// Why a document cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("{} cannot be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{} is not TrustRoot {name} alone, and would be lost", path.display())]
    Other { path: PathBuf, name: String },
    #[error("the document cannot be written as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
}

/// What became of a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was none.
    Created,
    /// It was another one.
    Changed,
    /// It is the same; that it was fetched is new.
    Unchanged,
}

impl Outcome {
    pub(super) fn of(before: Option<&str>, now: &str) -> Self {
        match before {
            None => Self::Created,
            Some(before) if before == now => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The root in the file that would be replaced, if there is one.
pub(super) fn before(path: &Path, name: &str) -> Result<Option<String>, DocumentError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DocumentError::Unreadable { path: path.to_owned(), source: error.into() }),
    };
    let value = yaml::read(&text);
    let value = value.map_err(|source| DocumentError::Unreadable { path: path.to_owned(), source })?;
    let is_it = value["kind"] == TRUST_ROOT_KIND && value["metadata"]["name"] == name;
    match value["spec"]["trustedRoot"].as_str().filter(|_| is_it) {
        Some(root) => Ok(Some(root.to_owned())),
        None => Err(DocumentError::Other { path: path.to_owned(), name: name.to_owned() }),
    }
}

/// The document. It says when it was fetched, since a root ages though nobody changes it.
pub(super) fn write(name: &str, root: &str, fetched_at: Timestamp) -> Result<String, DocumentError> {
    let document = json!({
        "apiVersion": API_VERSION,
        "kind": TRUST_ROOT_KIND,
        "metadata": {"name": name},
        "spec": {"fetchedAt": fetched_at, "trustedRoot": root},
    });
    serde_saphyr::to_string(&document).map_err(DocumentError::Yaml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.yaml");
        assert_eq!(before(&path, "private").unwrap(), None);
        let root = "{\n  \"mediaType\": \"x: y # z\"\n}\n";
        let text = write("private", root, Timestamp::UNIX_EPOCH).unwrap();
        fs::write(&path, &text).unwrap();
        let read = before(&path, "private").unwrap();
        assert_eq!(read.as_deref(), Some(root), "{text}");
        assert_eq!(
            [None, Some("{}"), Some(root)].map(|before| Outcome::of(before, root).as_str()),
            ["created", "changed", "unchanged"]
        );
        assert!(matches!(before(&path, "other"), Err(DocumentError::Other { .. })));
        for text in ["kind: ConfigMap\n".to_owned(), format!("{text}---\n{text}"), "a: [".to_owned()] {
            fs::write(&path, &text).unwrap();
            assert!(before(&path, "private").is_err(), "{text}");
        }
    }
}
