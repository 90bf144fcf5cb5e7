use std::path::PathBuf;

use clap::Args;

use super::RegistryAccess;

const LOGIN: &str = "\
Examples:
  sealift login registry.example                                    asks for user and password at the terminal
  printenv REGISTRY_TOKEN | sealift login ghcr.io -u \"$USER\" --password-stdin
  sealift login registry.example -u ci --password-stdin --auth-file ci-auth.json < password.txt

The credentials are tried at the registry first. They are kept where docker and podman keep theirs, and where every
command of sealift looks: by the credential helper that is configured for the registry, else in Docker's config.json or
podman's auth.json, whichever has an entry for it or is there already. Such a file holds the password unencrypted; it is
written with mode 0600. A password is never taken from the command line, where other processes could read it.";

const LOGOUT: &str = "\
Examples:
  sealift logout registry.example
  sealift logout registry.example --auth-file ci-auth.json

Removes the registry's entry from every place that `sealift login` may have written to, the credential helper included.
Entries for single repositories stay. It is no error if there is nothing.";

/// Keep credentials for a registry, after trying them there
#[derive(Debug, Args)]
#[command(after_help = LOGIN)]
pub(crate) struct LoginArgs {
    /// The registry: HOST or HOST:PORT
    #[arg(value_name = "HOST", value_parser = host)]
    pub(crate) host: String,
    /// User name [default: asked at the terminal]
    #[arg(long, short = 'u', value_name = "USER")]
    pub(crate) username: Option<String>,
    /// Read the password, or access token, from standard input
    #[arg(long, requires = "username")]
    pub(crate) password_stdin: bool,
    /// Keep them in this file, in the form of Docker's config.json and podman's auth.json
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) registry: RegistryAccess,
}

/// Forget the credentials for a registry
#[derive(Debug, Args)]
#[command(after_help = LOGOUT)]
pub(crate) struct LogoutArgs {
    /// The registry: HOST or HOST:PORT
    #[arg(value_name = "HOST", value_parser = host)]
    pub(crate) host: String,
    /// Look in this file only
    #[arg(long, value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,
}

/// A registry's host, as in a repository; what people copy from a browser or a reference is understood.
fn host(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("oci://").or_else(|| text.strip_prefix("https://")).unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    if bare.contains('/') {
        return Err("expected HOST or HOST:PORT, without a path".to_owned());
    }
    match super::repository(&format!("{bare}/any")) {
        Ok(repository) => Ok(repository.host().to_owned()),
        Err(_) => Err("not a registry host: HOST or HOST:PORT".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_host() {
        for (text, expected) in [
            ("registry.example", "registry.example"),
            ("Registry.Example:5000", "registry.example:5000"),
            ("https://ghcr.io/", "ghcr.io"),
            ("oci://[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(host(text).as_deref(), Ok(expected));
        }
        for wrong in ["", "registry.example/acme", "http://registry.example", "a b", "user@host", "host:port"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }
}
