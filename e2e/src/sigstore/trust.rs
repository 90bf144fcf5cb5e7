//! The two documents that clients of a Sigstore read: whom to believe, and where to sign.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

/// The addresses of the services.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) fulcio: String,
    pub(super) rekor: String,
    pub(super) timestamps: String,
}

/// A Rekor of version 2: what its checkpoints call it, and its Ed25519 key.
#[derive(Debug)]
pub(super) struct Log<'a> {
    pub(super) origin: &'a str,
    pub(super) key: &'a [u8],
}

impl Log<'_> {
    /// The id under which entries name it (C2SP signed notes): 1 stands for Ed25519.
    fn id(&self) -> String {
        let named = [self.origin.as_bytes(), b"\n\x01", self.key].concat();
        STANDARD.encode(digest(&SHA256, &named))
    }

    /// The key as X.509 writes it.
    fn public(&self) -> String {
        let ed25519 = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        STANDARD.encode([&ed25519, self.key].concat())
    }
}

impl Services {
    /// `trusted_root.json`, for certificates of `authority` and timestamps of `stamps`, both chains as PEM.
    pub(super) fn trusted_root(&self, authority: &str, stamps: &str, log: &Log<'_>) -> Value {
        let valid = json!({"start": an_hour_ago()});
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": self.rekor, "hashAlgorithm": "SHA2_256", "logId": {"keyId": log.id()},
                "publicKey": {"rawBytes": log.public(), "keyDetails": "PKIX_ED25519", "validFor": valid},
            }],
            "certificateAuthorities": [{
                "subject": {"organization": "tests", "commonName": "certificates"}, "uri": self.fulcio,
                "certChain": chain(authority), "validFor": valid,
            }],
            "ctlogs": [],
            "timestampAuthorities": [{
                "subject": {"organization": "tests", "commonName": "timestamps"}, "uri": self.timestamps,
                "certChain": chain(stamps), "validFor": valid,
            }],
        })
    }

    /// `signing_config.json`, with tokens of `issuer`.
    pub(super) fn signing_config(&self, issuer: &str) -> Value {
        let service = |url: &str, version: u8| {
            json!([{
                "url": url, "majorApiVersion": version, "operator": "tests", "validFor": {"start": an_hour_ago()},
            }])
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(&self.fulcio, 1), "oidcUrls": service(issuer, 1),
            "rekorTlogUrls": service(&self.rekor, 2), "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": service(&self.timestamps, 1), "tsaConfig": {"selector": "ANY"},
        })
    }
}

fn chain(pem: &str) -> Value {
    let certificates = pem::parse_many(pem).expect("a chain is PEM");
    let certificates = certificates.iter().map(|each| json!({"rawBytes": STANDARD.encode(each.contents())}));
    json!({"certificates": certificates.collect::<Vec<_>>()})
}

fn an_hour_ago() -> String {
    let then = Timestamp::now().saturating_sub(1.hour()).expect("hours have one length");
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
