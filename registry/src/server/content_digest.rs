//! Digests as a registry meets them: SHA-256 and SHA-512, the two algorithms the image specification registers.
//!
//! Sealift itself writes and accepts SHA-256 only ([`sealift_verify::digest::Digest`]); a registry that other tools
//! push to has to keep the other one as well.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, SHA512};

/// A hash algorithm, also the folder below `blobs/` in an image layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Sha256,
    Sha512,
}

/// A checked digest of either algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum ContentDigest {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Computes a digest over bytes that arrive in pieces.
#[derive(Clone)]
pub(super) struct Hasher(Algorithm, Context);

impl Algorithm {
    #[cfg(test)]
    pub(super) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let context = match algorithm {
            Algorithm::Sha256 => Context::new(&SHA256),
            Algorithm::Sha512 => Context::new(&SHA512),
        };
        Self(algorithm, context)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.1.update(bytes);
    }

    pub(super) fn finish(self) -> ContentDigest {
        let hash = self.1.finish();
        match self.0 {
            Algorithm::Sha256 => ContentDigest::Sha256(copied(hash.as_ref())),
            Algorithm::Sha512 => ContentDigest::Sha512(copied(hash.as_ref())),
        }
    }
}

impl ContentDigest {
    pub(super) fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest that `text` writes, `algorithm:hex` with lower-case digits of exactly the algorithm's length.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("sha256", hex) => from_hex(hex).map(Self::Sha256),
            ("sha512", hex) => from_hex(hex).map(Self::Sha512),
            _ => None,
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(super) fn hex(&self) -> String {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm().name(), self.hex())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn copied<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(hash);
    bytes
}

fn from_hex<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_in_both_algorithms() {
        for algorithm in Algorithm::ALL {
            let digest = ContentDigest::of(algorithm, b"{}");
            assert_eq!(ContentDigest::parse(&digest.to_string()), Some(digest));
        }
    }

    #[test]
    fn refuses_upper_case_wrong_length_and_unknown_algorithms() {
        let upper = format!("sha256:{}", "A".repeat(64));
        let long = format!("sha256:{}", "a".repeat(128));
        for text in ["", "sha256:", "sha256:baddigeststring", "md5:00", &upper, &long] {
            assert_eq!(ContentDigest::parse(text), None, "{text}");
        }
    }
}
