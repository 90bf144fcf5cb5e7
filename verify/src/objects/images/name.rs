//! Image names as container runtimes read them.

use crate::{
    digest::{Digest, DigestError},
    reference::{Pinned, Repository, is_tag},
};

/// The registry of names that name none, what it was called once, and the folder of its names of one word.
const DEFAULT_HOST: &str = "docker.io";
const FORMER_HOST: &str = "index.docker.io";
const DEFAULT_FOLDER: &str = "library";

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
    /// What a runtime takes for the id of an image that lies on its node, whatever that is.
    #[error("it is an image's id, and no name")]
    Id,
}

impl ImageName {
    /// Reads a name.
    ///
    /// # Errors
    /// [`ImageNameError`] if a runtime could not pull it either.
    pub fn parse(text: &str) -> Result<Self, ImageNameError> {
        if is_id(text) {
            return Err(ImageNameError::Id);
        }
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
        let repository = in_full(name).parse().map_err(ImageNameError::Repository)?;
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }

    /// The image itself, if the name says which it is.
    pub fn pinned(&self) -> Option<Pinned> {
        self.digest.map(|digest| self.repository.pin(digest))
    }
}

/// The repository with everything that may be left out, so that no two spellings of one are held against a policy. The
/// first word is a host if it has a dot, a colon or a capital letter, or is `localhost`.
fn in_full(name: &str) -> String {
    let is_host = |word: &str| {
        word.contains(['.', ':']) || word == "localhost" || word.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    let (host, path) = name.split_once('/').filter(|(first, _)| is_host(first)).unwrap_or((DEFAULT_HOST, name));
    let is_default = [DEFAULT_HOST, FORMER_HOST].contains(&host.to_ascii_lowercase().as_str());
    match (is_default, path.contains('/')) {
        (true, false) => format!("{DEFAULT_HOST}/{DEFAULT_FOLDER}/{path}"),
        (true, true) => format!("{DEFAULT_HOST}/{path}"),
        // No scheme stands in an image's name, and a reference may have one.
        (false, _) if path.starts_with('/') => String::new(),
        (false, _) => format!("{host}/{path}"),
    }
}

/// `sha256:` and 64 digits, or the digits alone.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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
            // Runtimes pull all of these from where the shortest lies.
            ("docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/nginx", "docker.io/library/nginx"),
            ("index.docker.io/grafana/grafana:1", "docker.io/grafana/grafana"),
            ("Docker.io/library/nginx", "docker.io/library/nginx"),
            ("HUB/app", "hub/app"),
            ("Registry.Example:5000/a/b", "registry.example:5000/a/b"),
            ("[::1]:5000/app:1", "[::1]:5000/app"),
            ("registry:5000", "docker.io/library/registry"),
            ("localhost", "docker.io/library/localhost"),
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
            "oci://registry.example/app",
            "docker://nginx",
            "docker.io/",
            "docker.io//nginx",
            " nginx",
            "nginx ",
            "a/Upper",
            "nginx@sha256:44136FA355B3678A1146AD16F7E8649E94FB4FC21FE77E8310C060F61CAAFF8A",
            "nginx@@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        ];
        for text in cases {
            assert!(ImageName::parse(text).is_err(), "{text}");
        }
    }

    /// A container runtime runs whatever has this id on the node, and asks no registry.
    #[test]
    fn an_image_by_its_id_has_no_name() {
        for text in [DIGEST, DIGEST.trim_start_matches("sha256:")] {
            assert_eq!(ImageName::parse(text), Err(ImageNameError::Id), "{text}");
        }
        assert!(ImageName::parse(&format!("sha256:{}", "1".repeat(63))).is_ok(), "a tag of a strange name");
    }
}
