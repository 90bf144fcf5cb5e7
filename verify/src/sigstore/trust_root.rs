//! Whom Sigstore signatures are trusted by: certificate authorities, logs and timestamp authorities, with their times.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use jiff::Timestamp;
use sigstore_trust_root::{SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot};
use sigstore_verify::Verifier;

use crate::digest::Digest;

/// The name of the built-in root of the public-good Sigstore instance, and of a root that replaces it.
pub const PUBLIC_GOOD: &str = "public-good";

/// The day that the library was published which brings the built-in root, and refreshed it: 2026-10-23.
pub const BUILT_IN_SINCE: Timestamp = Timestamp::constant(1_792_713_600, 0);

/// A `trusted_root.json` ready to verify with.
#[derive(Clone)]
pub struct TrustRoot {
    digest: Digest,
    pub(super) verifier: Arc<Verifier>,
}

/// Why a text is not a usable trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustRootError {
    /// Not a `trusted_root.json`.
    #[error("not a Sigstore trusted root")]
    Parse(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A key or certificate in it cannot be used.
    #[error("the trusted root holds a key or certificate that cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It trusts nobody.
    #[error("the trusted root names neither a certificate authority nor a log nor a timestamp authority")]
    Empty,
}

impl TrustRoot {
    /// Reads a `trusted_root.json`, as `cosign trusted-root create` writes it and TUF distributes it.
    ///
    /// # Errors
    /// [`TrustRootError`]; one key that cannot be used makes the whole root unusable.
    pub fn from_json(text: &str) -> Result<Self, TrustRootError> {
        let root = TrustedRoot::from_json(text).map_err(|error| TrustRootError::Parse(Box::new(error)))?;
        if root.certificate_authorities.is_empty() && root.tlogs.is_empty() && root.timestamp_authorities.is_empty() {
            return Err(TrustRootError::Empty);
        }
        let verifier = Verifier::new(&root).map_err(|error| TrustRootError::Unusable(Box::new(error)))?;
        Ok(Self { digest: Digest::of(text.as_bytes()), verifier: Arc::new(verifier) })
    }

    /// The root of the public-good instance as this version was built with. It ages: where Sigstore rotates a key, a
    /// `TrustRoot` named `public-good` takes its place.
    pub fn public_good() -> Self {
        static ROOT: LazyLock<TrustRoot> = LazyLock::new(|| {
            TrustRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT).expect("a test reads the built-in root")
        });
        ROOT.clone()
    }

    /// SHA-256 of the text it was read from: what evidence records.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// Equal roots were read from equal texts.
impl PartialEq for TrustRoot {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl std::fmt::Debug for TrustRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TrustRoot({})", self.digest)
    }
}

/// The trust roots there are, by the name that policies use.
#[derive(Clone, Debug, PartialEq)]
pub struct TrustRoots(BTreeMap<String, Result<TrustRoot, String>>);

/// A policy names a trust root that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTrustRoot {
    /// There is none of this name.
    #[error("there is no trust root {0:?}")]
    Missing(String),
    /// There is one, but it cannot be used.
    #[error("trust root {name:?} cannot be used: {problem}")]
    Unusable {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
}

impl TrustRoots {
    /// The built-in root only.
    pub fn built_in() -> &'static Self {
        static ROOTS: LazyLock<TrustRoots> = LazyLock::new(TrustRoots::default);
        &ROOTS
    }

    /// Adds a root, or why it cannot be used; one of the name of an older one takes its place. A broken root is kept
    /// under its name, so that nothing falls back to another in silence.
    pub fn insert(&mut self, name: String, root: Result<TrustRoot, String>) {
        self.0.insert(name, root);
    }

    /// Those that cannot be used, with why.
    pub fn unusable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, root)| Some((name.as_str(), root.as_ref().err()?.as_str())))
    }

    /// The root of this name.
    ///
    /// # Errors
    /// [`UnknownTrustRoot`] if there is none, or it cannot be used.
    pub fn get(&self, name: &str) -> Result<&TrustRoot, UnknownTrustRoot> {
        match self.0.get(name) {
            Some(Ok(root)) => Ok(root),
            Some(Err(problem)) => Err(UnknownTrustRoot::Unusable { name: name.to_owned(), problem: problem.clone() }),
            None => Err(UnknownTrustRoot::Missing(name.to_owned())),
        }
    }
}

/// With the built-in root.
impl Default for TrustRoots {
    fn default() -> Self {
        Self(BTreeMap::from([(PUBLIC_GOOD.to_owned(), Ok(TrustRoot::public_good()))]))
    }
}
