//! Clients for registries, as the command line may reach them.

use std::fs;

use sealift_registry::{
    client::{Client, ClientConfig, PlainHttp},
    docker_config,
};
use sealift_verify::{
    digest::Digest,
    reference::{Reference, Repository},
};

use crate::{
    cli::RegistryAccess,
    exit::Exit,
    failure::{Failure, usage},
    output::Output,
};

/// The file named by `--ca-file` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
struct CaFile {
    path: std::path::PathBuf,
    #[source]
    source: std::io::Error,
}

/// A client for the registry of `repository`, with the credentials that Docker's or podman's configuration holds.
/// Loopback registries are spoken to in plain HTTP, others only where the person said so.
pub(crate) async fn client(repository: &Repository, access: &RegistryAccess) -> Result<Client, Failure> {
    let extra_ca_pem = access.ca_file.as_ref().map(|path| {
        fs::read(path).map_err(|source| {
            let exit = match source.kind() {
                std::io::ErrorKind::NotFound => Exit::NotFound,
                _ => Exit::InvalidInput,
            };
            Failure::new(exit, CaFile { path: path.clone(), source })
        })
    });
    let plain_http = match access.plain_http {
        true => PlainHttp::Hosts(vec![repository.host().to_owned()]),
        // Whoever hands over a CA expects it to be used, loopback or not.
        false if access.ca_file.is_some() => PlainHttp::Never,
        false => PlainHttp::LoopbackOnly,
    };
    let credentials = docker_config::credentials_for(repository).await?;
    let config =
        ClientConfig { plain_http, extra_ca_pem: extra_ca_pem.transpose()?, credentials, ..ClientConfig::default() };
    Ok(Client::new(repository.host(), config)?)
}

/// The digest a reference means: its own, or the one its tag names now, which is said. There is no default tag.
pub(crate) async fn digest(client: &Client, reference: &Reference, output: &mut Output) -> Result<Digest, Failure> {
    let Reference { repository, tag, digest } = reference;
    match (digest, tag) {
        (Some(digest), _) => Ok(*digest),
        (None, None) => Err(usage(format!("{repository} names no artifact")).hint("add a :TAG or a @sha256:… digest")),
        (None, Some(tag)) => {
            output.progress(format_args!("resolving {repository}:{tag}"));
            let digest = client.resolve(repository, tag).await?;
            output.note(format_args!("{repository}:{tag} is {digest} now"));
            Ok(digest)
        }
    }
}
