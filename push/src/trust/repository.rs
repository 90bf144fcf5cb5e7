//! A TUF repository over HTTP: bounded, timed and tried again as every other service is. Nothing is believed here.

use reqwest::header::HeaderMap;
use sigstore_tuf::{Error, Repository, transport::FetchFuture};

use crate::signing::{Ask, Service};

/// The repository.
#[derive(Debug)]
pub(super) struct Remote(pub(super) Service);

impl Remote {
    async fn fetch(&self, path: String, most: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.0.ask(&Ask::get(&path, HeaderMap::new())).await {
            Ok(body) if body.len() as u64 > most => {
                Err(Error::transport(format!("{path} has {} bytes, and {most} at most may be read", body.len())))
            }
            Ok(body) => Ok(Some(body)),
            // Object storage says 403 of what is not there to whom may not list it.
            Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(None),
            Err(error) => Err(Error::transport_with_source(path, error)),
        }
    }
}

impl Repository for Remote {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(format!("/{name}"), max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.fetch(format!("/targets/{path}"), max_length))
    }
}
