//! Which registries an identity is for.

use std::{fmt, str::FromStr};

use sealift_verify::reference::Repository;

use super::aws;

/// A cloud that knows who its workloads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// Amazon: ECR, by web identity, pod identity or keys in the environment.
    Aws,
    /// Google: Artifact Registry, by the metadata server or workload identity federation.
    Gcp,
    /// Microsoft: ACR, by a federated token.
    Azure,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Azure => "azure",
        })
    }
}

impl Provider {
    /// True if `host` is a registry of this cloud by its name. Only the cloud itself can have such a name, so its tokens
    /// are safe there.
    fn serves(self, host: &str) -> bool {
        let ends = |ends: &[&str]| ends.iter().any(|end| host.ends_with(end));
        match self {
            Self::Aws => aws::region_of(host).is_some(),
            Self::Gcp => host == "gcr.io" || ends(&[".gcr.io", "-docker.pkg.dev"]),
            Self::Azure => ends(&[".azurecr.io", ".azurecr.cn", ".azurecr.us"]),
        }
    }
}

/// One identity and the registries it is shown to, written as `PROVIDER` for the cloud's own registries or
/// `HOST[/PATH]=PROVIDER` for one that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRule {
    provider: Provider,
    place: Option<String>,
}

/// Why a text is not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form [HOST[/PATH]=]aws|gcp|azure")]
pub struct IdentityRuleError(String);

impl FromStr for IdentityRule {
    type Err = IdentityRuleError;

    fn from_str(text: &str) -> Result<Self, IdentityRuleError> {
        let wrong = || IdentityRuleError(text.to_owned());
        let (place, provider) = text.split_once('=').map_or((None, text), |(place, provider)| (Some(place), provider));
        let provider = match provider {
            "aws" => Provider::Aws,
            "gcp" => Provider::Gcp,
            "azure" => Provider::Azure,
            _ => return Err(wrong()),
        };
        let place = place.map(|place| Repository::prefix(place).ok_or_else(wrong)).transpose()?;
        Ok(Self { provider, place })
    }
}

impl IdentityRule {
    /// Whose identity it is.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// The identity to show to the registry of `repository`: the one with the longest name, else that of its cloud.
    pub fn choose(rules: &[Self], repository: &Repository) -> Option<Provider> {
        let name = repository.to_string();
        let length = |rule: &Self| match &rule.place {
            None => rule.provider.serves(repository.host()).then_some(0),
            Some(place) => {
                let rest = name.strip_prefix(place)?;
                (rest.is_empty() || rest.starts_with('/')).then_some(place.len())
            }
        };
        let ranked = rules.iter().filter_map(|rule| Some((length(rule)?, rule.provider)));
        ranked.max_by_key(|(length, _)| *length).map(|(_, provider)| provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_shown_to_registries_of_its_cloud_and_to_those_named() {
        let rules: Vec<IdentityRule> = ["aws", "gcp", "azure", "oci://mirror.example/team=aws", "Mirror.Example=gcp"]
            .map(|rule| rule.parse().unwrap())
            .into();
        for (repository, expected) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", Some(Provider::Aws)),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/app", Some(Provider::Aws)),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app", Some(Provider::Aws)),
            ("s3.amazonaws.com/app", None),
            ("123456789012.dkr.ecr.s3.amazonaws.com/app", None),
            ("123456789012.dkr.ecr.s3.eu-west-1.amazonaws.com/app", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example/app", None),
            ("europe-docker.pkg.dev/project/app", Some(Provider::Gcp)),
            ("eu.gcr.io/project/app", Some(Provider::Gcp)),
            ("evilgcr.io/project/app", None),
            ("acme.azurecr.io/app", Some(Provider::Azure)),
            ("azurecr.io.evil.example/app", None),
            ("mirror.example/team/app", Some(Provider::Aws)),
            ("mirror.example/teams/app", Some(Provider::Gcp)),
            ("registry.example/app", None),
        ] {
            assert_eq!(IdentityRule::choose(&rules, &repository.parse().unwrap()), expected, "{repository}");
        }
        assert_eq!(IdentityRule::choose(&rules[1..2], &"acme.azurecr.io/app".parse().unwrap()), None);
    }

    #[test]
    fn refuses_what_is_no_rule() {
        for text in ["", "AWS", "=aws", "a.example=", "a b=aws", "https://a.example=aws", "aws=a.example"] {
            assert!(text.parse::<IdentityRule>().is_err(), "{text}");
        }
    }
}
