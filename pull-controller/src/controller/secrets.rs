//! Secrets that Notifications and Receivers name: read as their account, and kept for a minute. *cluster*

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use tokio::time::Instant;

use super::{context::Context, read};

/// No Secret is read more often, unless it was not good enough.
const KEPT: Duration = Duration::from_secs(60);
/// Secrets that are kept; past that, all are read again.
const MOST: usize = 1024;

/// Why a Secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// Nobody to read it as.
    #[error(
        "there is nobody to read the Secret {0} as: spec.serviceAccountName is not set and the platform names no default"
    )]
    NoAccount(String),
    /// The account may not read it, or the cluster did not answer.
    #[error("the Secret {name} cannot be read")]
    Unreadable {
        /// The Secret.
        name: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is not there.
    #[error("the Secret {0} does not exist")]
    Missing(String),
}

/// Which Secret, and as whom it is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Which<'a> {
    pub(super) namespace: &'a str,
    /// The platform's default, if none is named.
    pub(super) account: Option<&'a str>,
    pub(super) name: &'a str,
}

type Answer = Result<Arc<Secret>, Arc<SecretError>>;

/// What was read lately. None of it prints.
#[derive(Default)]
pub(super) struct Secrets(Mutex<HashMap<[String; 3], (Instant, Answer)>>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

impl Secrets {
    /// The Secret, or why there is none; either is at most a minute old.
    pub(super) async fn get(&self, context: &Context, which: &Which<'_>) -> Answer {
        let key = key(which);
        let known = self.kept().get(&key).filter(|(read, _)| read.elapsed() < KEPT).map(|(_, answer)| answer.clone());
        if let Some(known) = known {
            return known;
        }
        let answer = read_now(context, which).await.map(Arc::new).map_err(Arc::new);
        let mut kept = self.kept();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, (Instant::now(), answer.clone()));
        answer
    }

    /// It was not good enough: it may be another one by now.
    pub(super) fn forget(&self, which: &Which<'_>) {
        self.kept().remove(&key(which));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<[String; 3], (Instant, Answer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(which: &Which<'_>) -> [String; 3] {
    let Which { namespace, account, name } = which;
    [(*namespace).to_owned(), account.unwrap_or_default().to_owned(), (*name).to_owned()]
}

async fn read_now(context: &Context, which: &Which<'_>) -> Result<Secret, SecretError> {
    let Which { namespace, account, name } = *which;
    let unreadable = |source| SecretError::Unreadable { name: name.to_owned(), source };
    let account = account.or(context.default_account.as_deref());
    let account = account.ok_or_else(|| SecretError::NoAccount(name.to_owned()))?;
    let account = context.shared_account(namespace, account).map_err(|stop| unreadable(Box::new(stop)))?;
    let found = read::object(&account, namespace, name).await.map_err(|error| unreadable(Box::new(error)))?;
    found.ok_or_else(|| SecretError::Missing(name.to_owned()))
}

/// The bytes under a key of a Secret.
pub(super) fn bytes(secret: &Secret, key: &str) -> Option<Vec<u8>> {
    secret.data.as_ref()?.get(key).map(|value| value.0.clone())
}
