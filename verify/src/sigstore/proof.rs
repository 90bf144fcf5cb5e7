//! What was verified about one signature, check by check.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Certificate;
use crate::{digest::Digest, evidence::CheckResult};

/// What one bundle proves. Made only where everything demanded holds, so no result is `fail`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The certificate, whose chain was verified at every verified time; absent where a key signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// The certificate was published: a signed certificate timestamp.
    pub sct: CheckResult,
    /// The signature stands in a transparency log: inclusion proof up to a signed checkpoint, and an entry that is
    /// about this very signature. Of signatures in cosign's older form, and bundles as old, only that the log promised it.
    pub log: CheckResult,
    /// The entries found there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<LogEntry>,
    /// RFC 3161 timestamps over the signature.
    pub timestamp: CheckResult,
    /// When the signature existed, by whose word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<VerifiedTime>,
    /// The trust root that log, timestamps and certificate were held against; absent where none of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_root: Option<Digest>,
}

/// A place in a transparency log, as its signed checkpoint and the inclusion proof have it. (The log id beside an entry
/// is signed by nobody, and so is not repeated here.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// The log, by the origin line of its checkpoint; absent in old bundles that carry a promise only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The entry's index in that tree.
    pub index: u64,
    /// What kind of entry it is, such as `dsse/0.0.1`.
    pub kind: String,
    /// True if the log's promise (SET) was verified too.
    pub promised: bool,
}

/// A time by which the signature existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedTime {
    /// The time.
    pub time: Timestamp,
    /// Whose word it is.
    pub source: TimeSource,
}

/// Who vouches for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// A timestamp authority (RFC 3161).
    TimestampAuthority,
    /// A transparency log's signed promise (Rekor v1).
    TransparencyLog,
}

fn word(result: CheckResult) -> &'static str {
    match result {
        CheckResult::Pass => "pass",
        CheckResult::Fail => "FAIL",
        CheckResult::NotChecked => "NOT CHECKED",
        CheckResult::NotPresent => "not present",
    }
}

/// The proof for people, one line a check.
impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut row = |result: CheckResult, name, detail: String| {
            let dash = if detail.is_empty() { "" } else { "  " };
            writeln!(f, "{:<12} {name:<17}{dash}{detail}", word(result))
        };
        row(CheckResult::Pass, "signature", String::new())?;
        match &self.certificate {
            Some(certificate) => {
                row(CheckResult::Pass, "certificate", format!("{} by {}", certificate.identity, certificate.issuer))?;
                row(self.sct, "sct", String::new())?;
            }
            None => row(CheckResult::NotPresent, "certificate", "signed with a key".to_owned())?,
        }
        row(self.log, "transparency-log", self.describe_log())?;
        row(self.timestamp, "timestamp", String::new())?;
        let times: Vec<_> = self.times.iter().map(|time| time.time.to_string()).collect();
        let result = if times.is_empty() { CheckResult::NotPresent } else { CheckResult::Pass };
        write!(f, "{:<12} {:<17}  {}", word(result), "time", times.join(", "))
    }
}

impl Proof {
    /// The log entries in words.
    pub(crate) fn describe_log(&self) -> String {
        let place = |entry: &LogEntry| {
            let LogEntry { origin, index, .. } = entry;
            match origin {
                Some(origin) => format!("{origin} index {index}"),
                None => format!("a log's promise of index {index}, without proof of inclusion"),
            }
        };
        self.entries.iter().map(place).collect::<Vec<_>>().join(", ")
    }

    /// A key's signature, of which nothing but the signature was verified.
    pub(super) fn of_signature_alone(log: CheckResult, timestamp: CheckResult) -> Self {
        Self {
            certificate: None,
            sct: CheckResult::NotPresent,
            log,
            entries: Vec::new(),
            timestamp,
            times: Vec::new(),
            trust_root: None,
        }
    }
}
