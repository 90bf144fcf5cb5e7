//! The second half of the verdict: the layer is the one signed, its objects are the ones signed, all are allowed.

use std::collections::BTreeMap;

use super::{Admitted, Decision, Grounds, Verified, images, images::Images};
use crate::{
    artifact::{Format, Limits},
    digest::Digest,
    evidence::{CheckId, CheckResult, Evidence},
    layer::{self, ContentError, Unpacked},
    objects::{Objects, scope::Scopes},
    parameters::Parameter,
    policy::{DeletionRules, Policy},
    refusal::Refusal,
    render::{Rendering, render},
    statement::{Chosen, Release},
};

/// Judges the layer of an admitted artifact and the objects that come of it. With [`verify_opened`] the only maker of
/// [`Verified`]. Where a policy asks who signed the images that the objects run, this could not check.
pub fn verify(admitted: &Admitted, bytes: &[u8], rendering: &Rendering) -> Decision<Verified> {
    decide(admitted, Layer::Bytes(bytes), rendering, None)
}

/// A layer that was expanded and parsed once, for all who verify a release with it.
///
/// What is in it is trusted no more than its bytes were: [`verify_opened`] holds it against what was signed.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Digest of the bytes it was made from.
    layer: Digest,
    format: Format,
    limits: Limits,
    variant: Option<String>,
    uncompressed: Digest,
    expanded: u64,
    content: Read,
}

/// What is in a layer, of variants the one that was chosen.
#[derive(Clone, Debug)]
struct Read {
    /// How many files there are, and how many each variant has, whichever was chosen.
    files: usize,
    variants: BTreeMap<String, usize>,
    objects: Objects,
    inventory: Digest,
}

impl Read {
    fn of(unpacked: &Unpacked, admitted: &Admitted) -> Result<Self, ContentError> {
        let Admitted { format, limits, variant, .. } = admitted;
        let objects = match variant {
            None => layer::objects(unpacked, *format, limits)?,
            Some(variant) => layer::variant_objects(unpacked, variant, limits)?,
        };
        let variants = layer::variants(unpacked, *format)?;
        Ok(Self { files: unpacked.files.len(), variants, inventory: layer::inventory(&objects), objects })
    }
}

impl Opened {
    /// True if this is the layer of that artifact, read as it says: else it must be opened anew.
    pub fn fits(&self, admitted: &Admitted) -> bool {
        let Admitted { layer, format, limits, variant, .. } = admitted;
        (self.layer, self.format, self.limits) == (layer.digest, *format, *limits) && self.variant == *variant
    }

    /// How many bytes the files of these objects take, expanded.
    pub fn expanded(&self) -> u64 {
        self.expanded
    }
}

/// Expands and parses the layer of an admitted artifact.
///
/// # Errors
/// What [`verify`] would refuse these bytes for.
pub fn open(admitted: &Admitted, bytes: &[u8]) -> Result<Opened, Refusal> {
    let Admitted { layer: described, format, limits, variant, .. } = admitted;
    let bad = |error: &dyn std::error::Error| Refusal::BadLayer(crate::chain(error));
    let layer = Digest::of(bytes);
    same("the layer", described.digest, layer).map_err(|(_, refusal)| refusal)?;
    let unpacked = layer::unpack(bytes, *format, limits).map_err(|error| bad(&error))?;
    Ok(Opened {
        layer,
        format: *format,
        limits: *limits,
        variant: variant.clone(),
        uncompressed: unpacked.uncompressed,
        expanded: layer::size(&unpacked, variant.as_deref()),
        content: Read::of(&unpacked, admitted).map_err(|error| bad(&error))?,
    })
}

/// The same verdict as of [`verify`], with a layer that is open already, and with what was found of the images that
/// [`images_to_check`](super::images_to_check) names.
pub fn verify_opened(
    admitted: &Admitted,
    opened: &Opened,
    rendering: &Rendering,
    images: Option<Images<'_>>,
) -> Decision<Verified> {
    decide(admitted, Layer::Opened(opened), rendering, images)
}

#[derive(Clone, Copy)]
enum Layer<'a> {
    Bytes(&'a [u8]),
    Opened(&'a Opened),
}

fn decide(
    admitted: &Admitted,
    layer: Layer<'_>,
    rendering: &Rendering,
    images: Option<Images<'_>>,
) -> Decision<Verified> {
    let mut evidence = admitted.evidence.clone();
    match judge(admitted, layer, rendering, images, &mut evidence) {
        Ok(verified) => {
            evidence.outcome = crate::evidence::Outcome::Accepted;
            Decision { evidence, outcome: Ok(verified) }
        }
        Err((check, refusal)) => {
            evidence.refuse(check, &refusal);
            Decision { evidence, outcome: Err(refusal) }
        }
    }
}

type Refused = (CheckId, Refusal);

/// The only maker of [`Verified`].
fn judge(
    admitted: &Admitted,
    layer: Layer<'_>,
    rendering: &Rendering,
    images: Option<Images<'_>>,
    evidence: &mut Evidence,
) -> Result<Verified, Refused> {
    let signed = signed_objects(admitted, layer, evidence)?;
    let Admitted { reference, grounds, variant, stale, approvals, policies, auditing, .. } = admitted;
    let declared = admitted.chosen().map_or(&[][..], |chosen| chosen.parameters);
    evidence.parameters = (!declared.is_empty()).then(|| values_digest(reference.digest, declared, rendering));
    let (objects, scopes) = final_objects(admitted, signed, rendering)?;
    match (declared.len(), grounds) {
        (0, Grounds::Stated(_)) => {
            evidence.set(CheckId::Parameters, CheckResult::NotPresent, "the release declares none")
        }
        (0, Grounds::ThirdParty(_)) => {
            evidence.set(CheckId::Parameters, CheckResult::NotPresent, "no statement declares any");
        }
        (n, _) => evidence.pass(CheckId::Parameters, format!("{n} declared")),
    }
    let inventory = layer::inventory(&objects);
    evidence.final_inventory = Some(inventory);
    for policy in policies {
        if let Some(refusal) = forbidden(policy, &objects, &scopes) {
            return Err((CheckId::Objects, refusal));
        }
    }
    for policy in auditing {
        let record = evidence.policies.iter_mut().find(|record| record.digest == policy.digest);
        if let (Some(record), Some(refusal)) = (record, forbidden(policy, &objects, &scopes)) {
            (record.satisfied, record.unmet) = (false, Some(refusal.to_string()));
        }
    }
    evidence.pass(CheckId::Objects, format!("{} objects allowed", objects.len()));
    images::judge(admitted, &objects, images, evidence)?;
    Ok(Verified {
        reference: reference.clone(),
        grounds: grounds.clone(),
        variant: variant.clone(),
        stale: stale.clone(),
        approvals: approvals.clone(),
        deletions: DeletionRules::of(policies.iter().map(AsRef::as_ref)),
        objects,
        scopes,
        inventory,
    })
}

/// The objects of an open layer as they are to be applied, if it is the one that was signed.
pub(super) fn objects_of(admitted: &Admitted, opened: &Opened, rendering: &Rendering) -> Option<Objects> {
    let mut unread = admitted.evidence.clone();
    let signed = signed_objects(admitted, Layer::Opened(opened), &mut unread).ok()?;
    final_objects(admitted, signed, rendering).ok().map(|(objects, _)| objects)
}

/// The objects as they are to be applied: with parameters and in the target namespace.
fn final_objects(admitted: &Admitted, signed: Objects, rendering: &Rendering) -> Result<(Objects, Scopes), Refused> {
    let declared = admitted.chosen().map_or(&[][..], |chosen| chosen.parameters);
    render(signed, declared, rendering, &admitted.policies).map_err(|refusal| {
        let check =
            if matches!(refusal, Refusal::BadParameter { .. }) { CheckId::Parameters } else { CheckId::Objects };
        (check, refusal)
    })
}

/// The objects of the layer, if it is the manifest's, and, where a statement says what is in it, if layer, tar stream,
/// counts and inventory are those of the statement.
fn signed_objects(admitted: &Admitted, layer: Layer<'_>, evidence: &mut Evidence) -> Result<Objects, Refused> {
    let Admitted { layer: described, format, grounds, limits, .. } = admitted;
    let content = grounds.stated().map(|stated| &stated.statement.release.content);
    let bad = |error: &dyn std::error::Error| (CheckId::Layer, Refusal::BadLayer(crate::chain(error)));
    if let Some(content) = content {
        same("the signed layer", content.layer, described.digest)?;
    }
    let expanded = |actual: Digest, files: usize, evidence: &mut Evidence| {
        if let Some(content) = content {
            same("the expanded layer", content.uncompressed, actual)?;
        }
        evidence.pass(CheckId::Layer, format!("{}, {files} files", described.digest));
        Ok(())
    };
    let read = match layer {
        Layer::Bytes(bytes) => {
            same("the layer", described.digest, Digest::of(bytes))?;
            let unpacked = layer::unpack(bytes, *format, limits).map_err(|error| bad(&error))?;
            expanded(unpacked.uncompressed, unpacked.files.len(), evidence)?;
            Read::of(&unpacked, admitted).map_err(|error| bad(&error))?
        }
        Layer::Opened(opened) => {
            same("the layer", described.digest, opened.layer)?;
            if !opened.fits(admitted) {
                let problem = "it was opened as another format, within other limits or for another variant".to_owned();
                return Err((CheckId::Layer, Refusal::BadLayer(problem)));
            }
            expanded(opened.uncompressed, opened.content.files, evidence)?;
            opened.content.clone()
        }
    };
    let Read { objects, inventory, .. } = &read;
    evidence.signed_inventory = Some(*inventory);
    match (grounds.stated(), admitted.chosen()) {
        (Some(stated), Some(chosen)) => {
            stated_inventory(&stated.statement.release, &chosen, &read)?;
            let of = chosen.variant.map(|name| format!(" of variant {name}")).unwrap_or_default();
            evidence.pass(CheckId::Inventory, format!("{} objects{of}, {inventory}", objects.len()));
        }
        _ => {
            let detail = format!("no statement names one; computed: {} objects, {inventory}", objects.len());
            evidence.set(CheckId::Inventory, CheckResult::NotPresent, detail);
        }
    }
    Ok(read.objects)
}

fn same(what: &'static str, expected: Digest, actual: Digest) -> Result<(), Refused> {
    match expected == actual {
        true => Ok(()),
        false => Err((CheckId::Layer, Refusal::DigestMismatch { what, expected, actual })),
    }
}

/// The layer holds what the statement says: of the variants no more and no less, and of the one chosen these very objects.
fn stated_inventory(release: &Release, chosen: &Chosen<'_>, read: &Read) -> Result<(), Refused> {
    let Read { files, variants, objects, inventory } = read;
    let stated: BTreeMap<_, _> = release.variants.iter().map(|v| (v.name.clone(), v.files)).collect();
    let difference = if *files != release.content.files {
        format!("{files} files, {} signed", release.content.files)
    } else if *variants != stated {
        format!("variants {}, {} signed", told(variants), told(&stated))
    } else if objects.len() != chosen.objects {
        format!("{} objects, {} signed", objects.len(), chosen.objects)
    } else if *inventory != chosen.inventory {
        format!("inventory {inventory}, {} signed", chosen.inventory)
    } else {
        return Ok(());
    };
    Err((CheckId::Inventory, Refusal::InventoryMismatch(difference)))
}

fn told(variants: &BTreeMap<String, usize>) -> String {
    let each: Vec<_> = variants.iter().map(|(name, files)| format!("{name} ({files} files)")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn forbidden(policy: &Policy, objects: &Objects, scopes: &Scopes) -> Option<Refusal> {
    objects.iter().find_map(|object| {
        let scope = scopes.of_kind(&object.id.group, &object.id.kind);
        policy.objects.forbids(object, scope).map(|rule| Refusal::ObjectNotAllowed {
            policy: policy.name.clone(),
            object: object.id.to_string(),
            rule,
        })
    })
}

/// Digest over the values in force, salted with the artifact so that equal values of two releases look different.
fn values_digest(artifact: Digest, declared: &[Parameter], rendering: &Rendering) -> Digest {
    let mut hasher = crate::digest::Hasher::new();
    hasher.update(artifact.as_bytes());
    for parameter in declared {
        let value = rendering.values.get(&parameter.name).or(parameter.default.as_ref());
        for part in [parameter.name.as_str(), value.map_or("", String::as_str)] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finish()
}
