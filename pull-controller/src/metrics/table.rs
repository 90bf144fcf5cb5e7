//! `docs/metrics.md`: its tables are made of what is registered, so that no metric goes undocumented.

use std::{collections::BTreeMap, env, fs, path::Path, time::Duration};

use super::{labels::CACHES, *};
use crate::{controller::ByState, queue::Depth};

/// A family of series, as a scrape tells of it.
#[derive(Default)]
struct Row {
    kind: String,
    help: String,
    /// The values of each label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Words that stand in a table of their own.
const MANY: usize = 12;
/// Labels whose values are no words: numbers, versions, times.
const OPEN: &[&str] = &["le", "version", "commit", "source_date_epoch"];

/// Each metric once, with all that its labels can be.
fn rows() -> BTreeMap<String, Row> {
    let metrics = Metrics::new();
    metrics.queue(Depth { waiting: 0, running: 0, later: 0 });
    metrics.ages(&[Duration::ZERO]);
    metrics.would_refuse([].into_iter());
    metrics.holds([].into_iter());
    metrics.freezes(ByState::default());
    metrics.deliveries(ByReadiness::default());
    let every = words::reasons().chain([words::OTHER]);
    metrics
        .standings(&every.flat_map(|reason| ["true", "false", "unknown"].map(|ready| ((ready, reason), 0))).collect());
    for cache in CACHES {
        metrics.cached(cache, 0);
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut name = String::new();
    for line in metrics.render().unwrap().lines() {
        match line.split_once(' ') {
            Some(("#", rest)) => {
                let mut words = rest.splitn(3, ' ');
                let (what, family, text) = (words.next().unwrap(), words.next().unwrap_or_default(), words.next());
                let row = rows.entry(family.to_owned()).or_default();
                name = family.to_owned();
                match what {
                    "HELP" => row.help = text.unwrap().trim_end_matches('.').to_owned(),
                    "TYPE" => row.kind = text.unwrap().to_owned(),
                    _ => {}
                }
            }
            _ => {
                let labels =
                    line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(labels, _)| labels);
                let row = rows.get_mut(&name).unwrap();
                for (label, value) in labels.split("\",").filter_map(|pair| pair.split_once("=\"")) {
                    row.labels.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
                }
            }
        }
    }
    rows.retain(|family, _| family != "EOF" && !family.is_empty());
    rows
}

/// The name that queries use.
fn queried(family: &str, kind: &str) -> String {
    match kind {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => family.to_owned(),
    }
}

fn tables() -> String {
    let mut text = "| Metric | Type | Labels | What it says |\n|---|---|---|---|\n".to_owned();
    for (family, Row { kind, help, labels }) in rows() {
        let label = |(label, values): (&String, &BTreeSet<String>)| match values {
            _ if label == "le" => None,
            _ if OPEN.contains(&label.as_str()) => Some(format!("`{label}`")),
            values if values.len() > MANY => Some(format!("`{label}`: a [reason](#reasons)")),
            values => {
                let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
                Some(format!("`{label}`: {}", values.join(", ")))
            }
        };
        let labels: Vec<_> = labels.iter().filter_map(label).collect();
        text += &format!("| `{}` | {kind} | {} | {help} |\n", queried(&family, &kind), labels.join("; "));
    }
    text += "\n### Reasons\n\nThe words of `status.conditions` of type `Ready`, of events and of exit codes. What whoever may write a status wrote \
             there counts as `Other`; an accepted release as `Verified` in `sealift_verdict_total`.\n\n";
    let mut reasons: Vec<_> =
        words::reasons().chain([words::OTHER, words::VERIFIED]).map(|word| format!("`{word}`")).collect();
    reasons.sort();
    text + &reasons.join(" · ") + "\n"
}

#[test]
fn generated_table_of_metrics_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/metrics.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("<!-- metrics: make generate -->\n").unwrap();
    let (_, tail) = rest.split_once("<!-- end -->").unwrap();
    let made = format!("{head}<!-- metrics: make generate -->\n{}<!-- end -->{tail}", tables());
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &made).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == made, "docs/metrics.md is stale: make generate");
}

#[test]
fn every_metric_is_explained_and_no_label_has_more_values_than_there_are_words() {
    let most = words::reasons().count() + 2;
    for (family, Row { kind, help, labels }) in rows() {
        assert!(!kind.is_empty() && help.len() > 10, "{family}: {kind:?} {help:?}");
        assert!(family.starts_with("sealift_") || family.starts_with("process_"), "{family}");
        for (label, values) in &labels {
            assert!(values.len() <= most, "{family}{{{label}}} has {} values", values.len());
            assert!(
                !["namespace", "name", "delivery", "repository", "digest"].contains(&label.as_str()),
                "{family}{{{label}}}"
            );
        }
    }
}

#[test]
fn what_can_happen_stands_at_zero_before_it_does() {
    let text = Metrics::new().render().unwrap();
    for line in [
        "sealift_reconcile_total{outcome=\"refused\"} 0",
        "sealift_verdict_total{reason=\"Equivocation\"} 0",
        "sealift_verdict_total{reason=\"SourceUnavailable\"} 0",
        "sealift_receipts_total{verdict=\"refused\"} 0",
        "sealift_drift_total{result=\"contended\"} 0",
        "sealift_registry_requests_total{result=\"unreachable\"} 0",
        "sealift_audit_lines_total{result=\"lost\"} 0",
        "sealift_events_total{result=\"dropped\"} 0",
        "sealift_stalls_total{what=\"loop\"} 0",
        "sealift_wake_total{reason=\"observed\"} 0",
        "sealift_push_to_applied_seconds_count 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
}
