//! Image names as container runtimes read them.

use crate::{
    digest::{Digest, DigestError},
    reference::{Pinned, Repository, is_tag},
};

/// The registry of names that name none.
const DEFAULT_HOST: &str = "docker.io";

/// An image as a pod names it: `nginx`, `nginx:1.27`, `registry.example/app@sha256:…`, also with a tag before the digest,
/// which then decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    /// Where it lies, with the registry and folder that short names leave out.
    pub repository: Repository,
    /// The tag as it is written, if one is.
    pub tag: Option<String>,
    /// What it is, if the name says so.
    pub digest: Option<Digest>,
}

/// Why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageNameError {
    /// The part before tag and digest is no repository.
    #[error("the name is no repository")]
    Repository(#[source] crate::reference::ReferenceError),
    /// The part after the last colon is no tag.
    #[error("{0:?} is not a tag")]
    Tag(String),
    /// The part after `@` is not a digest.
    #[error("the part after @ cannot be used")]
    Digest(#[source] DigestError),
}

impl ImageName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ImageNameError`] if a runtime could not pull it either.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse().map_err(ImageNameError::Digest)?)),
            None => (text, None),
        };
        // A colon before the last slash is a port's.
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') => (before, Some(tag)),
            _ => (name, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageNameError::Tag(tag.to_owned()));
        }
        let full = match name.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => name.to_owned(),
            Some(_) => format!("{DEFAULT_HOST}/{name}"),
            None => format!("{DEFAULT_HOST}/library/{name}"),
        };
        let repository = full.parse().map_err(ImageNameError::Repository)?;
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }

    /// The image itself, if the name says which it is.
    pub fn pinned(&self) -> Option<Pinned> {
        self.digest.map(|digest| self.repository.pin(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn short_names_lie_where_runtimes_look_for_them() {
        for (text, repository) in [
            ("nginx", "docker.io/library/nginx"),
            ("nginx:1.27", "docker.io/library/nginx"),
            ("grafana/grafana", "docker.io/grafana/grafana"),
            ("localhost/app:dev", "localhost/app"),
            ("registry:5000/app", "registry:5000/app"),
            ("ghcr.io/a/b:1", "ghcr.io/a/b"),
        ] {
            let name = ImageName::parse(text).unwrap();
            assert_eq!((name.repository.to_string().as_str(), name.pinned()), (repository, None), "{text}");
            let pinned = ImageName::parse(&format!("{text}@{DIGEST}")).unwrap().pinned().unwrap();
            assert_eq!(pinned.to_string(), format!("{repository}@{DIGEST}"));
        }
    }

    #[test]
    fn what_no_runtime_could_pull_is_no_name() {
        let cases = [
            "",
            "UPPER",
            "a b",
            "a:b:c",
            "nginx:",
            "nginx@",
            "nginx@sha256:1",
            "nginx@md5:aa",
            "@sha256:1",
            "${IMAGE}",
            "-/x:y/z",
        ];
        for text in cases {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }
}
