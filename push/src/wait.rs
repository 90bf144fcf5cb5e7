//! `sealift wait`: until a cluster runs a release, or will not.
//!
//! The cluster tells of its Deliveries by a watch; [`fate`] says what the status of each means.

mod fate;
mod order;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use sealift_apply::{
    api::{Delivery, REQUESTED_AT_ANNOTATION},
    cluster::{Class, ClusterError},
};
use sealift_verify::{digest::Digest, duration::Duration as Limit, reference::Pinned};
use serde_json::{Value, json};

use self::{
    fate::{Fate, Wanted, Why, at_another, fate, selects},
    order::Statements,
};
use crate::{
    cli::wait::{About, WaitArgs},
    cluster::{self, Connected},
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    table::plain,
    transport,
};

/// Whose field the annotation is that asks for a look.
const MANAGER: &str = "sealift-wait";
/// Longest wait for one answer of the API server.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Why it is not there.
#[derive(Debug, thiserror::Error)]
enum NotThere {
    #[error("no Delivery selects {what} in the cluster of context {context}")]
    Nobody { what: String, context: String },
    #[error("Delivery {whose}: {reason}: {message}")]
    Failed { whose: String, reason: String, message: String },
    #[error("not there within {}: {missing}", limit)]
    Late { limit: Limit, missing: String },
}

type Name = (String, String);

/// What is waited for, and where it is looked for.
struct Target {
    wanted: Wanted,
    /// As it was named, for people.
    what: String,
    /// These Deliveries and no others.
    named: BTreeSet<Name>,
    /// The namespaces that are watched; all if empty.
    namespaces: BTreeSet<String>,
}

/// What is known of one Delivery.
struct Waiting {
    delivery: Delivery,
    /// What it had attempted when it was first seen.
    first: Option<Digest>,
    /// What it was asked to look by.
    asked: Option<String>,
    fate: Fate,
}

pub(crate) async fn run(args: &WaitArgs, output: &mut Output) -> Result<Exit, Failure> {
    let began = Instant::now();
    let mut known = BTreeMap::new();
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    let (target, mut statements) = target(args, &connected, output).await?;
    let followed = follow(&connected, &target, args.reconcile, &mut known, &mut statements, output);
    let ended = tokio::time::timeout(args.timeout.get(), followed).await;
    output.clear_status();
    let problem = match ended {
        Ok(Ok(())) => verdict(&known, &target, &connected),
        Ok(Err(failure)) => return Err(failure),
        Err(_) => Some(("timeout", late(&known, &target, args.timeout))),
    };
    let word = problem.as_ref().map_or("there", |(word, _)| *word);
    match output.format {
        Format::Json => output.json(&document(word, &target, &known, began.elapsed()))?,
        Format::Text => {
            for ((namespace, name), waiting) in &known {
                if let (Fate::There, Some(applied)) = (&waiting.fate, applied(&waiting.delivery)) {
                    output.product(format_args!("{namespace}/{name} {applied}"))?;
                }
            }
        }
    }
    let Some((_, failure)) = problem else { return Ok(Exit::Done) };
    output.failure(&failure);
    Ok(failure.exit)
}

/// Waits for so long until this Delivery runs this artifact, for a command that has just brought both.
pub(crate) async fn until_there(
    connected: &Connected,
    (namespace, name): (&str, &str),
    artifact: &Pinned,
    limit: Limit,
    output: &mut Output,
) -> Result<(), Failure> {
    let Pinned { repository, digest } = artifact.clone();
    let target = Target {
        wanted: Wanted::Artifact { repository, tag: None, digest },
        what: artifact.to_string(),
        named: BTreeSet::from([(namespace.to_owned(), name.to_owned())]),
        namespaces: BTreeSet::from([namespace.to_owned()]),
    };
    let (mut known, mut statements) = (BTreeMap::new(), None);
    let followed = follow(connected, &target, false, &mut known, &mut statements, output);
    let ended = tokio::time::timeout(limit.get(), followed).await;
    output.clear_status();
    let problem = match ended {
        Ok(followed) => followed.map(|()| verdict(&known, &target, connected))?,
        Err(_) => Some(("timeout", late(&known, &target, limit))),
    };
    problem.map_or(Ok(()), |(_, failure)| Err(failure))
}

/// What is meant by the arguments, and where statements about it lie. A tag is resolved once: what it names later is another
/// release.
async fn target(
    args: &WaitArgs,
    connected: &Connected,
    output: &mut Output,
) -> Result<(Target, Option<Statements>), Failure> {
    let mut statements = None;
    let mut named: BTreeSet<Name> = args.delivery.iter().cloned().collect();
    let (wanted, what) = match &args.about {
        About::Artifact(address) => {
            let reference = transport::named(address, args.as_repository.as_ref())?;
            let opened = transport::open(&address.location, &args.registry).await;
            let (digest, store) = match address.digest {
                // Nothing of it is needed; it only tells sooner what does not come.
                Some(digest) => (digest, opened.ok()),
                None => {
                    let store = opened?;
                    (transport::digest(&store, &reference, output).await?, Some(store))
                }
            };
            statements = store.map(|store| Statements::new(store, reference.repository.clone()));
            let what = reference.to_string();
            (Wanted::Artifact { repository: reference.repository, tag: reference.tag, digest }, what)
        }
        About::Delivery(namespace, name) => {
            let namespace = namespace.as_ref().or(args.namespace.as_ref()).unwrap_or(&connected.namespace);
            named.insert((namespace.clone(), name.clone()));
            (Wanted::Selected, format!("Delivery {namespace}/{name}"))
        }
    };
    let namespaces = match named.is_empty() {
        false => named.iter().map(|(namespace, _)| namespace.clone()).collect(),
        true => args.namespace.iter().cloned().collect(),
    };
    Ok((Target { wanted, what, named, namespaces }, statements))
}

/// Follows the Deliveries until all that are meant are there, one of them will not be, or there are none.
async fn follow(
    connected: &Connected,
    target: &Target,
    reconcile: bool,
    known: &mut BTreeMap<Name, Waiting>,
    statements: &mut Option<Statements>,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = connected.cluster.client();
    let apis: Vec<Api<Delivery>> = match target.namespaces.is_empty() {
        true => vec![Api::all(client.clone())],
        false => target.namespaces.iter().map(|namespace| Api::namespaced(client.clone(), namespace)).collect(),
    };
    let watches = apis.into_iter().enumerate().map(|(at, api)| {
        let events = watcher::watcher(api, watcher::Config::default()).default_backoff();
        events.map(move |event| (at, event)).boxed()
    });
    let mut events = stream::select_all(watches);
    let mut unlisted: BTreeSet<usize> = (0..target.namespaces.len().max(1)).collect();
    let mut listing: BTreeMap<usize, BTreeSet<Name>> = BTreeMap::new();
    while let Some((at, event)) = events.next().await {
        match event {
            Ok(Event::Init) => {
                listing.insert(at, BTreeSet::new());
            }
            Ok(Event::InitApply(delivery)) => {
                listing.entry(at).or_default().insert(name(&delivery));
                seen(connected, target, reconcile, delivery, known, statements, output).await?;
            }
            Ok(Event::Apply(delivery)) => {
                seen(connected, target, reconcile, delivery, known, statements, output).await?
            }
            Ok(Event::InitDone) => {
                unlisted.remove(&at);
                let listed = listing.remove(&at).unwrap_or_default();
                let of_this =
                    |name: &Name| target.namespaces.is_empty() || target.namespaces.iter().nth(at) == Some(&name.0);
                let lost: Vec<_> =
                    known.keys().filter(|name| of_this(name) && !listed.contains(*name)).cloned().collect();
                lost.iter().for_each(|name| gone(target, name, known));
            }
            Ok(Event::Delete(delivery)) => gone(target, &name(&delivery), known),
            Err(error) => broke(error, output)?,
        }
        if unlisted.is_empty() && is_over(target, known) {
            return Ok(());
        }
    }
    Ok(())
}

fn name(delivery: &Delivery) -> Name {
    let metadata = &delivery.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// Takes note of a Delivery as it is now, and says what is new of it.
async fn seen(
    connected: &Connected,
    target: &Target,
    reconcile: bool,
    delivery: Delivery,
    known: &mut BTreeMap<Name, Waiting>,
    statements: &mut Option<Statements>,
    output: &mut Output,
) -> Result<(), Failure> {
    let name = name(&delivery);
    let is_meant =
        if target.named.is_empty() { selects(&delivery, &target.wanted) } else { target.named.contains(&name) };
    if !is_meant {
        known.remove(&name);
        return Ok(());
    }
    let before = known.remove(&name);
    let (first, asked) = match &before {
        Some(before) => (before.first, before.asked.clone()),
        None => {
            let attempted = delivery.status.as_ref().and_then(|status| status.last_attempted.as_ref());
            let asked = match reconcile {
                true => Some(ask(connected, &delivery).await?),
                false => None,
            };
            (attempted.map(|last| last.digest), asked)
        }
    };
    let older = match (at_another(&delivery, &target.wanted), &target.wanted, statements) {
        (Some((other, by)), Wanted::Artifact { digest, .. }, Some(statements)) => {
            statements.is_older(*digest, other, by).await
        }
        _ => None,
    };
    let fate = fate(&delivery, &target.wanted, first, asked.as_deref(), older);
    if before.is_none_or(|before| before.fate != fate) {
        let (namespace, name) = &name;
        output.note(format_args!("{namespace}/{name}  {}", said(&fate)));
    }
    known.insert(name, Waiting { delivery, first, asked, fate });
    Ok(())
}

/// Asks the controller to look now, and gives what it is asked by.
async fn ask(connected: &Connected, delivery: &Delivery) -> Result<String, Failure> {
    let now = Timestamp::now().to_string();
    let (namespace, name) = name(delivery);
    let api: Api<Delivery> = Api::namespaced(connected.cluster.client().clone(), &namespace);
    let patch = json!({"metadata": {"annotations": {REQUESTED_AT_ANNOTATION: now}}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    let call = api.patch_metadata(&name, &params, &patch);
    let late = |_| ClusterError::Timeout { seconds: CALL_LIMIT.as_secs() };
    let written = tokio::time::timeout(CALL_LIMIT, call).await.map_err(late)?;
    written.map_err(ClusterError::from)?;
    Ok(now)
}

/// A Delivery is there no more.
fn gone(target: &Target, name: &Name, known: &mut BTreeMap<Name, Waiting>) {
    match known.get_mut(name) {
        Some(waiting) if target.named.contains(name) => {
            waiting.fate = Fate::failed(Why::Gone, "Gone", "the Delivery was deleted");
        }
        _ => drop(known.remove(name)),
    }
}

/// A watch that breaks off is taken up again; one that is not allowed never will be.
fn broke(error: watcher::Error, output: &mut Output) -> Result<(), Failure> {
    let answer = match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => error,
        watcher::Error::WatchFailed(error) => error,
        other => {
            tracing::debug!(error = &other as &dyn std::error::Error, "the watch of Deliveries broke off");
            return Ok(());
        }
    };
    let error = ClusterError::from(answer);
    if let ClusterError::Answer { class, .. } = &error
        && matches!(class, Class::Forbidden | Class::Unauthorized | Class::NotFound | Class::NotServed)
    {
        return Err(error.into());
    }
    output.progress("the cluster does not answer; trying again");
    tracing::info!(error = &error as &dyn std::error::Error, "the watch of Deliveries broke off");
    Ok(())
}

/// True if nothing that happens is waited for any more.
fn is_over(target: &Target, known: &BTreeMap<Name, Waiting>) -> bool {
    let missing = known.is_empty() || target.named.iter().any(|name| !known.contains_key(name));
    let failed = known.values().any(|waiting| matches!(waiting.fate, Fate::Failed { .. }));
    missing || failed || known.values().all(|waiting| waiting.fate == Fate::There)
}

/// What is wrong once nothing is waited for any more: its word, and the error.
fn verdict(known: &BTreeMap<Name, Waiting>, target: &Target, connected: &Connected) -> Option<(&'static str, Failure)> {
    let failed = known.iter().filter_map(|(name, waiting)| match &waiting.fate {
        Fate::Failed { why, reason, message } => Some((*why, name, reason, message)),
        _ => None,
    });
    if let Some((why, (namespace, name), reason, message)) = failed.min_by_key(|(why, ..)| *why) {
        let (reason, message) = (reason.clone(), plain(message));
        let error = NotThere::Failed { whose: format!("{namespace}/{name}"), reason, message };
        let hint = format!("`sealift status -n {namespace} {name}` shows all of it");
        return Some((why.as_str(), Failure::new(why.exit(), error).hint(hint)));
    }
    let missing = target.named.iter().find(|name| !known.contains_key(*name));
    let what = match missing {
        Some((namespace, name)) => format!("{} as {namespace}/{name}", target.what),
        None if known.is_empty() => target.what.clone(),
        None => return None,
    };
    let error = NotThere::Nobody { what, context: connected.context.clone() };
    let hint = "`sealift status -A` lists all Deliveries; with @sha256:… all that follow the repository are meant";
    Some(("nobody", Failure::new(Exit::NotFound, error).hint(hint)))
}

fn late(known: &BTreeMap<Name, Waiting>, target: &Target, limit: Limit) -> Failure {
    let missing = known.iter().filter(|(_, waiting)| waiting.fate != Fate::There);
    let missing: Vec<_> =
        missing.map(|((namespace, name), waiting)| format!("{namespace}/{name} {}", said(&waiting.fate))).collect();
    let missing = match missing.is_empty() {
        true => format!("the cluster has not said who selects {}", target.what),
        false => missing.join("; "),
    };
    let error = NotThere::Late { limit, missing };
    Failure::new(Exit::CouldNotCheck, error).hint("it may still come: `sealift status` shows how far it is")
}

fn said(fate: &Fate) -> String {
    match fate {
        Fate::There => "ready".to_owned(),
        Fate::Underway { reason, message } | Fate::Failed { reason, message, .. } => {
            format!("{reason}: {}", plain(message)).trim_end_matches(": ").to_owned()
        }
    }
}

/// What it runs.
fn applied(delivery: &Delivery) -> Option<String> {
    let applied = delivery.status.as_ref()?.last_applied.as_ref()?;
    let version = applied.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    Some(format!("{}{version}", applied.digest))
}

fn document(outcome: &str, target: &Target, known: &BTreeMap<Name, Waiting>, took: Duration) -> Value {
    let one = |((namespace, name), waiting): (&Name, &Waiting)| {
        let (state, reason, message) = match &waiting.fate {
            Fate::There => ("there", None, None),
            Fate::Underway { reason, message } => ("underway", Some(reason), Some(message)),
            Fate::Failed { why, reason, message } => (why.as_str(), Some(reason), Some(message)),
        };
        let applied = waiting.delivery.status.as_ref().and_then(|status| status.last_applied.as_ref());
        json!({
            "namespace": namespace,
            "name": name,
            "state": state,
            "reason": reason,
            "message": message,
            "applied": applied.map(|applied| json!({
                "digest": applied.digest,
                "version": applied.version,
                "at": applied.at,
            })),
        })
    };
    let digest = match &target.wanted {
        Wanted::Artifact { digest, .. } => Some(digest),
        Wanted::Selected => None,
    };
    json!({
        "schema": "sealift.dev/wait/v1",
        "outcome": outcome,
        "waitedFor": target.what,
        "digest": digest,
        "seconds": took.as_secs(),
        "deliveries": known.iter().map(one).collect::<Vec<_>>(),
    })
}
