//! Listening to registries and pipelines that say that something is new. *services*
//!
//! What is said is a hint: it makes a tag be resolved at once that somebody follows anyway, and no more often than every two
//! seconds. Nothing else depends on it, and nothing is believed for it.
//!
//! Whoever is not known gets the same answer, whether or not there is a receiver where he asks.

mod auth;
mod jwt;
mod keys;
mod payload;
mod rate;
mod relay;
mod serve;

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use sealift_apply::api::{OidcSpec, Receiver, ReceiverStatus, ReceiverType, set_condition};
use sealift_registry::client::{Outbound, SetupError};
use sealift_verify::digest::Digest;
use serde_json::json;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

pub(crate) use self::serve::serve;
use self::{
    auth::Asking,
    jwt::Invalid,
    keys::{Issuers, KeysError},
    payload::moved,
    rate::Rates,
    relay::Relay,
};
use super::{
    context::Context,
    secrets::{Secrets, Which, bytes},
    stop::chain,
    tags::{Hint, Tags},
};
use crate::{
    metrics::Hinted,
    options::Options,
    own_watch::Own,
    platform::Platform,
    vitals::{BEAT, Vitals},
};

/// All Receivers.
pub(crate) type Receivers = Own<Receiver>;

/// The name of the loop that listens among the [`Vitals`].
pub(crate) const LOOP: &str = "receivers";
/// And of the one that says where.
pub(crate) const PATHS: &str = "receiver-paths";
/// How long finding out who speaks may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How long what was said waits for more before it is handed on.
const TOGETHER: Duration = Duration::from_millis(500);
/// The status of a Receiver is worth no longer wait.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Who may speak, and how that is known.
pub(crate) struct Desk {
    receivers: watch::Receiver<Arc<Receivers>>,
    secrets: Secrets,
    issuers: Issuers,
    outbound: Outbound,
    rates: Mutex<Rates>,
    relay: Mutex<Relay>,
    said: Notify,
    platform: Option<String>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

/// Why somebody is not listened to. Told in the log, and not to him.
#[derive(Debug, thiserror::Error)]
enum Stranger {
    #[error("there is no such receiver")]
    Nowhere,
    #[error("the Secret cannot be used: {0}")]
    Secret(String),
    #[error("what proves who speaks is missing or wrong")]
    Unknown,
    #[error("the token does not count")]
    Token(#[from] Invalid),
    #[error("the issuer's keys cannot be had")]
    Keys(#[from] KeysError),
}

impl Desk {
    /// Listens to whoever a Receiver names.
    ///
    /// # Errors
    /// If the platform's certificates or proxies cannot be used.
    pub(crate) fn new(
        options: &Options,
        platform: &Platform,
        receivers: watch::Receiver<Arc<Receivers>>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            receivers,
            secrets: Secrets::default(),
            issuers: Issuers::default(),
            outbound: Outbound::new(platform.for_services(options))?,
            rates: Mutex::default(),
            relay: Mutex::default(),
            said: Notify::new(),
            platform: options.platform_namespace(),
        })
    }

    /// What somebody says at the receiver that `id` stands for.
    async fn hear(&self, context: &Context, id: &str, asking: Asking<'_>) -> StatusCode {
        let known = timeout(LONGEST, self.known(context, id, asking)).await;
        let receiver = match known {
            Ok(Ok(receiver)) => receiver,
            Ok(Err(stranger)) => {
                tracing::debug!(why = chain(&stranger), "a stranger is not listened to");
                context.metrics.hinted(Hinted::Refused);
                return StatusCode::NOT_FOUND;
            }
            Err(_) => return StatusCode::NOT_FOUND,
        };
        let name = format!("{}/{}", receiver.namespace().unwrap_or_default(), receiver.name_any());
        if !self.rates.lock().unwrap_or_else(PoisonError::into_inner).takes(id, Instant::now()) {
            context.metrics.hinted(Hinted::Limited);
            return StatusCode::TOO_MANY_REQUESTS;
        }
        let Ok(heard) = moved(receiver.spec.kind, asking.body) else {
            tracing::info!(receiver = name, "what was said is not what this type of receiver is sent");
            context.metrics.hinted(Hinted::Unreadable);
            return StatusCode::BAD_REQUEST;
        };
        let each = heard.each().into_iter();
        let questions: usize = each.map(|(repository, tag)| self.hint(context, &receiver, repository, tag)).sum();
        if context.shards.are_shared() {
            self.relay().put(receiver.metadata.uid.as_deref().unwrap_or_default(), &heard, Timestamp::now());
            self.said.notify_one();
        }
        // A registry tells of much that nobody here follows.
        match questions {
            0 => tracing::debug!(receiver = name, "what is said to be new is followed by nobody"),
            _ => tracing::info!(receiver = name, questions, "somebody says that there is something new"),
        }
        context.metrics.hinted(Hinted::Taken);
        StatusCode::OK
    }

    /// Has asked what is meant, as far as who speaks may hurry it. Answers how many questions that are.
    fn hint(&self, context: &Context, receiver: &Receiver, repository: Option<&str>, tag: Option<&str>) -> usize {
        let home = receiver.namespace().unwrap_or_default();
        let namespace = (self.platform.as_ref() != Some(&home)).then_some(home.as_str());
        context.tags.hinted(&Hint { repository, tag, namespace, among: &receiver.spec.repositories })
    }

    fn relay(&self) -> MutexGuard<'_, Relay> {
        self.relay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The receiver, if who speaks is known there.
    async fn known(&self, context: &Context, id: &str, asking: Asking<'_>) -> Result<Arc<Receiver>, Stranger> {
        let receivers = self.receivers.borrow().clone();
        let active = receivers.all().iter().filter(|receiver| !receiver.spec.suspend);
        let receiver = active.into_iter().find(|receiver| self::id(receiver).as_deref() == Some(id)).cloned();
        let receiver = receiver.ok_or(Stranger::Nowhere)?;
        if let Some(oidc) = &receiver.spec.oidc {
            self.shows_token(oidc, asking.headers).await?;
            return Ok(receiver);
        }
        let namespace = receiver.namespace().unwrap_or_default();
        let name = receiver.spec.secret_name.as_deref().ok_or(Stranger::Unknown)?;
        let which = Which { namespace: &namespace, account: receiver.spec.service_account_name.as_deref(), name };
        let secret = self.secrets.get(context, &which).await.map_err(|error| Stranger::Secret(chain(&error)))?;
        let token = bytes(&secret, "token").ok_or_else(|| Stranger::Secret("it has no key token".to_owned()))?;
        if auth::knows(receiver.spec.kind, &token, asking) { Ok(receiver) } else { Err(Stranger::Unknown) }
    }

    async fn shows_token(&self, oidc: &OidcSpec, headers: &HeaderMap) -> Result<(), Stranger> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value.and_then(|value| value.strip_prefix("Bearer ")).ok_or(Stranger::Unknown)?.trim();
        let keys = self.issuers.keys(&self.outbound, &oidc.issuer, false).await?;
        match jwt::check(token, oidc, &keys, Timestamp::now()) {
            // Keys change.
            Err(Invalid::UnknownKey(_)) => {
                let keys = self.issuers.keys(&self.outbound, &oidc.issuer, true).await?;
                Ok(jwt::check(token, oidc, &keys, Timestamp::now())?)
            }
            checked => Ok(checked?),
        }
    }
}

/// Has asked what is said to be new, by somebody who is known and may speak of everything. Answers how many questions that are;
/// `None` if it is not what this type of sender says.
pub(super) fn heed(tags: &Tags, kind: ReceiverType, body: &[u8]) -> Option<usize> {
    let heard = moved(kind, body).ok()?;
    let hint = |(repository, tag)| tags.hinted(&Hint { repository, tag, namespace: None, among: &[] });
    Some(heard.each().into_iter().map(hint).sum())
}

/// What stands for a Receiver in a path: it tells neither name nor namespace, and is known to whoever may read the object.
fn id(receiver: &Receiver) -> Option<String> {
    let uid = receiver.metadata.uid.as_deref()?;
    let digest = Digest::of(format!("sealift.dev/receiver/{uid}").as_bytes());
    Some(digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Says of each Receiver where it is listened to, and hears what other replicas were told, for ever.
pub(crate) async fn tell_paths(context: Arc<Context>, desk: Arc<Desk>, vitals: Vitals) {
    let mut receivers = desk.receivers.clone();
    loop {
        vitals.beat(PATHS);
        let known = receivers.borrow_and_update().clone();
        desk.relay()
            .keep(&known.all().iter().filter_map(|receiver| receiver.metadata.uid.as_deref()).collect::<HashSet<_>>());
        for receiver in known.all() {
            let uid = receiver.metadata.uid.as_deref().unwrap_or_default();
            let heard = receiver.status.as_ref().map(|status| &status.heard[..]).unwrap_or_default();
            for said in desk.relay().overheard(uid, heard) {
                desk.hint(&context, receiver, said.repository.as_deref(), said.tag.as_deref());
            }
            let heard = desk.relay().take(uid);
            let next = status(receiver, Timestamp::now()).filter(|_| context.shards.lead());
            let next = match (next, heard) {
                (Some(next), Some(heard)) => json!(ReceiverStatus { heard, ..next }),
                (Some(next), None) => json!(next),
                (None, Some(heard)) => json!({ "heard": heard }),
                (None, None) => continue,
            };
            vitals.beat(PATHS);
            let api: Api<Receiver> =
                Api::namespaced(context.cluster.client().clone(), &receiver.namespace().unwrap_or_default());
            let patch = Patch::Merge(json!({"metadata": {"uid": receiver.uid()}, "status": next}));
            let (name, params) = (receiver.name_any(), PatchParams::default());
            match timeout(CALL_LIMIT, api.patch_status(&name, &params, &patch)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(receiver = name, error, "its path was not written");
                }
                Err(_) => tracing::debug!(receiver = name, "its path was not written in time"),
            }
        }
        tokio::select! {
            changed = receivers.changed() => if changed.is_err() { return },
            // What is said within a moment is handed on by one request.
            () = desk.said.notified() => sleep(TOGETHER).await,
            () = sleep(BEAT) => {}
        }
    }
}

/// What the status is to say, if it does not.
fn status(receiver: &Receiver, now: Timestamp) -> Option<ReceiverStatus> {
    let before = receiver.status.clone().unwrap_or_default();
    let generation = receiver.metadata.generation;
    let mut next = before.clone();
    next.path = Some(format!("/hook/{}", id(receiver)?));
    next.observed_generation = generation;
    let (status, reason) = if receiver.spec.suspend { ("False", "Suspended") } else { ("True", "Listening") };
    set_condition(&mut next.conditions, "Ready", status, reason, "", generation, now);
    (next != before).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(uid: &str) -> Receiver {
        let value = json!({
            "apiVersion": "sealift.dev/v1alpha1", "kind": "Receiver",
            "metadata": {"namespace": "apps", "name": "shop", "uid": uid, "generation": 1},
            "spec": {"type": "harbor", "secretName": "token"},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_path_names_nobody_and_is_told_once() {
        let mut one = receiver("6d0b1c3e");
        let told = status(&one, Timestamp::UNIX_EPOCH).unwrap();
        let path = told.path.clone().unwrap();
        assert!(path.len() == "/hook/".len() + 64 && !path.contains("shop") && !path.contains("6d0b1c3e"), "{path}");
        assert_ne!(id(&one), id(&receiver("other")));
        one.status = Some(told);
        assert_eq!(status(&one, Timestamp::now()), None);
        one.spec.suspend = true;
        assert!(status(&one, Timestamp::now()).is_some());
    }
}
