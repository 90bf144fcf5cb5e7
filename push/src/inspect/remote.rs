//! An artifact in a registry: manifest, content and signatures, all of it the registry's word.

use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy, Signatures},
    store::Store,
};
use sealift_verify::{objects::Objects, reference::Pinned};
use serde_json::{Map, Value, json};

use super::{content::Content, signatures};
use crate::{
    failure::Failure,
    output::transfer,
    packed::{Head, Packed, only},
    table::plain,
};

/// What was found at a digest.
#[derive(Debug)]
pub(super) struct Artifact {
    /// Where it lies, as a person would name it.
    shown: String,
    head: Head,
    files: usize,
    sets: Vec<(Option<String>, Content)>,
    signatures: Signatures,
    largest_bundle: u64,
}

/// What is at a digest; of its variants only one, if that is named.
pub(super) async fn fetch(client: &Store, reference: &Pinned, variant: Option<&str>) -> Result<Artifact, Failure> {
    let limits = *client.limits();
    let head = Head::fetch(client, reference).await?;
    let both: Result<_, ClientError> = tokio::try_join!(
        transfer::layer(client, &reference.repository, &head.layer),
        fetch::signatures(client, reference, &limits, Legacy::Included),
    );
    let (bytes, signatures) = both?;
    let Packed { head, files, sets } = head.open(&bytes, &limits, variant)?;
    let sets = sets.into_iter().map(|(name, objects)| (name, Content::new(objects))).collect();
    let shown = client.shown(reference);
    Ok(Artifact { shown, head, files, sets, signatures, largest_bundle: limits.bundle })
}

impl Artifact {
    /// The one set of objects, or the one that was asked for.
    pub(super) fn objects(&self) -> Result<&Objects, Failure> {
        only(&self.sets).map(Content::objects)
    }

    pub(super) fn text(&self) -> String {
        let Self { shown, head, files, sets, signatures, largest_bundle } = self;
        let Head { place: reference, manifest, format, layer } = head;
        let name = format!("{format:?}").to_lowercase();
        let annotations = manifest.annotations.iter();
        let annotations: String = annotations.map(|(k, v)| format!("\n  {} = {}", plain(k), plain(v))).collect();
        format!(
            "{shown}\nformat: {name}, {files} files in {} bytes, {}\nlayer: {}\nannotations:{}\n{}\n{}",
            layer.size,
            layer.media_type,
            layer.digest,
            if annotations.is_empty() { " none" } else { &annotations },
            sets.iter().map(set_text).collect::<Vec<_>>().join("\n"),
            signatures::text(signatures, reference, *largest_bundle),
        )
    }

    pub(super) fn json(&self) -> Value {
        let Self { shown, head, files, sets, signatures, largest_bundle } = self;
        let Head { place: reference, manifest, format, layer } = head;
        let mut document = match sets.as_slice() {
            [(None, one)] => one.json(),
            several => {
                let each = several.iter().filter_map(|(name, content)| Some((name.clone()?, content.json())));
                json!({"variants": each.collect::<Map<_, _>>()})
            }
        };
        document["schema"] = json!("sealift.dev/inspect/v1");
        document["reference"] = json!(shown);
        document["digest"] = json!(reference.digest);
        document["format"] = json!(format);
        document["layer"] = json!(layer);
        document["files"] = json!(files);
        document["manifest"] = json!(manifest);
        document["unverified"] = signatures::json(signatures, reference, *largest_bundle);
        document
    }
}

fn set_text((variant, content): &(Option<String>, Content)) -> String {
    match variant {
        Some(name) => format!("variant {name}\n{}", content.text()),
        None => content.text(),
    }
}
