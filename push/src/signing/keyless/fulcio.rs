//! Fulcio: a certificate for a key, issued to whoever an identity token speaks of.

use reqwest::header::HeaderMap;
use sealift_verify::{digest::Digest, sigstore::Certificate};
use serde::Deserialize;
use serde_json::json;
use sigstore_crypto::KeyPair;
use sigstore_types::DerCertificate;

use super::{KeylessError, token::IdentityToken};
use crate::signing::service::{Ask, Service};

/// Why an answer holds no certificate for this key.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it holds no certificate")]
    None,
    #[error("the certificate cannot be read")]
    Parse(#[source] sigstore_types::Error),
    #[error("the certificate names no identity and issuer")]
    Nobody,
    #[error("the certificate is for another key")]
    OtherKey,
}

/// <https://github.com/sigstore/fulcio/blob/main/fulcio.proto>: with the SCT in the certificate, or beside it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issued {
    signed_certificate_embedded_sct: Option<Chained>,
    signed_certificate_detached_sct: Option<Chained>,
}

#[derive(Deserialize)]
struct Chained {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// Has `keys` certified as the token's.
pub(super) async fn certify(
    fulcio: &Service,
    token: &IdentityToken,
    keys: &KeyPair,
) -> Result<(DerCertificate, Certificate), KeylessError> {
    let public = keys.public_key_der().map_err(KeylessError::Key)?;
    let proof = keys.sign(token.challenge().as_bytes()).map_err(KeylessError::Key)?;
    let request = json!({
        "credentials": {"oidcIdentityToken": token.expose()},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": public.to_pem()},
            "proofOfPossession": proof,
        },
    });
    let body = request.to_string().into_bytes();
    let ask = Ask::post("/api/v2/signingCert", HeaderMap::new(), "application/json", body);
    let issued: Issued = fulcio.ask_json(&ask).await.map_err(|error| match error.status() {
        Some(400 | 401 | 403) => KeylessError::Refused(error),
        _ => KeylessError::Service(error),
    })?;
    leaf(issued, Digest::of(public.as_bytes())).map_err(|error| KeylessError::Service(fulcio.unusable(error)))
}

/// The certificate of this key.
fn leaf(issued: Issued, key: Digest) -> Result<(DerCertificate, Certificate), Unusable> {
    let chained = issued.signed_certificate_embedded_sct.or(issued.signed_certificate_detached_sct);
    let pem = chained.and_then(|chained| chained.chain.certificates.into_iter().next()).ok_or(Unusable::None)?;
    let der = DerCertificate::from_pem(&pem).map_err(Unusable::Parse)?;
    let certificate = Certificate::from_der(der.as_bytes()).ok_or(Unusable::Nobody)?;
    match certificate.key == key {
        true => Ok((der, certificate)),
        false => Err(Unusable::OtherKey),
    }
}
