//! The keys of OpenID issuers, asked for when they are needed and kept. *services*

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use sealift_registry::client::{Outbound, OutboundError, Outgoing};
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::jwt::Keys;

/// Keys are kept for so long, and a key that is not among them is looked for no more often than that.
const KEPT: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(60);
/// Issuers whose keys are kept.
const MOST: usize = 256;
const ANSWER: Duration = Duration::from_secs(5);
const LARGEST: u64 = 256 << 10;

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("the issuer cannot be asked for its keys")]
    Outbound(#[from] OutboundError),
    #[error("the issuer answered {0}")]
    Status(u16),
    #[error("the issuer's answer cannot be used")]
    Unusable,
}

type Kept = (Instant, Option<Arc<Keys>>);

/// The keys of all issuers that were asked.
#[derive(Debug, Default)]
pub(super) struct Issuers(Mutex<HashMap<String, Kept>>);

impl Issuers {
    /// The issuer's keys. `fresh` ones are wanted by whoever has found a key missing; they may be a minute old all the same.
    pub(super) async fn keys(&self, outbound: &Outbound, issuer: &str, fresh: bool) -> Result<Arc<Keys>, KeysError> {
        let bound = if fresh { AGAIN } else { KEPT };
        let known = self.kept().get(issuer).cloned();
        match known {
            Some((asked, Some(keys))) if asked.elapsed() < bound => return Ok(keys),
            // One that gave none is left alone for as long.
            Some((asked, None)) if asked.elapsed() < AGAIN => return Err(KeysError::Unusable),
            _ => {}
        }
        let found = ask(outbound, issuer).await.map(Arc::new);
        let mut kept = self.kept();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(issuer.to_owned(), (Instant::now(), found.as_ref().ok().cloned()));
        found
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(outbound: &Outbound, issuer: &str) -> Result<Keys, KeysError> {
    let discovery = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let body = get(outbound, &discovery).await?;
    let document: Value = serde_json::from_slice(&body).map_err(|_| KeysError::Unusable)?;
    if document["issuer"].as_str() != Some(issuer) {
        return Err(KeysError::Unusable);
    }
    let keys = document["jwks_uri"].as_str().ok_or(KeysError::Unusable)?;
    Keys::read(&get(outbound, keys).await?).ok_or(KeysError::Unusable)
}

async fn get(outbound: &Outbound, url: &str) -> Result<bytes::Bytes, KeysError> {
    let url = Url::parse(url).map_err(|_| KeysError::Unusable)?;
    let outgoing = Outgoing { url, headers: HeaderMap::new(), body: None, timeout: ANSWER, largest: LARGEST };
    let answer = outbound.send(outgoing).await?;
    if answer.status == 200 { Ok(answer.body) } else { Err(KeysError::Status(answer.status)) }
}
