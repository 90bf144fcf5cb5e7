//! Where content lies, and which repository it is read as.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use sealift_verify::{
    digest::{Digest, DigestError},
    reference::{Reference, ReferenceError, Repository, is_tag},
};

const FOLDER: &str = "oci-layout:";
const ARCHIVE: &str = "oci-archive:";
const BUCKET: &str = "s3://";
const TAR: &str = ".tar";
/// Longest name of a bucket, by the rules of Amazon S3.
const LONGEST_BUCKET: usize = 63;
/// Longest key of an object in S3, less what a layout appends to its prefix.
const LONGEST_PREFIX: usize = 1024 - 96;

/// Where the bytes of one repository lie. Trust does not depend on it: everything is hashed when it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A repository of a registry.
    Registry(Repository),
    /// An OCI image layout in a folder, `oci-layout:PATH`.
    Folder(PathBuf),
    /// An OCI image layout in a tar file, `oci-archive:PATH` or a path that ends in `.tar`.
    Archive(PathBuf),
    /// An OCI image layout in object storage, `s3://BUCKET/PREFIX`.
    Bucket {
        /// The bucket.
        bucket: String,
        /// What all keys begin with, without slashes at its ends; may be empty.
        prefix: String,
    },
}

/// A location with the name that its content is read as. A layout has none of its own: whoever reads it says which
/// repository it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where the bytes are.
    pub location: Location,
    /// What they are asked for as: a registry's own repository, or the one a layout is read as.
    pub repository: Repository,
}

/// A location with a tag, a digest, both or neither: what a person types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where.
    pub location: Location,
    /// A pointer that whoever can write there can move; never an input to trust.
    pub tag: Option<String>,
    /// The content itself.
    pub digest: Option<Digest>,
}

/// Why a text names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is meant as a reference to a registry, and is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no path.
    #[error("{0:?} names no folder or file")]
    Path(String),
    /// The bucket breaks the rules for buckets.
    #[error("{0:?} is not of the form s3://BUCKET/PREFIX")]
    Bucket(String),
    /// The part after `@` is not a digest.
    #[error("the part after @ cannot be used")]
    Digest(#[source] DigestError),
}

impl Location {
    /// The location below this one at `rest`, which begins with a slash or is empty; `None` if there can be none.
    pub fn below(&self, rest: &str) -> Option<Self> {
        let rest = rest.trim_start_matches('/');
        // What is appended is the end of a repository's name, whose grammar has no `..` and no empty parts.
        Some(match self {
            Self::Registry(repository) if rest.is_empty() => Self::Registry(repository.clone()),
            Self::Registry(repository) => Self::Registry(format!("{repository}/{rest}").parse().ok()?),
            Self::Folder(path) if rest.is_empty() => Self::Folder(path.clone()),
            Self::Folder(path) => Self::Folder(path.join(rest)),
            Self::Archive(path) if rest.is_empty() => Self::Archive(path.clone()),
            Self::Archive(_) => return None,
            Self::Bucket { bucket, prefix } => {
                let parts = [prefix.as_str(), rest].into_iter().filter(|part| !part.is_empty());
                Self::Bucket { bucket: bucket.clone(), prefix: parts.collect::<Vec<_>>().join("/") }
            }
        })
    }

    /// True if this is a registry, whose repositories have names of their own.
    pub fn is_registry(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    /// The place that this is, read as `logical` where it has no name of its own; `None` if nobody says.
    pub fn read_as(&self, logical: Option<&Repository>) -> Option<Place> {
        let repository = match self {
            Self::Registry(repository) => repository,
            Self::Folder(_) | Self::Archive(_) | Self::Bucket { .. } => logical?,
        };
        Some(Place { location: self.clone(), repository: repository.clone() })
    }

    /// One manifest here, as a person would name it.
    pub fn at(&self, digest: &Digest) -> String {
        format!("{self}@{digest}")
    }

    /// The location and what follows it, a tag and a digest.
    fn split(text: &str) -> Result<(&str, Option<String>, Option<Digest>), AddressError> {
        let (rest, digest) = match text.rsplit_once('@') {
            // A path may hold an @, a digest no slash.
            Some((rest, digest)) if !digest.contains('/') => {
                (rest, Some(digest.parse().map_err(AddressError::Digest)?))
            }
            _ => (text, None),
        };
        match rest.rsplit_once(':') {
            Some((name, tag)) if is_tag(tag) => Ok((name, Some(tag.to_owned()), digest)),
            _ => Ok((rest, None, digest)),
        }
    }
}

fn bucket(text: &str) -> Option<Location> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    let prefix = prefix.trim_matches('/');
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_bucket = (3..=LONGEST_BUCKET).contains(&bucket.len())
        && bucket.bytes().all(fine)
        && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
        && bucket.ends_with(|c: char| c.is_ascii_alphanumeric());
    let part = |part: &str| !["", ".", ".."].contains(&part) && !part.chars().any(char::is_control);
    let is_prefix = prefix.is_empty() || (prefix.len() <= LONGEST_PREFIX && prefix.split('/').all(part));
    (is_bucket && is_prefix).then(|| Location::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

/// True for what is meant as the path of a file, although nothing says so but its end.
fn is_archive(text: &str) -> bool {
    text.ends_with(TAR) && !text.contains("://")
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (rest, scheme) = match [FOLDER, ARCHIVE, BUCKET].into_iter().find(|scheme| text.starts_with(scheme)) {
            Some(scheme) => (&text[scheme.len()..], scheme),
            None => (text, ""),
        };
        // Told by the end of the path alone, so a tag or digest has to be taken off first.
        let (name, tag, digest) = match (scheme, Location::split(rest)) {
            ("", Ok((name, ..))) if !is_archive(name) => (name, None, None),
            ("", Err(_)) => ("", None, None),
            (_, split) => split?,
        };
        let location = match scheme {
            // What is shown of a place is one line, here and in files that CI systems read.
            _ if name.contains(char::is_control) => return Err(AddressError::Path(text.to_owned())),
            _ if scheme != BUCKET && !scheme.is_empty() && name.is_empty() => {
                return Err(AddressError::Path(text.to_owned()));
            }
            FOLDER if !is_archive(name) => Location::Folder(PathBuf::from(name)),
            BUCKET => bucket(name).ok_or_else(|| AddressError::Bucket(text.to_owned()))?,
            "" if !is_archive(name) => {
                let Reference { repository, tag, digest } = text.parse()?;
                return Ok(Self { location: Location::Registry(repository), tag, digest });
            }
            _ => Location::Archive(PathBuf::from(name)),
        };
        Ok(Self { location, tag, digest })
    }
}

impl From<Reference> for Address {
    fn from(reference: Reference) -> Self {
        let Reference { repository, tag, digest } = reference;
        Self { location: Location::Registry(repository), tag, digest }
    }
}

impl FromStr for Location {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Address { location, tag, digest } = text.parse()?;
        match (tag, digest) {
            (None, None) => Ok(location),
            _ => Err(AddressError::Path(text.to_owned())),
        }
    }
}

fn shown(path: &Path) -> impl fmt::Display {
    path.display()
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Without the scheme it would be taken for a file.
            Self::Registry(repository) if repository.path().ends_with(TAR) => write!(f, "oci://{repository}"),
            Self::Registry(repository) => repository.fmt(f),
            Self::Folder(path) => write!(f, "{FOLDER}{}", shown(path)),
            Self::Archive(path) => write!(f, "{ARCHIVE}{}", shown(path)),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "{BUCKET}{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "{BUCKET}{bucket}/{prefix}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

impl From<Repository> for Place {
    fn from(repository: Repository) -> Self {
        Self { location: Location::Registry(repository.clone()), repository }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_an_address() {
        let digest = Digest::of(b"x");
        let repository = |text: &str| Location::Registry(text.parse().unwrap());
        let bucket = |bucket: &str, prefix: &str| Location::Bucket { bucket: bucket.into(), prefix: prefix.into() };
        let cases = [
            ("oci://h.example/a/b:v1".to_owned(), repository("h.example/a/b"), Some("v1"), None),
            ("h.example:5000/a/b".to_owned(), repository("h.example:5000/a/b"), None, None),
            (format!("h.example/a@{digest}"), repository("h.example/a"), None, Some(digest)),
            ("oci-layout:./out".to_owned(), Location::Folder("./out".into()), None, None),
            ("oci-layout:/srv/oci:prod".to_owned(), Location::Folder("/srv/oci".into()), Some("prod"), None),
            (format!("oci-layout:/a@b/c@{digest}"), Location::Folder("/a@b/c".into()), None, Some(digest)),
            (format!("oci-layout:x:v1@{digest}"), Location::Folder("x".into()), Some("v1"), Some(digest)),
            ("oci-layout:x.tar:v1".to_owned(), Location::Archive("x.tar".into()), Some("v1"), None),
            ("oci-archive:x:v1".to_owned(), Location::Archive("x".into()), Some("v1"), None),
            ("shop.tar".to_owned(), Location::Archive("shop.tar".into()), None, None),
            ("/mnt/usb/shop.tar:prod".to_owned(), Location::Archive("/mnt/usb/shop.tar".into()), Some("prod"), None),
            (format!("shop.tar@{digest}"), Location::Archive("shop.tar".into()), None, Some(digest)),
            ("oci://h.example/shop.tar".to_owned(), repository("h.example/shop.tar"), None, None),
            ("s3://releases/shop/:prod".to_owned(), bucket("releases", "shop"), Some("prod"), None),
            ("s3://releases".to_owned(), bucket("releases", ""), None, None),
        ];
        for (text, location, tag, found) in cases {
            let address: Address = text.parse().unwrap();
            assert_eq!((&address.location, address.tag.as_deref(), address.digest), (&location, tag, found), "{text}");
            assert_eq!(address.to_string().parse::<Address>().unwrap(), address, "{text} is read as it is shown");
        }
    }

    #[test]
    fn refuses_what_names_no_place() {
        for text in [
            "",
            "oci-layout:",
            "oci-archive:",
            "s3://",
            "s3://A/x",
            "s3://releases/a//b",
            "s3://releases/../x",
            "oci-layout:x@sha256:12",
            "oci-layout:x\nSEALIFT_VERSION=9",
            "x\ny.tar",
            "http://h/a",
            "shop",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_appended_to_a_location_stays_below_it() {
        let below =
            |text: &str, rest: &str| text.parse::<Location>().unwrap().below(rest).map(|location| location.to_string());
        assert_eq!(below("s3://releases/a", "/team/app").as_deref(), Some("s3://releases/a/team/app"));
        assert_eq!(below("s3://releases", "/app").as_deref(), Some("s3://releases/app"));
        assert_eq!(below("oci-layout:/srv", "/app").as_deref(), Some("oci-layout:/srv/app"));
        assert_eq!(below("oci-archive:/srv/a.tar", "").as_deref(), Some("oci-archive:/srv/a.tar"));
        assert_eq!(below("oci-archive:/srv/a.tar", "/app"), None, "one file is one repository");
        assert_eq!(below("edge:5000/mirror", "/app").as_deref(), Some("edge:5000/mirror/app"));
    }
}
