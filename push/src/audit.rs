//! `sealift audit`: recorded evidence again, offline. What contradicts itself is refused and not shown.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use sealift_verify::evidence::{
    Evidence, junit,
    record::{self, RecordError},
    sarif,
};
use serde_json::Value;

use crate::{
    cli::audit::AuditArgs,
    exit::Exit,
    failure::Failure,
    output::{Output, Report},
    table::{plain, plain_lines},
};

/// The field of the predicate in which a controller says whose decision it was.
const DELIVERY: &str = "https://sealift.dev/delivery/v1";
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
    match output.report {
        Report::Text => output.product(records.iter().map(Record::text).collect::<Vec<_>>().join("\n\n"))?,
        Report::Json => match records.as_slice() {
            // As it was written: other programs add fields of their own.
            [one] => output.json(&one.document)?,
            many => {
                let lines: Vec<_> = many.iter().map(|record| record.document.to_string()).collect();
                output.product(lines.join("\n"))?;
            }
        },
        Report::Junit => output.product(junit::render(&evidence(records)).trim_end())?,
        Report::Sarif => output.json(&sarif::render(&evidence(records)))?,
    }
    Ok(Exit::Done)
}

fn evidence(records: Vec<Record>) -> Vec<Evidence> {
    records.into_iter().map(|record| record.evidence).collect()
}

/// A record that can be relied on, and the document it stood in.
struct Record {
    document: Value,
    evidence: Evidence,
}

impl Record {
    fn text(&self) -> String {
        let text = plain_lines(&self.evidence.to_string());
        match self.whose() {
            Some(whose) => format!("{whose}\n{text}"),
            None => text,
        }
    }

    /// The Delivery that a controller judged for, as its audit log says.
    fn whose(&self) -> Option<String> {
        let whose = self.document.get("predicate")?.get(DELIVERY)?;
        let field = |name: &str| whose.get(name).and_then(Value::as_str).map(plain);
        let judged = field("judged").map(|judged| format!(" ({judged})")).unwrap_or_default();
        Some(format!("Delivery {}/{}{judged}", field("namespace")?, field("name")?))
    }
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
fn records(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, AuditError> {
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let numbered = documents.zip(1..).map(|(document, number)| {
        let document = document.map_err(|source| AuditError::Json { path: path.to_owned(), number, source })?;
        let evidence = record::read(&document);
        let evidence = evidence.map_err(|source| AuditError::Record { path: path.to_owned(), number, source })?;
        Ok(Record { document, evidence })
    });
    let records = numbered.collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() { Err(AuditError::Empty(path.to_owned())) } else { Ok(records) }
}
