//! Records in a file: one document, or many in JSON lines.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use sealift_verify::evidence::record::RecordError;
use serde_json::Value;

use super::{CHANGED, Record, contradicts};
use crate::{exit::Exit, failure::Failure};

/// A log of many thousand decisions; beyond, it is not read into memory at once.
const LARGEST: u64 = 256 << 20;

/// Why a file holds no usable evidence.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is longer than {LARGEST} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("record {number} of {} is not JSON", path.display())]
    Json {
        path: PathBuf,
        number: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error("record {number} of {} is not evidence", path.display())]
    Record {
        path: PathBuf,
        number: usize,
        #[source]
        source: RecordError,
    },
    #[error("{} holds no record", .0.display())]
    Empty(PathBuf),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let (exit, hint) = match &error {
            FileError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => (
                Exit::NotFound,
                Some("a Delivery of a cluster is named delivery/NAME, an artifact oci://HOST/REPO@sha256:…"),
            ),
            FileError::Read { .. } | FileError::TooLarge(_) => (Exit::InvalidInput, None),
            FileError::Record { source, .. } if contradicts(source) => (Exit::Refused, Some(CHANGED)),
            FileError::Record { .. } | FileError::Json { .. } | FileError::Empty(_) => {
                (Exit::InvalidInput, Some("evidence is what `sealift verify -o json` writes"))
            }
        };
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Every record of the file, or why one of them cannot be relied on.
pub(super) fn records(path: &Path) -> Result<Vec<Record>, Failure> {
    let bytes = read(path)?;
    let documents = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
    let numbered = documents.zip(1..).map(|(document, number)| {
        let document = document.map_err(|source| FileError::Json { path: path.to_owned(), number, source })?;
        Record::read(document).map_err(|source| FileError::Record { path: path.to_owned(), number, source })
    });
    let records = numbered.collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() { Err(FileError::Empty(path.to_owned()).into()) } else { Ok(records) }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes),
        false => fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)),
    }
    .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST { Err(FileError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}
