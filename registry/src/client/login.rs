//! Whether a registry takes the credentials, before they are kept anywhere.

use reqwest::Method;

use super::{
    At, Client, ClientError,
    send::{Access, Call},
};

/// What a registry says to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It asked for them and took them.
    Taken,
    /// It lets everybody ask this, so nothing is known of the credentials.
    NotAsked,
}

impl Client {
    /// Presents the credentials where the distribution specification says that a registry tells whether it knows a
    /// client (`/v2/`), at the token service too if the registry has one. No repository is named.
    ///
    /// # Errors
    /// [`ClientError::Unauthorized`] and [`ClientError::Forbidden`] if they are refused, and others.
    pub async fn check_credentials(&self) -> Result<Checked, ClientError> {
        let url = self.base.clone();
        let at = At { host: super::authority(&url), repository: String::new(), path: url.path().to_owned() };
        let (access, timeout) = (Access::Pull, self.timeouts.request);
        let (method, accept) = (Method::GET, "*/*");
        let call = Call { method, url, at, access, accept, body: None, sent: None, range: None, source: None, timeout };
        self.retry(|| self.send(&call)).await?;
        Ok(if self.auth.is_challenged("") { Checked::Taken } else { Checked::NotAsked })
    }
}
