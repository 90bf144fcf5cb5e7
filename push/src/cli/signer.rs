use std::{path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use sealift_verify::duration::Duration;
use secrecy::SecretString;

/// Who signs; spelled alike on every command that does. Exactly one of a key and an identity.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Signing options")]
pub(crate) struct SignerArgs {
    /// Private key to sign with: a file (cosign's encrypted cosign.key, PKCS#8 or SEC1 PEM, ECDSA P-256), or
    /// hashivault://KEY or openbao://KEY for an ecdsa-p256 key of Vault's or OpenBao's transit engine
    #[arg(long, value_name = "FILE|URI", env = "SEALIFT_KEY")]
    #[arg(required_unless_present = "keyless", conflicts_with = "keyless")]
    pub(crate) key: Option<KeySource>,
    #[command(flatten)]
    pub(crate) keyless: KeylessArgs,
    /// Longest wait for one answer of a signing service; a failed request is tried again for twice as long
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub(crate) signing_timeout: Duration,
}

/// How an identity signs, with no key to keep.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeylessArgs {
    /// Sign as the identity of an OIDC token: Fulcio certifies a key that is used once, a log and a timestamp authority
    /// say when. The token is --identity-token, $SIGSTORE_ID_TOKEN, or the one that GitHub Actions, GitLab, Buildkite
    /// or CircleCI hand to the job. With no addresses given, it is the public Sigstore instance: identity and
    /// signature are published there for ever
    #[arg(long)]
    pub(crate) keyless: bool,
    /// The identity token, or a file that holds it
    #[arg(long, value_name = "TOKEN|FILE", requires = "keyless", conflicts_with = "key")]
    pub(crate) identity_token: Option<TokenSource>,
    /// Address of the certificate authority
    #[arg(long, value_name = "URL", requires = "keyless", conflicts_with = "key", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) fulcio_url: Option<String>,
    /// Address of the transparency log
    #[arg(long, value_name = "URL", requires = "keyless", conflicts_with = "key", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) rekor_url: Option<String>,
    /// What that log speaks
    #[arg(
        long,
        value_enum,
        value_name = "VERSION",
        requires = "keyless",
        conflicts_with = "key",
        default_value_if("rekor_url", clap::builder::ArgPredicate::IsPresent, "2")
    )]
    pub(crate) rekor_version: Option<RekorVersion>,
    /// Address of the timestamp authority, with its whole path; version 2 of Rekor needs one
    #[arg(long, value_name = "URL", requires = "keyless", conflicts_with = "key", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) timestamp_url: Option<String>,
    /// Sigstore signing config (v0.2) with those addresses
    #[arg(long, value_name = "FILE", requires = "keyless", conflicts_with = "key")]
    #[arg(conflicts_with_all = ["fulcio_url", "rekor_url", "timestamp_url"])]
    pub(crate) signing_config: Option<PathBuf>,
    /// trusted_root.json of that instance: what is signed is verified with it before it is published, and earlier
    /// releases are recognised by it
    #[arg(long, value_name = "FILE", requires = "keyless", conflicts_with = "key")]
    pub(crate) trusted_root: Option<PathBuf>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In a file.
    File(PathBuf),
    /// In a transit engine, by its name there.
    Transit(String),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            None if text.is_empty() => Err("a file or a URI is missing".to_owned()),
            None => Ok(Self::File(text.into())),
            Some(("hashivault" | "openbao", name)) if is_transit_name(name) => Ok(Self::Transit(name.to_owned())),
            Some((scheme @ ("hashivault" | "openbao"), _)) => {
                Err(format!("expected {scheme}://KEY, where KEY is the key's name in the transit engine"))
            }
            Some((scheme, _)) => {
                Err(format!("{scheme}:// is not supported (a file, hashivault://KEY and openbao://KEY are)"))
            }
        }
    }
}

/// A name as cosign takes it in such a URI: nothing in it can leave its place in a path.
fn is_transit_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(|c| word(c) || c == '-' || c == '.') && name.starts_with(word) && name.ends_with(word)
}

/// Where an identity token is. It does not print.
#[derive(Clone, Debug)]
pub(crate) enum TokenSource {
    /// On the command line.
    Given(SecretString),
    /// In a file.
    File(PathBuf),
}

impl FromStr for TokenSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The first part of every JWT is a JSON object in base64.
        match text {
            "" => Err("a token or a file is missing".to_owned()),
            _ if text.starts_with("eyJ") && text.matches('.').count() == 2 => Ok(Self::Given(text.into())),
            _ => Ok(Self::File(text.into())),
        }
    }
}

/// What a transparency log speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RekorVersion {
    /// The first version.
    #[value(name = "1")]
    V1,
    /// The one made of tiles; it knows no time, so a timestamp authority is needed.
    #[value(name = "2")]
    V2,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_file_or_the_name_of_one_in_a_transit_engine() {
        assert_eq!("a/b.key".parse(), Ok(KeySource::File("a/b.key".into())));
        for uri in ["hashivault://my-key.1", "openbao://my-key.1"] {
            assert_eq!(uri.parse(), Ok(KeySource::Transit("my-key.1".into())));
        }
        assert_eq!("hashivault://k".parse(), Ok(KeySource::Transit("k".into())));
        for wrong in [
            "",
            "hashivault://",
            "hashivault://a/b",
            "hashivault://../keys",
            "hashivault://-a",
            "hashivault://a?b",
            "hashivault://a ",
            "awskms://alias/x",
            "https://example.com/key",
        ] {
            assert!(wrong.parse::<KeySource>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_token_on_the_command_line_does_not_print() {
        let token: TokenSource = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.c2ln".parse().unwrap();
        assert!(matches!(token, TokenSource::Given(_)) && !format!("{token:?}").contains("eyJ"));
        assert!(matches!("token.jwt".parse(), Ok(TokenSource::File(_))));
    }
}
