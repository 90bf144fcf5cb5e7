//! A layout in object storage that speaks S3, through `object_store`.
//!
//! Who to be and which endpoint to speak to is the platform's word: the environment's `AWS_*` variables, or the
//! workload identity they name. Nothing of it comes from a tenant.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::{
    Certificate, ClientOptions, Error, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::ClientConfigKey,
    path::Path,
};

use super::{
    LayoutFault, Location,
    fault::{Within, said},
};
use crate::client::{ClientConfig, ClientError};

/// Objects of one layout.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    location: Location,
}

/// What was read, with what tells it from what it becomes.
#[derive(Debug)]
pub(super) struct Versioned {
    pub(super) bytes: Bytes,
    version: UpdateVersion,
}

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Done,
    /// Another writer was there first.
    Changed,
}

impl Bucket {
    /// Objects below `prefix` of `bucket`. Nothing is sent yet.
    pub(super) fn new(
        location: &Location,
        (bucket, prefix): (&str, &str),
        config: &ClientConfig,
    ) -> Result<Self, ClientError> {
        let ClientConfig { timeouts, user_agent, extra_ca_pem, .. } = config;
        let client = |key: ClientConfigKey| AmazonS3ConfigKey::Client(key);
        let seconds = |time: Duration| format!("{}s", time.as_secs().max(1));
        let trust = trusted(extra_ca_pem.as_deref()).map_err(|fault| Within(location).unusable(fault))?;
        let mut builder = from_environment(AmazonS3Builder::new().with_client_options(trust))
            .with_bucket_name(bucket)
            .with_config(client(ClientConfigKey::ConnectTimeout), seconds(timeouts.connect))
            .with_config(client(ClientConfigKey::ReadTimeout), seconds(timeouts.idle))
            .with_config(client(ClientConfigKey::Timeout), seconds(timeouts.transfer))
            .with_config(client(ClientConfigKey::UserAgent), *user_agent)
            .with_retry(RetryConfig { max_retries: 5, retry_timeout: timeouts.retry, ..RetryConfig::default() });
        // As with registries: plain HTTP never leaves this machine unless somebody says so (AWS_ALLOW_HTTP).
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        if endpoint.is_some_and(|endpoint| is_plain_loopback(&endpoint)) {
            builder = builder.with_allow_http(true);
        }
        let store = builder.build().map_err(|error| Within(location).storage("", error))?;
        Ok(Self { store: Arc::new(store), prefix: prefix.to_owned(), location: location.clone() })
    }

    fn path(&self, name: &str) -> Path {
        Path::from(if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) })
    }

    fn within(&self) -> Within<'_> {
        Within(&self.location)
    }

    fn error(&self, name: &str, error: Error) -> ClientError {
        let (within, path) = (self.within(), format!("/{name}"));
        match error {
            Error::NotFound { .. } => within.missing(path),
            Error::PermissionDenied { source, .. } => {
                let reply = Box::new(said(cut(source.to_string())));
                ClientError::Forbidden { at: within.at(path), reply }
            }
            Error::Unauthenticated { source, .. } => {
                let reply = Box::new(said(cut(source.to_string())));
                ClientError::Unauthorized { at: within.at(path), reply }
            }
            Error::NotImplemented { .. } | Error::NotSupported { .. } => within.unusable(LayoutFault::Unconditional),
            other => within.storage(path, other),
        }
    }

    /// An object of at most `limit` bytes; `None` if there is none.
    pub(super) async fn read(&self, name: &str, limit: u64) -> Result<Option<Versioned>, ClientError> {
        let found = match self.store.get_opts(&self.path(name), GetOptions::default()).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.error(name, error)),
        };
        let too_large = || self.within().too_large(format_args!("/{name}"), limit);
        if found.meta.size > limit {
            return Err(too_large());
        }
        let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let (mut stream, mut bytes) = (found.into_stream(), BytesMut::new());
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.error(name, error))?;
            if bytes.len() as u64 + piece.len() as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(Versioned { bytes: bytes.freeze(), version }))
    }

    /// How large an object is; `None` if there is none.
    pub(super) async fn size(&self, name: &str) -> Result<Option<u64>, ClientError> {
        match self.store.head(&self.path(name)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// At most `length` bytes of an object from `from`.
    pub(super) async fn piece(&self, name: &str, from: u64, length: usize) -> Result<Bytes, ClientError> {
        let range = GetRange::Bounded(from..from + length as u64);
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let found = self.store.get_opts(&self.path(name), options).await.map_err(|error| self.error(name, error))?;
        // Storage that knows no ranges sends everything, from the beginning.
        if found.range.start != from || found.range.end > from + length as u64 {
            let told = std::io::Error::other("the storage answered with another range than was asked for");
            return Err(self.within().storage(format_args!("/{name}"), told));
        }
        let (mut stream, mut bytes) = (found.into_stream(), BytesMut::new());
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| self.error(name, error))?);
            if bytes.len() > length {
                return Err(self.within().too_large(format_args!("/{name}"), length as u64));
            }
        }
        Ok(bytes.freeze())
    }

    /// Writes an object that nobody else writes differently.
    pub(super) async fn write(&self, name: &str, bytes: Bytes) -> Result<(), ClientError> {
        let put = self.store.put(&self.path(name), PutPayload::from(bytes)).await;
        put.map(|_| ()).map_err(|error| self.error(name, error))
    }

    /// Writes an object unless it has changed since it was read, or come into being.
    pub(super) async fn replace(
        &self,
        name: &str,
        before: Option<Versioned>,
        bytes: Bytes,
    ) -> Result<Written, ClientError> {
        let mode = match before {
            None => PutMode::Create,
            Some(Versioned { version: UpdateVersion { e_tag: None, .. }, .. }) => {
                return Err(self.within().unusable(LayoutFault::Unconditional));
            }
            Some(Versioned { version, .. }) => PutMode::Update(version),
        };
        let options = PutOptions { mode, ..PutOptions::default() };
        match self.store.put_opts(&self.path(name), PutPayload::from(bytes), options).await {
            Ok(_) => Ok(Written::Done),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Written::Changed),
            Err(error) => Err(self.error(name, error)),
        }
    }

    /// Begins an object that comes in parts.
    pub(super) async fn begin(&self, name: &str) -> Result<Parts, ClientError> {
        let upload = self.store.put_multipart(&self.path(name)).await.map_err(|error| self.error(name, error))?;
        Ok(Parts { upload, bucket: self.clone(), name: name.to_owned() })
    }
}

/// An object that comes in parts and is there once the last one is.
#[derive(Debug)]
pub(crate) struct Parts {
    upload: Box<dyn MultipartUpload>,
    bucket: Bucket,
    name: String,
}

impl Parts {
    pub(super) async fn add(&mut self, piece: Bytes) -> Result<(), ClientError> {
        let part = self.upload.put_part(PutPayload::from(piece)).await;
        part.map_err(|error| self.bucket.error(&self.name, error))
    }

    pub(super) async fn finish(mut self) -> Result<(), ClientError> {
        let done = self.upload.complete().await;
        done.map(|_| ()).map_err(|error| self.bucket.error(&self.name, error))
    }

    /// Takes back what was sent.
    pub(super) async fn abort(mut self) {
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(%error, name = self.name, "parts of an upload that failed may be left in the bucket");
        }
    }
}

/// The system's certificate authorities and these.
fn trusted(extra_ca_pem: Option<&[u8]>) -> Result<ClientOptions, LayoutFault> {
    let Some(pem) = extra_ca_pem else { return Ok(ClientOptions::new()) };
    let extra = Certificate::from_pem_bundle(pem).map_err(|error| LayoutFault::Certificates(Some(error)))?;
    if extra.is_empty() {
        return Err(LayoutFault::Certificates(None));
    }
    Ok(extra.into_iter().fold(ClientOptions::new(), ClientOptions::with_root_certificate))
}

/// What the `AWS_*` variables say, as `AmazonS3Builder::from_env` reads them, which knows no certificates beside.
fn from_environment(builder: AmazonS3Builder) -> AmazonS3Builder {
    let named = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str().filter(|name| name.starts_with("AWS_"))?.to_ascii_lowercase();
        Some((name.parse::<AmazonS3ConfigKey>().ok()?, value.into_string().ok()?))
    });
    named.fold(builder, |builder, (key, value)| builder.with_config(key, value))
}

fn is_plain_loopback(endpoint: &str) -> bool {
    let Ok(url) = url::Url::parse(endpoint) else { return false };
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && loopback
}

/// Storage answers with whole documents.
fn cut(text: String) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_an_error_and_not_left_out() {
        assert!(trusted(None).is_ok());
        for pem in ["", "no PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(trusted(Some(pem.as_bytes())), Err(LayoutFault::Certificates(_))), "{pem:?}");
        }
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        for (endpoint, plain) in [
            ("http://127.0.0.1:9000", true),
            ("http://localhost", true),
            ("http://[::1]:1", true),
            ("http://s3.example", false),
            ("https://127.0.0.1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(is_plain_loopback(endpoint), plain, "{endpoint}");
        }
    }
}
