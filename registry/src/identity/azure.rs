//! Azure: a token of the cluster, for one of Entra, for a refresh token of the registry.
//!
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>,
//! <https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md>

use std::time::Duration;

use reqwest::{Method, Url, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    AccessToken, IdentityError, Minted, Provider, Secret, Variable,
    asker::{Asker, asked, endpoint, json},
    needed, token_file,
};
use crate::client::{Client, Credentials};

const ENTRA: &str = "the token service of Azure";
const EXCHANGE: &str = "the token exchange of the registry";
/// A registry's refresh token lasts three hours; the token it is made of about one.
const LONGEST: Duration = Duration::from_secs(60 * 60);
const FORM: &str = "application/x-www-form-urlencoded";

/// How the environment says who we are.
#[derive(Debug)]
pub(super) struct Azure {
    authority: Url,
    tenant: String,
    client: String,
    token_file: String,
}

#[derive(Deserialize)]
struct RefreshToken {
    refresh_token: Secret,
}

impl Azure {
    pub(super) fn of(variable: Variable<'_>) -> Result<Self, IdentityError> {
        let authority = variable("AZURE_AUTHORITY_HOST");
        let authority = authority.as_deref().unwrap_or("https://login.microsoftonline.com/");
        let tenant = needed(Provider::Azure, variable, "AZURE_TENANT_ID")?;
        // It becomes part of a path.
        if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
            return Err(IdentityError::Unusable { what: "AZURE_TENANT_ID".to_owned() });
        }
        Ok(Self {
            authority: endpoint("AZURE_AUTHORITY_HOST", authority)?,
            tenant,
            client: needed(Provider::Azure, variable, "AZURE_CLIENT_ID")?,
            token_file: needed(Provider::Azure, variable, "AZURE_FEDERATED_TOKEN_FILE")?,
        })
    }

    pub(super) async fn credentials(&self, asker: &Asker, registry: &Client) -> Result<Minted, IdentityError> {
        asked(|| async {
            let AccessToken { access_token, expires_in } = self.entra(asker).await?;
            let refresh = self.exchange(registry, &access_token.0).await?;
            let lifetime = expires_in.kept(LONGEST);
            Ok(Minted { credentials: Credentials::IdentityToken(refresh), lifetime })
        })
        .await
    }

    async fn entra(&self, asker: &Asker) -> Result<AccessToken, IdentityError> {
        let assertion = token_file(&self.token_file).await?;
        let mut url = self.authority.clone();
        url.set_path(&format!("{}/{}/oauth2/v2.0/token", url.path().trim_end_matches('/'), self.tenant));
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client)
            .append_pair("scope", "https://containerregistry.azure.net/.default")
            .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
            .append_pair("client_assertion", assertion.expose_secret())
            .finish();
        json(ENTRA, asker.request(Method::POST, &url).header(header::CONTENT_TYPE, FORM).body(form)).await
    }

    /// The registry itself makes the exchange, so the request is one of its client's: guarded, and with its certificate.
    async fn exchange(&self, registry: &Client, token: &SecretString) -> Result<SecretString, IdentityError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "access_token")
            .append_pair("service", registry.host())
            .append_pair("tenant", &self.tenant)
            .append_pair("access_token", token.expose_secret())
            .finish();
        let request = registry.outside(Method::POST, "/oauth2/exchange").await;
        let request = request.map_err(|refusal| IdentityError::Guarded { service: EXCHANGE, refusal })?;
        let RefreshToken { refresh_token } =
            json(EXCHANGE, request.header(header::CONTENT_TYPE, FORM).body(form)).await?;
        Ok(refresh_token.0)
    }
}
