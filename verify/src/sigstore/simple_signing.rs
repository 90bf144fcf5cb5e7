//! cosign's form before bundles, read into a bundle so that one verifier proves both.
//!
//! Everything but payload and signature is an annotation of the layer: certificate, the log's promise, a timestamp. There
//! is no inclusion proof; a promise (SET) is the log's word that it will include the entry.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_types::Bundle;

use super::{BundleError, Signed};
use crate::digest::Digest;

/// The media type of a layer that holds a payload.
pub const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// A payload and what the annotations of its layer say beside it, all as served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimpleSigning {
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// The signature over them, in base64.
    pub signature: String,
    /// The signing certificate in PEM, where one signed.
    pub certificate: Option<String>,
    /// The promise of a transparency log, as JSON.
    pub promise: Option<String>,
    /// An RFC 3161 timestamp, as JSON.
    pub timestamp: Option<String>,
}

/// `dev.sigstore.cosign/bundle`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Promise {
    signed_entry_timestamp: String,
    payload: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    body: String,
    integrated_time: u64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: Digest32,
}

/// 32 bytes in hexadecimal.
struct Digest32(Digest);

impl<'de> Deserialize<'de> for Digest32 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hex = String::deserialize(deserializer)?;
        format!("sha256:{hex}").parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// `dev.sigstore.cosign/rfc3161timestamp`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    #[serde(rename = "SignedRFC3161Timestamp")]
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    api_version: String,
    kind: String,
}

impl SimpleSigning {
    /// How many bytes it has.
    pub fn size(&self) -> usize {
        let Self { payload, signature, certificate, promise, timestamp } = self;
        let texts = [certificate, promise, timestamp].into_iter().flatten();
        payload.len() + signature.len() + texts.map(String::len).sum::<usize>()
    }

    /// The same as a bundle: of the first version, whose rules are a promise and no proof.
    fn bundle(&self) -> Result<Value, BundleError> {
        let Self { payload, signature, certificate, promise, timestamp } = self;
        let mut material = match certificate {
            Some(pem) => json!({"certificate": {"rawBytes": STANDARD.encode(der(pem)?)}}),
            None => json!({"publicKey": {"hint": ""}}),
        };
        if let Some(text) = promise {
            material["tlogEntries"] = json!([entry(serde_json::from_str(text).map_err(parse)?)?]);
        }
        if let Some(text) = timestamp {
            let Token { token } = serde_json::from_str(text).map_err(parse)?;
            material["timestampVerificationData"] = json!({"rfc3161Timestamps": [{"signedTimestamp": token}]});
        }
        Ok(json!({
            "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
            "verificationMaterial": material,
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(payload).as_bytes())},
                "signature": signature,
            },
        }))
    }
}

impl Signed {
    /// Reads a signature of the form before bundles.
    ///
    /// # Errors
    /// [`BundleError`] with the reason to pass it over.
    pub fn of_simple_signing(simple: &SimpleSigning, largest: u64) -> Result<Self, BundleError> {
        if simple.size() as u64 > largest {
            return Err(BundleError::TooLarge(largest));
        }
        let bundle = Bundle::from_json(&simple.bundle()?.to_string()).map_err(parse)?;
        Self::of(bundle, false, Some(simple.payload.clone()))
    }
}

fn entry(promise: Promise) -> Result<Value, BundleError> {
    let Promise { signed_entry_timestamp, payload: Entry { body, integrated_time, log_index, log_id } } = promise;
    let Kind { api_version, kind } = serde_json::from_slice(&STANDARD.decode(&body).map_err(parse)?).map_err(parse)?;
    // The only entry that is about a signature over a payload as it stands.
    if (kind.as_str(), api_version.as_str()) != ("hashedrekord", "0.0.1") {
        return Err(BundleError::Entry(format!("{kind}/{api_version}")));
    }
    Ok(json!({
        "logIndex": log_index.to_string(),
        "logId": {"keyId": STANDARD.encode(log_id.0.as_bytes())},
        "kindVersion": {"kind": kind, "version": api_version},
        "integratedTime": integrated_time.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": signed_entry_timestamp},
        "canonicalizedBody": body,
    }))
}

fn der(pem: &str) -> Result<Vec<u8>, BundleError> {
    let block = pem::parse(pem).map_err(parse)?;
    match block.tag() {
        "CERTIFICATE" => Ok(block.into_contents()),
        _ => Err(BundleError::Certificate),
    }
}

fn parse(error: impl std::error::Error + Send + Sync + 'static) -> BundleError {
    BundleError::Parse(Box::new(error))
}
