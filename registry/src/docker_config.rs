//! Credentials where other tools keep them: Docker's `config.json`, podman's `auth.json`, credential helpers, and
//! pull secrets of Kubernetes; and in the environment.
//!
//! Entries for a path inside a registry are matched here, as the kubelet does; the `docker_credential` crate knows
//! only hosts, and is asked where a helper or a credential store is configured.

use std::{
    env, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use sealift_verify::reference::Repository;
use tokio::{sync::oneshot, time::timeout};

mod entries;
mod environment;

use self::entries::ConfigFile;
pub use self::entries::{PullSecretError, parse_legacy_pull_secret, parse_pull_secret, server_name};
use crate::client::Credentials;

/// A helper may ask a cloud for a token; one that waits for a person is not waited for.
const HELPER_TIME: Duration = Duration::from_secs(30);

/// Why credentials that are configured cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DockerConfigError {
    /// Variables that contradict each other, or do not say which registry they are for.
    #[error("the environment holds {problem}")]
    Environment {
        /// What it holds.
        problem: &'static str,
    },
    /// The file exists and cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no such configuration, or its entry for the registry is damaged.
    #[error("{} does not hold usable registry credentials", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PullSecretError,
    },
    /// The credential helper failed. What it printed is withheld, since it may hold the credentials.
    #[error("the credential helper that {} names for {registry} failed", path.display())]
    Helper {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
    /// The credential helper did not answer.
    #[error("the credential helper that {} names for {registry} did not answer within {} s", path.display(), HELPER_TIME.as_secs())]
    HelperTimeout {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
}

/// The credentials that this user's tools have for `repository`; anonymous if there are none.
///
/// The environment comes first: `SEALIFT_REGISTRY_USER` with `SEALIFT_REGISTRY_PASSWORD`, or `SEALIFT_REGISTRY_TOKEN`, for
/// the registry, or the path in it, that `SEALIFT_REGISTRY` names. Then `$DOCKER_CONFIG/config.json` or
/// `~/.docker/config.json`, then podman's `$REGISTRY_AUTH_FILE`,
/// `$XDG_RUNTIME_DIR/containers/auth.json` and `~/.config/containers/auth.json`.
///
/// # Errors
/// [`DockerConfigError`] if something is configured for the registry and cannot be used.
pub async fn credentials_for(repository: &Repository) -> Result<Credentials, DockerConfigError> {
    if let Some(found) = environment::credentials(|name| env::var(name).ok(), repository)? {
        return Ok(found);
    }
    for path in places() {
        if let Some(found) = in_file(&path, repository).await? {
            return Ok(found);
        }
    }
    Ok(Credentials::Anonymous)
}

/// Where this user's tools keep configurations, in the order in which they count: Docker's, then podman's.
pub fn places() -> Vec<PathBuf> {
    files(|name| env::var_os(name).map(PathBuf::from))
}

fn files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let home = variable("HOME");
    let in_home = |rest: &str| home.as_ref().map(|home| home.join(rest));
    let docker = variable("DOCKER_CONFIG").or_else(|| in_home(".docker")).map(|folder| folder.join("config.json"));
    let podman = match variable("REGISTRY_AUTH_FILE") {
        Some(file) => vec![Some(file)],
        None => vec![
            variable("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            in_home(".config/containers/auth.json"),
        ],
    };
    std::iter::once(docker).chain(podman).flatten().collect()
}

/// What one file has for `repository`; `None` if it does not exist or has nothing.
async fn in_file(path: &Path, repository: &Repository) -> Result<Option<Credentials>, DockerConfigError> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(DockerConfigError::Read { path: path.to_owned(), source }),
    };
    let broken = |source| DockerConfigError::Entry { path: path.to_owned(), source };
    let config = ConfigFile::parse(&bytes).map_err(broken)?;
    let server = server_name(repository.host());
    if !config.has_helper(server) {
        if let Some(found) = config.find(repository).map_err(broken)? {
            return Ok(Some(found));
        }
        if config.credentials_store().is_none() {
            return Ok(None);
        }
    }
    from_helper(path, bytes, server).await
}

/// Runs the credential helper. On a thread of its own, not the runtime's pool: the process could not end while the pool
/// waits for a helper that hangs.
async fn from_helper(path: &Path, config: Vec<u8>, server: &str) -> Result<Option<Credentials>, DockerConfigError> {
    let (sender, answer) = oneshot::channel();
    let (path, registry) = (path.to_owned(), server.to_owned());
    let asked = registry.clone();
    thread::spawn(move || sender.send(docker_credential::get_credential_from_reader(config.as_slice(), &asked)));
    match timeout(HELPER_TIME, answer).await {
        Err(_) => Err(DockerConfigError::HelperTimeout { path, registry }),
        Ok(Ok(Ok(DockerCredential::UsernamePassword(username, password)))) => {
            Ok(Some(Credentials::Basic { username, password: password.into() }))
        }
        Ok(Ok(Ok(DockerCredential::IdentityToken(token)))) => Ok(Some(Credentials::IdentityToken(token.into()))),
        Ok(Ok(Err(CredentialRetrievalError::NoCredentialConfigured))) => Ok(None),
        // The helpers' protocol: this sentence on standard output means "none", every other failure is one.
        Ok(Ok(Err(CredentialRetrievalError::HelperFailure { stdout, .. })))
            if stdout.contains("credentials not found in native keychain") =>
        {
            Ok(None)
        }
        Ok(Ok(Err(_)) | Err(_)) => Err(DockerConfigError::Helper { path, registry }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn docker_comes_before_podman_and_variables_before_home() {
        let variables = |set: &'static [(&str, &str)]| {
            files(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            variables(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run")]),
            paths(&["/h/.docker/config.json", "/run/containers/auth.json", "/h/.config/containers/auth.json"])
        );
        assert_eq!(
            variables(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("REGISTRY_AUTH_FILE", "/a.json")]),
            paths(&["/d/config.json", "/a.json"])
        );
        assert_eq!(variables(&[]), paths(&[]));
    }

    #[tokio::test]
    async fn a_missing_file_holds_nothing_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let repository = "registry.example/app".parse().unwrap();
        assert!(in_file(&folder.path().join("none"), &repository).await.unwrap().is_none());
        let damaged = folder.path().join("config.json");
        std::fs::write(&damaged, "{").unwrap();
        assert!(matches!(in_file(&damaged, &repository).await, Err(DockerConfigError::Entry { .. })));
    }

    /// Helpers are found on `PATH`, which a test cannot change for itself: it runs itself again with another one.
    #[tokio::test]
    async fn a_helper_is_asked_and_its_failure_is_not_anonymous_access() {
        const AGAIN: &str = "SEALIFT_TEST_WITH_HELPERS";
        if env::var_os(AGAIN).is_none() {
            let folder = tempfile::tempdir().unwrap();
            for (name, script) in [
                ("good", r#"echo '{"Username":"me","Secret":"s3cret"}'"#),
                ("token", r#"echo '{"Username":"<token>","Secret":"refresh"}'"#),
                ("none", "echo credentials not found in native keychain; exit 1"),
                ("bad", "echo s3cret; exit 1"),
            ] {
                let path = folder.path().join(format!("docker-credential-{name}"));
                std::fs::write(&path, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
            let path = format!("{}:{}", folder.path().display(), env::var("PATH").unwrap());
            let name = "docker_config::tests::a_helper_is_asked_and_its_failure_is_not_anonymous_access";
            let run = std::process::Command::new(env::current_exe().unwrap())
                .args(["--exact", name])
                .env("PATH", path)
                .env(AGAIN, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout).into_owned();
            assert!(run.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let run = |name: &'static str| {
            let path = folder.path().join(name);
            std::fs::write(&path, serde_json::json!({"credHelpers": {"registry.example": name}}).to_string()).unwrap();
            async move { in_file(&path, &"registry.example/app".parse().unwrap()).await }
        };
        assert!(matches!(run("good").await, Ok(Some(Credentials::Basic { username, .. })) if username == "me"));
        assert!(matches!(run("token").await, Ok(Some(Credentials::IdentityToken(_)))));
        assert!(matches!(run("none").await, Ok(None)));
        let error = run("bad").await.unwrap_err();
        assert!(matches!(error, DockerConfigError::Helper { .. }) && !format!("{error:?}").contains("s3cret"));
        assert!(matches!(run("missing").await, Err(DockerConfigError::Helper { .. })));
    }
}
