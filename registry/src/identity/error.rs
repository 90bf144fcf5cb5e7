//! Why a cloud did not say who we are.

use std::{io, path::PathBuf};

use super::Provider;

/// Why there are no credentials by workload identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The environment lacks what the platform sets where such an identity is configured.
    #[error("an identity of {provider} needs {variable} in the environment")]
    Missing {
        /// The cloud.
        provider: Provider,
        /// What is missing.
        variable: &'static str,
    },
    /// A variable or file does not hold what it should.
    #[error("{what} cannot be used")]
    Unusable {
        /// What it is; never its content.
        what: String,
    },
    /// A token file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The service did not answer, or not in time.
    #[error("{service} cannot be reached")]
    Unreachable {
        /// Which service.
        service: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The guard forbids the request; nothing was sent.
    #[error("a request to {service} is refused")]
    Guarded {
        /// Which service.
        service: &'static str,
        /// Which rule it breaks.
        #[source]
        refusal: crate::client::Refusal,
    },
    /// The service said no.
    #[error("{service} answered {status}{}{said}", if said.is_empty() { "" } else { ": " })]
    Refused {
        /// Which service.
        service: &'static str,
        /// The HTTP status.
        status: u16,
        /// Its own words, cut to a line.
        said: String,
    },
    /// The answer holds no credentials that can be read.
    #[error("{service} answered without usable credentials")]
    Answer {
        /// Which service.
        service: &'static str,
    },
}

impl IdentityError {
    /// True if the same question may be answered later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => [408, 429].contains(status) || *status >= 500,
            Self::Missing { .. }
            | Self::Unusable { .. }
            | Self::File { .. }
            | Self::Guarded { .. }
            | Self::Answer { .. } => false,
        }
    }
}
