//! `sealift rollback`: a new statement, later in the stream, about an artifact that ran before.

mod emergency;

use jiff::Timestamp;
use sealift_apply::api::{Delivery, HELD, HistoryEntry, HoldState, LastApplied, Selection};
use sealift_verify::{
    digest::Digest,
    duration::Duration,
    statement::{Position, Previous, Statement},
};
use serde_json::json;

use crate::{
    channel::{Channel, Target},
    ci,
    cli::rollback::RollbackArgs,
    cluster,
    delivery::accepted_record,
    exit::Exit,
    failure::{Failure, usage},
    line::{Line, Own},
    output::{Format, Output},
    push::{expiry_after, next_sequence},
    refresh::{self, Place},
    release::{self, Artifact},
    signing, trace, transport,
};

/// Why there is nothing to go back to.
#[derive(Debug, thiserror::Error)]
enum RollbackError {
    #[error("Delivery {0} has applied nothing so far")]
    NothingRuns(String),
    #[error("the history of Delivery {0} holds no {1}")]
    NotInHistory(String, String),
    #[error("the Delivery's repository cannot be read")]
    Repository(#[source] sealift_verify::reference::ReferenceError),
}

pub(crate) async fn run(args: &RollbackArgs, output: &mut Output) -> Result<Exit, Failure> {
    if args.emergency {
        return emergency::run(args, output).await;
    }
    let connected = cluster::connect(args.cluster.context.as_deref()).await?;
    let namespace = args.namespace.as_ref().unwrap_or(&connected.namespace);
    let whose = format!("{namespace}/{}", args.name);
    let delivery = cluster::delivery(&connected, namespace, &args.name).await?;
    let tag = channel_of(&delivery, &whose)?;
    let (running, goal) = goal(&delivery, &whose, args.to.as_deref().filter(|to| !is_previous(to)))?;
    let remembered = accepted_record(&connected.cluster, namespace, &args.name).await?;
    let memory = remembered.map(|record| record.spec.memory()).unwrap_or_default();

    output.clear_status();
    let signer = signing::open_provable(&args.signer).await?;
    let signatory = signer.signatory();
    let repository = delivery.spec.repository();
    let repository = repository.map_err(|error| Failure::new(Exit::InvalidInput, RollbackError::Repository(error)))?;
    let client = transport::client(&repository, &args.registry).await?;
    output.progress("reading statements");
    let artifact = Artifact::fetch(&client, repository.pin(goal.digest)).await?;
    artifact.all_seen()?;
    let place = Place { stream: delivery.spec.stream.as_deref(), environment: delivery.spec.environment.as_deref() };
    let older = refresh::newest(&artifact, signatory, place)?;
    let floor = memory.mark(&older.release.stream, older.release.environment.as_deref()).map(|mark| mark.position);
    let mut statement = again(older, &running, floor, args.expires_in, Timestamp::now())?;
    trace::retrace(&mut statement.release);

    let payload = release::payload(&statement)?;
    let signed = signer.sign(&payload).await?;
    output.progress("attaching the signature");
    let attached = release::attach(&client, &repository, artifact.subject(), signed.bundle.clone(), None).await?;
    let digest = Digest::of(&payload);
    output.note(format_args!("back to   {}, {}", goal.digest, release::line(&statement.release)));
    signed.note(output);
    output.note(format_args!("statement {digest}"));
    output.note(format_args!("attached  {}", attached.pinned.digest));
    let moved = match args.no_tag {
        true => None,
        false => {
            let channel = Channel { client: &client, repository: &repository, tag };
            let manifest = artifact.manifest.clone();
            let to = Target { digest: goal.digest, manifest, position: statement.release.position() };
            let line = Line::of(&statement.release);
            let own = Own { client: &client, repository: &repository, signatory, line };
            let moved = channel.advance(&to, async |digest| own.position(digest).await).await?;
            moved.note(tag, output);
            Some(moved)
        }
    };
    let done = ci::Done {
        what: "Rolled back to",
        reference: &client.shown(&artifact.place),
        digest: goal.digest,
        statement: digest,
        release: &statement.release,
        signatory: Some(signatory),
        channel: moved.as_ref().map(|moved| (tag, moved)),
    };
    done.tell(None)?;
    match output.format {
        Format::Text => output.product(&artifact.place)?,
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/rollback/v1",
            "reference": artifact.place.to_string(),
            "digest": goal.digest,
            "rollbackOf": running.statement,
            "statement": release::statement_json(&digest, &statement.release),
            "signature": signed.json(signatory, &attached.pinned.digest),
            "channel": moved.as_ref().map(|moved| moved.json(tag)),
        }))?,
    }
    Ok(moved.map_or(Exit::Done, |moved| moved.exit(tag, output)))
}

/// The tag that the Delivery follows. Other selections do not follow what was signed last.
fn channel_of<'a>(delivery: &'a Delivery, whose: &str) -> Result<&'a str, Failure> {
    match delivery.spec.select.selection() {
        Some(Selection::Tag(tag)) => Ok(tag),
        Some(Selection::Semver(range)) => {
            let error =
                usage(format!("Delivery {whose} selects the highest version in {range:?}, whatever was signed last"));
            Err(error.hint("push the older manifests under a higher version, or narrow the range"))
        }
        Some(Selection::Digest(_)) => Err(usage(format!("Delivery {whose} selects one artifact by its digest"))
            .hint("name the older digest in spec.select")),
        None => Err(usage(format!("Delivery {whose} selects nothing"))),
    }
}

/// What runs, and what to go back to: what was named, or the last release with another artifact. An emergency hold is
/// meant to be followed by what is signed, so what it holds is gone back to, from what runs without it.
fn goal(delivery: &Delivery, whose: &str, to: Option<&str>) -> Result<(LastApplied, HistoryEntry), Failure> {
    let status = delivery.status.as_ref();
    let Some(running) = status.and_then(|status| status.last_applied.clone()) else {
        return Err(Failure::new(Exit::NotFound, RollbackError::NothingRuns(whose.to_owned())));
    };
    let applied = status.iter().flat_map(|status| &status.history).filter(|entry| entry.verdict == "Applied");
    let applied = applied.filter(|entry| entry.reason.as_deref() != Some(HELD));
    let hold = status.and_then(|status| status.hold.as_ref()).filter(|hold| hold.state == HoldState::InForce);
    let (to, running) = match hold.and_then(|_| applied.clone().next()) {
        Some(unheld) => {
            let HistoryEntry { digest, epoch, sequence, statement, .. } = *unheld;
            let held = running.digest.to_string();
            (Some(to.map_or(held, str::to_owned)), LastApplied { digest, epoch, sequence, statement, ..running })
        }
        None => (to.map(str::to_owned), running),
    };
    let mut earlier = applied.filter(|entry| entry.digest != running.digest);
    let found = match &to {
        None => earlier.next(),
        Some(to) => earlier.find(|entry| is_named(entry, to)),
    };
    found.cloned().map(|entry| (running, entry)).ok_or_else(|| {
        let what = to.map_or_else(|| "earlier release".to_owned(), |to| format!("earlier release {to}"));
        Failure::new(Exit::NotFound, RollbackError::NotInHistory(whose.to_owned(), what))
            .hint("`sealift status -n NAMESPACE NAME` shows the history; older releases can be pushed again")
    })
}

/// The word for the release before.
fn is_previous(to: &str) -> bool {
    to.eq_ignore_ascii_case("previous")
}

fn is_named(entry: &HistoryEntry, to: &str) -> bool {
    let digest = entry.digest.to_string();
    let digest_begins =
        to.len() >= 12 && (digest.starts_with(to) || digest.trim_start_matches("sha256:").starts_with(to));
    let sequence = entry.sequence.map(|sequence| sequence.to_string());
    let position = entry.epoch.zip(entry.sequence).map(|(epoch, sequence)| format!("{epoch}.{sequence}"));
    entry.version.as_deref() == Some(to)
        || sequence.as_deref() == Some(to)
        || position.as_deref() == Some(to)
        || digest_begins
}

/// What the older statement says, after everything that the cluster has accepted.
fn again(
    older: Statement,
    running: &LastApplied,
    floor: Option<Position>,
    lasts: Option<Duration>,
    now: Timestamp,
) -> Result<Statement, Failure> {
    let mut statement = older;
    let release = &mut statement.release;
    let highest = floor.max(running.position()).max(Some(release.position())).unwrap_or_default();
    release.epoch = highest.epoch;
    release.sequence = next_sequence(Some(highest.sequence), now)?;
    release.expires_at = expiry_after(release, lasts, now)?;
    release.rollback_of = running.statement;
    release.previous =
        running.statement.zip(running.sequence).map(|(statement, sequence)| Previous { statement, sequence });
    release.issued_at = now;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn delivery(select: Value, history: &[(&str, u64, &str)]) -> Delivery {
        let entry = |(name, sequence, verdict): &(&str, u64, &str)| {
            json!({
                "digest": digest(name), "version": name, "epoch": 0, "sequence": sequence, "statement": digest(name),
                "verdict": verdict, "at": "2026-01-01T00:00:00Z",
            })
        };
        let (name, sequence, _) = history[0];
        serde_json::from_value(json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Delivery", "metadata": {"namespace": "shop", "name": "web"},
            "spec": {"repository": "registry.example/acme/shop", "select": select},
            "status": {
                "lastApplied": {
                    "digest": digest(name), "short": digest(name).short(), "version": name, "epoch": 0, "sequence": sequence,
                    "statement": digest(name), "objects": digest(name), "at": "2026-01-01T00:00:00Z",
                },
                "history": history.iter().map(entry).collect::<Vec<_>>(),
            },
        }))
        .unwrap()
    }

    fn goes_to(to: Option<&str>) -> Option<String> {
        let history = [
            ("3", 30, "Applied"),
            ("2b", 25, "Refused"),
            ("3", 24, "Applied"),
            ("2", 20, "Applied"),
            ("1", 10, "Applied"),
        ];
        goal(&delivery(json!({"tag": "prod"}), &history), "shop/web", to).ok().and_then(|(_, entry)| entry.version)
    }

    #[test]
    fn the_goal_is_the_last_other_artifact_that_ran_or_the_one_that_is_named() {
        assert_eq!(goes_to(None).as_deref(), Some("2"), "neither what was refused nor what runs");
        for name in ["1", "10", "0.10", &digest("1").to_string(), &digest("1").short()] {
            assert_eq!(goes_to(Some(name)).as_deref(), Some("1"), "{name}");
        }
        for name in ["3", "2b", "4", "sha256:", &digest("4").to_string()] {
            assert_eq!(goes_to(Some(name)), None, "{name}");
        }
    }

    #[test]
    fn what_is_held_in_an_emergency_is_gone_back_to_from_what_runs_without_the_hold() {
        let mut held = delivery(
            json!({"tag": "prod"}),
            &[("1", 10, "Applied"), ("3", 30, "Applied"), ("2", 20, "Applied"), ("1", 10, "Applied")],
        );
        let status = held.status.as_mut().unwrap();
        status.history[0].reason = Some(HELD.to_owned());
        let hold = json!({"state": "InForce", "digest": digest("1"), "until": "2026-01-01T00:00:00Z", "reason": "x", "message": "", "since": "2026-01-01T00:00:00Z"});
        status.hold = Some(serde_json::from_value(hold).unwrap());
        let (running, entry) = goal(&held, "shop/web", None).unwrap();
        assert_eq!((running.digest, running.sequence, running.statement), (digest("3"), Some(30), Some(digest("3"))));
        assert_eq!(entry.digest, digest("1"));
        assert_eq!(goal(&held, "shop/web", Some("2")).unwrap().1.digest, digest("2"));
    }

    #[test]
    fn only_a_tag_follows_what_was_signed_last() {
        let channel = |select| channel_of(&delivery(select, &[("1", 1, "Applied")]), "shop/web").map(str::to_owned);
        assert_eq!(channel(json!({"tag": "prod"})).unwrap(), "prod");
        for select in [json!({"semver": "1.x"}), json!({"digest": digest("1")})] {
            assert_eq!(channel(select).unwrap_err().exit, Exit::Usage);
        }
    }
}
