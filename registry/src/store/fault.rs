//! What can go wrong with a layout, in the words of [`ClientError`]: callers treat all stores alike.

use std::io;

use sealift_verify::digest::Digest;

use super::{Location, MOST_BLOB};
use crate::client::{At, ClientError, Outage, Reply};

/// Why a folder, a tar file or a bucket is not usable as an OCI image layout.
#[derive(Debug, thiserror::Error)]
pub enum LayoutFault {
    /// There is no `oci-layout` marker.
    #[error("it holds no file oci-layout, so it is no OCI image layout")]
    NoMarker,
    /// It holds something else.
    #[error("it is neither empty nor an OCI image layout")]
    Other,
    /// The marker names a version that is not known.
    #[error("it is an OCI image layout of unknown version {0:?}")]
    Version(String),
    /// The index is not JSON.
    #[error("its index.json cannot be read")]
    Index(#[source] serde_json::Error),
    /// The index is JSON, and no image index.
    #[error("its index.json holds no image index")]
    NotAnIndex,
    /// There are more entries than are read.
    #[error("it has more than {0} entries")]
    Entries(usize),
    /// One entry more would make it unreadable.
    #[error("it is full: no index.json of more than {entries} entries or {bytes} bytes is read")]
    Full {
        /// Most entries.
        entries: usize,
        /// Most bytes.
        bytes: u64,
    },
    /// A tag stands at two manifests.
    #[error("its index.json gives the tag {0:?} to two manifests")]
    TwoNamed(String),
    /// Not a tag by the grammar of the specification.
    #[error("the tag breaks the grammar of the distribution specification")]
    Tag,
    /// A tar that is compressed.
    #[error("the tar is compressed: content in it cannot be found without unpacking it (gunzip or zstd -d it once)")]
    Compressed,
    /// A tar that cannot be read as one.
    #[error("the tar cannot be read at byte {at}: it is cut short or changed, or holds one name twice")]
    Tar {
        /// The byte.
        at: u64,
    },
    /// A name that would be written into is a link there.
    #[error("it holds a link under a name that would be written into, which may lead anywhere")]
    NotAFile,
    /// Whoever reads it may not write.
    #[error("it was opened for reading only")]
    ReadOnly,
    /// The extra certificates are not PEM, or there are none.
    #[error("the extra CA certificates cannot be read")]
    Certificates(#[source] Option<object_store::Error>),
    /// Storage that ignores or refuses conditional writes.
    #[error("the storage knows no conditional writes, without which two writers lose each other's entries")]
    Unconditional,
}

/// Where something is in a layout, for errors.
#[derive(Clone, Debug)]
pub(super) struct Within<'a>(pub(super) &'a Location);

impl Within<'_> {
    pub(super) fn at(&self, path: impl std::fmt::Display) -> Box<At> {
        Box::new(At { host: self.0.to_string(), repository: String::new(), path: path.to_string() })
    }

    pub(super) fn missing(&self, path: impl std::fmt::Display) -> ClientError {
        let message = "there is no such entry".to_owned();
        ClientError::NotFound { at: self.at(path), reply: Box::new(said(message)) }
    }

    pub(super) fn unusable(&self, fault: LayoutFault) -> ClientError {
        ClientError::Unusable { at: self.at(""), fault: Box::new(fault) }
    }

    pub(super) fn too_large(&self, path: impl std::fmt::Display, limit: u64) -> ClientError {
        ClientError::TooLarge { at: self.at(path), limit }
    }

    pub(super) fn storage(
        &self,
        path: impl std::fmt::Display,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Unreachable { at: self.at(path), outage: Box::new(Outage::Storage(source.into())) }
    }

    pub(super) fn io(&self, path: impl std::fmt::Display, source: io::Error) -> ClientError {
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                ClientError::Forbidden { at: self.at(path), reply: Box::new(said(source.to_string())) }
            }
            _ => self.storage(path, source),
        }
    }

    /// The bytes if they are the ones asked for.
    pub(super) fn same(&self, expected: &Digest, actual: Digest) -> Result<(), ClientError> {
        if actual == *expected {
            return Ok(());
        }
        Err(ClientError::DigestMismatch { at: self.at(format_args!("@{expected}")), expected: *expected, actual })
    }

    pub(super) fn fits(&self, path: impl std::fmt::Display, size: u64) -> Result<(), ClientError> {
        if size <= MOST_BLOB { Ok(()) } else { Err(self.too_large(path, MOST_BLOB)) }
    }
}

/// What storage says that speaks no HTTP, or hides that it does.
pub(super) fn said(message: String) -> Reply {
    Reply { status: 0, code: String::new(), message, retry_after: None }
}
