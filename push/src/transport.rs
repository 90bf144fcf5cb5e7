//! Clients for registries, as the command line may reach them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sealift_registry::{
    client::{Client, ClientCertificate, ClientConfig, Credentials, PlainHttp, Proxies},
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

/// A file that a flag names cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
struct Unreadable {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// A client for the registry of `repository`, with the credentials that the environment, Docker's or podman's configuration
/// holds. Loopback registries are spoken to in plain HTTP, others only where the person said so.
pub(crate) async fn client(repository: &Repository, access: &RegistryAccess) -> Result<Client, Failure> {
    let credentials = docker_config::credentials_for(repository).await?;
    client_as(repository.host(), access, credentials)
}

/// The same with these credentials.
pub(crate) fn client_as(host: &str, access: &RegistryAccess, credentials: Credentials) -> Result<Client, Failure> {
    let RegistryAccess { plain_http, ca_file, client_cert, client_key } = access;
    let extra_ca_pem = ca_file.as_deref().map(content).transpose()?;
    let certificate = match (client_cert, client_key) {
        (Some(chain), Some(key)) => {
            Some(ClientCertificate { chain_pem: content(chain)?, key_pem: content(key)?.into() })
        }
        _ => None,
    };
    let plain_http = match plain_http {
        true => PlainHttp::Hosts(vec![host.to_owned()]),
        // Whoever hands over certificates expects them to be used, loopback or not.
        false if extra_ca_pem.is_some() || certificate.is_some() => PlainHttp::Never,
        false => PlainHttp::LoopbackOnly,
    };
    let proxies = Proxies::from_environment();
    let config =
        ClientConfig { plain_http, extra_ca_pem, certificate, proxies, credentials, ..ClientConfig::default() };
    Ok(Client::new(host, config)?)
}

fn content(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|source| {
        let exit = match source.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::InvalidInput,
        };
        Failure::new(exit, Unreadable { path: path.to_owned(), source })
    })
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
