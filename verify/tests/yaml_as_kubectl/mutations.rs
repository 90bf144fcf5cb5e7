//! Documents put together at random, always the same ones: what we read, kubectl reads the same way.

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, RngSeed, TestRunner},
};
use sealift_verify::objects::emit;
use serde_json::Value;

use super::{document, oracle, ours, without_negative_zero};

/// Pieces that meet in unforeseen ways.
const PIECES: &[&str] = &[
    "a",
    "b: ",
    "c:",
    ": ",
    ":",
    "- ",
    "-",
    "? ",
    "?",
    "\n",
    "\n  ",
    "\n    ",
    "\n\n",
    " ",
    "  ",
    "\t",
    "#",
    " # c",
    "{",
    "}",
    "[",
    "]",
    ", ",
    ",",
    "|",
    "|-\n",
    ">\n  ",
    ">-",
    "'",
    "\"",
    "''",
    "\\",
    "\\n",
    "&x ",
    "*x",
    "<<: ",
    "!!str ",
    "!!int ",
    "!",
    "1",
    "0",
    "0x1",
    ".5",
    "e3",
    "_",
    "yes",
    "null",
    "~",
    "1.5",
    "---",
    "...",
    "%",
    "@",
    "`",
    "\r\n",
    "é",
    "=",
    "2001-01-01",
    "k: v",
    "\n- a",
    "\nk: ",
    "\n  - b: c",
    "\"q\"",
    "'s'",
    "{a: 1}",
    "[1, 2]",
    "{b: ",
    "[c, ",
];

fn sample<T: std::fmt::Debug>(count: usize, strategy: &impl Strategy<Value = T>) -> Vec<T> {
    let config = Config { rng_seed: RngSeed::Fixed(20_260_713), ..Config::default() };
    let mut runner = TestRunner::new(config);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

#[test]
fn whatever_we_read_of_random_documents_kubectl_reads_the_same_way() {
    let count = std::env::var("SEALIFT_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let pieces = prop::collection::vec(prop::sample::select(PIECES), 1..9).prop_map(|pieces| pieces.concat());
    // The oracle reads one document and leaves cutting at `---` to kubectl.
    let documents: Vec<_> = sample(count, &pieces)
        .iter()
        .map(|text| document(&format!("v: {text}")))
        .filter(|text| !text.contains("\n---"))
        .collect();
    let Some(answers) = oracle::ask(&documents) else { return };
    let mut read = 0;
    let mut wrong = Vec::new();
    for (text, theirs) in documents.iter().zip(answers) {
        let Ok(ours) = ours(text) else { continue };
        read += 1;
        let theirs = theirs.map(without_negative_zero);
        if Ok(&ours) != theirs.as_ref() {
            wrong
                .push(format!("{:?}\n  kubectl {theirs:?}\n  ours    {ours}", text.split_once("{name: a}").unwrap().1));
        }
    }
    assert!(read * 10 > count, "only {read} of {count} documents say anything");
    assert!(wrong.is_empty(), "{} of {read}:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
}

#[test]
fn whatever_we_write_kubectl_reads_as_it_was() {
    let word = prop_oneof![
        prop::sample::select(PIECES).prop_map(str::to_owned),
        "[ -~\n\t]{0,8}",
        any::<String>(),
        prop::collection::vec(prop::sample::select(PIECES), 0..4).prop_map(|pieces| pieces.concat()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("a finite fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    let values = sample(3_000, &value);
    let written: Vec<_> = values
        .iter()
        .map(|value| {
            emit::to_yaml(
                &serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "v": value}),
            )
        })
        .collect();
    let Some(answers) = oracle::ask(&written) else { return };
    for ((value, text), theirs) in values.iter().zip(&written).zip(answers) {
        assert_eq!(theirs.map(|theirs| theirs["v"].clone()).as_ref(), Ok(value), "{text}");
        assert_eq!(ours(text).map(|ours| ours["v"].clone()).as_ref(), Ok(value), "{text}");
    }
}
