use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    thread,
};

use sealift_e2e::Tool;
use serde_json::Value;

/// How kubectl's reader understands each document, in order.
pub(crate) fn ask(documents: &[String]) -> Option<Vec<Result<Value, String>>> {
    let mut child = Tool::find("yamljson")?.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = documents.iter().map(|text| serde_json::to_string(text).unwrap() + "\n").collect();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let answers: Vec<_> =
        BufReader::new(child.stdout.take().unwrap()).lines().map(|line| answer(&line.unwrap())).collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(answers.len(), documents.len());
    Some(answers)
}

fn answer(line: &str) -> Result<Value, String> {
    let mut answer: Value = serde_json::from_str(line).unwrap();
    match answer.get("error") {
        Some(error) => Err(error.as_str().unwrap().to_owned()),
        None => Ok(answer["json"].take()),
    }
}
