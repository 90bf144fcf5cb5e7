//! From a bundle, a trust root and demands to a proof, or the first thing that does not hold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sigstore_types::{
    Artifact, Bundle, KindVersion, MediaType, Sha256Hash,
    bundle::{TimestampVerificationData, TransparencyLogEntry},
};
use sigstore_verify::{Error as Upstream, PublicKeyVerificationPolicy, VerificationPolicy, VerificationResult};

use super::{
    LogEntry, Proof, Signed, TimeSource, TrustRoot, VerifiedTime,
    certificate::{Certificate, may_have_sct},
};
use crate::{digest::Digest, evidence::CheckResult, keys::PublicKey};

/// Whether a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Demand {
    /// Not made; evidence says so.
    Off,
    /// What is there must verify; nothing need be there.
    Optional,
    /// It must be there and verify.
    Required,
}

/// What must be there beside the signature itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Demands {
    /// Inclusion in a transparency log.
    pub tlog: Demand,
    /// An RFC 3161 timestamp.
    pub timestamp: Demand,
    /// The certificate's SCT; means nothing where a key signs.
    pub sct: Demand,
}

impl Demands {
    /// What Sigstore's own clients demand.
    pub const SIGSTORE: Self = Self { tlog: Demand::Required, timestamp: Demand::Optional, sct: Demand::Required };
}

/// What the bundle must be about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The artifact with this digest.
    Digest(Digest),
    /// Whatever the signed payload says: for a caller who goes on to judge that.
    Stated,
}

/// Why a bundle proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// A key signed, and a certificate was to be verified.
    #[error("the bundle carries no certificate")]
    NoCertificate,
    /// A certificate signed, and a key was to be verified.
    #[error("the bundle is signed with a certificate, not a key")]
    NotAKey,
    /// Something that is demanded is not in the bundle.
    #[error("the bundle carries no {0}, which is required")]
    Missing(&'static str),
    /// v0.3 demands a proof with every log entry.
    #[error("a transparency log entry of the bundle has no inclusion proof with a checkpoint")]
    NoInclusionProof,
    /// There is nothing in it that was signed about an artifact by digest.
    #[error("the bundle's payload names no subject by sha256")]
    NoSubject,
    /// The signature is not the key's, or not over this.
    #[error("the signature was not made by this key over this payload")]
    Signature,
    /// The artifact is not the one that was signed.
    #[error("the signed statement is not about {0}")]
    OtherSubject(String),
    /// One of the checks fails.
    #[error("the {step} does not verify")]
    Check {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The verifier said yes without having made a check that was demanded. Never seen; fails closed.
    #[error("the verifier did not make the {0} check")]
    NotMade(&'static str),
}

impl Signed {
    /// Verifies a signature made with a Fulcio certificate: chain at every verified time, SCT, log, timestamps, signature,
    /// and that the log entry is about this signature. Whose certificate may sign is for the caller to judge, on
    /// [`Proof::certificate`].
    ///
    /// # Errors
    /// [`ProofError`]. Also where no log and no timestamp says when it was signed: there is no falling back to now.
    pub fn prove_certificate(
        &self,
        subject: Subject<'_>,
        root: &TrustRoot,
        demands: Demands,
    ) -> Result<Proof, ProofError> {
        let der = self.bundle.signing_certificate().ok_or(ProofError::NoCertificate)?;
        let certificate = Certificate::read(der).ok_or(ProofError::NoCertificate)?;
        let material = Material::of(self, demands)?;
        let check_sct = match demands.sct {
            Demand::Required => true,
            Demand::Optional => may_have_sct(der),
            Demand::Off => false,
        };
        let mut policy = VerificationPolicy::any_identity();
        if !check_sct {
            policy = policy.skip_sct();
        }
        if material.log != CheckResult::Pass {
            policy = policy.skip_tlog_unsafe();
        }
        let artifact = self.artifact(subject)?;
        let result = root.verifier.verify(artifact, &material.bundle, &policy).map_err(rejected)?;
        if !result.certificate_verified() {
            return Err(ProofError::NotMade("certificate"));
        }
        if check_sct && !result.sct_verified() {
            return Err(ProofError::NotMade("SCT"));
        }
        let tokens = material.tokens();
        let times = times(&material, result.verified_timestamps(), ..tokens)?;
        let sct = match (check_sct, demands.sct) {
            (true, _) => CheckResult::Pass,
            (false, Demand::Off) => CheckResult::NotChecked,
            (false, _) => CheckResult::NotPresent,
        };
        material.proof(Some(certificate), sct, times, &result, root)
    }

    /// Verifies a signature made with `key`, and whatever log entries and timestamps `demands` asks for.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn prove_key(
        &self,
        subject: Subject<'_>,
        key: &PublicKey,
        root: &TrustRoot,
        demands: Demands,
    ) -> Result<Proof, ProofError> {
        if self.claimed_key().is_none() {
            return Err(ProofError::NotAKey);
        }
        let material = Material::of(self, demands)?;
        if material.log != CheckResult::Pass && material.timestamp != CheckResult::Pass {
            // The verifier underneath demands some evidence of time of every bundle; a bare signature is checked here.
            if !self.signed_by(key) {
                return Err(ProofError::Signature);
            }
            self.is_about(subject)?;
            return Ok(Proof::of_signature_alone(material.log, material.timestamp));
        }
        let mut policy = PublicKeyVerificationPolicy::new(key.der().clone());
        if material.log != CheckResult::Pass {
            policy = policy.skip_tlog_unsafe();
        }
        let artifact = self.artifact(subject)?;
        let result = root.verifier.verify(artifact, &material.bundle, &policy).map_err(rejected)?;
        let seen = result.verified_timestamps();
        let times = times(&material, seen, seen.len().saturating_sub(material.tokens())..)?;
        material.proof(None, CheckResult::NotPresent, times, &result, root)
    }

    /// Verifies that `key` signed, and nothing else: of log and timestamps the proof says that nobody looked.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn prove_signature(&self, subject: Subject<'_>, key: &PublicKey) -> Result<Proof, ProofError> {
        if !self.signed_by(key) {
            return Err(ProofError::Signature);
        }
        self.is_about(subject)?;
        Ok(Proof::of_signature_alone(CheckResult::NotChecked, CheckResult::NotChecked))
    }

    fn artifact<'a>(&'a self, subject: Subject<'a>) -> Result<Artifact<'a>, ProofError> {
        let digest = match subject {
            Subject::Bytes(bytes) => return Ok(Artifact::from_blob(bytes)),
            Subject::Digest(digest) => digest,
            Subject::Stated => match &self.message {
                Some(message) => return Ok(Artifact::from_blob(message)),
                None => *self.stated().first().ok_or(ProofError::NoSubject)?,
            },
        };
        Ok(Sha256Hash::new(*digest.as_bytes()).into())
    }

    fn is_about(&self, subject: Subject<'_>) -> Result<(), ProofError> {
        let digest = match subject {
            Subject::Stated => return Ok(()),
            Subject::Bytes(bytes) => Digest::of(bytes),
            Subject::Digest(digest) => digest,
        };
        self.stated().contains(&digest).then_some(()).ok_or_else(|| ProofError::OtherSubject(digest.to_string()))
    }

    /// The digests of the statement's subjects.
    fn stated(&self) -> Vec<Digest> {
        #[derive(Deserialize)]
        struct Statement {
            subject: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            digest: Hashes,
        }
        #[derive(Deserialize)]
        struct Hashes {
            sha256: Option<String>,
        }
        let payload = self.payload().unwrap_or_default();
        let Ok(Statement { subject }) = serde_json::from_slice(payload) else { return Vec::new() };
        let digest = |entry: Entry| format!("sha256:{}", entry.digest.sha256?).parse().ok();
        subject.into_iter().filter_map(digest).collect()
    }
}

/// A bundle with only what is to be verified left in it.
struct Material {
    bundle: Bundle,
    log: CheckResult,
    timestamp: CheckResult,
}

impl Material {
    fn of(signed: &Signed, demands: Demands) -> Result<Self, ProofError> {
        let mut bundle = signed.bundle.clone();
        let material = &mut bundle.verification_material;
        if demands.tlog == Demand::Off {
            material.tlog_entries = Vec::new();
        }
        if demands.timestamp == Demand::Off {
            material.timestamp_verification_data = TimestampVerificationData::default();
        }
        if signed.message.is_some() && material.tlog_entries.is_empty() {
            // The first version is the one of promises; where there is none left, it is no bundle of that version.
            bundle.media_type = MediaType::Bundle0_3;
        }
        let material = &mut bundle.verification_material;
        let proven = |entry: &TransparencyLogEntry| {
            entry.inclusion_proof.as_ref().is_some_and(|proof| !proof.checkpoint.is_empty())
        };
        if signed.strict && !material.tlog_entries.iter().all(proven) {
            return Err(ProofError::NoInclusionProof);
        }
        let present = |demand, empty: bool, what| match (demand, empty) {
            (Demand::Off, _) => Ok(CheckResult::NotChecked),
            (Demand::Optional, true) => Ok(CheckResult::NotPresent),
            (Demand::Required, true) => Err(ProofError::Missing(what)),
            (_, false) => Ok(CheckResult::Pass),
        };
        let log = present(demands.tlog, material.tlog_entries.is_empty(), "transparency log entry")?;
        let no_token = material.timestamp_verification_data.rfc3161_timestamps.is_empty();
        let timestamp = present(demands.timestamp, no_token, "RFC 3161 timestamp")?;
        Ok(Self { bundle, log, timestamp })
    }

    fn tokens(&self) -> usize {
        self.bundle.verification_material.timestamp_verification_data.rfc3161_timestamps.len()
    }

    fn proof(
        self,
        certificate: Option<Certificate>,
        sct: CheckResult,
        times: Vec<VerifiedTime>,
        result: &VerificationResult,
        root: &TrustRoot,
    ) -> Result<Proof, ProofError> {
        if self.log == CheckResult::Pass && !result.tlog_verified() {
            return Err(ProofError::NotMade("transparency log"));
        }
        let entries = self.bundle.verification_material.tlog_entries.iter().map(log_entry).collect();
        Ok(Proof {
            certificate,
            sct,
            log: self.log,
            entries,
            timestamp: self.timestamp,
            times,
            trust_root: Some(root.digest()),
        })
    }
}

/// Rekor v2 proves the top-level index, v1 that of the proof, which counts within a shard.
fn log_entry(entry: &TransparencyLogEntry) -> LogEntry {
    let proof = entry.inclusion_proof.as_ref();
    let checkpoint = proof.and_then(|proof| proof.checkpoint.checkpoint());
    let index = match (proof, is_v1(entry)) {
        (Some(proof), true) => proof.log_index,
        _ => entry.log_index,
    };
    LogEntry {
        origin: checkpoint.map(|checkpoint| checkpoint.origin().to_owned()),
        index: index.get(),
        kind: format!("{}/{}", entry.kind_version.kind(), entry.kind_version.version()),
        promised: entry.inclusion_promise.is_some(),
    }
}

fn is_v1(entry: &TransparencyLogEntry) -> bool {
    entry.kind_version != KindVersion::HashedRekordV002
}

/// Times with their sources. `of_tokens` is where the verifier lists those of timestamps; if its count is not the bundle's,
/// nobody can say which is which.
fn times(
    material: &Material,
    verified: &[jiff::Timestamp],
    of_tokens: impl std::slice::SliceIndex<[jiff::Timestamp], Output = [jiff::Timestamp]>,
) -> Result<Vec<VerifiedTime>, ProofError> {
    let promised = |entry: &&TransparencyLogEntry| is_v1(entry) && entry.inclusion_promise.is_some();
    let entries = &material.bundle.verification_material.tlog_entries;
    let logged: Vec<_> = entries.iter().filter(promised).filter_map(|entry| entry.integrated_time).collect();
    if verified.len() != material.tokens() + logged.len() {
        return Err(ProofError::NotMade("time"));
    }
    let tokens = verified.get(of_tokens).ok_or(ProofError::NotMade("time"))?;
    let time = |source| move |time: &jiff::Timestamp| VerifiedTime { time: *time, source };
    let of_tokens = tokens.iter().map(time(TimeSource::TimestampAuthority));
    Ok(of_tokens.chain(logged.iter().map(time(TimeSource::TransparencyLog))).collect())
}

fn rejected(error: Upstream) -> ProofError {
    let step = match &error {
        Upstream::IdentityMismatch { .. } | Upstream::IssuerMismatch { .. } => "identity",
        Upstream::SignatureInvalid(_) => "signature",
        Upstream::ArtifactMismatch(_) | Upstream::UnsupportedArtifact(_) => "artifact",
        Upstream::Certificate(sigstore_verify::CertificateError::Sct(_)) => "signed certificate timestamp",
        Upstream::Certificate(_) => "certificate",
        Upstream::TransparencyLog(_) => "transparency log entry",
        Upstream::Timestamp(_) => "timestamp",
        _ => "bundle",
    };
    ProofError::Check { step, source: Box::new(error) }
}
