//! Rekor: the signature's place in a transparency log.

use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use sealift_verify::digest::Digest;
use serde::Serialize;
use sigstore_rekor::{DsseEntry, HashedRekordV2, LogEntry, RekorV2KeyDetails};
use sigstore_types::{DerCertificate, DsseEnvelope, KindVersion, Sha256Hash, TransparencyLogEntry};

use crate::{
    cli::signer::RekorVersion,
    signing::service::{Ask, Service, ServiceError},
};

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    service: Service,
    version: RekorVersion,
}

/// Why an answer is no entry. Whether it is about this signature, and in the log, is for the trust root to say.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it holds {0} entries, not one")]
    Count(usize),
    #[error("it is about an entry of kind {0:?}")]
    Kind(KindVersion),
    #[error("it carries no inclusion proof with a checkpoint")]
    NoProof,
}

impl Log {
    pub(super) fn new(service: Service, version: RekorVersion) -> Self {
        Self { service, version }
    }

    pub(super) fn address(&self) -> &str {
        self.service.address()
    }

    /// Enters the signature of `envelope`, made over `message` with the certificate's key.
    pub(super) async fn enter(
        &self,
        envelope: &DsseEnvelope,
        message: &[u8],
        certificate: &DerCertificate,
    ) -> Result<TransparencyLogEntry, ServiceError> {
        let entry = match self.version {
            RekorVersion::V1 => self.enter_dsse(envelope, certificate).await?,
            RekorVersion::V2 => self.enter_hash(envelope, message, certificate).await?,
        };
        let proven = entry.inclusion_proof.as_ref().is_some_and(|proof| !proof.checkpoint.is_empty());
        if proven { Ok(entry) } else { Err(self.service.unusable(Unusable::NoProof)) }
    }

    async fn enter_dsse(
        &self,
        envelope: &DsseEnvelope,
        certificate: &DerCertificate,
    ) -> Result<TransparencyLogEntry, ServiceError> {
        let entry = DsseEntry::new(envelope, certificate).map_err(|error| self.service.unusable(error))?;
        let mut entries: BTreeMap<String, LogEntry> = self.post("/api/v1/log/entries", &entry).await?;
        match (entries.pop_first(), entries.len()) {
            (Some((_, entry)), 0) => {
                entry.to_bundle_entry(KindVersion::DsseV001).map_err(|error| self.service.unusable(error))
            }
            (first, more) => Err(self.service.unusable(Unusable::Count(more + usize::from(first.is_some())))),
        }
    }

    /// Version 2 logs the hash of what was signed, whatever that is.
    async fn enter_hash(
        &self,
        envelope: &DsseEnvelope,
        message: &[u8],
        certificate: &DerCertificate,
    ) -> Result<TransparencyLogEntry, ServiceError> {
        let hash = Sha256Hash::new(*Digest::of(message).as_bytes());
        let details = RekorV2KeyDetails::PkixEcdsaP256Sha256;
        let request = HashedRekordV2::new_with_certificate(&hash, &envelope.signature.sig, certificate, details);
        let entry: TransparencyLogEntry = self.post("/api/v2/log/entries", &request).await?;
        match entry.kind_version {
            KindVersion::HashedRekordV002 => Ok(entry),
            other => Err(self.service.unusable(Unusable::Kind(other))),
        }
    }

    async fn post<T: serde::de::DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ServiceError> {
        let body = serde_json::to_vec(body).map_err(|error| self.service.unusable(error))?;
        self.service.ask_json(&Ask::post(path, HeaderMap::new(), "application/json", body)).await
    }
}

#[cfg(test)]
mod tests {
    use sealift_verify::duration::Duration;
    use sigstore_types::SignatureBytes;

    use super::*;
    use crate::signing::stand_in::{Answer, StandIn};

    #[tokio::test]
    async fn an_answer_that_is_no_entry_is_not_taken_for_one() {
        let proofless = r#"{"logIndex":"1","logId":{"keyId":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
            "kindVersion":{"kind":"hashedrekord","version":"0.0.2"},"canonicalizedBody":"e30="}"#;
        for (version, answer) in [
            (RekorVersion::V1, "{}"),
            (RekorVersion::V1, "<html>"),
            (RekorVersion::V2, "{}"),
            (RekorVersion::V2, "[]"),
            (RekorVersion::V2, proofless),
            (RekorVersion::V2, ""),
        ] {
            let stand_in = StandIn::new(vec![Answer::Status(201, answer)]);
            let service = Service::new("Rekor", &stand_in.address, None, Duration::from_secs(5)).unwrap();
            let envelope = crate::signing::envelope(b"{}", SignatureBytes::from_bytes(b"signature"));
            let certificate = DerCertificate::new(vec![0x30, 0]);
            let entered = Log::new(service, version).enter(&envelope, b"message", &certificate).await;
            assert!(matches!(entered, Err(ServiceError::Answer { .. })), "{answer}: {entered:?}");
        }
    }
}
