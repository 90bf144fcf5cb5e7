//! `sealift push`: manifests to a signed release. The steps in order; those marked *registry* send requests.

mod content;
mod dry_run;
mod package;
mod report;
mod statement;

use bytes::Bytes;
use jiff::Timestamp;
use sealift_registry::{
    client::PutAs,
    store::{Address, Store},
};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_MANIFEST, Limits},
    digest::Digest,
    reference::{Reference, Repository},
};

use self::{dry_run::Drafted, package::Package, report::Pushed, statement::Draft};
pub(crate) use self::{
    package::scope_of,
    statement::{expiry, expiry_after, is_channel, next_sequence, previous},
};
use crate::{
    channel::{self, Channel},
    cli::push::PushArgs,
    exit::Exit,
    failure::{Failure, usage},
    line::Own,
    origin::{self, Origin},
    output::{Format, Output, transfer},
    release, signing,
    trace::Trace,
    transport,
};

pub(crate) async fn run(args: &PushArgs, output: &mut Output) -> Result<Exit, Failure> {
    let mut trace = Trace::begin(output);
    let result = pushed(args, &mut trace, output).await;
    trace.end(&result, output).await;
    result
}

async fn pushed(args: &PushArgs, trace: &mut Trace, output: &mut Output) -> Result<Exit, Failure> {
    let target = Target::of(args)?;
    let limits = Limits::default();
    let opening = signing::Opening::start(&args.signer);
    // Everything that can be wrong on this side is found before the first request.
    let created = origin::source_date()?;
    let parameters = distinct(args)?;
    trace.step("read");
    output.progress("reading manifests");
    let (sets, builds) = content::read(args, &parameters, &limits, output).await?;
    let annotations = origin::annotations(&args.origin, args.statement.version.as_deref(), created);
    let package = Package::new(&sets, args.format.into(), annotations)?;
    let paths: Vec<_> = args.files.iter().chain(args.variants.variant.iter().map(|(_, path)| path)).cloned().collect();
    let origin = Origin::find(&args.origin, &paths).rendered(builds).validated(args.validation.to_json());
    let origin = origin.traced(trace.handed());
    trace.fact("sealift.repository", target.repository.to_string());
    trace.fact("sealift.digest", package.digest.to_string());
    // A person may be asked for a password on this line.
    output.clear_status();
    let signer = opening.signer().await?;

    trace.step("channel");
    // registry: what the channel names now decides the sequence and what the new statement follows.
    let client = transport::open(&args.reference.location, &args.registry).await?;
    let logical = args.as_repository.as_ref().unwrap_or(&target.repository);
    let draft = Draft::new(args, logical, &package, &origin, Timestamp::now())?;
    let repository = &target.repository;
    let own = Own { client: &client, repository, signatory: signer.signatory(), line: draft.line() };
    output.progress("reading the channel");
    if !signer.signatory().is_provable() {
        output.warn(
            "without --trusted-root, what the channel names now cannot be told to be this identity's: the sequence is \
             the time, no previous release is named, and the tag does not move past what claims to be a newer release",
        );
    }
    let head = own.head(target.tag).await?;
    let statement = draft.follow(head.as_ref())?;
    let payload = release::payload(&statement)?;
    let immutable = statement::immutable_tag(&statement);
    let taken = channel::resolve(&client, repository, &immutable).await?;
    if let Some(other) = taken.filter(|taken| *taken != package.digest) {
        return Err(statement::taken(&immutable, other));
    }

    if args.dry_run {
        let drafted = Drafted {
            repository,
            package: &package,
            sets: &sets,
            statement: &statement,
            signatory: signer.signatory(),
            immutable: &immutable,
            channel: target.tag.filter(|_| !args.no_tag),
            head: head.map(|head| head.release.position()),
        };
        return drafted.write(output);
    }

    trace.fact("sealift.stream", statement.release.stream.clone());
    trace.fact("sealift.sequence", statement.release.sequence);
    // registry: by digest first, so that nothing names what is not there.
    trace.step("sign");
    let signed = signer.sign(&payload).await?;
    trace.step("upload");
    upload(&client, repository, &package).await?;
    trace.step("attach");
    output.progress("attaching the signature");
    let subject = Descriptor::of(IMAGE_MANIFEST, &package.bytes);
    let bundle = signed.bundle.clone();
    let attached = release::attach_beside(&client, repository, subject, bundle, created).await?;

    // registry: the channel's tag is moved last, and only forward.
    trace.step("tag");
    output.progress("moving tags");
    let manifest = package.bytes.clone().into();
    let to = channel::Target { digest: package.digest, manifest, position: statement.release.position() };
    if taken.is_none() {
        channel::set(&client, repository, &immutable, &to.manifest).await?;
    }
    let moved = match target.tag.filter(|_| !args.no_tag) {
        Some(tag) if tag != immutable => {
            let channel = Channel { client: &client, repository, tag };
            Some((tag, channel.advance(&to, async |digest| own.position(digest).await).await?))
        }
        _ => None,
    };
    let pushed = Pushed {
        reference: repository.pin(package.digest),
        shown: client.shown(&repository.pin(package.digest)),
        package: &package,
        sets: &sets,
        statement: &statement,
        payload: Digest::of(&payload),
        signatory: signer.signatory(),
        signed: &signed,
        attached: &attached,
        immutable: &immutable,
        moved: moved.as_ref().map(|(tag, moved)| (*tag, moved)),
    };
    finish(args, &pushed, output)
}

/// Writes the product; what became of the channel is the exit code.
fn finish(args: &PushArgs, pushed: &Pushed<'_>, output: &mut Output) -> Result<Exit, Failure> {
    report::files(args.digest_file.as_deref(), args.dotenv.as_deref(), pushed)?;
    pushed.notes(args.format, output);
    match output.format {
        Format::Text => output.product(&pushed.shown)?,
        Format::Json => output.json(&pushed.json())?,
    }
    Ok(pushed.moved.map_or(Exit::Done, |(tag, moved)| moved.exit(tag, output)))
}

/// The channel a release goes to, if one is named.
struct Target<'a> {
    /// What the place is asked as.
    repository: Repository,
    tag: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(args: &'a PushArgs) -> Result<Self, Failure> {
        let Address { location, tag, digest } = &args.reference;
        if digest.is_some() {
            return Err(usage(format!("{} names a digest, but the push makes it", args.reference)));
        }
        let tag = tag.as_deref();
        if tag.is_none() && !args.no_tag {
            let hint = "name the tag that clusters follow, oci://HOST/REPO:TAG, or say --no-tag";
            return Err(usage(format!("{location} has no tag to move")).hint(hint));
        }
        match tag.filter(|tag| !is_channel(tag)) {
            Some(tag) => {
                Err(usage(format!("{tag:?} cannot be a channel: such tags belong to signatures and single releases")))
            }
            None => {
                let Reference { repository, .. } = transport::named(&args.reference, args.as_repository.as_ref())?;
                Ok(Self { repository, tag })
            }
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

/// Config, layer and manifest, each by its digest. What the registry has is not sent again.
async fn upload(client: &Store, to: &Repository, package: &Package) -> Result<(), Failure> {
    let manifest = &package.manifest;
    tokio::try_join!(
        client.push_blob(to, &manifest.config.media_type, Bytes::from_static(b"{}")),
        transfer::upload(client, to, &package.layer.descriptor.media_type, package.layer.bytes.clone().into()),
    )?;
    client.put_manifest(to, PutAs::Digest, IMAGE_MANIFEST, package.bytes.clone().into()).await?;
    Ok(())
}
