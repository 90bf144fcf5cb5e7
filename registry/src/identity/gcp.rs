//! Google Cloud: an access token, by the metadata server or by workload identity federation.
//!
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>,
//! <https://google.aip.dev/auth/4117>, <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token>

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json as body};

use super::{
    AccessToken, IdentityError, Minted, Secret, Variable,
    asker::{Asker, answer, asked, endpoint, json},
    token_file,
};
use crate::client::Credentials;

const METADATA: &str = "the metadata server of Google Cloud";
const STS: &str = "the security token service of Google Cloud";
const SUBJECT: &str = "the service that the credential source names";
const IAM: &str = "the service account credentials of Google Cloud";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Google says one hour.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// How the environment says who we are.
#[derive(Debug)]
pub(super) enum Gcp {
    /// The node, or the pod's account where the cluster has workload identity.
    Metadata(Url),
    /// A configuration of federation at this path.
    Federation(String),
}

/// The file that `gcloud iam workload-identity-pools create-cred-config` writes.
#[derive(Deserialize)]
struct Config {
    r#type: String,
    audience: Option<String>,
    subject_token_type: Option<String>,
    token_url: Option<String>,
    credential_source: Option<Source>,
    service_account_impersonation_url: Option<String>,
}

/// Where the token of the platform is.
#[derive(Deserialize)]
struct Source {
    file: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
struct Format {
    r#type: Option<String>,
    subject_token_field_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonated {
    access_token: Secret,
    expire_time: Timestamp,
}

impl Gcp {
    pub(super) fn of(variable: Variable<'_>) -> Result<Self, IdentityError> {
        if let Some(path) = variable(FILE) {
            return Ok(Self::Federation(path));
        }
        let host = variable("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".to_owned());
        let path = "computeMetadata/v1/instance/service-accounts/default/token";
        endpoint("GCE_METADATA_HOST", &format!("http://{host}/{path}")).map(Self::Metadata)
    }

    pub(super) async fn credentials(&self, asker: &Asker) -> Result<Minted, IdentityError> {
        let (token, lifetime) = asked(|| async {
            match self {
                Self::Metadata(url) => {
                    let request = asker.request(Method::GET, url).header("metadata-flavor", "Google");
                    let AccessToken { access_token, expires_in } = json(METADATA, request).await?;
                    Ok((access_token.0, expires_in.kept(LONGEST)))
                }
                Self::Federation(path) => federated(asker, path).await,
            }
        })
        .await?;
        let credentials = Credentials::Basic { username: "oauth2accesstoken".to_owned(), password: token };
        Ok(Minted { credentials, lifetime })
    }
}

async fn federated(asker: &Asker, path: &str) -> Result<(SecretString, Duration), IdentityError> {
    let text = token_file(path).await?;
    let unusable = |what: &str| IdentityError::Unusable { what: format!("{FILE}: {what}") };
    let config: Config = serde_json::from_str(text.expose_secret()).map_err(|_| unusable("no JSON of a credential"))?;
    if config.r#type != "external_account" {
        // The key of an account is a password: it belongs into a login as `_json_key`.
        return Err(unusable("its type is not \"external_account\""));
    }
    let Config {
        r#type: _,
        audience,
        subject_token_type,
        token_url,
        credential_source,
        service_account_impersonation_url,
    } = config;
    let needed = |field: Option<String>, name: &str| field.ok_or_else(|| unusable(&format!("no {name}")));
    let source = credential_source.ok_or_else(|| unusable("no credential_source"))?;
    let subject = source.token(asker).await?;
    let token_url = token_url.as_deref().unwrap_or("https://sts.googleapis.com/v1/token");
    let request = body!({
        "grantType": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
        "scope": SCOPE,
        "audience": needed(audience, "audience")?,
        "subjectToken": subject.expose_secret(),
        "subjectTokenType": needed(subject_token_type, "subject_token_type")?,
    });
    let url = endpoint("the token_url", token_url)?;
    let AccessToken { access_token, expires_in } = json(STS, asker.request(Method::POST, &url).json(&request)).await?;
    let Some(url) = service_account_impersonation_url else { return Ok((access_token.0, expires_in.kept(LONGEST))) };
    let url = endpoint("the service_account_impersonation_url", &url)?;
    let request = asker.request(Method::POST, &url).bearer_auth(access_token.0.expose_secret());
    let Impersonated { access_token, expire_time } = json(IAM, request.json(&body!({"scope": [SCOPE]}))).await?;
    let left = Duration::try_from(expire_time.duration_since(Timestamp::now())).unwrap_or_default();
    Ok((access_token.0, left.min(LONGEST) * 9 / 10))
}

impl Source {
    async fn token(&self, asker: &Asker) -> Result<SecretString, IdentityError> {
        let Self { file, url, headers, format } = self;
        let text = match (file, url) {
            (Some(file), _) => token_file(file).await?,
            (None, Some(url)) => {
                let url = endpoint("the url of the credential source", url)?;
                let request = headers
                    .iter()
                    .fold(asker.request(Method::GET, &url), |request, (name, value)| request.header(name, value));
                let answered = answer(SUBJECT, request).await?;
                String::from_utf8(answered.to_vec()).map_err(|_| IdentityError::Answer { service: SUBJECT })?.into()
            }
            (None, None) => return Err(IdentityError::Unusable { what: "the credential source".to_owned() }),
        };
        let field = match (format.r#type.as_deref(), &format.subject_token_field_name) {
            (Some("json"), Some(field)) => field,
            _ => return Ok(text),
        };
        let value: Value = serde_json::from_str(text.expose_secret()).unwrap_or_default();
        let token = value.get(field).and_then(Value::as_str);
        Ok(token.ok_or(IdentityError::Answer { service: SUBJECT })?.into())
    }
}
