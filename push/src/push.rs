//! `sealift push`: manifests to a signed release. The steps in order; those marked *registry* send requests.

mod channel;
mod package;
mod report;
mod statement;

use std::{collections::BTreeMap, fs, path::Path};

use bytes::Bytes;
use jiff::Timestamp;
use sealift_registry::client::{Attached, Client, PutAs};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_MANIFEST, Limits},
    digest::Digest,
    reference::Reference,
    statement::{PREDICATE_TYPE, Statement},
};

pub(crate) use self::package::scope_of;
use self::{
    channel::{Channel, Moved},
    package::Package,
    report::Pushed,
    statement::Draft,
};
use crate::{
    cli::push::PushArgs,
    exit::Exit,
    failure::{Failure, usage},
    manifests,
    origin::{self, Origin},
    output::{Format, Output},
    signing::{self, Asked, KeyFile, KeyPair, Signer},
    transport,
};

pub(crate) async fn run(args: &PushArgs, output: &mut Output) -> Result<Exit, Failure> {
    let target = Target::of(args)?;
    let limits = Limits::default();
    // Everything that can be wrong on this side is found before the first request.
    let created = origin::source_date()?;
    let mut parameters = distinct(args)?;
    output.progress("reading manifests");
    let sources = manifests::sources(&args.files, &limits, output)?;
    let objects = manifests::read_with(sources, &mut parameters, &limits)?;
    let annotations = origin::annotations(&args.origin, args.statement.version.as_deref(), created);
    let package = Package::new(&objects, args.format.into(), annotations)?;
    let origin = Origin::find(&args.origin, &args.files);
    let key = read_key(&args.key)?;

    // registry: what the channel names now decides the sequence and what the new statement follows.
    let client = transport::client(&args.reference.repository, &args.registry).await?;
    let draft = Draft::new(args, &package, parameters, &origin, Timestamp::now())?;
    let channel = Channel { client: &client, key: key.public_key(), draft: &draft, tag: target.tag };
    output.progress("reading the channel");
    let head = channel.head().await?;
    let statement = draft.follow(head.as_ref())?;
    let immutable = statement::immutable_tag(&statement);
    let taken = channel::resolve(&client, &args.reference.repository, &immutable).await?;
    if let Some(other) = taken.filter(|taken| *taken != package.digest) {
        return Err(statement::taken(&immutable, other));
    }

    // registry: by digest first, so that nothing names what is not there.
    let payload = statement.to_payload();
    let bundle = signing::sign_statement(&key, &payload).map_err(|error| Failure::new(Exit::Failed, error))?;
    output.progress(format_args!("uploading {} bytes", package.layer.bytes.len()));
    upload(&client, &args.reference, &package).await?;
    output.progress("attaching the signature");
    let attached = attach(&client, &args.reference, &package, bundle.into(), created).await?;

    // registry: the channel's tag is moved last, and only forward.
    output.progress("moving tags");
    if taken.is_none() {
        channel::tag(&client, &args.reference.repository, &immutable, &package).await?;
    }
    let moved = match target.tag.filter(|_| !args.no_tag) {
        Some(tag) if tag != immutable => Some((tag, channel.advance(&package, &statement).await?)),
        _ => None,
    };
    let pushed = Pushed {
        reference: args.reference.repository.pin(package.digest),
        package: &package,
        statement: &statement,
        payload: Digest::of(&payload),
        key: key.public_key().id(),
        attached: &attached,
        immutable: &immutable,
        moved: moved.as_ref().map(|(tag, moved)| (*tag, moved)),
    };
    finish(args, &pushed, output)
}

/// Writes the product; what became of the channel is the exit code.
fn finish(args: &PushArgs, pushed: &Pushed<'_>, output: &mut Output) -> Result<Exit, Failure> {
    report::files(args.digest_file.as_deref(), pushed)?;
    pushed.notes(args.format, output);
    match output.format {
        Format::Text => output.product(&pushed.reference)?,
        Format::Json => output.json(&pushed.json())?,
    }
    match &pushed.moved {
        Some((tag, Moved::Superseded { by, .. })) => {
            output.warn(format_args!("tag {tag} already names newer release {by}, and was left there"));
            Ok(Exit::Superseded)
        }
        _ => Ok(Exit::Done),
    }
}

/// The channel a release goes to, if one is named.
struct Target<'a> {
    tag: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(args: &'a PushArgs) -> Result<Self, Failure> {
        let Reference { repository, tag, digest } = &args.reference;
        if digest.is_some() {
            return Err(usage(format!("{} names a digest, but the push makes it", args.reference)));
        }
        let tag = tag.as_deref();
        if tag.is_none() && !args.no_tag {
            let hint = "name the tag that clusters follow, oci://HOST/REPO:TAG, or say --no-tag";
            return Err(usage(format!("{repository} has no tag to move")).hint(hint));
        }
        match tag.filter(|tag| tag.starts_with("sha256-") || statement::is_sequence_tag(tag)) {
            Some(tag) => {
                Err(usage(format!("{tag:?} cannot be a channel: such tags belong to signatures and single releases")))
            }
            None => Ok(Self { tag }),
        }
    }
}

fn distinct(args: &PushArgs) -> Result<Vec<sealift_verify::parameters::Parameter>, Failure> {
    let parameters = args.statement.var.clone();
    let mut names = std::collections::BTreeSet::new();
    match parameters.iter().find(|parameter| !names.insert(&parameter.name)) {
        Some(twice) => Err(usage(format!("variable {} is declared twice", twice.name))),
        None => Ok(parameters),
    }
}

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} is no key to sign with", path.display())]
struct BadKey {
    path: std::path::PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

fn read_key(path: &Path) -> Result<KeyPair, Failure> {
    let bad = |exit, source: Box<dyn std::error::Error + Send + Sync>| {
        Failure::new(exit, BadKey { path: path.to_owned(), source })
    };
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => bad(Exit::NotFound, error.into()).hint("make a pair with `sealift keygen`"),
        _ => bad(Exit::InvalidInput, error.into()),
    })?;
    let unusable = |error: signing::KeyFileError| {
        let hint = error.hint();
        bad(Exit::InvalidInput, error.into()).hint(hint)
    };
    match KeyFile::parse(&text).map_err(unusable)? {
        KeyFile::Open(key) => Ok(*key),
        KeyFile::Encrypted(container) => {
            let password = signing::password(Asked::ToOpen).map_err(|error| {
                bad(Exit::InvalidInput, error.into())
                    .hint("set SEALIFT_PASSWORD (or COSIGN_PASSWORD), if need be to nothing")
            })?;
            KeyPair::decrypt(&container, &password).map_err(unusable)
        }
    }
}

/// Config, layer and manifest, each by its digest. What the registry has is not sent again.
async fn upload(client: &Client, to: &Reference, package: &Package) -> Result<(), Failure> {
    let manifest = &package.manifest;
    tokio::try_join!(
        client.push_blob(&to.repository, &manifest.config.media_type, Bytes::from_static(b"{}")),
        client.push_blob(&to.repository, &package.layer.descriptor.media_type, package.layer.bytes.clone().into()),
    )?;
    client.put_manifest(&to.repository, PutAs::Digest, IMAGE_MANIFEST, package.bytes.clone().into()).await?;
    Ok(())
}

/// The bundle as a referrer of the manifest, with the annotations that cosign writes.
async fn attach(
    client: &Client,
    to: &Reference,
    package: &Package,
    bundle: Bytes,
    created: Option<Timestamp>,
) -> Result<Attached, Failure> {
    let subject = Descriptor::of(IMAGE_MANIFEST, &package.bytes);
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
    let annotations = BTreeMap::from(
        [
            ("dev.sigstore.bundle.content", "dsse-envelope".to_owned()),
            ("dev.sigstore.bundle.predicateType", PREDICATE_TYPE.to_owned()),
            ("org.opencontainers.image.created", created.unwrap_or(now).to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(client.attach_bundle(&to.repository, subject, bundle, annotations).await?)
}

/// The digest of a statement's payload: what `previous`, memory and evidence name it by.
fn payload_digest(statement: &Statement) -> Digest {
    Digest::of(&statement.to_payload())
}
