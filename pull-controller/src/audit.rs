//! The audit log: one JSON line a decision, appended, never rewritten.
//!
//! A line is the evidence record itself, with the Delivery and what was done in a field of the predicate. Reconciles wait
//! neither for a disk nor for a pipe: a thread writes, and what it cannot take is counted and told as lost. Rotation is the
//! platform's: a file that is copied and truncated goes on being appended to, one that was moved away is written on under
//! its new name until the next start.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    thread,
    time::Duration,
};

use sealift_verify::evidence::Evidence;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// The field of the predicate that says whose decision it was and what came of it.
pub const EXTENSION: &str = "https://sealift.dev/delivery/v1";

/// No line is longer.
const LONGEST: usize = 256 << 10;
/// Lines that wait to be written.
const WAITING: usize = 1024;
/// How long the last lines may take at the end.
const LAST: Duration = Duration::from_secs(5);

/// Where lines go. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct AuditLog {
    lines: SyncSender<Message>,
    metrics: Metrics,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Answered once all that came before is written.
    End(oneshot::Sender<()>),
}

impl AuditLog {
    /// Opens the file for appending, readable by its owner and group; `-` is standard output.
    ///
    /// # Errors
    /// If it cannot be opened, or no thread can be had.
    pub fn open(path: &Path, metrics: Metrics) -> io::Result<Self> {
        let sink: Box<dyn Write + Send> = match path.as_os_str() == "-" {
            true => Box::new(io::stdout()),
            false => Box::new(OpenOptions::new().append(true).create(true).mode(0o640).open(path)?),
        };
        Self::to(sink, metrics)
    }

    fn to(sink: Box<dyn Write + Send>, metrics: Metrics) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(WAITING);
        let counted = metrics.clone();
        thread::Builder::new().name("audit-log".to_owned()).spawn(move || write(sink, &waiting, &counted))?;
        Ok(Self { lines, metrics })
    }

    /// Appends a decision, and what was done about it.
    pub fn append(&self, evidence: &Evidence, done: &Value) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.lines.try_send(Message::Line(line(evidence, done)))
        {
            lost(&self.metrics, &"nobody takes the lines");
        }
    }

    /// Waits until all is written, for a while.
    pub async fn end(&self) {
        let (done, written) = oneshot::channel();
        if self.lines.try_send(Message::End(done)).is_ok() {
            let _ = tokio::time::timeout(LAST, written).await;
        }
    }
}

/// Each line in one call, so that whoever reads along, or appends to the same file, finds lines whole.
fn write(mut sink: Box<dyn Write + Send>, waiting: &Receiver<Message>, metrics: &Metrics) {
    while let Ok(message) = waiting.recv() {
        match message {
            Message::Line(line) => match sink.write_all(&line).and_then(|()| sink.flush()) {
                Ok(()) => metrics.audited("written"),
                Err(error) => lost(metrics, &error),
            },
            Message::End(done) => drop(done.send(())),
        }
    }
}

fn lost(metrics: &Metrics, why: &dyn std::fmt::Display) {
    metrics.audited("lost");
    tracing::error!(error = %why, "a line of the audit log is lost");
}

/// The line. One that is too long loses first what was passed over, then the proofs of signatures (their verdict stays in
/// the rows), and at last the record itself, and says so.
fn line(evidence: &Evidence, done: &Value) -> Vec<u8> {
    let mut evidence = evidence.clone();
    let mut done = done.clone();
    for left_out in ["", "skipped", "skipped and signatures"] {
        match left_out {
            "" => {}
            "skipped" => evidence.skipped.clear(),
            _ => evidence.forget_signatures(),
        }
        if !left_out.is_empty() {
            done["leftOut"] = json!(left_out);
        }
        let mut document = evidence.to_json();
        document["predicate"][EXTENSION] = done.clone();
        let line = bytes(&document);
        if line.len() <= LONGEST {
            return line;
        }
    }
    done["leftOut"] = json!("record");
    bytes(&json!({
        "subject": [{"digest": {"sha256": evidence.artifact.hex()}}],
        "predicate": {"timeVerified": evidence.time, "outcome": evidence.outcome, "reason": evidence.reason, EXTENSION: done},
    }))
}

fn bytes(document: &Value) -> Vec<u8> {
    let mut line = document.to_string().into_bytes();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sealift_verify::{
        artifact::Limits,
        digest::Digest,
        evidence::record,
        signature::Skipped,
        verify::{Facts, Unverified, admit},
    };

    use super::*;

    fn evidence() -> Evidence {
        let digest = Digest::of(b"manifest");
        let repository = "registry.example/app".parse::<sealift_verify::reference::Repository>().unwrap();
        let unverified = Unverified {
            reference: repository.pin(digest),
            transport: None,
            manifest: b"manifest".to_vec(),
            candidates: vec![],
            skipped: vec![],
            truncated: false,
        };
        let facts = Facts { limits: Limits::default(), ..Facts::at(jiff::Timestamp::UNIX_EPOCH) };
        admit(&unverified, &[], &facts).evidence
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_is_the_evidence_and_reads_back_as_it() {
        let kept = Kept::default();
        let log = AuditLog::to(Box::new(kept.clone()), Metrics::new()).unwrap();
        log.append(&evidence(), &json!({"name": "shop"}));
        log.append(&evidence(), &json!({"name": "bank"}));
        log.end().await;
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let names: Vec<_> = lines.iter().map(|line| &line["predicate"][EXTENSION]["name"]).collect();
        assert_eq!(names, ["shop", "bank"]);
        for line in &lines {
            assert_eq!(record::read(line).unwrap(), evidence());
        }
    }

    #[test]
    fn a_line_has_a_longest_length_and_says_what_it_left_out() {
        let mut long = evidence();
        let skipped = |at: usize| Skipped { referrer: Digest::of(&at.to_be_bytes()), reason: "x".repeat(1000) };
        long.skipped = (0..400).map(skipped).collect();
        let shortened = line(&long, &json!({}));
        assert!(shortened.len() <= LONGEST);
        let document: Value = serde_json::from_slice(&shortened).unwrap();
        assert_eq!(document["predicate"][EXTENSION]["leftOut"], "skipped");
        assert_eq!(record::read(&document).unwrap(), evidence(), "verdict and rows are all there");
        long.message = Some("y".repeat(LONGEST));
        let shortened = line(&long, &json!({"name": "shop"}));
        assert!(shortened.len() < 1000);
        let document: Value = serde_json::from_slice(&shortened).unwrap();
        let done = &document["predicate"][EXTENSION];
        assert_eq!((&done["leftOut"], &done["name"]), (&json!("record"), &json!("shop")));
    }

    #[tokio::test]
    async fn a_sink_that_fails_loses_lines_and_says_how_many() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let metrics = Metrics::new();
        let log = AuditLog::to(Box::new(Full), metrics.clone()).unwrap();
        log.append(&evidence(), &json!({}));
        log.end().await;
        assert!(metrics.render().unwrap().contains("sealift_audit_lines_total{result=\"lost\"} 1"));
    }
}
