//! Writing: blobs through `oci_distribution`, manifests by ourselves.
//!
//! One upload gets one `oci_distribution` client, because that one keeps the first credentials it sees. It gets a
//! token, or the user name for a registry that asked for Basic; so it never follows a token service's address.
//! The registry alone decides where an upload session lives: bytes that are about to be public there are sent to the
//! place it names, without credentials if that is another host.

use bytes::Bytes;
use oci_distribution::{
    Reference, RegistryOperation,
    client::{Certificate, CertificateEncoding, Client as OciClient, ClientConfig as OciConfig, ClientProtocol},
    errors::OciDistributionError,
    secrets::RegistryAuth,
    token_cache::RegistryTokenType,
};
use reqwest::Method;
use sealift_verify::{
    artifact::Descriptor,
    digest::Digest,
    reference::{Pinned, Repository},
};
use secrecy::ExposeSecret;
use tokio::task::JoinSet;

use super::{
    At, Client, ClientError, Fault, Outage,
    auth::{Authorization, Scope},
    authority,
    send::{Access, Call, complaint},
};

/// Under which name a manifest is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutAs<'a> {
    /// A tag, which is moved if it exists.
    Tag(&'a str),
    /// Its own digest.
    Digest,
}

/// A manifest that was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Where it is now.
    pub pinned: Pinned,
    /// True if the registry said that it has entered the manifest among the referrers of its subject.
    pub subject_acknowledged: bool,
}

impl Client {
    /// Uploads `bytes` unless the registry has them, and describes them as content of `media_type`.
    ///
    /// # Errors
    /// [`ClientError`], after attempts have been repeated as far as that makes sense.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Descriptor, ClientError> {
        let blob = Descriptor::of(media_type, &bytes);
        self.retry(|| self.push_blob_once(repository, &blob.digest, &bytes)).await?;
        Ok(blob)
    }

    async fn push_blob_once(&self, repository: &Repository, digest: &Digest, bytes: &Bytes) -> Result<(), ClientError> {
        if self.blob_known(repository, digest, Access::Push).await? {
            return Ok(());
        }
        let at = self.at(&self.url(repository, "blobs/uploads/")?, repository);
        let scope = Scope { repository: repository.path().to_owned(), access: Access::Push };
        // A registry may show blobs to everyone and ask for credentials only now: let it say how.
        if !self.auth.is_challenged() {
            self.learn_challenge(repository).await?;
        }
        let presented = self.authorization(&scope, None).await?;
        let mut uploaded = self.upload(repository, digest, bytes, presented.as_ref(), &at).await;
        if let Err(ClientError::Unauthorized { .. }) = uploaded
            && let Some(other) = self.authorization(&scope, presented.as_ref()).await?
        {
            uploaded = self.upload(repository, digest, bytes, Some(&other), &at).await;
        }
        // Answered without a place: the blob may be there nevertheless.
        let is_lost =
            matches!(&uploaded, Err(ClientError::Protocol { fault, .. }) if matches!(**fault, Fault::NoLocation));
        if is_lost && self.blob_known(repository, digest, Access::Push).await? { Ok(()) } else { uploaded }
    }

    /// Asks the registry's root how it wants to be convinced.
    async fn learn_challenge(&self, repository: &Repository) -> Result<(), ClientError> {
        let (url, access) = (self.base.clone(), Access::Push);
        let at = self.at(&url, repository);
        let call =
            Call { method: Method::GET, url, at, access, accept: "*/*", body: None, timeout: self.timeouts.request };
        match self.send(&call).await {
            // Some hosts serve no root to anyone; the upload itself will tell.
            Ok(_) | Err(ClientError::NotFound { .. } | ClientError::Forbidden { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn upload(
        &self,
        repository: &Repository,
        digest: &Digest,
        bytes: &Bytes,
        presented: Option<&Authorization>,
        at: &At,
    ) -> Result<(), ClientError> {
        let host = authority(&self.base);
        let oci = OciClient::try_from(self.oci_config(&host)).map_err(|error| upload_error(at.clone(), error))?;
        let target = Reference::with_digest(host.clone(), repository.path().to_owned(), digest.to_string());
        match presented {
            None => {}
            Some(Authorization::Bearer(token)) => {
                oci.store_auth_if_needed(&host, &RegistryAuth::Bearer(token.expose_secret().to_owned())).await;
            }
            Some(Authorization::Basic { username, password }) => {
                // Handed over as a token already obtained; as credentials they would be sent wherever the registry says.
                let basic = RegistryTokenType::Basic(username.clone(), password.expose_secret().to_owned());
                oci.store_auth_if_needed(&host, &RegistryAuth::Anonymous).await;
                oci.tokens.insert(&target, RegistryOperation::Push, basic).await;
            }
        }
        let (bytes, name) = (bytes.clone(), digest.to_string());
        // A task of its own, since the library panics on a `Location` that is no URL; in a set, which stops it if we
        // are stopped.
        let mut upload = JoinSet::new();
        upload.spawn(async move { oci.push_blob(&target, bytes, &name).await });
        match tokio::time::timeout(self.timeouts.transfer, upload.join_next()).await {
            Ok(Some(Ok(Ok(_)))) => Ok(()),
            Ok(Some(Ok(Err(error)))) => Err(upload_error(at.clone(), error)),
            Ok(Some(Err(_)) | None) => Err(ClientError::protocol(at.clone(), Fault::UploadTarget)),
            Err(_) => Err(ClientError::Unreachable { at: Box::new(at.clone()), outage: Box::new(Outage::TimedOut) }),
        }
    }

    fn oci_config(&self, host: &str) -> OciConfig {
        let pem = self.extra_ca_pem.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let end = "-----END CERTIFICATE-----";
        let certificates = pem.split_inclusive(end).filter(|part| part.ends_with(end));
        let protocol = match self.base.scheme() {
            "http" => ClientProtocol::HttpsExcept(vec![host.to_owned()]),
            _ => ClientProtocol::Https,
        };
        OciConfig {
            protocol,
            // Chunks are where registries differ; a release is far smaller than what needs them.
            use_monolithic_push: true,
            extra_root_certificates: certificates
                .map(|part| Certificate { encoding: CertificateEncoding::Pem, data: part.trim().as_bytes().to_vec() })
                .collect(),
            read_timeout: Some(self.timeouts.idle),
            connect_timeout: Some(self.timeouts.connect),
            user_agent: self.user_agent,
            ..OciConfig::default()
        }
    }

    /// Puts a manifest. Safe to repeat: the same bytes under the same name.
    ///
    /// # Errors
    /// [`ClientError::DigestMismatch`] if the registry stored something else, and others.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        name: PutAs<'_>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Put, ClientError> {
        let digest = Digest::of(&bytes);
        let rest = match name {
            PutAs::Tag(tag) => self.tag_path(repository, tag)?,
            PutAs::Digest => format!("manifests/{digest}"),
        };
        let mut call = self.call(Method::PUT, repository, &rest)?;
        (call.access, call.body) = (Access::Push, Some((media_type.to_owned(), bytes)));
        let response = self.retry(|| self.send(&call)).await?;
        // `Location` is required of the registry and needed by nobody: the digest says where the manifest is.
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        match header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok()) {
            Some(actual) if actual != digest => {
                Err(ClientError::DigestMismatch { at: Box::new(call.at), expected: digest, actual })
            }
            _ => Ok(Put { pinned: repository.pin(digest), subject_acknowledged: header("oci-subject").is_some() }),
        }
    }
}

/// The library's error in our words; its own texts hold URLs with their queries.
fn upload_error(at: At, error: OciDistributionError) -> ClientError {
    match error {
        OciDistributionError::RequestError(error) => ClientError::network(at, error),
        OciDistributionError::ServerError { code, url: _, message } => {
            ClientError::of_status(at, complaint(code, message.as_bytes()))
        }
        OciDistributionError::RegistryNoLocationError => ClientError::protocol(at, Fault::NoLocation),
        other => ClientError::protocol(at, Fault::Upload(other)),
    }
}
