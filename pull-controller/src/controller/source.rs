//! Where one Delivery's artifacts are fetched, as whom, and what may go wrong there. *registry*

use std::sync::Arc;

use sealift_registry::{
    client::{Client, ClientError, SetupError},
    fetch::Legacy,
};
use sealift_verify::reference::Repository;

use super::{
    registries::{PullSecret, PullSecretError, Registries},
    versions::RangeError,
};
use crate::metrics::Metrics;

/// Where to fetch one logical repository.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) repository: &'a Repository,
    /// Best first; never empty.
    pub(super) places: Vec<Repository>,
    pub(super) secret: PullSecret,
    pub(super) registries: &'a Registries,
    /// Whether a policy lets signatures of the `.sig` scheme count.
    pub(super) legacy: Legacy,
    pub(super) metrics: &'a Metrics,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A registry refused, failed or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
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

impl Source<'_> {
    /// The client for a place, with the credentials that the pull secret has for it.
    pub(super) fn client(&self, place: &Repository) -> Result<Arc<Client>, SourceError> {
        let credentials = self.secret.credentials(place)?;
        Ok(self.registries.client(place, credentials)?)
    }

    /// Counts the answer.
    pub(super) fn counted<T>(&self, answer: Result<T, ClientError>) -> Result<T, ClientError> {
        self.metrics.requested(match &answer {
            Ok(_) => "ok",
            Err(ClientError::NotFound { .. }) => "not_found",
            Err(ClientError::Unauthorized { .. } | ClientError::Forbidden { .. }) => "unauthorized",
            Err(ClientError::RateLimited { .. }) => "rate_limited",
            Err(ClientError::Unreachable { .. } | ClientError::Contended { .. }) => "unreachable",
            Err(ClientError::Refused { .. }) => "not_allowed",
            Err(ClientError::TooLarge { .. } | ClientError::DigestMismatch { .. } | ClientError::Protocol { .. }) => {
                "unusable"
            }
        });
        answer
    }
}
