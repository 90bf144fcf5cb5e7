//! Evidence as SARIF 2.1.0, for tools that collect findings: one result a check that failed or was not made.

use serde_json::{Value, json};

use super::{Check, CheckId, CheckResult, Evidence, Outcome};

/// The schema that documents name.
pub const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The records as one document with one run.
pub fn render(records: &[Evidence]) -> Value {
    let results: Vec<_> =
        records.iter().flat_map(|record| record.checks.iter().filter_map(move |row| result(row, record))).collect();
    let decisions: Vec<_> = records
        .iter()
        .map(|record| json!({"reference": record.reference, "outcome": record.outcome, "reason": record.reason, "stale": record.stale}))
        .collect();
    document(CheckId::ALL.iter().map(rule).collect(), results, json!({"decisions": decisions}))
}

/// One run of this tool as a document: its rules, what came of them, and facts about the whole.
pub fn document(rules: Vec<Value>, results: Vec<Value>, properties: Value) -> Value {
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "sealift",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
            "properties": properties,
        }],
    })
}

fn rule(check: &CheckId) -> Value {
    json!({"id": check.as_str(), "shortDescription": {"text": check.describe()}})
}

/// A row that asks for attention. A kind other than `fail` has the level `none`: section 3.27.10.
fn result(row: &Check, evidence: &Evidence) -> Option<Value> {
    let (kind, level, said) = match (row.result, evidence.outcome) {
        (CheckResult::Pass | CheckResult::NotPresent, _) => return None,
        (CheckResult::NotChecked, _) => ("open", "none", "not checked"),
        (CheckResult::Fail, Outcome::Refused) => ("fail", "error", "refused"),
        (CheckResult::Fail, Outcome::CouldNotCheck) => ("fail", "error", "could not check"),
        (CheckResult::Fail, Outcome::Accepted) => ("fail", "warning", "does not hold"),
    };
    let text = if row.detail.is_empty() { said.to_owned() } else { format!("{said}: {}", row.detail) };
    Some(json!({
        "ruleId": row.check.as_str(),
        "ruleIndex": row.check as usize,
        "kind": kind,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": format!("oci://{}", evidence.reference)}}}],
        "properties": {"result": row.result, "reason": evidence.reason, "time": evidence.time, "verifier": evidence.verifier},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::tests::{assert_snapshot, records};

    #[test]
    fn the_document_is_as_it_was() {
        let [_, _, stale, _] = records();
        assert_snapshot("sarif.json", &format!("{:#}\n", render(&[stale])));
    }

    #[test]
    fn a_result_points_at_the_rule_of_its_check() {
        let document = render(&records());
        let run = &document["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert!(!results.is_empty());
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
            assert_eq!(result["kind"] == "fail", result["level"] != "none", "{result}");
        }
    }
}
