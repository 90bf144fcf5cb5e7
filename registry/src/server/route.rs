//! Which endpoint a path names, with the repository name, tag and digest grammars of the specification.

use super::{content_digest::ContentDigest, error::RegistryError};

/// An endpoint of the distribution specification with its checked parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Blob { name: String, digest: ContentDigest },
    Uploads { name: String },
    Upload { name: String, id: String },
    Manifest { name: String, reference: Reference },
    Tags { name: String },
    Referrers { name: String, subject: ContentDigest },
}

/// What a manifest is asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(ContentDigest),
}

/// The longest repository name that is taken, as in other registries (host and name share 255 bytes there).
const NAME_LIMIT: usize = 255;

impl Route {
    /// Reads a request path. Keywords are found from the right, because a repository may well be called `a/blobs`.
    pub(super) fn parse(path: &str) -> Result<Self, RegistryError> {
        // Some clients escape the colon of a digest; nothing else in these paths may be escaped.
        let path = path.replace("%3A", ":").replace("%3a", ":");
        let Some(rest) = path.strip_prefix("/v2") else { return Err(RegistryError::NoRoute) };
        if rest.is_empty() || rest == "/" {
            return Ok(Self::Base);
        }
        let segments: Vec<&str> = rest.trim_start_matches('/').split('/').collect();
        match segments.as_slice() {
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                Ok(Self::Uploads { name: named(name)? })
            }
            [name @ .., "blobs", "uploads", id] => Ok(Self::Upload { name: named(name)?, id: (*id).to_owned() }),
            [name @ .., "blobs", digest] => Ok(Self::Blob { name: named(name)?, digest: digested(digest)? }),
            [name @ .., "manifests", reference] => {
                Ok(Self::Manifest { name: named(name)?, reference: Reference::parse(reference)? })
            }
            [name @ .., "tags", "list"] => Ok(Self::Tags { name: named(name)? }),
            [name @ .., "referrers", subject] => {
                Ok(Self::Referrers { name: named(name)?, subject: digested(subject)? })
            }
            _ => Err(RegistryError::NoRoute),
        }
    }

    /// The endpoint's word in counters: a closed set.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Blob { .. } => "blob",
            Self::Uploads { .. } => "uploads",
            Self::Upload { .. } => "upload",
            Self::Manifest { .. } => "manifest",
            Self::Tags { .. } => "tags",
            Self::Referrers { .. } => "referrers",
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl Reference {
    fn parse(text: &str) -> Result<Self, RegistryError> {
        if text.contains(':') {
            return digested(text).map(Self::Digest);
        }
        if is_tag(text) { Ok(Self::Tag(text.to_owned())) } else { Err(RegistryError::TagInvalid(text.to_owned())) }
    }
}

/// The digest in `text`, or the refusal a client gets for it.
pub(super) fn digested(text: &str) -> Result<ContentDigest, RegistryError> {
    ContentDigest::parse(text).ok_or_else(|| RegistryError::DigestInvalid(text.to_owned()))
}

fn named(segments: &[&str]) -> Result<String, RegistryError> {
    let name = segments.join("/");
    if is_name(&name) { Ok(name) } else { Err(RegistryError::NameInvalid(name)) }
}

/// Whether `name` is a repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, such components joined by `/`.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT && name.split('/').all(is_component)
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component
            .split(alphanumeric)
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
}

/// Whether `tag` is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub(super) fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_keywords_from_the_right() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let route = Route::parse(&format!("/v2/a/blobs/b/manifests/{digest}")).unwrap();
        let reference = Reference::Digest(ContentDigest::parse(&digest).unwrap());
        assert_eq!(route, Route::Manifest { name: "a/blobs/b".to_owned(), reference });
        assert_eq!(Route::parse("/v2/a/b/blobs/uploads/").unwrap(), Route::Uploads { name: "a/b".to_owned() });
        assert_eq!(Route::parse("/v2/").unwrap(), Route::Base);
    }

    #[test]
    fn knows_the_grammar_of_names_and_tags() {
        for name in ["a", "a/b", "a.b_c__d---e", "0/1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "/", "a//b", "A", "a..b", "a___b", "-a", "a-", "../a", "a/..", "a b"] {
            assert!(!is_name(name), "{name}");
        }
        for tag in ["v1", "_x", "1.2.3-rc.1", "latest"] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", ".a", "-a", "a/b", "a+b", &"a".repeat(129)] {
            assert!(!is_tag(tag), "{tag}");
        }
    }

    #[test]
    fn refuses_what_is_no_endpoint() {
        for path in ["/", "/v3/", "/v2/a", "/v2/manifests/x", "/v2/a/tags", "/v2/../etc/manifests/x"] {
            assert!(Route::parse(path).is_err(), "{path}");
        }
    }
}
