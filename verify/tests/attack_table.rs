//! The table of attacks in `verify/README.md` against the code: rows of the evidence and tests that it names are there.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::{fs, path::Path};

use sealift_verify::evidence::CheckId;

/// The cells of every row that names an attack.
fn rows(readme: &str) -> Vec<[String; 3]> {
    let table = readme.split_once("<!-- attacks -->").unwrap().1.split_once("\n## ").unwrap().0;
    let cells =
        |line: &str| -> Vec<String> { line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect() };
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| **") && !line.starts_with("| attack "));
    rows.map(|line| cells(line).try_into().unwrap_or_else(|cells| panic!("{cells:?}"))).collect()
}

/// What stands in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_check_and_every_test_of_the_table_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let rows = rows(&fs::read_to_string(root.join("verify/README.md")).unwrap());
    assert!(rows.len() > 50, "{} rows", rows.len());
    for [attack, check, tests] in &rows {
        let known = |word: &&str| word.contains("::") || CheckId::ALL.iter().any(|check| check.as_str() == *word);
        assert!(
            check == "every row" || !words(check).is_empty() && words(check).iter().all(known),
            "{attack}: {check}"
        );
        let named = words(tests);
        let pairs: Vec<_> = named.chunks(2).filter(|pair| pair[0].contains('/')).collect();
        assert!(tests.contains("not yet") || !pairs.is_empty(), "{attack}: neither a test nor a \"not yet\"");
        for pair in pairs {
            let [file, test] = pair else { panic!("{attack}: {tests}") };
            let source =
                fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{attack}: {file}: {error}"));
            let found = source.contains(&format!("fn {test}(")) || *test == "compile_fail" && source.contains(test);
            assert!(found, "{attack}: {file} has no test {test}");
        }
    }
}

#[test]
fn every_check_guards_against_some_attack() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let rows = rows(&readme);
    for check in CheckId::ALL {
        let guards = |[_, cell, tests]: &[String; 3]| words(cell).contains(&check.as_str()) && tests.contains(".rs`");
        assert!(rows.iter().any(guards), "no attack is stopped by {}", check.as_str());
    }
}
