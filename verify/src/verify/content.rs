//! The second half of the verdict: the layer is the one signed, its objects are the ones signed, all are allowed.

use super::{Admitted, Decision, Verified};
use crate::{
    digest::Digest,
    evidence::{CheckId, CheckResult, Evidence},
    layer,
    objects::{Objects, scope::Scopes},
    policy::Policy,
    refusal::Refusal,
    render::{Rendering, render},
    statement::Statement,
};

/// Judges the layer of an admitted artifact and the objects that come of it. The only maker of [`Verified`].
pub fn verify(admitted: &Admitted, bytes: &[u8], rendering: &Rendering) -> Decision<Verified> {
    let mut evidence = admitted.evidence.clone();
    match judge(admitted, bytes, rendering, &mut evidence) {
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

fn judge(
    admitted: &Admitted,
    bytes: &[u8],
    rendering: &Rendering,
    evidence: &mut Evidence,
) -> Result<Verified, Refused> {
    let signed = signed_objects(admitted, bytes, evidence)?;
    let Admitted { reference, statement, payload, standing, stale, policies, auditing, .. } = admitted;
    let release = &statement.release;
    evidence.parameters = (!release.parameters.is_empty()).then(|| values_digest(statement, rendering));
    let (objects, scopes) = render(signed, &release.parameters, rendering, policies).map_err(|refusal| {
        let check =
            if matches!(refusal, Refusal::BadParameter { .. }) { CheckId::Parameters } else { CheckId::Objects };
        (check, refusal)
    })?;
    match release.parameters.len() {
        0 => evidence.set(CheckId::Parameters, CheckResult::NotPresent, "the release declares none"),
        n => evidence.pass(CheckId::Parameters, format!("{n} declared")),
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
    Ok(Verified {
        reference: reference.clone(),
        statement: statement.clone(),
        payload: *payload,
        standing: *standing,
        stale: stale.clone(),
        objects,
        scopes,
        inventory,
    })
}

/// The objects of the layer, if layer, tar stream, counts and inventory are those of the statement.
fn signed_objects(admitted: &Admitted, bytes: &[u8], evidence: &mut Evidence) -> Result<Objects, Refused> {
    let Admitted { layer: described, format, statement, limits, .. } = admitted;
    let content = &statement.release.content;
    let same = |what, expected: Digest, actual: Digest| {
        if expected == actual {
            Ok(())
        } else {
            Err((CheckId::Layer, Refusal::DigestMismatch { what, expected, actual }))
        }
    };
    let bad = |error: &dyn std::error::Error| (CheckId::Layer, Refusal::BadLayer(crate::chain(error)));
    same("the signed layer", content.layer, described.digest)?;
    same("the layer", described.digest, Digest::of(bytes))?;
    let unpacked = layer::unpack(bytes, *format, limits).map_err(|error| bad(&error))?;
    same("the expanded layer", content.uncompressed, unpacked.uncompressed)?;
    evidence.pass(CheckId::Layer, format!("{}, {} files", described.digest, unpacked.files.len()));
    let objects = layer::objects(&unpacked, *format, limits).map_err(|error| bad(&error))?;
    let inventory = layer::inventory(&objects);
    evidence.signed_inventory = Some(inventory);
    let differs = if unpacked.files.len() != content.files {
        Some(format!("{} files, {} signed", unpacked.files.len(), content.files))
    } else if objects.len() != content.objects {
        Some(format!("{} objects, {} signed", objects.len(), content.objects))
    } else {
        (inventory != content.inventory).then(|| format!("inventory {inventory}, {} signed", content.inventory))
    };
    if let Some(difference) = differs {
        return Err((CheckId::Inventory, Refusal::InventoryMismatch(difference)));
    }
    evidence.pass(CheckId::Inventory, format!("{} objects, {inventory}", objects.len()));
    Ok(objects)
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

/// Digest over the values in force, salted with the statement so that equal values of two releases look different.
fn values_digest(statement: &Statement, rendering: &Rendering) -> Digest {
    let mut hasher = crate::digest::Hasher::new();
    hasher.update(statement.artifact.as_bytes());
    for parameter in &statement.release.parameters {
        let value = rendering.values.get(&parameter.name).or(parameter.default.as_ref());
        for part in [parameter.name.as_str(), value.map_or("", String::as_str)] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    hasher.finish()
}
