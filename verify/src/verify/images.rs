//! The images that the final objects run: allowed by name, pinned, and signed by whom the policies want.
//!
//! Which images there are is known only once the objects are, so their signatures are fetched in between:
//! [`images_to_check`] says of which, and the verdict takes what was found. What was not looked at is no yes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    Admitted,
    candidate::Judge,
    content::{Opened, objects_of},
    payload::{Signers, denied},
};
use crate::{
    evidence::{CheckId, CheckResult, Evidence},
    objects::{
        Objects,
        images::{ImageName, Place, find},
    },
    policy::{Policy, Requirement},
    reference::Pinned,
    refusal::Refusal,
    render::Rendering,
    signature::{Candidate, Envelope, Form},
    sigstore::TrustRoots,
};

/// What was fetched about one image, before any of it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSignatures {
    /// What may be signatures of it.
    pub candidates: Vec<Candidate>,
    /// True if there were more than could be looked at.
    pub truncated: bool,
}

/// What the images of a release are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// What was found of each image that [`images_to_check`] names.
    pub signatures: &'a BTreeMap<Pinned, ImageSignatures>,
    /// The time to judge at.
    pub now: Timestamp,
    /// The trust roots that policies may name.
    pub trust: &'a TrustRoots,
}

/// The images whose signatures the verdict about this release will ask for; none where no policy does, and none of a
/// release that is refused for something else.
pub fn images_to_check(admitted: &Admitted, opened: &Opened, rendering: &Rendering) -> BTreeSet<Pinned> {
    if !admitted.asks_who_signed_images() {
        return BTreeSet::new();
    }
    let Some(objects) = objects_of(admitted, opened, rendering) else { return BTreeSet::new() };
    // Nobody is asked about an image that no signature could save.
    if admitted
        .policies
        .iter()
        .any(|policy| denied_image(policy, &objects).and_then(|()| named(policy, &objects)).is_err())
    {
        return BTreeSet::new();
    }
    let asking = admitted.policies.iter().chain(&admitted.auditing).filter(|p| p.images.signed_by().is_some());
    asking.flat_map(|policy| pinned(&objects, &policy.images.places)).collect()
}

/// Every image that the objects name as they are to be applied, by the text that names it, and which objects do: in
/// anything shaped like a pod's spec, and at the places that the policies which decide know. `None` where there are no such
/// objects, since layer, inventory or parameters are refused.
pub fn images_named(
    admitted: &Admitted,
    opened: &Opened,
    rendering: &Rendering,
) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let objects = objects_of(admitted, opened, rendering)?;
    let places = places_of(&admitted.policies);
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in objects.iter() {
        for found in find(object, &places) {
            named.entry(found.image.to_owned()).or_default().insert(object.id.to_string());
        }
    }
    Some(named)
}

fn places_of(policies: &[Arc<Policy>]) -> Vec<Place> {
    policies.iter().flat_map(|policy| policy.images.places.clone()).collect()
}

fn pinned(objects: &Objects, places: &[Place]) -> BTreeSet<Pinned> {
    let found = objects.iter().flat_map(|object| find(object, places));
    found.filter_map(|found| ImageName::parse(found.image).ok()?.pinned()).collect()
}

/// Judges every image of the release by every policy, and notes what audit policies would refuse.
pub(super) fn judge(
    admitted: &Admitted,
    objects: &Objects,
    images: Option<Images<'_>>,
    evidence: &mut Evidence,
) -> Result<(), (CheckId, Refusal)> {
    let Admitted { policies, auditing, limits, .. } = admitted;
    let judge = |policy: &Policy| {
        denied_image(policy, objects)?;
        if !policy.images.demand_anything() {
            return Ok(None);
        }
        named(policy, objects)?;
        match policy.images.signed_by() {
            Some(required) => {
                let pinned = pinned(objects, &policy.images.places);
                pinned.iter().try_for_each(|image| signed(policy, required, image, images, limits.bundle))?;
                Ok(Some(pinned.len()))
            }
            None => Ok(None),
        }
    };
    let mut signed = None;
    for policy in policies {
        signed = signed.max(judge(policy).map_err(|refusal| (CheckId::Images, refusal))?);
    }
    for policy in auditing {
        let record = evidence.policies.iter_mut().find(|record| record.digest == policy.digest);
        if let (Some(record), Err(refusal)) = (record.filter(|record| record.satisfied), judge(policy)) {
            (record.satisfied, record.unmet) = (false, Some(refusal.to_string()));
        }
    }
    if !policies.iter().any(|policy| policy.images.demand_anything()) {
        evidence.set(CheckId::Images, CheckResult::NotPresent, "no policy has rules for images");
        return Ok(());
    }
    let places = places_of(policies);
    let all: BTreeSet<_> = objects.iter().flat_map(|object| find(object, &places)).map(|found| found.image).collect();
    let signed = signed.map(|signed| format!(", {signed} signed")).unwrap_or_default();
    evidence.pass(CheckId::Images, format!("{} images allowed by name{signed}", all.len()));
    Ok(())
}

/// What is on a deny list does not run, whether or not the policy has rules for images.
fn denied_image(policy: &Policy, objects: &Objects) -> Result<(), Refusal> {
    let digests = &policy.deny.digests;
    if digests.is_empty() {
        return Ok(());
    }
    match pinned(objects, &policy.images.places).iter().find(|image| digests.contains(&image.digest)) {
        Some(image) => Err(Refusal::Denied { policy: policy.name.clone(), what: format!("image {image}") }),
        None => Ok(()),
    }
}

/// Whether the policy allows every image by its name.
fn named(policy: &Policy, objects: &Objects) -> Result<(), Refusal> {
    for object in objects.iter() {
        for found in find(object, &policy.images.places) {
            if let Some(rule) = policy.images.forbids(&found) {
                return Err(Refusal::ImageNotAllowed {
                    policy: policy.name.clone(),
                    object: object.id.to_string(),
                    image: found.image.to_owned(),
                    rule,
                });
            }
        }
    }
    Ok(())
}

/// Whether those who must have signed the image.
fn signed(
    policy: &Policy,
    required: &Requirement,
    image: &Pinned,
    images: Option<Images<'_>>,
    largest: u64,
) -> Result<(), Refusal> {
    let unchecked = || Refusal::ImageUnchecked { policy: policy.name.clone(), image: image.to_string() };
    let images = images.ok_or_else(unchecked)?;
    let found = images.signatures.get(image).ok_or_else(unchecked)?;
    let signers = signers(policy, image, found, images, largest);
    if required.is_met(&signers) {
        return Ok(());
    }
    // Behind those that were looked at may be the ones that would do.
    if found.truncated {
        return Err(unchecked());
    }
    Err(Refusal::ImageNotSigned {
        policy: policy.name.clone(),
        image: image.to_string(),
        seen: found.candidates.len(),
        unmet: required.to_string(),
    })
}

/// Everyone whose signature says no more than that this is the image. An attestation about it is no signature of it.
fn signers(policy: &Policy, image: &Pinned, found: &ImageSignatures, images: Images<'_>, largest: u64) -> Signers {
    let judge = Judge { memory: None, now: images.now, trust: images.trust };
    let mut signers = Signers::new();
    for candidate in &found.candidates {
        let Ok(envelope) = Envelope::parse(candidate, largest) else { continue };
        if envelope.form != Form::Bundle && !policy.legacy_signatures {
            continue;
        }
        let Ok(Some(claim)) = envelope.claim() else { continue };
        if claim.artifact != image.digest {
            continue;
        }
        let mut judged = judge.of(&envelope, crate::digest::Digest::of(envelope.payload()));
        for authority in &policy.authorities {
            if let Ok(Some(counted)) = judged.by(authority)
                && denied(policy, counted.id, &counted.record.proof).is_none()
            {
                signers.insert((counted.authority, counted.id));
            }
        }
    }
    signers
}
