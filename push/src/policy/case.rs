//! The file of `sealift policy test`: policies, artifacts, facts, expectations. Unknown fields are errors.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use sealift_registry::store::Address;
use sealift_verify::{evidence::Outcome, memory::Memory, reference::Repository, refusal::Reason};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

use crate::{exit::Exit, failure::Failure, yaml};

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    /// Policy files, relative to this one.
    pub(crate) policies: Vec<PathBuf>,
    pub(crate) cases: Vec<Case>,
}

/// One artifact, the facts it is judged by, and what has to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(deserialize_with = "reference")]
    pub(crate) reference: Address,
    /// The logical repository, if the bytes lie elsewhere.
    #[serde(default, rename = "as")]
    pub(crate) logical: Option<Repository>,
    #[serde(default)]
    pub(crate) facts: CaseFacts,
    pub(crate) expect: Expected,
}

/// What the verdict depends on besides artifact and policies.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CaseFacts {
    pub(crate) namespace: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) variant: Option<String>,
    /// The time to judge at, else the present.
    pub(crate) now: Option<Timestamp>,
    #[serde(default, deserialize_with = "remembered")]
    pub(crate) memory: Option<Remembered>,
    #[serde(default)]
    pub(crate) require: Vec<String>,
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) target_namespace: Option<String>,
}

/// What was accepted before: here, or in a file.
#[derive(Debug)]
pub(crate) enum Remembered {
    Here(Memory),
    File(PathBuf),
}

/// What has to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Expected {
    Accepted,
    Refused(Reason),
    CouldNotCheck(Reason),
}

impl Expected {
    pub(crate) fn is(self, outcome: Outcome, reason: Option<Reason>) -> bool {
        match self {
            Self::Accepted => outcome == Outcome::Accepted,
            Self::Refused(wanted) => outcome == Outcome::Refused && reason == Some(wanted),
            Self::CouldNotCheck(wanted) => outcome == Outcome::CouldNotCheck && reason == Some(wanted),
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Accepted => f.write_str("accepted"),
            Self::Refused(reason) => write!(f, "refused {reason}"),
            Self::CouldNotCheck(reason) => write!(f, "could not check {reason}"),
        }
    }
}

fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|error| D::Error::custom(format!("{error}")))
}

fn remembered<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Remembered>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(path) => Ok(Some(Remembered::File(path.into()))),
        // An empty text would be an empty memory, in which every old release is new.
        value if value.get("marks").is_none() => Err(D::Error::custom("a memory has marks, or is the path of a file")),
        value => serde_json::from_value(value).map(|memory| Some(Remembered::Here(memory))).map_err(D::Error::custom),
    }
}

/// Why a file of cases cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuiteError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not YAML", path.display())]
    Yaml {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{}: field {field} cannot be read", path.display())]
    Field {
        path: PathBuf,
        field: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{}: {list} is empty", path.display())]
    Empty { path: PathBuf, list: &'static str },
    #[error("{}: two cases are named {name:?}", path.display())]
    Twice { path: PathBuf, name: String },
}

impl From<SuiteError> for Failure {
    fn from(error: SuiteError) -> Self {
        let missing = matches!(&error, SuiteError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound);
        Self::new(if missing { Exit::NotFound } else { Exit::InvalidInput }, error)
            .hint("`sealift policy test --help` shows what such a file holds")
    }
}

/// Reads a file of cases; the paths in it become relative to where we are.
pub(crate) fn read(path: &Path) -> Result<Suite, SuiteError> {
    let text = fs::read_to_string(path).map_err(|source| SuiteError::Read { path: path.to_owned(), source })?;
    let mut suite = parse(path, &text)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = suite.cases.iter_mut().filter_map(|case| match &mut case.facts.memory {
        Some(Remembered::File(file)) => Some(file),
        _ => None,
    });
    files.chain(&mut suite.policies).for_each(|file| *file = folder.join(&*file));
    Ok(suite)
}

fn parse(path: &Path, text: &str) -> Result<Suite, SuiteError> {
    let value = yaml::read(text).map_err(|source| SuiteError::Yaml { path: path.to_owned(), source })?;
    let suite: Suite = serde_path_to_error::deserialize(value).map_err(|error| SuiteError::Field {
        path: path.to_owned(),
        field: error.path().to_string(),
        source: error.into_inner(),
    })?;
    for (list, empty) in [("policies", suite.policies.is_empty()), ("cases", suite.cases.is_empty())] {
        if empty {
            return Err(SuiteError::Empty { path: path.to_owned(), list });
        }
    }
    let mut names = BTreeSet::new();
    match suite.cases.iter().find(|case| !names.insert(&case.name)) {
        Some(case) => Err(SuiteError::Twice { path: path.to_owned(), name: case.name.clone() }),
        None => Ok(suite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: &str = "policies: [a.yaml]\ncases:\n- name: one\n  reference: oci://registry.example/acme/shop:prod\n";

    fn field(rest: &str) -> String {
        match parse(Path::new("tests.yaml"), &format!("{CASE}{rest}")) {
            Err(SuiteError::Field { field, source, .. }) => format!("{field}: {source}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_what_the_help_shows() {
        let rest = "  facts: {namespace: shop, environment: prod, now: 2026-06-01T00:00:00Z, memory: {marks: []}}\n  expect: {refused: NoPolicy}\n";
        let suite = parse(Path::new("tests.yaml"), &format!("{CASE}{rest}")).unwrap();
        let Case { name: _, reference, logical, facts, expect } = &suite.cases[0];
        assert_eq!((reference.tag.as_deref(), logical), (Some("prod"), &None));
        assert_eq!(*expect, Expected::Refused(Reason::NoPolicy));
        assert!(matches!(&facts.memory, Some(Remembered::Here(memory)) if memory.marks.is_empty()));
    }

    #[test]
    fn reads_what_the_readme_shows() {
        let readme = include_str!("../../../README.md");
        let block = readme.split("```yaml\n").find(|block| block.starts_with("policies:")).unwrap();
        let suite = parse(Path::new("tests.yaml"), block.split("```").next().unwrap()).unwrap();
        let expected: Vec<_> = suite.cases.iter().map(|case| case.expect).collect();
        assert_eq!(expected, [Expected::Accepted, Expected::Refused(Reason::WrongEnvironment)]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        assert!(field("  expect: {refused: NoSuchReason}\n").starts_with("cases[0].expect"));
        assert!(field("  expect: perhaps\n").starts_with("cases[0].expect"));
        assert!(field("  facts: {enviroment: prod}\n  expect: accepted\n").contains("unknown field `enviroment`"));
        assert!(field("  facts: {memory: {}}\n  expect: accepted\n").contains("a memory has marks"));
        assert!(field("  facts: {now: yesterday}\n  expect: accepted\n").starts_with("cases[0].facts.now"));
        assert!(field("").contains("missing field `expect`"));
    }

    #[test]
    fn nothing_to_test_is_no_success() {
        let empty = parse(Path::new("tests.yaml"), "policies: [a.yaml]\ncases: []\n");
        assert!(matches!(empty, Err(SuiteError::Empty { list: "cases", .. })));
        let twice = format!("{CASE}  expect: accepted\n{}  expect: accepted\n", &CASE[CASE.find("- name").unwrap()..]);
        assert!(matches!(parse(Path::new("tests.yaml"), &twice), Err(SuiteError::Twice { .. })));
    }

    #[test]
    fn an_expectation_is_met_by_its_own_reason_alone() {
        let refused = Expected::Refused(Reason::Expired);
        assert!(refused.is(Outcome::Refused, Some(Reason::Expired)));
        assert!(!refused.is(Outcome::Refused, Some(Reason::TooOld)));
        assert!(!refused.is(Outcome::CouldNotCheck, Some(Reason::Expired)));
        assert!(!Expected::Accepted.is(Outcome::Refused, None));
    }
}
