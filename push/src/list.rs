//! `sealift list`: the tags of a repository with what is claimed about their artifacts, and judged of it.

mod artifact;
mod order;
mod show;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use sealift_registry::{
    client::ClientError,
    fetch::{self, Legacy},
    store::{Address, Store},
};
use sealift_verify::{digest::Digest, policy::select, reference::Repository, verify::Facts};

use self::artifact::{Listed, Verdict};
use crate::{
    channel::{is_attachment, resolve},
    cli::list::ListArgs,
    exit::Exit,
    failure::Failure,
    judge,
    output::{Format, Output},
    policies::{self, Trust},
    release::Artifact,
    transport,
};

/// Tags and artifacts asked about at the same time; an artifact is a few requests.
const AT_ONCE: usize = 8;

/// A tag, and what it names.
struct Row<'a> {
    tag: String,
    listed: &'a Listed,
}

/// By whom verdicts are given, and on what.
struct Judge<'a> {
    trust: &'a Trust,
    facts: Facts<'a>,
    logical: &'a Repository,
    legacy: Legacy,
}

pub(crate) async fn run(args: &ListArgs, output: &mut Output) -> Result<Exit, Failure> {
    let ListArgs { repository: location, filter_semver, filter_regex, limit, all, policy, .. } = args;
    let trust = if policy.is_empty() { None } else { Some(policies::read(policy, output)?) };
    let address = Address { location: location.clone(), tag: None, digest: None };
    // Where nothing is judged, what a layout stands for need not be known.
    let repository = &match &trust {
        Some(_) => transport::named(&address, args.as_repository.as_ref())?,
        None => transport::unnamed(&address, args.as_repository.as_ref()),
    }
    .repository;
    let judge = trust.as_ref().map(|trust| Judge::new(args, repository, trust)).transpose()?;

    let client = transport::open(location, &args.registry).await?;
    output.progress(format_args!("listing {location}"));
    let mut tags = client.tags(repository).await?;
    tags.retain(|tag| {
        (*all || !is_attachment(tag))
            && filter_regex.as_ref().is_none_or(|regex| regex.is_match(tag))
            && filter_semver.as_ref().is_none_or(|range| order::version(tag).is_some_and(|it| range.contains(&it)))
    });
    let found = tags.len();
    let tags = order::first(tags, limit.get());
    output.progress(format_args!("asking about {} tags", tags.len()));
    let named = digests(&client, repository, tags).await?;
    let artifacts = artifacts(&client, repository, named.iter().map(|(_, digest)| *digest).collect(), &judge).await?;
    let rows = named.into_iter().filter_map(|(tag, digest)| Some(Row { tag, listed: artifacts.get(&digest)? }));
    let rows = order::sorted(rows.collect());

    match output.format {
        Format::Text => match rows.is_empty() {
            true => output.note(format_args!("no tags in {location}")),
            false => output.product(show::text(&rows, judge.is_some()))?,
        },
        Format::Json => output.json(&show::json(location, &rows, found))?,
    }
    if found > limit.get() {
        output.note(format_args!("{} of {found} tags: --limit shows more", limit.get()));
    }
    if judge.is_none() {
        output.note("claims of the registry: nothing here is verified; --policy adds verdicts");
    }
    Ok(Exit::Done)
}

/// What each tag names now. One that was deleted since is left out.
async fn digests(
    client: &Store,
    repository: &Repository,
    tags: Vec<String>,
) -> Result<Vec<(String, Digest)>, ClientError> {
    let named = stream::iter(tags).map(async |tag| {
        let digest = resolve(client, repository, &tag).await?;
        Ok::<_, ClientError>(digest.map(|digest| (tag, digest)))
    });
    let named: Vec<_> = named.buffered(AT_ONCE).try_collect().await?;
    Ok(named.into_iter().flatten().collect())
}

/// Each artifact once, however many tags name it.
async fn artifacts(
    client: &Store,
    repository: &Repository,
    digests: BTreeSet<Digest>,
    judge: &Option<Judge<'_>>,
) -> Result<BTreeMap<Digest, Listed>, ClientError> {
    let all = stream::iter(digests).map(async |digest| match look(client, repository, digest, judge.as_ref()).await {
        Ok(listed) => Ok(Some((digest, listed))),
        Err(ClientError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    });
    let all: Vec<_> = all.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

async fn look(
    client: &Store,
    repository: &Repository,
    digest: Digest,
    judge: Option<&Judge<'_>>,
) -> Result<Listed, ClientError> {
    let place = repository.pin(digest);
    let (logical, legacy) = match judge {
        Some(judge) => (judge.logical.pin(digest), judge.legacy),
        None => (place.clone(), Legacy::Ignored),
    };
    let found = fetch::unverified(client, &place, &logical, legacy).await?;
    let verdict = judge.map(|judge| Verdict::of(judge::admit_each(&found, &judge.trust.policies, &judge.facts)));
    Ok(Listed::of(&Artifact::of(place, &found, *client.limits()), verdict))
}

impl<'a> Judge<'a> {
    fn new(args: &'a ListArgs, repository: &'a Repository, trust: &'a Trust) -> Result<Self, Failure> {
        let logical = args.as_repository.as_ref().unwrap_or(repository);
        let namespace = args.namespace.as_deref();
        let facts = Facts { trust: &trust.roots, namespace, ..Facts::at(Timestamp::now()) };
        // A repository that no policy speaks for is never contacted.
        select(&trust.policies, logical, namespace)?;
        let legacy = judge::legacy(&trust.policies, logical, &facts)?;
        Ok(Self { trust, facts, logical, legacy })
    }
}
