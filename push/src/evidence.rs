//! Evidence as it was asked for. Every form is made from the rows.

use sealift_verify::evidence::{Evidence, junit, sarif};

use crate::{
    output::{Output, OutputError, Report},
    table::plain_lines,
};

/// Writes records: several as JSON are JSON lines, as they came.
pub(crate) fn write(records: &[Evidence], output: &mut Output) -> Result<(), OutputError> {
    match (output.report, records) {
        (Report::Text, _) => {
            let texts: Vec<_> = records.iter().map(|record| plain_lines(&record.to_string())).collect();
            output.product(texts.join("\n\n"))
        }
        (Report::Json, [one]) => output.json(&one.to_json()),
        (Report::Json, many) => {
            let lines: Vec<_> = many.iter().map(|record| record.to_json().to_string()).collect();
            output.product(lines.join("\n"))
        }
        (Report::Junit, _) => output.product(junit::render(records).trim_end()),
        (Report::Sarif, _) => output.json(&sarif::render(records)),
    }
}
