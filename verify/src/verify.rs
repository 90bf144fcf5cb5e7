//! The verdict: [`admit`] judges who signed what, [`verify`] judges what was signed.
//!
//! Two steps, so that the layer of an artifact nobody trusted is never fetched. Each returns a [`Decision`] with the
//! evidence so far. [`Verified`] has private fields and one maker, and it is all that `plan` takes:
//!
//! ```
//! fn objects(verified: &sealift_verify::verify::Verified) -> &sealift_verify::objects::Objects {
//!     verified.objects()
//! }
//! ```
//!
//! Objects that were never verified do not become verified by writing them down:
//!
//! ```compile_fail
//! # use sealift_verify::{objects::Objects, verify::Verified};
//! fn forge(objects: Objects, other: Verified) -> Verified {
//!     Verified { objects, ..other }
//! }
//! ```

mod admit;
mod attested;
mod candidate;
mod content;
mod epochs;
mod grounds;
mod held;
mod images;
mod payload;
mod proofs;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::{
    admit::admit,
    content::{Opened, open, verify, verify_opened},
    grounds::{Grounds, Stated, ThirdParty},
    images::{ImageSignatures, Images, images_named, images_to_check},
};
use crate::{
    approval::Approvals,
    artifact::{Descriptor, Format, Limits},
    digest::Digest,
    evidence::Evidence,
    hold::Hold,
    memory::Memory,
    objects::{Objects, scope::Scopes},
    policy::{DeletionRules, Policy},
    reference::Pinned,
    refusal::Refusal,
    signature::{Candidate, Skipped},
    sigstore::TrustRoots,
    statement::{Chosen, Statement},
};

/// What was fetched about an artifact, before any of it is believed.
#[derive(Clone, Debug)]
pub struct Unverified {
    /// The logical repository it was asked for as, and the digest.
    pub reference: Pinned,
    /// Where the bytes came from, if not from the logical repository itself.
    pub transport: Option<String>,
    /// The manifest as served.
    pub manifest: Vec<u8>,
    /// Referrers that may carry signatures.
    pub candidates: Vec<Candidate>,
    /// Referrers that were passed over while fetching.
    pub skipped: Vec<Skipped>,
    /// True if there were more candidates than could be looked at.
    pub truncated: bool,
}

/// Everything the verdict depends on besides the artifact and the policies. Equal facts give equal verdicts.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The time to judge at.
    pub now: Timestamp,
    /// The Delivery's namespace; `None` where there is no Delivery.
    pub namespace: Option<&'a str>,
    /// What was accepted before; `None` = not known, and the row says not-checked.
    pub memory: Option<&'a Memory>,
    /// The emergency hold by which an earlier release is judged, if it is.
    pub hold: Option<&'a Hold>,
    /// The stream the Delivery demands.
    pub stream: Option<&'a str>,
    /// The environment the Delivery demands.
    pub environment: Option<&'a str>,
    /// The version that a selector chose, which the signed version must equal.
    pub version: Option<&'a str>,
    /// Which of its variants is meant; `None` for a release without variants.
    pub variant: Option<&'a str>,
    /// Authorities that the Delivery demands on top of what policies require.
    pub require: &'a [String],
    /// The trust roots that policies may name.
    pub trust: &'a TrustRoots,
    /// Bounds.
    pub limits: Limits,
}

impl Facts<'_> {
    /// Only the time is known, and the built-in trust root.
    pub fn at(now: Timestamp) -> Self {
        Self {
            now,
            namespace: None,
            memory: None,
            hold: None,
            stream: None,
            environment: None,
            version: None,
            variant: None,
            require: &[],
            trust: TrustRoots::built_in(),
            limits: Limits::default(),
        }
    }
}

/// An answer with its record.
#[derive(Debug)]
pub struct Decision<T> {
    /// What was checked and what came of it.
    pub evidence: Evidence,
    /// The result, or why there is none.
    pub outcome: Result<T, Refusal>,
}

/// An artifact that is trusted, and whose layer may be fetched.
#[derive(Debug, Clone)]
pub struct Admitted {
    reference: Pinned,
    layer: Descriptor,
    format: Format,
    grounds: Grounds,
    variant: Option<String>,
    stale: Option<Refusal>,
    approvals: Approvals,
    policies: Vec<Arc<Policy>>,
    auditing: Vec<Arc<Policy>>,
    evidence: Evidence,
    limits: Limits,
}

impl Admitted {
    /// The layer to fetch.
    pub fn layer(&self) -> &Descriptor {
        &self.layer
    }

    /// What it is trusted on.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// True if some policy wants to know who signed the images that the objects run.
    pub fn asks_who_signed_images(&self) -> bool {
        self.policies.iter().chain(&self.auditing).any(|policy| policy.images.signed_by().is_some())
    }

    /// The trusted statement; `None` where a third party signed and there is no release statement.
    pub fn statement(&self) -> Option<&Statement> {
        self.grounds.stated().map(|stated| &stated.statement)
    }

    /// The variant of the release that was chosen.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// What the statement says of the objects that are meant.
    pub fn chosen(&self) -> Option<Chosen<'_>> {
        // It was judged before there was an `Admitted`, so there is one wherever there is a statement.
        self.statement().and_then(|statement| statement.release.chosen(self.variant()).ok())
    }

    /// What was checked so far.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// A release that passed every check. There is no other way to make one than [`verify`] and
/// [`verify_opened`].
#[derive(Debug, Clone)]
pub struct Verified {
    reference: Pinned,
    grounds: Grounds,
    variant: Option<String>,
    stale: Option<Refusal>,
    approvals: Approvals,
    deletions: DeletionRules,
    objects: Objects,
    scopes: Scopes,
    inventory: Digest,
}

impl Verified {
    /// The logical repository and digest.
    pub fn reference(&self) -> &Pinned {
        &self.reference
    }

    /// Digest of the artifact's manifest.
    pub fn digest(&self) -> Digest {
        self.reference.digest
    }

    /// What it is trusted on.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// The trusted statement; `None` where a third party signed and there is no release statement.
    pub fn statement(&self) -> Option<&Statement> {
        self.grounds.stated().map(|stated| &stated.statement)
    }

    /// The variant of the release that these objects are.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Why nothing new may be applied, if the statement has expired or is too old: what runs may be repaired.
    pub fn stale(&self) -> Option<&Refusal> {
        self.stale.as_ref()
    }

    /// Which plans are approved, where a policy demands that. Ask it before the first write.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// What the release may delete by no longer naming it, by the policies that accepted it. Ask it before the first write.
    pub fn deletions(&self) -> &DeletionRules {
        &self.deletions
    }

    /// The final objects, after parameters and target namespace.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What is known of the objects' scopes without a cluster.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Digest of the final objects.
    pub fn inventory(&self) -> Digest {
        self.inventory
    }
}

#[cfg(test)]
mod tests;
