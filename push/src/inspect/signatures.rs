//! What hangs on an artifact and calls itself a signature. Anyone who may push can write all of it.

use sealift_registry::fetch::Signatures;
use sealift_verify::{
    digest::Digest,
    reference::Pinned,
    signature::{Envelope, Form},
    statement::{Release, Statement},
    third_party,
};
use serde_json::{Value, json};

use crate::{judge::claimed, table::plain};

/// One candidate as it reads, believed in nothing.
struct Claim {
    referrer: Digest,
    /// Who claims to have signed, in words.
    signer: String,
    payload: Digest,
    says: Says,
}

/// What the payload is.
enum Says {
    Release(Box<Statement>),
    /// A third party's signature of an artifact and nothing more.
    Signed(third_party::Claim, Form),
    Nothing(String),
}

fn says(envelope: &Envelope) -> Says {
    match envelope.claim() {
        Ok(Some(claim)) => Says::Signed(claim, envelope.form),
        Ok(None) => match Statement::parse(envelope.payload()) {
            Ok(statement) => Says::Release(Box::new(statement)),
            Err(error) => Says::Nothing(sealift_verify::chain(&error)),
        },
        Err(error) => Says::Nothing(sealift_verify::chain(&error)),
    }
}

fn claims(signatures: &Signatures, largest: u64) -> Vec<Result<Claim, (Digest, String)>> {
    let read = signatures.candidates.iter().map(|candidate| {
        let envelope =
            Envelope::parse(candidate, largest).map_err(|error| (candidate.referrer, sealift_verify::chain(&error)))?;
        Ok(Claim {
            referrer: candidate.referrer,
            signer: claimed(&envelope),
            payload: Digest::of(envelope.payload()),
            says: says(&envelope),
        })
    });
    let skipped = signatures.skipped.iter().map(|skipped| Err((skipped.referrer, skipped.reason.clone())));
    read.chain(skipped).collect()
}

pub(super) fn text(signatures: &Signatures, reference: &Pinned, largest: u64) -> String {
    let mut lines =
        vec!["statements: UNVERIFIED, whoever may push can write them; `sealift verify` judges them".to_owned()];
    let claims = claims(signatures, largest);
    if claims.is_empty() {
        lines.push("  none: the artifact is not signed".to_owned());
    }
    for claim in claims {
        match claim {
            Err((referrer, reason)) => lines.push(format!("  {referrer}\n    not a statement: {}", plain(&reason))),
            Ok(Claim { referrer, signer, payload, says }) => {
                lines.push(format!("  {referrer}\n    claims {}", plain(&signer)));
                match says {
                    Says::Nothing(reason) => lines.push(format!("    not a release statement: {}", plain(&reason))),
                    Says::Signed(claim, form) => lines.extend(describe_claim(&claim, form, payload, reference)),
                    Says::Release(statement) => lines.extend(describe(&statement, payload, reference)),
                }
            }
        }
    }
    if signatures.truncated {
        lines.push("  and more than may be looked at".to_owned());
    }
    lines.join("\n")
}

fn describe_claim(claim: &third_party::Claim, form: Form, payload: Digest, reference: &Pinned) -> Vec<String> {
    let third_party::Claim { artifact, annotations } = claim;
    let form = match form {
        Form::Bundle => "third-party signature of the artifact, no release statement",
        Form::SimpleSigning => "third-party signature of the artifact (legacy .sig), no release statement",
    };
    let rows = [
        ("signature", Some(payload.to_string())),
        ("about", (*artifact != reference.digest).then(|| format!("ANOTHER ARTIFACT, {artifact}"))),
        ("annotations", (annotations != "{}").then(|| annotations.clone())),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some(format!("    {name:<13}{}", plain(&value?))));
    [format!("    {form}")].into_iter().chain(rows).collect()
}

fn describe(statement: &Statement, payload: Digest, reference: &Pinned) -> Vec<String> {
    let Statement { name: _, artifact, release } = statement;
    let Release {
        stream,
        environment,
        repositories,
        version,
        issued_at,
        not_before,
        expires_at,
        parameters,
        variants,
        source,
        build,
        ..
    } = release;
    let time = |time: &Option<jiff::Timestamp>| time.map(|time| time.to_string());
    let repositories: Vec<_> = repositories.iter().map(ToString::to_string).collect();
    let rows = [
        ("statement", Some(payload.to_string())),
        ("about", (*artifact != reference.digest).then(|| format!("ANOTHER ARTIFACT, {artifact}"))),
        ("stream", Some(stream.clone())),
        ("environment", environment.clone()),
        ("version", version.clone()),
        ("release", Some(release.position().to_string())),
        ("repositories", Some(repositories.join(", "))),
        ("issued", Some(issued_at.to_string())),
        ("not before", time(not_before)),
        ("expires", time(expires_at)),
        (
            "source",
            source.as_ref().map(|source| {
                format!("{} {}", source.uri, source.digest.values().cloned().collect::<Vec<_>>().join(" "))
            }),
        ),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some(format!("    {name:<13}{}", plain(value?.trim_end()))));
    let parameters = parameters.iter().map(|parameter| {
        let kind = format!("{:?}", parameter.kind).to_lowercase();
        let default = match &parameter.default {
            Some(default) => format!("default {default:?}"),
            None => "required".to_owned(),
        };
        let places = parameter.pointers.len() + parameter.typed.len();
        format!("    parameter    {} ({kind}, {default}, in {places} places)", plain(&parameter.name))
    });
    let variants = variants.iter().map(|variant| {
        format!("    variant      {}: {} objects, inventory {}", variant.name, variant.objects, variant.inventory)
    });
    rows.chain(variants).chain(rendered(build.as_ref())).chain(parameters).collect()
}

/// How folders became manifests, as the statement says.
fn rendered(build: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| plain(value.as_str().unwrap_or("?"));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let one = |how: &Value| {
        let variant = how["variant"].as_str().map(|name| format!(" for {}", plain(name))).unwrap_or_default();
        let mut line = format!(
            "    rendered     {}{variant} by {} {} from {} files, inputs {}",
            text(&how["folder"]),
            text(&how["renderer"]),
            text(&how["version"]),
            how["inputs"]["files"],
            text(&how["inputs"]["digest"])
        );
        for values in list(&how["values"]) {
            line += &format!("\n      values     {} {}", text(&values["file"]), text(&values["digest"]));
        }
        for (what, name) in [("applied", "applied"), ("leftOut", "left out")] {
            for hook in list(&how["hooks"][what]) {
                line += &format!("\n      hook       {}, {name}", text(&hook));
            }
        }
        line
    };
    build.map(|build| list(&build["render"]).iter().map(one).collect()).unwrap_or_default()
}

pub(super) fn json(signatures: &Signatures, reference: &Pinned, largest: u64) -> Value {
    let (mut statements, mut third_party, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for claim in claims(signatures, largest) {
        match claim {
            Ok(Claim { referrer, signer, payload, says: Says::Release(statement) }) => statements.push(json!({
                "referrer": referrer,
                "claimedSigner": signer,
                "statement": payload,
                "aboutThisArtifact": statement.artifact == reference.digest,
                "predicate": statement.release,
            })),
            Ok(Claim { referrer, signer, payload, says: Says::Signed(claim, form) }) => third_party.push(json!({
                "referrer": referrer,
                "claimedSigner": signer,
                "signature": payload,
                "form": form,
                "aboutThisArtifact": claim.artifact == reference.digest,
                "annotations": claim.annotations(),
            })),
            Ok(Claim { referrer, signer, payload: _, says: Says::Nothing(reason) }) => {
                others.push(json!({"referrer": referrer, "claimedSigner": signer, "reason": reason}));
            }
            Err((referrer, reason)) => others.push(json!({"referrer": referrer, "reason": reason})),
        }
    }
    json!({
        "statements": statements,
        "thirdPartySignatures": third_party,
        "others": others,
        "truncated": signatures.truncated,
    })
}
