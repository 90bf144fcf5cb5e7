//! `sealift inspect`: what an artifact or a folder of manifests holds. Nothing shown is verified, and it says so.

mod content;
mod remote;
mod signatures;

use std::path::PathBuf;

use sealift_registry::store::Address;
use sealift_verify::{
    artifact::Limits,
    objects::{Object, Objects, emit},
};
use serde_json::json;

use self::content::Content;
use crate::{
    channel::is_attachment,
    cli::{self, inspect::InspectArgs},
    exit::Exit,
    failure::{Failure, usage},
    manifests,
    output::{Format, Output},
    render::{self, Rendered},
    transport,
};

/// Why an object cannot be shown.
#[derive(Debug, thiserror::Error)]
enum ObjectError {
    #[error("{0:?} is not of the form KIND/NAME or KIND/NAMESPACE/NAME")]
    Form(String),
    #[error("there is no object {0}")]
    None(String),
    #[error("{wanted} could be any of: {}", found.join(", "))]
    Several { wanted: String, found: Vec<String> },
}

pub(crate) async fn run(args: &InspectArgs, output: &mut Output) -> Result<Exit, Failure> {
    match args.targets.as_slice() {
        [target] if cli::is_place(target) => {
            let address = cli::address(target).map_err(usage)?;
            if address.tag.is_none() && address.digest.is_none() && args.object.is_none() {
                return tags(args, &address, output).await;
            }
            artifact(args, &address, output).await
        }
        all if all.iter().any(|target| cli::is_place(target)) => {
            Err(usage("one artifact at a time, and not together with files"))
        }
        paths => files(args, paths, output).await,
    }
}

async fn tags(args: &InspectArgs, address: &Address, output: &mut Output) -> Result<Exit, Failure> {
    let client = transport::open(&address.location, &args.registry).await?;
    let reference = transport::unnamed(address, None);
    let mut tags = client.tags(&reference.repository).await?;
    tags.retain(|tag| !is_attachment(tag));
    tags.sort();
    match output.format {
        Format::Text => output.product(tags.join("\n"))?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/inspect/v1",
            "repository": address.location.to_string(),
            "tags": tags,
        }))?,
    }
    Ok(Exit::Done)
}

async fn artifact(args: &InspectArgs, address: &Address, output: &mut Output) -> Result<Exit, Failure> {
    let client = transport::open(&address.location, &args.registry).await?;
    let reference = transport::unnamed(address, None);
    let digest = transport::digest(&client, &reference, output).await?;
    output.progress("fetching");
    let found = remote::fetch(&client, &reference.repository.pin(digest), args.variant.as_deref()).await?;
    if let Some(wanted) = &args.object {
        return object(wanted, found.objects()?, output);
    }
    match output.format {
        Format::Text => output.product(found.text())?,
        Format::Json => output.json(&found.json())?,
    }
    Ok(Exit::Done)
}

async fn files(args: &InspectArgs, paths: &[String], output: &mut Output) -> Result<Exit, Failure> {
    let limits = Limits::default();
    let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
    let Rendered { sources, .. } = render::sources(&paths, &args.render, &limits, output).await?;
    let objects = manifests::read(&sources, &limits)?;
    if let Some(wanted) = &args.object {
        return object(wanted, &objects, output);
    }
    let content = Content::new(objects);
    match output.format {
        Format::Text => output.product(content.text())?,
        Format::Json => {
            let mut document = content.json();
            document["schema"] = json!("sealift.dev/inspect/v1");
            output.json(&document)?;
        }
    }
    Ok(Exit::Done)
}

fn object(wanted: &str, objects: &Objects, output: &mut Output) -> Result<Exit, Failure> {
    let object = find(wanted, objects).map_err(|error| {
        let exit = match &error {
            ObjectError::Form(_) | ObjectError::Several { .. } => Exit::Usage,
            ObjectError::None(_) => Exit::NotFound,
        };
        Failure::new(exit, error)
    })?;
    match output.format {
        Format::Text => output.product(emit::to_yaml(&object.value).trim_end())?,
        Format::Json => output.json(&object.value)?,
    }
    Ok(Exit::Done)
}

/// The one object that `KIND[.GROUP]/[NAMESPACE/]NAME` names; kinds as kubectl takes them, in any case.
fn find<'a>(wanted: &str, objects: &'a Objects) -> Result<&'a Object, ObjectError> {
    let mut parts = wanted.split('/');
    let (kind, namespace, name) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(kind), Some(name), None, None) => (kind, None, name),
        (Some(kind), Some(namespace), Some(name), None) => (kind, Some(namespace), name),
        _ => return Err(ObjectError::Form(wanted.to_owned())),
    };
    let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
    let is_it = |object: &&Object| {
        let id = &object.id;
        id.kind.eq_ignore_ascii_case(kind)
            && id.name == name
            && group.is_none_or(|group| id.group == group)
            && namespace.is_none_or(|namespace| id.namespace.as_deref() == Some(namespace))
    };
    match objects.iter().filter(is_it).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        [] => Err(ObjectError::None(wanted.to_owned())),
        several => Err(ObjectError::Several {
            wanted: wanted.to_owned(),
            found: several.iter().map(|object| object.id.to_string()).collect(),
        }),
    }
}
