//! The images that a release runs: their signatures, and whatever else is asked about each.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use sealift_verify::{reference::Pinned, verify::ImageSignatures};

use crate::{
    client::ClientError,
    fetch::{self, Legacy},
    store::Store,
};

/// Images looked at at the same time; each is a few requests.
const AT_ONCE: usize = 8;

/// Fetches what may be signatures of each image, from where `place` says its bytes are and with the store it gives.
/// An image that is not there has no signatures; one that cannot be asked about is an error.
///
/// # Errors
/// What `place` says, or where a registry cannot be asked: network, credentials, rate limits.
pub async fn signatures<E, F>(
    images: impl IntoIterator<Item = Pinned>,
    legacy: Legacy,
    place: impl Fn(Pinned) -> F,
) -> Result<BTreeMap<Pinned, ImageSignatures>, E>
where
    E: From<ClientError>,
    F: Future<Output = Result<(Arc<Store>, Pinned), E>>,
{
    let place = &place;
    let found = stream::iter(images).map(|image| async move {
        let (store, at) = place(image.clone()).await?;
        match fetch::signatures(&store, &at, store.limits(), legacy).await {
            Ok(found) => Ok((image, ImageSignatures { candidates: found.candidates, truncated: found.truncated })),
            Err(ClientError::NotFound { .. }) => Ok((image, ImageSignatures::default())),
            Err(error) => Err(E::from(error)),
        }
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
