//! The images that a release runs: their signatures, and whatever else is asked about each.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use sealift_verify::{reference::Pinned, verify::ImageSignatures};

use crate::{
    client::ClientError,
    fetch::{self, Legacy, Signatures},
    store::Store,
};

/// Images looked at at the same time; each is a few requests.
const AT_ONCE: usize = 8;

/// Fetches what may be signatures of each image, from the first of the places where `places` says its bytes are that has
/// some, with the store it gives for each. An image that is nowhere has no signatures; one that a place cannot be asked
/// about, and that no other one has signatures of, is an error.
///
/// # Errors
/// What `places` says, or where a registry cannot be asked: network, credentials, rate limits.
pub async fn signatures<E, F>(
    images: impl IntoIterator<Item = Pinned>,
    legacy: Legacy,
    places: impl Fn(Pinned) -> F,
) -> Result<BTreeMap<Pinned, ImageSignatures>, E>
where
    E: From<ClientError>,
    F: Future<Output = Result<Vec<(Arc<Store>, Pinned)>, E>>,
{
    let places = &places;
    let found = stream::iter(images).map(|image| async move {
        let places = places(image.clone()).await?;
        anywhere(&places, legacy).await.map(|found| (image, found)).map_err(E::from)
    });
    found.buffer_unordered(AT_ONCE).try_collect().await
}

/// Asks about many images, some at the same time; answers come in no order.
pub async fn each<N, T, F>(images: impl IntoIterator<Item = N>, ask: impl Fn(N) -> F) -> Vec<T>
where
    F: Future<Output = T>,
{
    stream::iter(images).map(ask).buffer_unordered(AT_ONCE).collect().await
}

async fn anywhere(places: &[(Arc<Store>, Pinned)], legacy: Legacy) -> Result<ImageSignatures, ClientError> {
    let mut failed = None;
    for (store, at) in places {
        match fetch::signatures(store, at, store.limits(), legacy).await {
            Ok(Signatures { candidates, skipped: _, truncated }) if truncated || !candidates.is_empty() => {
                return Ok(ImageSignatures { candidates, truncated });
            }
            Ok(_) | Err(ClientError::NotFound { .. }) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or_else(|| Ok(ImageSignatures::default()), Err)
}
