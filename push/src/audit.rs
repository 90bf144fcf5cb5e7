//! `sealift audit`: recorded evidence again, offline. What contradicts itself is refused and not shown.

mod in_cluster;
mod in_file;

use sealift_verify::evidence::{
    Evidence, junit,
    record::{self, RecordError},
    sarif,
};
use serde_json::{Value, json};

use crate::{
    cli::audit::{About, AuditArgs},
    cluster,
    exit::Exit,
    failure::{Failure, usage},
    output::{Output, Report},
    table::{plain, plain_lines},
};

/// The field of the predicate in which a controller says whose decision it was.
const DELIVERY: &str = "https://sealift.dev/delivery/v1";

/// Nothing was recorded about what was asked for, or not here.
#[derive(Debug, thiserror::Error)]
#[error("{place} holds no record about {what}")]
struct NoRecord {
    place: String,
    what: String,
}

pub(crate) async fn run(args: &AuditArgs, output: &mut Output) -> Result<Exit, Failure> {
    let records = match (&args.about, args.records.as_slice()) {
        (About::File(_), [_, ..]) => {
            return Err(usage("--records goes with a Delivery or a reference, not with a file"));
        }
        (About::File(path), []) => in_file::records(path)?,
        (About::Delivery(name), []) => {
            let connected = cluster::connect(args.cluster.context.as_deref()).await?;
            let namespace = args.namespace.as_ref().unwrap_or(&connected.namespace);
            vec![in_cluster::of_delivery(&connected, namespace, name, output).await?]
        }
        (About::Artifact(pinned), []) => {
            let connected = cluster::connect(args.cluster.context.as_deref()).await?;
            in_cluster::about_artifact(&connected, pinned, output).await?
        }
        (about, files) => in_files(about, files, args.namespace.as_deref())?,
    };
    show(records, output)
}

/// Whether a record is of what was asked about.
type IsMeant = Box<dyn Fn(&Record) -> bool>;

/// What files hold of the Delivery or artifact, in their order.
fn in_files(about: &About, files: &[std::path::PathBuf], namespace: Option<&str>) -> Result<Vec<Record>, Failure> {
    let (what, is_meant): (String, IsMeant) = match about {
        About::Delivery(name) => {
            let namespace =
                namespace.ok_or_else(|| usage("without a cluster no namespace is known: name it with -n"))?;
            let whose = (namespace.to_owned(), name.clone());
            (format!("Delivery {namespace}/{name}"), Box::new(move |record| record.whose().as_ref() == Some(&whose)))
        }
        About::Artifact(pinned) => {
            let reference = pinned.to_string();
            (reference.clone(), Box::new(move |record| record.evidence.reference == reference))
        }
        About::File(path) => return Err(usage(format!("{} is no Delivery", path.display()))),
    };
    let mut records = Vec::new();
    for path in files {
        records.extend(in_file::records(path)?.into_iter().filter(&is_meant));
    }
    if records.is_empty() {
        let place = files.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::NotFound, NoRecord { place, what }));
    }
    Ok(records)
}

fn show(records: Vec<Record>, output: &mut Output) -> Result<Exit, Failure> {
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
#[derive(Debug)]
struct Record {
    document: Value,
    evidence: Evidence,
}

impl Record {
    fn read(document: Value) -> Result<Self, RecordError> {
        let evidence = record::read(&document)?;
        Ok(Self { document, evidence })
    }

    /// What a cluster keeps about a Delivery: the same document that its audit log has, as far as it was decided then.
    fn of_delivery(evidence: Evidence, namespace: &str, name: &str) -> Self {
        let mut document = evidence.to_json();
        document["predicate"][DELIVERY] = json!({"namespace": namespace, "name": name, "judged": "selected"});
        Self { document, evidence }
    }

    fn text(&self) -> String {
        let text = plain_lines(&self.evidence.to_string());
        match (self.whose(), self.field("judged")) {
            (Some((namespace, name)), judged) => {
                let judged = judged.map(|judged| format!(" ({})", plain(judged))).unwrap_or_default();
                format!("Delivery {}/{}{judged}\n{text}", plain(&namespace), plain(&name))
            }
            (None, _) => text,
        }
    }

    /// The Delivery that a controller judged for, by namespace and name.
    fn whose(&self) -> Option<(String, String)> {
        Some((self.field("namespace")?.to_owned(), self.field("name")?.to_owned()))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.document.get("predicate")?.get(DELIVERY)?.get(name)?.as_str()
    }
}

/// What to say of a record that contradicts itself.
const CHANGED: &str =
    "the record was changed after it was written, or by something other than sealift: do not rely on it";

/// True if something is wrong with what the record says, rather than with how it is written.
fn contradicts(error: &RecordError) -> bool {
    matches!(error, RecordError::Contradiction(_) | RecordError::Summary(_))
}
