//! `sealift audit`: recorded evidence again, offline. What contradicts itself is refused and not shown.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use sealift_verify::evidence::{
    Evidence,
    record::{self, RecordError},
};
use serde_json::Value;

use crate::{cli::audit::AuditArgs, evidence, exit::Exit, failure::Failure, output::Output};

/// A log of many thousand decisions; beyond, it is not read into memory at once.
const LARGEST: u64 = 256 << 20;

/// Why a file holds no usable evidence.
#[derive(Debug, thiserror::Error)]
enum AuditError {
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

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let exit = match &error {
            AuditError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            AuditError::Record { source: RecordError::Contradiction(_) | RecordError::Summary(_), .. } => Exit::Refused,
            _ => Exit::InvalidInput,
        };
        let hint = match &error {
            AuditError::Record { source: RecordError::Contradiction(_) | RecordError::Summary(_), .. } => Some(
                "the record was changed after it was written, or by something other than sealift: do not rely on it",
            ),
            AuditError::Record { .. } | AuditError::Json { .. } | AuditError::Empty(_) => {
                Some("evidence is what `sealift verify -o json` writes")
            }
            AuditError::Read { .. } | AuditError::TooLarge(_) => None,
        };
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

pub(crate) fn run(args: &AuditArgs, output: &mut Output) -> Result<Exit, Failure> {
    let records = records(&args.file, &read(&args.file)?)?;
    evidence::write(&records, output)?;
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, AuditError> {
    let unreadable = |source| AuditError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    match path.as_os_str() == "-" {
        true => io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes),
        false => fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)),
    }
    .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST { Err(AuditError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

/// Every record, or the first that cannot be relied on.
fn records(path: &Path, bytes: &[u8]) -> Result<Vec<Evidence>, AuditError> {
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let numbered = documents.zip(1..).map(|(document, number)| {
        let document = document.map_err(|source| AuditError::Json { path: path.to_owned(), number, source })?;
        record::read(&document).map_err(|source| AuditError::Record { path: path.to_owned(), number, source })
    });
    let records = numbered.collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() { Err(AuditError::Empty(path.to_owned())) } else { Ok(records) }
}
