//! Credentials in the environment, as CI hands them over. They are for the registry that is named with them and for no
//! other, since a command may speak to several.

use sealift_verify::reference::Repository;

use super::{DockerConfigError, entries::matches};
use crate::client::Credentials;

const REGISTRY: &str = "SEALIFT_REGISTRY";
const USER: &str = "SEALIFT_REGISTRY_USER";
const PASSWORD: &str = "SEALIFT_REGISTRY_PASSWORD";
const TOKEN: &str = "SEALIFT_REGISTRY_TOKEN";

/// What the environment has for `repository`; `None` if it has nothing, or something for another one.
pub(super) fn credentials(
    variable: impl Fn(&str) -> Option<String>,
    repository: &Repository,
) -> Result<Option<Credentials>, DockerConfigError> {
    let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let found = match (filled(USER), filled(PASSWORD), filled(TOKEN)) {
        (None, None, None) => return Ok(None),
        (Some(username), Some(password), None) => Credentials::Basic { username, password: password.into() },
        (None, None, Some(token)) => Credentials::RegistryToken(token.into()),
        (_, _, Some(_)) => return Err(unclear("a token, and a user or password beside it")),
        (Some(_), None, None) => return Err(unclear("a user without a password")),
        (None, Some(_), None) => return Err(unclear("a password without a user")),
    };
    let Some(registry) = filled(REGISTRY) else { return Err(unclear("credentials, and not for which registry")) };
    Ok(matches(registry.trim(), repository).map(|_| found))
}

fn unclear(problem: &'static str) -> DockerConfigError {
    DockerConfigError::Environment { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], repository: &str) -> Result<&'static str, String> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match credentials(variable, &repository.parse().unwrap()) {
            Ok(None) => Ok("nothing"),
            Ok(Some(Credentials::Basic { .. })) => Ok("password"),
            Ok(Some(Credentials::RegistryToken(_))) => Ok("token"),
            Ok(Some(other)) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn they_are_for_the_registry_that_is_named_with_them() {
        let password = |registry| [(REGISTRY, registry), (USER, "ci"), (PASSWORD, "hunter2")];
        for (registry, repository, expected) in [
            ("registry.example", "registry.example/acme/shop", "password"),
            ("registry.example", "other.example/acme/shop", "nothing"),
            ("registry.example/acme", "registry.example/acme/shop", "password"),
            ("registry.example/acme", "registry.example/acmes/shop", "nothing"),
            ("registry.example:5000", "registry.example/acme/shop", "nothing"),
            ("docker.io", "index.docker.io/library/shop", "password"),
        ] {
            assert_eq!(found(&password(registry), repository), Ok(expected), "{registry} {repository}");
        }
        assert_eq!(found(&[(REGISTRY, "a.example"), (TOKEN, "t")], "a.example/b"), Ok("token"));
        assert_eq!(found(&[(REGISTRY, "a.example")], "a.example/b"), Ok("nothing"));
        assert_eq!(found(&[(USER, ""), (PASSWORD, "")], "a.example/b"), Ok("nothing"));
    }

    #[test]
    fn half_of_them_is_an_error_and_not_anonymous_access() {
        for variables in [
            &[(USER, "ci"), (PASSWORD, "hunter2")][..],
            &[(TOKEN, "hunter2")],
            &[(REGISTRY, "a.example"), (USER, "ci")],
            &[(REGISTRY, "a.example"), (PASSWORD, "hunter2")],
            &[(REGISTRY, "a.example"), (USER, "ci"), (TOKEN, "hunter2")],
        ] {
            let error = found(variables, "a.example/b").unwrap_err();
            assert!(error.starts_with("the environment holds") && !error.contains("hunter2"), "{error}");
        }
    }
}
