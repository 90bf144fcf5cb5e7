//! Where one Delivery's artifacts are fetched, as whom, and what may go wrong there. *registry*

use std::sync::Arc;

use sealift_registry::{
    client::{ClientError, Credentials, SetupError},
    fetch::Legacy,
    store::{Place, Store},
    versions::RangeError,
};
use sealift_verify::reference::Repository;

use super::{
    registries::{PullSecret, PullSecretError, Registries, Who},
    tags::Tags,
};
use crate::metrics::Metrics;

/// Where to fetch one logical repository.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository,
    /// Best first; never empty.
    pub(super) places: Vec<Place>,
    pub(super) secret: PullSecret,
    pub(super) registries: &'a Registries,
    /// Whether a policy lets signatures of the `.sig` scheme count.
    pub(super) legacy: Legacy,
    /// The namespace whose pull secret it is.
    pub(super) tenant: &'a str,
    /// Who knows which repositories are silent.
    pub(super) tags: &'a Arc<Tags>,
    pub(super) metrics: &'a Metrics,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A registry refused, failed or did not answer.
    #[error("{error}")]
    Client {
        /// Why there is no answer; shared by all who asked.
        #[source]
        error: Arc<ClientError>,
        /// The question is asked again without the Delivery, which is woken once the answer is another.
        followed: bool,
    },
    /// An artifact did not arrive in time.
    #[error("{place} was not fetched within {seconds} seconds")]
    TooSlow {
        /// Where it was fetched.
        place: Place,
        /// The limit.
        seconds: u64,
    },
    /// No client could be made for the host.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The range cannot be read.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// No tag is a version in the range.
    #[error("none of {tags} tags is a version in the range {range:?}")]
    NoVersion {
        /// The range.
        range: String,
        /// How many tags there are.
        tags: usize,
    },
    /// The pull secret cannot be used for the host.
    #[error(transparent)]
    PullSecret(#[from] PullSecretError),
    /// There is no place to look.
    #[error("there is no place to fetch it from")]
    Nowhere,
}

impl From<ClientError> for SourceError {
    fn from(error: ClientError) -> Self {
        Self::Client { error: Arc::new(error), followed: false }
    }
}

impl Source<'_> {
    /// What lies at a place, asked with what we have for it.
    pub(super) fn client(&self, place: &Place) -> Result<Arc<Store>, SourceError> {
        self.registries.store(place, self.credentials(place)?)
    }

    /// What the pull secret has for a registry; where that is nothing, who the platform says that we are there. Folders and
    /// buckets are the platform's, which named them.
    fn credentials(&self, place: &Place) -> Result<Credentials, SourceError> {
        if !place.location.is_registry() {
            return Ok(Credentials::Anonymous);
        }
        let credentials = self.secret.credentials(&place.repository)?;
        let identity = credentials.is_anonymous().then(|| self.registries.identity(&place.repository)).flatten();
        Ok(identity.map_or(credentials, Credentials::Workload))
    }

    /// What tells what is kept on disk for a place from what is kept for others there; `None` for what anybody gets.
    pub(super) fn version(&self, place: &Place) -> Option<String> {
        let identity = place.location.is_registry().then(|| self.registries.identity(&place.repository)).flatten();
        let identity = identity.map(|identity| format!("identity {}", identity.mark()));
        let parts: Vec<String> = self.secret.version().into_iter().chain(identity).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// As whom a place is asked: answers are shared with nobody else.
    pub(super) fn who(&self, place: &Place) -> Result<Who, SourceError> {
        let credentials = self.credentials(place)?;
        let tenant = (!credentials.is_anonymous()).then(|| self.tenant.to_owned());
        Ok(Who { fingerprint: credentials.fingerprint(), tenant })
    }
}

/// Counts an answer of a registry.
pub(super) fn count_request<T>(metrics: &Metrics, answer: &Result<T, ClientError>) {
    metrics.requested(match answer {
        Ok(_) => "ok",
        Err(ClientError::NotFound { .. }) => "not_found",
        Err(ClientError::Unauthorized { .. } | ClientError::Forbidden { .. }) => "unauthorized",
        Err(ClientError::Identity { .. }) => "identity",
        Err(ClientError::RateLimited { .. }) => "rate_limited",
        Err(ClientError::Unreachable { .. } | ClientError::Contended { .. }) => "unreachable",
        Err(ClientError::Refused { .. }) => "not_allowed",
        Err(
            ClientError::TooLarge { .. }
            | ClientError::DigestMismatch { .. }
            | ClientError::Unusable { .. }
            | ClientError::Protocol { .. },
        ) => "unusable",
    });
}
