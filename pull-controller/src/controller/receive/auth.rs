//! Whether who speaks knows the token. *pure*
//!
//! What is compared is compared in a time that does not depend on what was sent.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, hmac};
use http::{HeaderMap, HeaderName, header};
use sealift_apply::api::ReceiverType;

/// A token that is shorter can be guessed.
pub(super) const SHORTEST: usize = 16;

const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
const HUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// A request, as far as it says who speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The last part of the path, after that which names the receiver.
    pub(super) last: Option<&'a str>,
    pub(super) body: &'a [u8],
}

/// True if who speaks knows `token`, and shows it as this type does.
pub(super) fn knows(kind: ReceiverType, token: &[u8], asking: Asking<'_>) -> bool {
    let token = token.trim_ascii();
    if token.len() < SHORTEST {
        return false;
    }
    let Asking { headers, last, body } = asking;
    match kind {
        ReceiverType::GenericHmac => signed(headers, &SIGNATURE, token, body),
        ReceiverType::Github => signed(headers, &HUB_SIGNATURE, token, body),
        ReceiverType::Distribution | ReceiverType::Harbor | ReceiverType::Acr => shown(headers, token),
        ReceiverType::Quay => last.is_some_and(|last| are_equal(last.as_bytes(), token)),
        // It has no token that both sides know.
        ReceiverType::GenericOidc => false,
    }
}

/// `Authorization: TOKEN`, or `Bearer TOKEN`.
fn shown(headers: &HeaderMap, token: &[u8]) -> bool {
    let Some(value) = headers.get(header::AUTHORIZATION).map(http::HeaderValue::as_bytes) else { return false };
    let bare = value.strip_prefix(b"Bearer ").unwrap_or(value);
    are_equal(bare.trim_ascii(), token)
}

fn signed(headers: &HeaderMap, name: &HeaderName, key: &[u8], body: &[u8]) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    let Some(tag) = value.and_then(|value| value.strip_prefix("sha256=")).and_then(unhex) else { return false };
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, key), body, &tag).is_ok()
}

/// Of hashes, so that not even the length is told by how long it takes.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let hash = |bytes| digest::digest(&digest::SHA256, bytes);
    verify_slices_are_equal(hash(one).as_ref(), hash(other).as_ref()).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.bytes().map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TOKEN: &[u8] = b"a token of both sides\n";

    fn hex(key: &[u8], body: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), body);
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn knows_with(kind: ReceiverType, name: &'static str, value: &str, last: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        knows(kind, TOKEN, Asking { headers: &headers, last, body: b"body" })
    }

    #[test]
    fn only_who_knows_the_token_is_heard_and_only_as_his_type_shows_it() {
        use ReceiverType::{Acr, Distribution, GenericHmac, GenericOidc, Github, Harbor, Quay};
        let right = "a token of both sides";
        let signature = format!("sha256={}", hex(right.as_bytes(), b"body"));
        let of_other = format!("sha256={}", hex(right.as_bytes(), b"other"));
        for (kind, name, value, last, heard) in [
            (Distribution, "authorization", "Bearer a token of both sides", None, true),
            (Harbor, "authorization", right, None, true),
            (Acr, "authorization", "Bearer a token of both sideS", None, false),
            (Acr, "x-authorization", right, None, false),
            (Distribution, "authorization", "", None, false),
            (Distribution, "authorization", "Bearer ", None, false),
            (Distribution, "x-signature", &signature, None, false),
            (GenericHmac, "x-signature", &signature, None, true),
            (GenericHmac, "x-signature", &signature.to_uppercase().replace("SHA", "sha"), None, true),
            (GenericHmac, "x-signature", &of_other, None, false),
            (GenericHmac, "x-signature", "sha256=", None, false),
            (GenericHmac, "x-signature", "sha256=zz", None, false),
            (GenericHmac, "x-signature", &signature[..signature.len() - 2], None, false),
            (GenericHmac, "x-hub-signature-256", &signature, None, false),
            (Github, "x-hub-signature-256", &signature, None, true),
            (Quay, "accept", "*/*", Some(right), true),
            (Quay, "accept", "*/*", Some("a token of both side"), false),
            (Quay, "authorization", right, None, false),
            (GenericOidc, "authorization", right, None, false),
        ] {
            assert_eq!(knows_with(kind, name, value, last), heard, "{kind:?} {name}: {value} {last:?}");
        }
    }

    #[test]
    fn an_empty_or_short_token_is_none() {
        for token in [&b""[..], b"\n", b"fifteen letters"] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_bytes(token.trim_ascii()).unwrap());
            assert!(!knows(ReceiverType::Harbor, token, Asking { headers: &headers, last: None, body: b"" }));
        }
    }
}
