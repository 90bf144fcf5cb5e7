//! `sealift pull`: the objects of a release as files, once a policy accepts it.

mod folder;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
};

use bytes::Bytes;
use sealift_apply::order::Stage;
use sealift_verify::{
    artifact::{Format as Packing, Limits},
    evidence::THIRD_PARTY,
    layer,
    objects::{Objects, emit},
    statement::{VARIANTS, inventory_of_variants},
};
use serde_json::{Value, json};

use self::folder::Folder;
use crate::{
    cli::pull::PullArgs,
    delivery::Settings,
    exit::Exit,
    failure::{Failure, usage},
    judge,
    output::{Format, Output, transfer},
    packed::{Head, Set, only},
    policies, release,
    table::plain,
    transport,
    verify::{Accepted, accepted},
};

/// Objects that cannot be files.
#[derive(Debug, thiserror::Error)]
#[error("the objects cannot be written as files")]
struct NoFiles(#[source] layer::PackError);

/// An artifact on its way to a folder.
struct Pulled {
    /// Where it lies, as a person would name it.
    shown: String,
    head: Head,
    layer: Bytes,
    /// Who says what it is; nobody, where nothing was verified or a third party signed.
    statement: Option<Value>,
    is_verified: bool,
    /// Which of its variants is meant; without, all.
    variant: Option<String>,
}

pub(crate) async fn run(args: &PullArgs, output: &mut Output) -> Result<Exit, Failure> {
    let to_stdout = args.output_dir.as_os_str() == "-";
    if to_stdout && args.layer && (io::stdout().is_terminal() || output.format == Format::Json) {
        return Err(usage("--layer to standard output writes bytes, which neither a terminal nor JSON can take")
            .hint("send it to a file, or name a folder with --output-dir"));
    }
    // Where it cannot be written, nothing is fetched.
    let folder = (!to_stdout).then(|| Folder::at(&args.output_dir, args.force)).transpose()?;
    let pulled = if args.unverified { unverified(args, output).await? } else { verified(args, output).await? };
    match folder {
        None if args.layer => output.bytes(&pulled.layer)?,
        None => stream(pulled, output)?,
        Some(folder) => {
            let (files, document) = if args.layer { pulled.layer_file() } else { pulled.object_files()? };
            output.progress(format_args!("writing {} files", files.len()));
            folder.write(&files)?;
            output.note(format_args!("wrote     {} files to {}", files.len(), args.output_dir.display()));
            if output.format == Format::Json {
                output.json(&document)?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn verified(args: &PullArgs, output: &mut Output) -> Result<Pulled, Failure> {
    let trust = policies::read(&args.policy, output)?;
    let settings = Settings::of(&args.facts, output).await?;
    let logical = args.facts.as_repository.as_ref();
    let Accepted { place, verified, manifest, layer } =
        accepted(&args.reference, logical, &trust, &settings, &args.registry, output).await?;
    let verified = judge::current(verified)?;
    let stated = verified.grounds().stated();
    match stated {
        Some(stated) => output.note(format_args!("verified  {}", plain(&release::line(&stated.statement.release)))),
        None => output.note(format_args!("verified  {THIRD_PARTY}")),
    }
    let statement = stated.map(|stated| release::statement_json(&stated.payload, &stated.statement.release));
    let shown = args.reference.location.at(&place.digest);
    let variant = settings.variant;
    Ok(Pulled { shown, head: Head::parse(&place, &manifest)?, layer, statement, is_verified: true, variant })
}

async fn unverified(args: &PullArgs, output: &mut Output) -> Result<Pulled, Failure> {
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let reference = transport::unnamed(&args.reference, None);
    let digest = transport::digest(&client, &reference, output).await?;
    let place = reference.repository.pin(digest);
    output.progress("fetching");
    let head = Head::fetch(&client, &place).await?;
    let layer = transfer::layer(&client, &place.repository, &head.layer).await?;
    let shown = client.shown(&place);
    output.warn(format_args!("UNVERIFIED: whoever may write there decides what {shown} holds"));
    let variant = args.facts.variant.clone();
    Ok(Pulled { shown, head, layer, statement: None, is_verified: false, variant })
}

/// One document an object, in the order in which they can be applied.
fn stream(pulled: Pulled, output: &mut Output) -> Result<(), Failure> {
    let mut document = pulled.json();
    let title = format!("# {}{}", if pulled.is_verified { "" } else { "UNVERIFIED: " }, plain(&pulled.shown));
    let objects = only(&pulled.sets()?)?.clone();
    if output.format == Format::Json {
        document["objects"] = ordered(objects).into_iter().collect();
        return Ok(output.json(&document)?);
    }
    let mut text = title;
    for value in ordered(objects) {
        text.push_str("\n---\n");
        text.push_str(emit::to_yaml(&value).trim_end_matches('\n'));
    }
    Ok(output.product(text)?)
}

/// Namespaces and definitions before what needs them.
fn ordered(objects: Objects) -> Vec<Value> {
    let mut objects = objects.into_vec();
    objects.sort_by_key(|object| Stage::of(&object.id));
    objects.into_iter().map(|object| object.value).collect()
}

/// Files by path, and the report about them.
type Files = (BTreeMap<String, Vec<u8>>, Value);

impl Pulled {
    fn json(&self) -> Value {
        let Self { shown, head, layer: _, statement, is_verified, variant } = self;
        json!({
            "schema": "sealift.dev/pull/v1",
            "outcome": if *is_verified { "pulled" } else { "pulled-unverified" },
            "verified": is_verified,
            "reference": shown,
            "digest": head.place.digest,
            "format": head.format,
            "layer": head.layer,
            "variant": variant,
            "statement": statement,
        })
    }

    fn sets(self) -> Result<Vec<Set>, Failure> {
        Ok(self.head.open(&self.layer, &Limits::default(), self.variant.as_deref())?.sets)
    }

    fn layer_file(self) -> Files {
        let name = match self.head.format {
            Packing::Sealift => "layer.tar.zst",
            Packing::Flux | Packing::Oci => "layer.tar.gz",
        };
        let mut document = self.json();
        document["files"] = json!([name]);
        (BTreeMap::from([(name.to_owned(), self.layer.to_vec())]), document)
    }

    /// What `push --format flux` would pack of the same objects; where all variants are meant, each in its folder.
    fn object_files(self) -> Result<Files, Failure> {
        let mut document = self.json();
        let is_chosen = self.variant.is_some();
        let (mut files, mut inventories) = (BTreeMap::new(), Vec::new());
        for (variant, objects) in self.sets()? {
            let own = layer::files(&objects, Packing::Flux)
                .map_err(|error| Failure::new(Exit::InvalidInput, NoFiles(error)))?;
            let folder = variant.as_ref().filter(|_| !is_chosen);
            let folder = folder.map(|name| format!("{VARIANTS}/{name}/")).unwrap_or_default();
            files.extend(own.into_iter().map(|(path, bytes)| (format!("{folder}{path}"), bytes)));
            inventories.push((variant, layer::inventory(&objects)));
        }
        document["inventory"] = json!(match inventories.as_slice() {
            [(variant, one)] if is_chosen || variant.is_none() => *one,
            all => inventory_of_variants(all.iter().map(|(name, one)| (name.as_deref().unwrap_or_default(), *one))),
        });
        document["files"] = files.keys().map(String::as_str).collect();
        Ok((files, document))
    }
}
