//! Records small enough to stand beside what they are about: in the cluster, in the memory of trust.

use std::io::Read as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Evidence,
    record::{self, RecordError},
};

/// No packed record is longer, in bytes of base64. Beside a thousand junk signatures, each with its reason, a record
/// takes about half of it.
const LONGEST: usize = 48 << 10;
/// No record is longer once it is expanded.
const EXPANDED: u64 = 4 << 20;

/// Why a text is no packed record.
#[derive(Debug, thiserror::Error)]
pub enum PackedError {
    /// Not base64 over one zstd stream, or longer than any record is.
    #[error("the packed record cannot be expanded")]
    Expand(#[source] std::io::Error),
    /// What is in it is not JSON.
    #[error("the packed record holds no JSON")]
    Json(#[source] serde_json::Error),
    /// What is in it is not evidence.
    #[error("the packed record holds no evidence")]
    Record(#[source] RecordError),
}

/// The record as base64 over zstd over [`Evidence::to_json`]; nothing if it would be too long to keep.
pub fn pack(evidence: &Evidence) -> Option<String> {
    let document = evidence.to_json().to_string();
    let packed = STANDARD.encode(zstd::bulk::compress(document.as_bytes(), zstd::DEFAULT_COMPRESSION_LEVEL).ok()?);
    (packed.len() <= LONGEST && document.len() as u64 <= EXPANDED).then_some(packed)
}

/// Reads back what [`pack`] wrote.
///
/// # Errors
/// [`PackedError`]; a record whose verdict contradicts its rows is not evidence of anything.
pub fn unpack(packed: &str) -> Result<Evidence, PackedError> {
    let invalid = |error| PackedError::Expand(std::io::Error::new(std::io::ErrorKind::InvalidData, error));
    if packed.len() > LONGEST {
        return Err(PackedError::Expand(std::io::ErrorKind::FileTooLarge.into()));
    }
    let compressed = STANDARD.decode(packed).map_err(invalid)?;
    let mut document = Vec::new();
    let decoder = zstd::Decoder::new(compressed.as_slice()).map_err(PackedError::Expand)?;
    decoder.take(EXPANDED).read_to_end(&mut document).map_err(PackedError::Expand)?;
    let document = serde_json::from_slice(&document).map_err(PackedError::Json)?;
    record::read(&document).map_err(PackedError::Record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::Digest, evidence::tests::records, signature::Skipped};

    #[test]
    fn what_was_packed_is_read_back_as_it_was() {
        for record in records() {
            let packed = pack(&record).unwrap();
            assert!(packed.len() < 4096, "{} bytes", packed.len());
            assert_eq!(unpack(&packed).unwrap(), record);
        }
    }

    #[test]
    fn a_record_beyond_keeping_is_not_kept_and_one_of_a_flood_is() {
        let [mut record, ..] = records();
        let skipped = |n: usize| Skipped {
            referrer: Digest::of(&n.to_be_bytes()),
            reason: "it holds no Sigstore bundle".to_owned(),
        };
        record.skipped = (0..500).map(skipped).collect();
        assert_eq!(unpack(&pack(&record).unwrap()).unwrap(), record);
        record.skipped = (0..20_000).map(skipped).collect();
        assert!(pack(&record).is_none());
    }

    #[test]
    fn what_is_no_packed_record_says_so() {
        let bomb = STANDARD.encode(zstd::bulk::compress(&vec![b' '; 64 << 20], 19).unwrap());
        assert!(bomb.len() < LONGEST);
        let other = |text: &str| STANDARD.encode(zstd::bulk::compress(text.as_bytes(), 3).unwrap());
        for text in ["", "!", "aGVsbG8=", &other("nonsense"), &bomb] {
            assert!(matches!(unpack(text), Err(PackedError::Expand(_) | PackedError::Json(_))), "{text:.20}");
        }
        assert!(matches!(unpack(&other("{}")), Err(PackedError::Record(_))));
        let [refused, ..] = records();
        let forged = refused.to_json().to_string().replace("\"FAILED\"", "\"PASSED\"");
        assert!(matches!(unpack(&other(&forged)), Err(PackedError::Record(RecordError::Summary(_)))));
    }
}
