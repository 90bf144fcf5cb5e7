//! AWS: keys of a role, and with them a password for ECR.
//!
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>,
//! <https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html>,
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>

mod sigv4;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use reqwest::{Method, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use self::sigv4::{Keys, Request};
use super::{
    IdentityError, Minted, Provider, Secret, Variable,
    asker::{Asker, answer, asked, element, endpoint, json},
    needed, token_file,
};
use crate::client::Credentials;

const STS: &str = "the security token service of AWS";
const POD: &str = "the pod identity agent of EKS";
const ECR: &str = "the registry service of AWS";
/// ECR says 12 hours.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
/// The name under which the session stands in the account's trail.
const SESSION: &str = "sealift";

/// How the environment says who we are.
#[derive(Debug)]
pub(super) struct Aws {
    proof: Proof,
    region: Option<String>,
    sts: Option<Url>,
    ecr: Option<Url>,
}

/// What proves it. The first that is there counts, in the order of AWS's own tools.
#[derive(Debug)]
enum Proof {
    /// Keys, as CI jobs have them.
    Keys { id: String, key: SecretString, session: Option<SecretString> },
    /// A token of the cluster, for a role (IRSA).
    WebIdentity { token_file: String, role: String, session: String },
    /// An agent on the node (EKS Pod Identity).
    Pod { url: Url, token_file: Option<String> },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PodKeys {
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_data: Vec<AuthorizationData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationData {
    authorization_token: Secret,
    expires_at: Option<f64>,
}

impl Aws {
    pub(super) fn of(variable: Variable<'_>) -> Result<Self, IdentityError> {
        let named = |name: &str| {
            let url = variable(name).or_else(|| variable("AWS_ENDPOINT_URL"));
            url.map(|url| endpoint(name, &url)).transpose()
        };
        Ok(Self {
            proof: Proof::of(variable)?,
            region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
            sts: named("AWS_ENDPOINT_URL_STS")?,
            ecr: named("AWS_ENDPOINT_URL_ECR")?,
        })
    }

    pub(super) async fn credentials(&self, asker: &Asker, host: &str) -> Result<Minted, IdentityError> {
        let region = region_of(host).or_else(|| self.region.clone());
        let region = region.ok_or(IdentityError::Missing { provider: Provider::Aws, variable: "AWS_REGION" })?;
        asked(|| async {
            let keys = self.keys(asker, &region).await?;
            self.password(asker, &region, &keys).await
        })
        .await
    }

    async fn keys(&self, asker: &Asker, region: &str) -> Result<Keys, IdentityError> {
        match &self.proof {
            Proof::Keys { id, key, session } => Ok(Keys { id: id.clone(), key: key.clone(), session: session.clone() }),
            Proof::WebIdentity { token_file: path, role, session } => {
                let token = token_file(path).await?;
                let region = self.region.as_deref().unwrap_or(region);
                let url = self.service("sts", region, self.sts.as_ref())?;
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("Action", "AssumeRoleWithWebIdentity")
                    .append_pair("Version", "2011-06-15")
                    .append_pair("RoleArn", role)
                    .append_pair("RoleSessionName", session)
                    .append_pair("WebIdentityToken", token.expose_secret())
                    .finish();
                let request = asker.request(Method::POST, &url).body(form);
                let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                let body = answer(STS, request).await?;
                keys_of(&String::from_utf8_lossy(&body)).ok_or(IdentityError::Answer { service: STS })
            }
            Proof::Pod { url, token_file: path } => {
                let mut request = asker.request(Method::GET, url);
                if let Some(path) = path {
                    request = request.header(header::AUTHORIZATION, token_file(path).await?.expose_secret());
                }
                let PodKeys { access_key_id, secret_access_key, token } = json(POD, request).await?;
                Ok(Keys { id: access_key_id, key: secret_access_key.0, session: token.map(|token| token.0) })
            }
        }
    }

    /// Where a service is in a region; those of China have names of their own.
    fn service(&self, name: &str, region: &str, named: Option<&Url>) -> Result<Url, IdentityError> {
        let end = if region.starts_with("cn-") { ".cn" } else { "" };
        match named {
            Some(url) => Ok(url.clone()),
            None => endpoint("the region of AWS", &format!("https://{name}.{region}.amazonaws.com{end}/")),
        }
    }

    async fn password(&self, asker: &Asker, region: &str, keys: &Keys) -> Result<Minted, IdentityError> {
        let url = self.service("api.ecr", region, self.ecr.as_ref())?;
        let (now, body) = (Timestamp::now(), b"{}");
        let headers = [("content-type", JSON), ("x-amz-target", TARGET)];
        let request = Request { method: "POST", url: &url, headers: &headers, body };
        let signed = sigv4::sign(&request, keys, region, "ecr", now);
        let request = asker.request(Method::POST, &url).body(body.to_vec());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = signed.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let Authorization { authorization_data } = json(ECR, request).await?;
        let unusable = || IdentityError::Answer { service: ECR };
        let AuthorizationData { authorization_token, expires_at } =
            authorization_data.into_iter().next().ok_or_else(unusable)?;
        let decoded = BASE64_STANDARD.decode(authorization_token.0.expose_secret()).map_err(|_| unusable())?;
        let decoded = String::from_utf8(decoded).map_err(|_| unusable())?;
        let (username, password) = decoded.split_once(':').ok_or_else(unusable)?;
        let left = expires_at.map_or(60.0, |at| at - now.as_millisecond() as f64 / 1000.0);
        let lifetime = Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(LONGEST).min(LONGEST) * 9 / 10;
        let credentials = Credentials::Basic { username: username.to_owned(), password: password.into() };
        Ok(Minted { credentials, lifetime })
    }
}

impl Proof {
    fn of(variable: Variable<'_>) -> Result<Self, IdentityError> {
        if let (Some(id), Some(key)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Self::Keys { id, key: key.into(), session: variable("AWS_SESSION_TOKEN").map(Into::into) });
        }
        if let Some(token_file) = variable("AWS_WEB_IDENTITY_TOKEN_FILE") {
            let role = needed(Provider::Aws, variable, "AWS_ROLE_ARN")?;
            let session = variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.to_owned());
            return Ok(Self::WebIdentity { token_file, role, session });
        }
        if let Some(url) = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            let url = endpoint("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)?;
            return Ok(Self::Pod { url, token_file: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") });
        }
        let variable = "AWS_WEB_IDENTITY_TOKEN_FILE or AWS_CONTAINER_CREDENTIALS_FULL_URI";
        Err(IdentityError::Missing { provider: Provider::Aws, variable })
    }
}

fn keys_of(xml: &str) -> Option<Keys> {
    Some(Keys {
        id: element(xml, "AccessKeyId")?.to_owned(),
        key: element(xml, "SecretAccessKey")?.into(),
        session: Some(element(xml, "SessionToken")?.into()),
    })
}

/// The region in the name of a registry of ECR: `<account>.dkr.ecr.<region>.amazonaws.com`. Under the same domain Amazon
/// also has what customers name themselves, dots included: `123456789012.dkr.ecr.s3.amazonaws.com` is somebody's bucket.
pub(super) fn region_of(host: &str) -> Option<String> {
    let (account, rest) = host.split_once(".dkr.ecr.").or_else(|| host.split_once(".dkr.ecr-fips."))?;
    let region = rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))?;
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (is_account && is_region(region)).then(|| region.to_owned())
}

/// True for words of letters and a number, as in `us-gov-west-1`; `s3-us-west-2` is a service.
fn is_region(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    words.contains('-') && words.split('-').all(is_word) && number.parse::<u8>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_stands_in_the_name() {
        for (host, region) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr.ecr.evil.example/x.amazonaws.com", None),
            ("123456789012.dkr.ecr.s3.amazonaws.com", None),
            ("123456789012.dkr.ecr.s3-us-west-2.amazonaws.com", None),
            ("123456789012.dkr.ecr.s3.eu-west-1.amazonaws.com", None),
            ("bucket.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.--1.amazonaws.com", None),
            ("registry.example", None),
        ] {
            assert_eq!(region_of(host).as_deref(), region, "{host}");
        }
    }

    #[test]
    fn the_environment_says_who_in_the_order_of_the_clouds_own_tools() {
        let proof = |variables: &[(&str, &str)]| {
            Proof::of(&|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")];
        let pod = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];
        let keys = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s3cret")];
        let all = [&web[..], &pod, &keys].concat();
        let found = proof(&all).unwrap();
        assert!(matches!(found, Proof::Keys { .. }) && !format!("{found:?}").contains("s3cret"), "{found:?}");
        assert!(matches!(proof(&[&pod[..], &web].concat()), Ok(Proof::WebIdentity { .. })));
        assert!(matches!(proof(&pod), Ok(Proof::Pod { token_file: None, .. })));
        for missing in
            [&[][..], &web[..1], &keys[..1], &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/")]]
        {
            assert!(proof(missing).is_err(), "{missing:?}");
        }
    }
}
