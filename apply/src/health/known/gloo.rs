//! Gloo: a state for each controller that reported one, as a word or as a number.

use serde_json::Value;

use crate::health::{
    Circumstances, Health, Verdict, degraded,
    generic::{settled, silent},
    progressing,
};

pub(in crate::health) fn resource(value: &Value, circumstances: &Circumstances) -> Verdict {
    settled(value)?;
    let status = &value["status"];
    let reports: Vec<&Value> = match status["statuses"].as_object() {
        Some(each) => each.values().collect(),
        None if status["state"].is_null() => return silent(value, circumstances),
        None => vec![status],
    };
    for report in &reports {
        match report["state"].as_str().map_or_else(|| report["state"].as_i64(), number) {
            Some(1) => {}
            Some(0) => Err(Health::Suspended { asked: false, reason: "nobody has validated it yet".to_owned() })?,
            Some(2 | 3) => degraded(report["reason"].as_str().unwrap_or("it was rejected"))?,
            _ => progressing("its state is not known")?,
        }
    }
    if reports.is_empty() { silent(value, circumstances) } else { Ok(()) }
}

fn number(word: &str) -> Option<i64> {
    ["Pending", "Accepted", "Rejected", "Warning"].iter().position(|known| *known == word)?.try_into().ok()
}
