//! Tokens of OpenID issuers: RS256 and ES256, checked with the crypto that is there. *pure*

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sealift_apply::api::OidcSpec;
use serde::Deserialize;
use serde_json::Value;

/// Tokens of CI systems are a few kilobytes.
const LONGEST: usize = 16 << 10;
/// Clocks differ by so many seconds at most.
const LEEWAY: i64 = 60;
/// Keys that an issuer has at a time.
const MOST_KEYS: usize = 64;

/// Why a token does not count. Told in the log, and to nobody who shows one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("it is not a JWT that is signed with RS256 or ES256")]
    Form,
    #[error("the issuer has no key {0:?}")]
    UnknownKey(String),
    #[error("the signature does not hold")]
    Signature,
    #[error("the issuer is another one")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("it is not valid now")]
    Time,
    #[error("claim {0} is not as demanded")]
    Claim(String),
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

#[derive(Clone, Debug, Deserialize)]
struct Key {
    #[serde(default)]
    kid: String,
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl Keys {
    /// As an issuer serves them.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(body).ok().filter(|keys| keys.keys.len() <= MOST_KEYS)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that must be understood, of which none is.
    crit: Option<Value>,
}

/// Whether a token is one that is demanded.
pub(super) fn check(token: &str, wanted: &OidcSpec, keys: &Keys, now: Timestamp) -> Result<(), Invalid> {
    // 1. The form, within its bound.
    let (signed, signature) = token.rsplit_once('.').filter(|_| token.len() <= LONGEST).ok_or(Invalid::Form)?;
    let (header, payload) = signed.split_once('.').ok_or(Invalid::Form)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Invalid::Form);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Invalid::Form)?;
    if header.crit.is_some() {
        return Err(Invalid::Form);
    }
    // 2. The signature, before anything in it is believed.
    let signature = decode(signature)?;
    let named = || keys.keys.iter().filter(|key| header.kid.is_empty() || key.kid == header.kid);
    if named().next().is_none() {
        return Err(Invalid::UnknownKey(header.kid.chars().filter(|c| !c.is_control()).take(80).collect()));
    }
    match header.alg.as_str() {
        "RS256" | "ES256" if named().any(|key| key.verifies(&header.alg, signed.as_bytes(), &signature)) => {}
        "RS256" | "ES256" => return Err(Invalid::Signature),
        _ => return Err(Invalid::Form),
    }
    // 3. What it says.
    let claims: Value = serde_json::from_slice(&decode(payload)?).map_err(|_| Invalid::Form)?;
    if claims["iss"].as_str() != Some(&wanted.issuer) {
        return Err(Invalid::Issuer);
    }
    let is_for = |audience: &Value| audience.as_str() == Some(&wanted.audience);
    let for_us = match &claims["aud"] {
        Value::Array(several) => several.iter().any(is_for),
        one => is_for(one),
    };
    if !for_us {
        return Err(Invalid::Audience);
    }
    let (now, second) = (now.as_second(), |name: &str| claims[name].as_f64());
    let ended = second("exp").is_none_or(|end| end + (LEEWAY as f64) < now as f64);
    let not_begun = second("nbf").is_some_and(|begin| begin - (LEEWAY as f64) > now as f64);
    if ended || not_begun {
        return Err(Invalid::Time);
    }
    match wanted.claims.iter().find(|(name, value)| claims[name.as_str()].as_str() != Some(value)) {
        Some((name, _)) => Err(Invalid::Claim(name.clone())),
        None if wanted.claims.is_empty() => Err(Invalid::Claim("of any name".to_owned())),
        None => Ok(()),
    }
}

impl Key {
    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        match (algorithm, self.kty.as_str()) {
            ("RS256", "RSA") => {
                let key = RsaPublicKeyComponents { n: decode(&self.n), e: decode(&self.e) };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            ("ES256", "EC") if self.crv == "P-256" => {
                let point = [&[4][..], &decode(&self.x), &decode(&self.y)].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        rsa::{KeyPair as RsaKeyPair, KeySize},
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
    };
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    struct Issuer {
        rsa: RsaKeyPair,
        ecdsa: EcdsaKeyPair,
    }

    impl Issuer {
        fn new() -> Self {
            Self {
                rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
                ecdsa: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            }
        }

        fn keys(&self) -> Keys {
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let (public, point) = (self.rsa.public_key(), self.ecdsa.public_key().as_ref());
            let keys = json!({"keys": [
                {"kid": "r", "kty": "RSA", "use": "sig", "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero())},
                {"kid": "e", "kty": "EC", "crv": "P-256", "x": encode(&point[1..33]), "y": encode(&point[33..])},
            ]});
            Keys::read(keys.to_string().as_bytes()).unwrap()
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", encode(header), encode(claims));
            let random = SystemRandom::new();
            let signature = match header["kid"].as_str() {
                Some("r") => {
                    let mut signature = vec![0; self.rsa.public_modulus_len()];
                    self.rsa.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
                    signature
                }
                _ => self.ecdsa.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            };
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn wanted() -> OidcSpec {
        let claims = [("repository".to_owned(), "acme/shop".to_owned())].into();
        OidcSpec { issuer: "https://ci.example".into(), audience: "sealift".into(), claims }
    }

    fn claims() -> Value {
        json!({"iss": "https://ci.example", "aud": "sealift", "exp": NOW + 300, "nbf": NOW, "repository": "acme/shop"})
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    #[test]
    fn a_token_counts_if_issuer_audience_time_and_claims_are_those_demanded() {
        let (issuer, now) = (Issuer::new(), Timestamp::from_second(NOW).unwrap());
        let es = || json!({"alg": "ES256", "kid": "e", "typ": "JWT"});
        for (header, claims, wanted_result) in [
            (es(), claims(), Ok(())),
            (json!({"alg": "RS256", "kid": "r"}), claims(), Ok(())),
            (json!({"alg": "ES256"}), claims(), Ok(())),
            (es(), with("aud", json!(["other", "sealift"])), Ok(())),
            (es(), with("exp", json!(NOW - 30)), Ok(())),
            (json!({"alg": "none", "kid": "e"}), claims(), Err(Invalid::Form)),
            (json!({"alg": "HS256", "kid": "e"}), claims(), Err(Invalid::Form)),
            (json!({"alg": "RS256", "kid": "e"}), claims(), Err(Invalid::Signature)),
            (json!({"alg": "ES256", "kid": "r"}), claims(), Err(Invalid::Signature)),
            (json!({"alg": "ES256", "kid": "e", "crit": ["b64"]}), claims(), Err(Invalid::Form)),
            (json!({"alg": "ES256", "kid": "x"}), claims(), Err(Invalid::UnknownKey("x".into()))),
            (es(), with("iss", json!("https://ci.example/")), Err(Invalid::Issuer)),
            (es(), with("aud", json!("other")), Err(Invalid::Audience)),
            (es(), with("aud", json!(["other"])), Err(Invalid::Audience)),
            (es(), with("exp", json!(NOW - 90)), Err(Invalid::Time)),
            (es(), with("exp", Value::Null), Err(Invalid::Time)),
            (es(), with("nbf", json!(NOW + 90)), Err(Invalid::Time)),
            (es(), with("repository", json!("acme/shop2")), Err(Invalid::Claim("repository".into()))),
            (es(), with("repository", json!(["acme/shop"])), Err(Invalid::Claim("repository".into()))),
        ] {
            let token = issuer.token(&header, &claims);
            assert_eq!(check(&token, &wanted(), &issuer.keys(), now), wanted_result, "{header} {claims}");
        }
    }

    #[test]
    fn what_was_changed_or_signed_by_another_does_not_count() {
        let (issuer, now) = (Issuer::new(), Timestamp::from_second(NOW).unwrap());
        let token = issuer.token(&json!({"alg": "ES256", "kid": "e"}), &claims());
        assert_eq!(check(&token, &wanted(), &Issuer::new().keys(), now), Err(Invalid::Signature));
        let parts: Vec<&str> = token.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode(with("repository", json!("acme/other")).to_string());
        let forged = format!("{}.{other}.{}", parts[0], parts[2]);
        assert_eq!(check(&forged, &wanted(), &issuer.keys(), now), Err(Invalid::Signature));
        for broken in
            ["", ".", "..", "a.b.c", parts[0], &format!("{}.{}", parts[0], parts[1]), &"a".repeat(LONGEST + 1)]
        {
            assert!(check(broken, &wanted(), &issuer.keys(), now).is_err(), "{broken}");
        }
        let nothing = OidcSpec { claims: Default::default(), ..wanted() };
        assert!(check(&token, &nothing, &issuer.keys(), now).is_err(), "an issuer has many customers");
        assert_eq!(check(&token, &wanted(), &Keys::default(), now), Err(Invalid::UnknownKey("e".into())));
    }
}
