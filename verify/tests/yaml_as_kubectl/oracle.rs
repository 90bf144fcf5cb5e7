use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

/// The program where `testenv/build` puts it, or `None` outside CI if it is not there.
fn program() -> Option<PathBuf> {
    let cache = || env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home_cache);
    let tools = env::var_os("SEALIFT_TOOLS").map(PathBuf::from).or_else(|| Some(cache()?.join("sealift/tools")));
    let found =
        tools.and_then(|tools| [tools.join("bin/yamljson"), tools.join("yamljson")].into_iter().find(|p| p.is_file()));
    match found {
        Some(path) => Some(path),
        None => {
            assert!(env::var("CI").as_deref() != Ok("true"), "yamljson is not in SEALIFT_TOOLS");
            eprintln!("NOT RUN: yamljson is not in SEALIFT_TOOLS, so nothing is held against kubectl's reader");
            None
        }
    }
}

fn home_cache() -> Option<PathBuf> {
    env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"))
}

/// How kubectl's reader understands each document, in order.
pub(crate) fn ask(documents: &[String]) -> Option<Vec<Result<Value, String>>> {
    let mut child = Command::new(program()?).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
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
