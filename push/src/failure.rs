//! What a command fails with: the error, the exit code it means, and advice apart from the facts.

use std::error::Error;

use sealift_registry::{
    client::{ClientError, Outage, Refusal as GuardRefusal, SetupError},
    docker_config::DockerConfigError,
    identity::IdentitySetupError,
    store::Location,
};
use sealift_verify::refusal::Refusal;

use crate::{exit::Exit, output::OutputError};

/// An error on its way to the person, with what it means for scripts.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: Box<dyn Error + Send + Sync>,
    pub(crate) hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A request that is not about trust and not about reaching anything: the command line asks for the impossible.
pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, message.into())
}

/// A refusal as the person reads it: the stable word first.
#[derive(Debug, thiserror::Error)]
#[error("{}: {refusal}", refusal.reason())]
struct Refused {
    refusal: Refusal,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let exit = if refusal.is_undecided() { Exit::CouldNotCheck } else { Exit::Refused };
        let hint = refusal.hint();
        Self::new(exit, Refused { refusal }).hint(hint)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::NotFound { .. } => Exit::NotFound,
            ClientError::Identity { source, .. } if source.is_transient() => Exit::CouldNotCheck,
            ClientError::Unauthorized { .. } | ClientError::Forbidden { .. } | ClientError::Identity { .. } => {
                Exit::Credentials
            }
            ClientError::RateLimited { .. } | ClientError::Unreachable { .. } | ClientError::Contended { .. } => {
                Exit::CouldNotCheck
            }
            // Other bytes than were asked for, or endless ones, are what a verifier is there to refuse.
            ClientError::DigestMismatch { .. } | ClientError::TooLarge { .. } => Exit::Refused,
            ClientError::Unusable { .. } => Exit::InvalidInput,
            ClientError::Refused { .. } | ClientError::Protocol { .. } => Exit::Failed,
        };
        let hint = advice(&error);
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// What to try after a registry, or another place, said no.
fn advice(error: &ClientError) -> Option<String> {
    let host = &error.at().host;
    let is_registry = host.parse::<Location>().is_err();
    Some(match error {
        ClientError::NotFound { at, .. } if at.path.contains("/blobs/uploads/") => {
            format!(
                "make the repository {} at {host} first: not every registry makes one at the first push",
                at.repository
            )
        }
        ClientError::NotFound { .. } if is_registry => {
            "check repository and tag; list what is there with `sealift inspect oci://HOST/REPO`".to_owned()
        }
        ClientError::NotFound { .. } => {
            format!("check place and tag; list what is there with `sealift inspect {host}`")
        }
        ClientError::Unauthorized { .. } if is_registry => {
            format!(
                "log in with `sealift login {host}`, or with docker, podman, crane or oras: sealift reads their credentials"
            )
        }
        ClientError::Forbidden { .. } if is_registry => {
            format!("these credentials may not do this at {host}; ask for access, or use others")
        }
        ClientError::Unauthorized { .. } | ClientError::Forbidden { .. } if host.starts_with("s3://") => {
            "object storage is asked as whom AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a workload identity, say"
                .to_owned()
        }
        ClientError::RateLimited { .. } => "wait and try again, or log in for a higher limit".to_owned(),
        ClientError::Unreachable { outage, .. } => match outage.as_ref() {
            Outage::Network(_) => format!(
                "is the registry at {host} up, and the name right? A registry without TLS needs --plain-http, one with a private CA --ca-file"
            ),
            Outage::TimedOut | Outage::Status(_) => "nothing is wrong with the command: try again".to_owned(),
            Outage::Storage(_) if host.starts_with("s3://") => {
                "which storage is meant is said by AWS_ENDPOINT_URL and AWS_REGION".to_owned()
            }
            Outage::Storage(_) => return None,
        },
        ClientError::DigestMismatch { .. } => {
            "other bytes are there than were asked for: treat the place as compromised or broken".to_owned()
        }
        ClientError::Unusable { .. } => {
            "is it the right one, and whole? `sealift copy` brings it anew and reads back what it wrote".to_owned()
        }
        ClientError::Refused { refusal: GuardRefusal::PlainHttp, .. } => {
            "name the host with --plain-http if its network is trusted".to_owned()
        }
        ClientError::TooLarge { .. }
        | ClientError::Unauthorized { .. }
        | ClientError::Forbidden { .. }
        | ClientError::Identity { .. }
        | ClientError::Refused { .. }
        | ClientError::Protocol { .. }
        | ClientError::Contended { .. } => return None,
    })
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let exit = match &error {
            SetupError::Host(_) => Exit::Usage,
            SetupError::Certificates(_) | SetupError::Identity(_) | SetupError::Proxy(_) => Exit::InvalidInput,
            SetupError::Http(_) => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

impl From<IdentitySetupError> for Failure {
    fn from(error: IdentitySetupError) -> Self {
        Self::new(Exit::Credentials, error)
            .hint("the platform sets these variables where a workload has an identity; without one, leave out --registry-identity")
    }
}

impl From<DockerConfigError> for Failure {
    fn from(error: DockerConfigError) -> Self {
        let hint = match &error {
            DockerConfigError::Environment { .. } => {
                "set SEALIFT_REGISTRY=HOST and SEALIFT_REGISTRY_USER with SEALIFT_REGISTRY_PASSWORD, or SEALIFT_REGISTRY_TOKEN"
            }
            _ => "fix or remove the entry: sealift does not fall back to anonymous access",
        };
        Self::new(Exit::Credentials, error).hint(hint)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::new(Exit::Failed, error)
    }
}
