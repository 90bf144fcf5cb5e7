//! What a Sigstore bundle proves, without a connection: certificate chain, SCT, identity, transparency log, timestamps.
//!
//! The cryptography is that of the sigstore-rust workspace, which passes the official conformance suite; this module
//! decides what must be there, says per check what was made of it, and keeps those crates' types to itself. Three rules
//! are ours. A bundle's media type is not signed, so [`Signed::parse`] reads v0.3 only and demands an inclusion proof of
//! every log entry. A check that is switched off is not made at all: its material is taken away before anything looks
//! at it, so that no log or timestamp that nobody verified can lend its time to a certificate. And what a [`Proof`]
//! says was verified is asserted on what the verifier reports, never assumed.
//!
//! The crates read the system's clock in two places: a log's promise from the future is refused, and so are keys of logs
//! and timestamp authorities whose validity has not begun.

mod certificate;
mod document;
mod proof;
mod prove;
mod signed;
mod simple_signing;
mod trust_root;

pub use self::{
    certificate::{Certificate, Claim, ClaimMatchersSpec},
    document::{TRUST_ROOT_KIND, TrustRootDocumentError, TrustRootSpec},
    proof::{LogEntry, Proof, TimeSource, VerifiedTime},
    prove::{Demand, Demands, ProofError, Subject},
    signed::{BundleError, Signed},
    simple_signing::{SIMPLE_SIGNING, SimpleSigning},
    trust_root::{BUILT_IN_SINCE, PUBLIC_GOOD, TrustRoot, TrustRootError, TrustRoots, UnknownTrustRoot},
};

#[cfg(test)]
pub(crate) mod lab;
#[cfg(test)]
mod tests;
