//! RFC 3161: a timestamp authority's word that a signature existed.

use aws_lc_rs::rand;
use reqwest::header::HeaderMap;
use sealift_verify::digest::Digest;
use sigstore_types::{SignatureBytes, TimestampToken};

use crate::signing::service::{Ask, Service, ServiceError};

/// Why an answer is no timestamp of this signature. Whether the authority is one to believe is for the trust root to say.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it is not about this request")]
    Other,
    #[error("no random bytes are to be had")]
    Random,
}

/// A timestamp over the SHA-256 of a signature.
pub(super) async fn of(service: &Service, signature: &SignatureBytes) -> Result<TimestampToken, ServiceError> {
    let imprint = *Digest::of(signature.as_bytes()).as_bytes();
    let mut nonce = [0; 8];
    rand::fill(&mut nonce).map_err(|_| service.unusable(Unusable::Random))?;
    // A positive integer with no leading zeros, as DER wants it.
    nonce[0] = nonce[0] & 0x7f | 0x40;
    let query = request(&imprint, &nonce);
    let answer = service.ask(&Ask::post("", HeaderMap::new(), "application/timestamp-query", query)).await?;
    let holds = |part: &[u8]| answer.windows(part.len()).any(|window| window == part);
    match holds(&imprint) && holds(&nonce) {
        true => Ok(TimestampToken::new(answer)),
        false => Err(service.unusable(Unusable::Other)),
    }
}

/// DER of a TimeStampReq (RFC 3161, 2.4.1): version 1, SHA-256, a nonce, and the authority's certificate wanted.
fn request(imprint: &[u8; 32], nonce: &[u8; 8]) -> Vec<u8> {
    const SHA256: &[u8] = &[0x30, 13, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0];
    let imprint = sequence(&[SHA256, &[0x04, 32], imprint]);
    sequence(&[&[0x02, 1, 1], &imprint, &[0x02, 8], nonce, &[0x01, 1, 0xff]])
}

/// A SEQUENCE shorter than 128 bytes.
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).expect("requests have fewer than 128 bytes");
    [&[0x30, length], content.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use sealift_verify::duration::Duration;

    use super::*;
    use crate::signing::stand_in::{Answer, StandIn};

    /// As `openssl ts -query -sha256 -cert` writes it, with this nonce.
    #[test]
    fn a_request_is_the_der_that_openssl_writes() {
        let request = request(&[0xab; 32], &[0x41, 2, 3, 4, 5, 6, 7, 8]);
        let head =
            [0x30, 0x43, 2, 1, 1, 0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
        let tail = [2, 8, 0x41, 2, 3, 4, 5, 6, 7, 8, 1, 1, 0xff];
        assert_eq!(request, [&head[..], &[0xab; 32], &tail].concat());
    }

    #[tokio::test]
    async fn an_answer_about_something_else_is_not_taken() {
        for answer in ["", "0", "a timestamp of something else"] {
            let stand_in = StandIn::new(vec![Answer::Status(200, answer)]);
            let service = Service::new("timestamps", &stand_in.address, None, Duration::from_secs(5)).unwrap();
            let stamp = of(&service, &SignatureBytes::from_bytes(b"signature")).await;
            assert!(matches!(stamp, Err(ServiceError::Answer { .. })), "{answer}: {stamp:?}");
        }
    }
}
