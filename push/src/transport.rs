//! Places that artifacts lie in, as the command line may reach them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealift_registry::{
    client::{Client, ClientCertificate, ClientConfig, Credentials, PlainHttp, Proxies},
    docker_config,
    identity::{Identity, IdentityRule},
    store::{Address, Layout, Location, Store},
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

/// A layout has no name of its own, and nobody said which repository it is read as.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no name of its own, and statements and policies speak of repositories")]
struct Unnamed(Location);

/// What an address is asked for as: a registry's repository by its own name, a layout as the repository it stands for.
pub(crate) fn named(address: &Address, logical: Option<&Repository>) -> Result<Reference, Failure> {
    let Address { location, tag, digest } = address;
    let place = location.read_as(logical).ok_or_else(|| {
        Failure::new(Exit::Usage, Unnamed(location.clone()))
            .hint("say which repository it stands for with --as HOST/REPO, as it stands in the Delivery")
    })?;
    Ok(Reference { repository: place.repository, tag: tag.clone(), digest: *digest })
}

/// The same where nothing is judged or signed, so that no name is needed. The stand-in is one that no repository can have.
pub(crate) fn unnamed(address: &Address, logical: Option<&Repository>) -> Reference {
    let Address { location, tag, digest } = address;
    let repository = match location.read_as(logical) {
        Some(place) => place.repository,
        None => "layout.invalid/unnamed".parse().expect("it keeps to the grammar"),
    };
    Reference { repository, tag: tag.clone(), digest: *digest }
}

/// What lies at a location, with the credentials that Docker's or podman's configuration holds, or the environment for
/// object storage.
pub(crate) async fn open(location: &Location, access: &RegistryAccess) -> Result<Store, Failure> {
    if let Location::Registry(repository) = location {
        return client(repository, access).await;
    }
    let extra_ca_pem = access.ca_file.as_deref().map(content).transpose()?;
    let layout = Layout::at(location, &ClientConfig { extra_ca_pem, ..ClientConfig::default() })?;
    layout.map(Store::from).ok_or_else(|| usage(format!("{location} is no place for artifacts")))
}

/// A client for the registry of `repository`, with the credentials that the environment, Docker's or podman's configuration
/// holds. Loopback registries are spoken to in plain HTTP, others only where the person said so.
pub(crate) async fn client(repository: &Repository, access: &RegistryAccess) -> Result<Store, Failure> {
    let credentials = match IdentityRule::choose(&access.registry_identity, repository) {
        None => docker_config::credentials_for(repository).await?,
        Some(provider) => {
            let extra_ca_pem = access.ca_file.as_deref().map(content).transpose()?;
            let identity = Identity::from_environment(provider, extra_ca_pem.as_deref(), &Proxies::from_environment())?;
            Credentials::Workload(Arc::new(identity))
        }
    };
    Ok(client_as(repository.host(), access, credentials)?.into())
}

/// The same with these credentials.
pub(crate) fn client_as(host: &str, access: &RegistryAccess, credentials: Credentials) -> Result<Client, Failure> {
    let RegistryAccess { plain_http, ca_file, client_cert, client_key, registry_identity: _ } = access;
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
pub(crate) async fn digest(store: &Store, reference: &Reference, output: &mut Output) -> Result<Digest, Failure> {
    let Reference { repository, tag, digest } = reference;
    let location = store.location(repository);
    match (digest, tag) {
        (Some(digest), _) => Ok(*digest),
        (None, None) => Err(usage(format!("{location} names no artifact")).hint("add a :TAG or a @sha256:… digest")),
        (None, Some(tag)) => {
            output.progress(format_args!("resolving {location}:{tag}"));
            let digest = store.resolve(repository, tag).await?;
            output.note(format_args!("{location}:{tag} is {digest} now"));
            Ok(digest)
        }
    }
}
