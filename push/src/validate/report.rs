//! Findings for people, programs and whoever collects them.

use sealift_verify::evidence::{junit, sarif};
use serde_json::{Value, json};

use super::{
    Report,
    catalogue::Version,
    counted,
    finding::{Finding, of_variants},
    rule::{Level, Rule},
};
use crate::{
    exit::Exit,
    failure::Failure,
    output::{self, ERROR, FAINT, Output, OutputError, WARNING, paint},
    table::table,
};

/// Kinds without a schema that are named before the rest is only counted.
const SHOWN: usize = 5;

/// Writes every finding, and what was looked at.
pub(super) fn write(report: &Report, version: Version, output: &mut Output) -> Result<(), OutputError> {
    match output.report {
        output::Report::Text => {
            report.findings.iter().filter(|f| f.rule != Rule::NoSchema).try_for_each(|finding| {
                let style = match finding.rule.level() {
                    Level::Error => ERROR,
                    Level::Warning => WARNING,
                    Level::Note => FAINT,
                };
                let line = finding.to_string();
                let word = format!("{}[{}]", finding.rule.level().word(), finding.rule.id());
                output.product(line.replacen(&word, &paint(style, &word), 1))
            })?
        }
        output::Report::Json => output.json(&document(report, version))?,
        output::Report::Junit => output.product(junit(report).trim_end())?,
        output::Report::Sarif => output.json(&sarif(report))?,
    }
    output.note(summary(report, version));
    Ok(())
}

fn summary(report: &Report, version: Version) -> String {
    let count = |level| report.findings.iter().filter(|finding| finding.rule.level() == level).count();
    let mut text = format!(
        "{} against Kubernetes {version}: {}, {}",
        counted(report.objects, "object"),
        counted(count(Level::Error), "error"),
        counted(count(Level::Warning), "warning"),
    );
    if !report.unknown.is_empty() {
        let objects = report.unknown.values().sum();
        let mut kinds: Vec<_> = report.unknown.keys().take(SHOWN).cloned().collect();
        kinds.extend((report.unknown.len() > SHOWN).then(|| format!("{} more kinds", report.unknown.len() - SHOWN)));
        text.push_str(&format!("; no schema for {}: {}", counted(objects, "object"), kinds.join(", ")));
    }
    text
}

fn document(report: &Report, version: Version) -> Value {
    let finding = |finding: &Finding| {
        let mut document = json!({
            "rule": finding.rule.id(),
            "level": finding.rule.level().word(),
            "file": finding.at.file,
            "line": finding.at.line,
            "object": finding.object,
            "field": finding.pointer,
            "message": finding.message,
            "also": finding.also.as_ref().map(ToString::to_string),
        });
        if !finding.variants.is_empty() {
            document["variants"] = json!(finding.variants);
        }
        document
    };
    json!({
        "schema": "sealift.dev/validate/v1",
        "kubernetes": version.to_string(),
        "objects": report.objects,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "withoutSchema": report.unknown,
    })
}

fn sarif(report: &Report) -> Value {
    let rules = Rule::ALL.iter().map(|rule| {
        json!({
            "id": rule.id(),
            "shortDescription": {"text": rule.help()},
            "help": {"text": rule.help()},
            "defaultConfiguration": {"level": rule.level().word()},
        })
    });
    let place = |at: &sealift_verify::objects::Origin| {
        let mut place = json!({"physicalLocation": {"artifactLocation": {"uri": at.file}}});
        if at.line > 0 {
            place["physicalLocation"]["region"] = json!({"startLine": at.line});
        }
        place
    };
    let results = report.findings.iter().map(|finding| {
        let mut location = place(&finding.at);
        if let Some(object) = &finding.object {
            location["logicalLocations"] =
                json!([{"fullyQualifiedName": format!("{object}{}", finding.pointer), "kind": "object"}]);
        }
        json!({
            "ruleId": finding.rule.id(),
            "ruleIndex": finding.rule as usize,
            "level": finding.rule.level().word(),
            "message": {"text": format!("{}{}", finding.message, of_variants(&finding.variants))},
            "locations": [location],
            "relatedLocations": finding.also.iter().map(place).collect::<Vec<_>>(),
        })
    });
    sarif::document(rules.collect(), results.collect(), json!({}))
}

/// One case a rule: what was looked for and not found has passed.
fn junit(report: &Report) -> String {
    let case = |rule: &Rule| {
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.rule == *rule).collect();
        let message = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let result = match (found.is_empty(), rule.level()) {
            (true, _) => junit::CaseResult::Passed(String::new()),
            (false, Level::Error) => junit::CaseResult::Failed { kind: rule.id().to_owned(), message },
            (false, Level::Warning | Level::Note) => junit::CaseResult::Passed(message),
        };
        junit::Case { class: "sealift.validate".to_owned(), name: rule.id().to_owned(), result }
    };
    let suite = junit::Suite {
        name: "manifests".to_owned(),
        timestamp: jiff::Timestamp::now().to_string(),
        properties: Vec::new(),
        cases: Rule::ALL.iter().map(case).collect(),
    };
    junit::document("sealift validate", &[suite])
}

/// Every rule with its help.
pub(super) fn rules(output: &mut Output) -> Result<Exit, Failure> {
    match output.format {
        output::Format::Text => {
            let row = |rule: &Rule| [rule.id().to_owned(), rule.level().word().to_owned(), rule.help().to_owned()];
            let rows: Vec<_> = Rule::ALL.iter().map(row).collect();
            output.product(table(0, ["RULE", "LEVEL", "ABOUT"], &rows))?;
        }
        output::Format::Json => {
            let rule = |rule: &Rule| json!({"rule": rule.id(), "level": rule.level().word(), "about": rule.help()});
            let rules: Vec<_> = Rule::ALL.iter().map(rule).collect();
            output.json(&json!({"schema": "sealift.dev/validation-rules/v1", "rules": rules}))?;
        }
    }
    Ok(Exit::Done)
}
