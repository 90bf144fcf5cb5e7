//! The last look before a keyless signature is published: what nobody would accept never leaves this machine.

use sealift_verify::sigstore::{
    BundleError, Certificate, Demand, Demands, ProofError, Signed, Subject, TrustRoot, VerifiedTime,
};

/// What the bundle has to be.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) payload: &'a [u8],
    pub(super) certificate: &'a Certificate,
    pub(super) log: bool,
    pub(super) timestamp: bool,
    /// The instance publishes its certificates.
    pub(super) sct: bool,
}

/// Why a bundle is not what it has to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    /// It cannot even be read again.
    #[error("the bundle is none that can be read")]
    Bundle(#[source] BundleError),
    /// It carries something else.
    #[error("the bundle is not about this statement and certificate")]
    Other,
    /// The signature is not the certificate's.
    #[error("the certificate's key did not make the signature")]
    Signature,
    /// The trust root does not vouch for it.
    #[error("the trusted root does not vouch for it")]
    Proof(#[source] ProofError),
}

/// The verified times, where a trust root could verify anything. Without one, only the signature and whose certificate it
/// is are looked at.
pub(super) fn confirm(
    bundle: &[u8],
    expected: &Expected<'_>,
    root: Option<&TrustRoot>,
) -> Result<Option<Vec<VerifiedTime>>, ConfirmError> {
    let signed = Signed::parse(bundle, u64::MAX).map_err(ConfirmError::Bundle)?;
    if signed.payload() != Some(expected.payload) || signed.claimed_certificate() != Some(expected.certificate) {
        return Err(ConfirmError::Other);
    }
    if !signed.signed_by_claimed_certificate() {
        return Err(ConfirmError::Signature);
    }
    let Some(root) = root else { return Ok(None) };
    let required = |there: bool| if there { Demand::Required } else { Demand::Optional };
    let demands =
        Demands { tlog: required(expected.log), timestamp: required(expected.timestamp), sct: required(expected.sct) };
    let proof = signed.prove_certificate(Subject::Stated, root, demands).map_err(ConfirmError::Proof)?;
    match proof.certificate.as_ref() == Some(expected.certificate) {
        true => Ok(Some(proof.times)),
        false => Err(ConfirmError::Other),
    }
}
