//! Which services sign: those that are named, those of a signing config, or the public instance. Never a mixture: what
//! is private must not end up in a public log because one address was forgotten.

use sigstore_trust_root::{SIGSTORE_PRODUCTION_SIGNING_CONFIG, ServiceConfiguration, ServiceSelector, SigningConfig};

use crate::{
    cli::signer::{KeylessArgs, RekorVersion},
    exit::Exit,
};

/// Where to go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Services {
    pub(super) fulcio: String,
    pub(super) rekor: Option<(String, RekorVersion)>,
    pub(super) timestamp: Option<String>,
    /// These are the services of the public instance.
    pub(super) public_good: bool,
}

/// Why it is not clear.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServicesError {
    /// Some addresses, and not that of the authority.
    #[error("addresses of services are given, but none of a certificate authority")]
    NoFulcio,
    /// Nobody says when.
    #[error("neither a transparency log nor a timestamp authority is named, so nothing would say when it was signed")]
    NoTime,
    /// Version 2 of the log knows no time.
    #[error("version 2 of Rekor says nothing of time, and no timestamp authority is named")]
    NoTimestamp,
    /// Not a signing config.
    #[error("not a Sigstore signing config of version 0.2")]
    Config(#[source] sigstore_trust_root::Error),
    /// A config that names no service of this kind which is valid now.
    #[error("the signing config names no {0} that is valid now")]
    Nobody(&'static str),
    /// A config that asks for more than one of a kind.
    #[error("the signing config asks for several {0}s at once, which is not supported")]
    Several(&'static str),
}

impl ServicesError {
    /// What it means for scripts, and what to try.
    pub(super) fn meaning(&self) -> (Exit, Option<&'static str>) {
        match self {
            Self::NoFulcio => (Exit::Usage, Some("add --fulcio-url, or take all addresses from a --signing-config")),
            Self::NoTime => (Exit::Usage, Some("add --timestamp-url or --rekor-url, best both")),
            Self::NoTimestamp => {
                (Exit::Usage, Some("add --timestamp-url, or --rekor-version 1 if that is what it speaks"))
            }
            Self::Config(_) | Self::Nobody(_) | Self::Several(_) => {
                (Exit::InvalidInput, Some("`cosign signing-config create` writes one"))
            }
        }
    }
}

/// The services to use.
pub(super) fn choose(args: &KeylessArgs, config: Option<&str>) -> Result<Services, ServicesError> {
    let KeylessArgs { fulcio_url, rekor_url, rekor_version, timestamp_url, .. } = args;
    let services = match (config, fulcio_url) {
        (Some(config), _) => of_config(config, *rekor_version, false)?,
        (None, Some(fulcio)) => Services {
            fulcio: fulcio.clone(),
            rekor: rekor_url.clone().map(|address| (address, rekor_version.unwrap_or(RekorVersion::V2))),
            timestamp: timestamp_url.clone(),
            public_good: false,
        },
        (None, None) if rekor_url.is_some() || timestamp_url.is_some() => return Err(ServicesError::NoFulcio),
        (None, None) => of_config(SIGSTORE_PRODUCTION_SIGNING_CONFIG, *rekor_version, true)?,
    };
    match (&services.rekor, &services.timestamp) {
        (None, None) => Err(ServicesError::NoTime),
        (Some((_, RekorVersion::V2)), None) => Err(ServicesError::NoTimestamp),
        _ => Ok(services),
    }
}

fn of_config(text: &str, version: Option<RekorVersion>, public_good: bool) -> Result<Services, ServicesError> {
    let config = SigningConfig::from_json(text).map_err(ServicesError::Config)?;
    let version = version.map(|version| if version == RekorVersion::V1 { 1 } else { 2 });
    let (log, timestamps) = ("transparency log", "timestamp authority");
    single(&config.rekor_tlog_config, config.eligible_rekor_urls(version).len(), log)?;
    single(&config.tsa_config, config.eligible_tsa_urls().len(), timestamps)?;
    let rekor = match config.rekor_url(version) {
        Some(found) if found.major_api_version == 1 => Some((found.url.clone(), RekorVersion::V1)),
        Some(found) => Some((found.url.clone(), RekorVersion::V2)),
        None if config.rekor_tlog_urls.is_empty() && version.is_none() => None,
        None => return Err(ServicesError::Nobody(log)),
    };
    let timestamp = match config.tsa_url() {
        Some(found) => Some(found.url.clone()),
        None if config.tsa_urls.is_empty() => None,
        None => return Err(ServicesError::Nobody(timestamps)),
    };
    let fulcio = config.fulcio_url().ok_or(ServicesError::Nobody("certificate authority"))?;
    Ok(Services { fulcio: fulcio.url.clone(), rekor, timestamp, public_good })
}

/// One of a kind is asked, so a config must be content with one.
fn single(wanted: &ServiceConfiguration, eligible: usize, kind: &'static str) -> Result<(), ServicesError> {
    match (wanted.selector, wanted.count) {
        (ServiceSelector::Any, _) | (ServiceSelector::Exact, Some(1)) => Ok(()),
        _ if eligible <= 1 && wanted.count.unwrap_or(1) <= 1 => Ok(()),
        _ => Err(ServicesError::Several(kind)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn choose(arguments: &str, config: Option<&str>) -> Result<Services, ServicesError> {
        let line = format!("sealift refresh oci://a.example/b:c --expires-in 1h --keyless {arguments}");
        let Command::Refresh(args) = Cli::parse_from(line.split_whitespace()).command else { panic!("not a refresh") };
        super::choose(&args.signer.keyless, config)
    }

    fn config(more: &str) -> String {
        let endpoint = |url: &str, version: u32| {
            format!(r#"[{{"url":"{url}","majorApiVersion":{version},"validFor":{{"start":"2020-01-01T00:00:00Z"}}}}]"#)
        };
        format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","caUrls":{},"rekorTlogUrls":{},"tsaUrls":{}{more}}}"#,
            endpoint("https://f", 1),
            endpoint("https://r", 2),
            endpoint("https://t", 1)
        )
    }

    #[test]
    fn without_any_address_it_is_the_public_instance() {
        let services = choose("", None).unwrap();
        assert!(services.public_good);
        assert_eq!(services.fulcio, "https://fulcio.sigstore.dev");
        assert!(services.rekor.is_some() && services.timestamp.is_some());
    }

    #[test]
    fn one_private_address_keeps_everything_away_from_the_public_instance() {
        assert!(matches!(choose("--rekor-url https://r", None), Err(ServicesError::NoFulcio)));
        assert!(matches!(choose("--timestamp-url https://t", None), Err(ServicesError::NoFulcio)));
        assert!(matches!(choose("--fulcio-url https://f", None), Err(ServicesError::NoTime)));
        assert!(matches!(
            choose("--fulcio-url https://f --rekor-url https://r", None),
            Err(ServicesError::NoTimestamp)
        ));
        let old = choose("--fulcio-url https://f --rekor-url https://r --rekor-version 1", None).unwrap();
        assert_eq!((old.rekor, old.timestamp), (Some(("https://r".into(), RekorVersion::V1)), None));
        let stamped = choose("--fulcio-url https://f --timestamp-url https://t", None).unwrap();
        assert!(stamped.rekor.is_none() && !stamped.public_good);
    }

    #[test]
    fn a_signing_config_names_one_of_each() {
        let services = choose("", Some(&config(""))).unwrap();
        let expected = Services {
            fulcio: "https://f".into(),
            rekor: Some(("https://r".into(), RekorVersion::V2)),
            timestamp: Some("https://t".into()),
            public_good: false,
        };
        assert_eq!(services, expected);
        let two = config(r#","tsaConfig":{"selector":"EXACT","count":2}"#);
        assert!(matches!(choose("", Some(&two)), Err(ServicesError::Several("timestamp authority"))));
        assert!(matches!(choose("--rekor-version 1", Some(&config(""))), Err(ServicesError::Nobody(_))));
        let over = config("").replacen("2020-01-01", "2999-01-01", 1);
        assert!(matches!(choose("", Some(&over)), Err(ServicesError::Nobody("certificate authority"))));
        assert!(matches!(choose("", Some("{}")), Err(ServicesError::Config(_))));
    }
}
