//! What a copy says, and its product: the artifacts where they are now.

use sealift_registry::{
    copy::{Done, Survey},
    store::Location,
};
use sealift_verify::reference::Repository;
use serde_json::{Value, json};

use super::{roots::Root, tags::Move};
use crate::{
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    release::{self, Artifact},
};

/// A finished copy.
#[derive(Debug)]
pub(super) struct Copied<'a> {
    pub(super) from: &'a Location,
    pub(super) to: &'a Location,
    pub(super) logical: &'a Repository,
    pub(super) roots: &'a [Root],
    pub(super) artifacts: &'a [Artifact],
    pub(super) survey: &'a Survey,
    pub(super) done: Done,
    pub(super) named: &'a [Move],
    pub(super) is_judged: bool,
}

impl Copied<'_> {
    pub(super) fn write(&self, output: &mut Output) -> Result<Exit, Failure> {
        let Self { to, logical, roots, survey, done, named, is_judged, .. } = self;
        let Done { sent, sent_bytes, present, manifests, verified_bytes } = done;
        output.note(format_args!("copied    {sent} blobs in {sent_bytes} bytes, {present} were there"));
        output.note(format_args!(
            "with      {manifests} manifests, {} of them signatures and other referrers; {} legacy tags",
            survey.referrers,
            survey.legacy.len()
        ));
        output.note(format_args!("read back {verified_bytes} bytes at {to}: every digest is right"));
        match is_judged {
            true => output.note(format_args!("verified  as {logical}: the policy accepts what is there now")),
            false => {
                output.note(format_args!("NOT CHECKED: signatures, as {logical}; --policy judges what is there now"))
            }
        }
        for one in *named {
            match one {
                Move::To { tag, from: Some(from), .. } => {
                    output.note(format_args!("moved     {tag} from {}", from.short()));
                }
                Move::To { tag, from: None, .. } => output.note(format_args!("moved     {tag}, which is new")),
                Move::There { tag, .. } => output.note(format_args!("unmoved   {tag} already names this artifact")),
                Move::Superseded { tag, by, .. } => {
                    output.warn(format_args!("tag {tag} already names newer release {by}, and was left there"));
                }
            }
        }
        match output.format {
            Format::Text => {
                let mut lines: Vec<_> = roots.iter().map(|root| to.at(&root.digest)).collect();
                lines.dedup();
                output.product(lines.join("\n"))?;
            }
            Format::Json => output.json(&self.json())?,
        }
        let superseded = named.iter().any(|one| matches!(one, Move::Superseded { .. }));
        Ok(if superseded { Exit::Superseded } else { Exit::Done })
    }

    fn json(&self) -> Value {
        let Self { from, to, logical, roots, artifacts, survey, done, named, is_judged } = self;
        let Done { sent, sent_bytes, present, manifests, verified_bytes } = done;
        let artifact = |(root, artifact): (&Root, &Artifact)| {
            let statements = artifact.releases();
            let statements =
                statements.iter().map(|(payload, it)| release::statement_json(&payload.digest, &it.release));
            json!({
                "reference": to.at(&root.digest),
                "digest": root.digest,
                "tag": root.tag,
                "claimedStatements": statements.collect::<Vec<_>>(),
            })
        };
        json!({
            "schema": "sealift.dev/copy/v1",
            "from": from.to_string(),
            "to": to.to_string(),
            "repository": logical,
            "artifacts": roots.iter().zip(*artifacts).map(artifact).collect::<Vec<_>>(),
            "blobs": {"sent": sent, "bytes": sent_bytes, "present": present},
            "manifests": manifests,
            "referrers": survey.referrers,
            "legacyTags": survey.legacy.iter().map(|(tag, _)| tag).collect::<Vec<_>>(),
            "readBackBytes": verified_bytes,
            "verified": is_judged,
            "tags": named.iter().map(Move::json).collect::<Vec<_>>(),
        })
    }
}
