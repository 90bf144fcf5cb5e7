//! cosign's encrypted private keys: PKCS#8 in a NaCl secretbox whose key scrypt makes from a password.
//!
//! <https://github.com/sigstore/cosign/blob/main/doc/cosign_generate-key-pair.md>; the container is the one of Go's
//! `secure-systems-lab/go-securesystemslib/encrypted`.

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use crypto_secretbox::{Key, KeyInit, Nonce, XSalsa20Poly1305, aead::Aead};
use scrypt::Params;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

/// The PEM tag that cosign writes since 2.0.
pub(super) const TAG: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// The tag it wrote before.
pub(super) const OLD_TAG: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// What cosign demands of scrypt today, and writes.
const COST: u64 = 65_536;
/// A key file chooses its own cost: beyond this it is a denial of service, not a key.
const HIGHEST_COST: u64 = 1 << 17;
const LOWEST_COST: u64 = 1 << 14;
const BLOCK_SIZE: u32 = 8;
const PARALLELISM: u32 = 1;

/// Why an encrypted key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CosignKeyError {
    /// Not the JSON container.
    #[error("the encrypted key's container cannot be read")]
    Container(#[source] serde_json::Error),
    /// Another cipher or derivation than cosign uses.
    #[error("the key is encrypted with {0}, which is not supported (scrypt and nacl/secretbox are)")]
    Algorithm(String),
    /// Derivation parameters outside what cosign ever wrote.
    #[error("the key asks for scrypt N={n} r={r} p={p}, which is not supported (N up to 131072, r=8, p=1)")]
    Cost {
        /// The cost.
        n: u64,
        /// The block size.
        r: u32,
        /// The parallelism.
        p: u32,
    },
    /// Salt, nonce or ciphertext are damaged.
    #[error("the encrypted key's {0} is damaged")]
    Damaged(&'static str),
    /// Authenticated decryption failed: nothing tells a wrong password from damage.
    #[error("the password does not open the key")]
    Password,
    /// The system gave no random bytes.
    #[error("no random bytes are to be had")]
    Random,
}

#[derive(Serialize, Deserialize)]
struct Container {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: KdfParams,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct KdfParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Encrypts a PKCS#8 key as cosign does; the result is PEM.
pub(crate) fn encrypt(pkcs8: &SecretSlice<u8>, password: &SecretString) -> Result<String, CosignKeyError> {
    let json = seal(pkcs8, password, COST)?;
    let line_ending = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(pem::encode_config(&pem::Pem::new(TAG, json), line_ending))
}

fn seal(pkcs8: &SecretSlice<u8>, password: &SecretString, cost: u64) -> Result<Vec<u8>, CosignKeyError> {
    let (mut salt, mut nonce) = ([0; 32], [0; 24]);
    rand::fill(&mut salt).and_then(|()| rand::fill(&mut nonce)).map_err(|_| CosignKeyError::Random)?;
    let params = KdfParams { n: cost, r: BLOCK_SIZE, p: PARALLELISM };
    let sealed = secretbox(password, &salt, &params)?
        .encrypt(Nonce::from_slice(&nonce), pkcs8.expose_secret())
        .map_err(|_| CosignKeyError::Damaged("content"))?;
    let container = Container {
        kdf: Kdf { name: "scrypt".into(), params, salt: STANDARD.encode(salt) },
        cipher: Cipher { name: "nacl/secretbox".into(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(sealed),
    };
    serde_json::to_vec(&container).map_err(CosignKeyError::Container)
}

/// The PKCS#8 key in a container.
pub(super) fn decrypt(json: &[u8], password: &SecretString) -> Result<SecretSlice<u8>, CosignKeyError> {
    let Container { kdf, cipher, ciphertext } = serde_json::from_slice(json).map_err(CosignKeyError::Container)?;
    for (name, supported) in [(&kdf.name, "scrypt"), (&cipher.name, "nacl/secretbox")] {
        if name != supported {
            return Err(CosignKeyError::Algorithm(name.clone()));
        }
    }
    let decode = |text: &str, what| STANDARD.decode(text).map_err(|_| CosignKeyError::Damaged(what));
    let nonce: [u8; 24] = decode(&cipher.nonce, "nonce")?.try_into().map_err(|_| CosignKeyError::Damaged("nonce"))?;
    let opened = secretbox(password, &decode(&kdf.salt, "salt")?, &kdf.params)?
        .decrypt(Nonce::from_slice(&nonce), decode(&ciphertext, "ciphertext")?.as_slice())
        .map_err(|_| CosignKeyError::Password)?;
    Ok(opened.into())
}

fn secretbox(password: &SecretString, salt: &[u8], params: &KdfParams) -> Result<XSalsa20Poly1305, CosignKeyError> {
    let KdfParams { n, r, p } = *params;
    let cost = || CosignKeyError::Cost { n, r, p };
    let in_range = (LOWEST_COST..=HIGHEST_COST).contains(&n) && n.is_power_of_two();
    if !in_range || (r, p) != (BLOCK_SIZE, PARALLELISM) {
        return Err(cost());
    }
    let log_n = u8::try_from(n.ilog2()).map_err(|_| cost())?;
    let params = Params::new(log_n, r, p, 32).map_err(|_| cost())?;
    let mut key = Key::default();
    scrypt::scrypt(password.expose_secret().as_bytes(), salt, &params, &mut key).map_err(|_| cost())?;
    Ok(XSalsa20Poly1305::new(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(password: &str) -> Vec<u8> {
        let pem = encrypt(&b"a key".to_vec().into(), &password.into()).unwrap();
        let block = pem::parse(pem).unwrap();
        assert_eq!(block.tag(), TAG);
        block.contents().to_vec()
    }

    #[test]
    fn opens_with_the_password_and_no_other() {
        let json = sealed("correct horse");
        assert_eq!(decrypt(&json, &"correct horse".into()).unwrap().expose_secret(), b"a key");
        assert!(matches!(decrypt(&json, &"wrong".into()), Err(CosignKeyError::Password)));
    }

    #[test]
    fn opens_keys_of_older_cosigns() {
        let json = seal(&b"a key".to_vec().into(), &"x".into(), 32_768).unwrap();
        assert_eq!(decrypt(&json, &"x".into()).unwrap().expose_secret(), b"a key");
    }

    #[test]
    fn a_key_file_cannot_choose_an_endless_derivation() {
        let json = String::from_utf8(sealed("")).unwrap();
        for (from, to) in
            [("65536", "1073741824"), ("\"r\":8", "\"r\":1024"), ("\"p\":1", "\"p\":4096"), ("65536", "65537")]
        {
            let changed = json.replace(from, to);
            assert!(matches!(decrypt(changed.as_bytes(), &"".into()), Err(CosignKeyError::Cost { .. })), "{to}");
        }
        let other = json.replace("scrypt", "argon2");
        assert!(matches!(decrypt(other.as_bytes(), &"".into()), Err(CosignKeyError::Algorithm(_))));
    }
}
