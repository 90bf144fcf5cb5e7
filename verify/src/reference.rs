//! Names of artifacts: repository, tag, digest. A [`Pinned`] exists only with a digest.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, DigestError};

/// A logical repository: registry host (with port, if any) and path, written `host/path` without a scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Repository {
    host: String,
    path: String,
}

/// A repository with a tag, a digest, both or neither: what a person types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where the artifact is said to live.
    pub repository: Repository,
    /// A pointer that anyone with write access to the registry can move; never an input to trust.
    pub tag: Option<String>,
    /// The content itself.
    pub digest: Option<Digest>,
}

/// A repository and the digest of a manifest in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pinned {
    /// The logical repository.
    pub repository: Repository,
    /// The digest of the manifest.
    pub digest: Digest,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No `/` between host and path, or one of the two is empty.
    #[error("{0:?} is not of the form HOST/REPOSITORY")]
    NoPath(String),
    /// The host is neither a domain name nor an address, or its port is not a number.
    #[error("{0:?} is not a registry host")]
    Host(String),
    /// The path breaks the grammar of the OCI distribution specification.
    #[error("{0:?} is not a repository path (lower-case letters, digits and . _ - / are allowed)")]
    Path(String),
    /// The tag breaks the grammar of the OCI distribution specification.
    #[error("{0:?} is not a tag")]
    Tag(String),
    /// The part after `@` is not a digest.
    #[error("the part after @ cannot be used")]
    Digest(#[source] DigestError),
    /// A scheme other than `oci://`.
    #[error("{0:?} has a scheme other than oci://")]
    Scheme(String),
}

impl Repository {
    /// The registry's host, with its port if one is named.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's path inside the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What repositories below `text`, a host or a host and a path, begin with, spelled as they are; `None` if there can be
    /// none.
    pub fn prefix(text: &str) -> Option<String> {
        // A host alone is a prefix too, so a path is added to see whether the rest is a repository.
        let below: Self = format!("{text}/x").parse().ok()?;
        below.to_string().strip_suffix("/x").map(str::to_owned)
    }

    /// True if the host is the loopback interface, which plain HTTP cannot leave.
    pub fn is_loopback(&self) -> bool {
        let name = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.split(':').next().unwrap_or_default(),
        };
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// This repository at `digest`.
    pub fn pin(&self, digest: Digest) -> Pinned {
        Pinned { repository: self.clone(), digest }
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            return address.parse::<std::net::Ipv6Addr>().is_ok()
                && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` per component, from the OCI distribution specification.
fn is_path(path: &str) -> bool {
    let component = |component: &str| {
        let mut separator = String::new();
        let mut last_is_separator = true;
        for c in component.chars() {
            match c {
                'a'..='z' | '0'..='9' => {
                    let fine = separator.chars().all(|c| c == '-') || [".", "_", "__"].contains(&separator.as_str());
                    if !fine {
                        return false;
                    }
                    separator.clear();
                    last_is_separator = false;
                }
                '.' | '_' | '-' if !(last_is_separator && separator.is_empty()) => {
                    separator.push(c);
                    last_is_separator = true;
                }
                _ => return false,
            }
        }
        !last_is_separator
    };
    path.len() <= 255 && path.split('/').all(component)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, from the OCI distribution specification.
pub fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.len() <= 128 && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bare = text.strip_prefix("oci://").unwrap_or(text);
        if bare.contains("://") {
            return Err(ReferenceError::Scheme(text.to_owned()));
        }
        let (host, path) = bare.split_once('/').ok_or_else(|| ReferenceError::NoPath(text.to_owned()))?;
        if host.is_empty() || path.is_empty() {
            return Err(ReferenceError::NoPath(text.to_owned()));
        }
        if !is_host(host) {
            return Err(ReferenceError::Host(host.to_owned()));
        }
        if !is_path(path) {
            return Err(ReferenceError::Path(path.to_owned()));
        }
        Ok(Self { host: host.to_ascii_lowercase(), path: path.to_owned() })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl From<Repository> for String {
    fn from(repository: Repository) -> Self {
        repository.to_string()
    }
}

impl TryFrom<String> for Repository {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl schemars::JsonSchema for Repository {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Repository".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "minLength": 3, "maxLength": 512})
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(ReferenceError::Digest)?)),
            None => (text, None),
        };
        // A colon after the last slash separates the tag; one before it belongs to the host's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Tag(tag.to_owned()));
        }
        Ok(Self { repository: name.parse()?, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_port_path_tag_and_digest_apart() {
        let digest = Digest::of(b"x");
        let full: Reference = format!("oci://registry.example:5000/acme/shop:v1@{digest}").parse().unwrap();
        assert_eq!(full.repository.host(), "registry.example:5000");
        assert_eq!(full.repository.path(), "acme/shop");
        assert_eq!(full.tag.as_deref(), Some("v1"));
        assert_eq!(full.digest, Some(digest));
        let bare: Reference = "localhost:5000/app".parse().unwrap();
        assert_eq!((bare.tag, bare.digest), (None, None));
    }

    #[test]
    fn refuses_names_outside_the_grammar() {
        for text in [
            "",
            "app",
            "/app",
            "host/",
            "http://host/app",
            "host/App",
            "host/a..b",
            "host/a//b",
            "host/-a",
            "ho st/a",
            "host/a:",
            "host/a:-x",
            "host:port/a",
            "host/a@sha256:00",
            "host/a@",
            "user@host/a",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        for text in ["host/a__b", "host/a--b", "h.ost/a.b/c-d_e", "[::1]:5000/a", "127.0.0.1:5000/a"] {
            assert!(text.parse::<Reference>().is_ok(), "{text}");
        }
    }

    #[test]
    fn knows_loopback_hosts() {
        let loopback = |text: &str| text.parse::<Repository>().unwrap().is_loopback();
        assert!(loopback("localhost:5000/a") && loopback("127.0.0.1/a") && loopback("[::1]:5000/a"));
        assert!(!loopback("localhost.example/a") && !loopback("127.0.0.1.example/a"));
    }
}
