//! From paths to objects: collected in a fixed order, read as kubectl reads them, all problems at once.

mod collect;
mod position;

use std::path::PathBuf;

use sealift_verify::{
    artifact::Limits,
    objects::{
        Duplicate, Objects,
        yaml::{self, ReadError, Source},
    },
    parameters::{self, BindError, Parameter},
};

use self::collect::CollectError;
pub(crate) use self::{
    collect::{Collected, bounded, collect},
    position::Positions,
};
use crate::{exit::Exit, failure::Failure, output::Output};

/// Problems shown before the rest is only counted.
const SHOWN: usize = 50;

/// Every problem of the input, one a line.
#[derive(Debug)]
pub(crate) struct Problems(Vec<String>);

impl std::error::Error for Problems {}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_slice() {
            [one] => f.write_str(one),
            all => {
                write!(f, "{} problems in the manifests", all.len())?;
                all.iter().take(SHOWN).try_for_each(|problem| write!(f, "\n  {problem}"))?;
                match all.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "\n  and {more} more"),
                }
            }
        }
    }
}

impl Problems {
    pub(crate) fn of(errors: impl IntoIterator<Item = BindError>) -> Self {
        Self(errors.into_iter().map(|error| error.to_string()).collect())
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::InvalidInput, problems)
    }
}

impl From<Vec<ReadError>> for Problems {
    fn from(errors: Vec<ReadError>) -> Self {
        Self(errors.iter().map(ToString::to_string).collect())
    }
}

impl From<Vec<Duplicate>> for Problems {
    fn from(twice: Vec<Duplicate>) -> Self {
        Self(twice.iter().map(ToString::to_string).collect())
    }
}

impl From<CollectError> for Failure {
    fn from(error: CollectError) -> Self {
        let exit = if error.is_missing() { Exit::NotFound } else { Exit::InvalidInput };
        let hint = error.hint();
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The sources at `paths`; what was left out is said.
pub(crate) fn sources(paths: &[PathBuf], limits: &Limits, output: &mut Output) -> Result<Vec<Source>, Failure> {
    let Collected { sources, left_out } = collect(paths, limits)?;
    left_out.iter().for_each(|line| output.warn(line));
    Ok(sources)
}

/// The objects of `sources`, without variables.
pub(crate) fn read(sources: &[Source], limits: &Limits) -> Result<Objects, Problems> {
    yaml::read(sources, limits).map_err(Problems::from)
}

/// The objects of `sources`, with the places of `parameters` written down.
pub(crate) fn read_with(
    sources: &[Source],
    parameters: &mut [Parameter],
    limits: &Limits,
) -> Result<Objects, Problems> {
    match bind(sources, parameters, limits)? {
        (objects, unused) if unused.is_empty() => Ok(objects),
        (_, unused) => Err(Problems::of(unused.into_iter().map(BindError::Unused))),
    }
}

/// The same, and the variables that stand nowhere.
pub(crate) fn bind(
    sources: &[Source],
    parameters: &mut [Parameter],
    limits: &Limits,
) -> Result<(Objects, Vec<String>), Problems> {
    if parameters.is_empty() {
        return Ok((read(sources, limits)?, Vec::new()));
    }
    let marked = |source: &Source| match std::str::from_utf8(&source.bytes) {
        Ok(text) => Source { name: source.name.clone(), bytes: parameters::mark(text, parameters).into_bytes() },
        // The reader has the better message for what is not text.
        Err(_) => source.clone(),
    };
    let sources: Vec<_> = sources.iter().map(marked).collect();
    let mut objects = read(&sources, limits)?.into_vec();
    let mut unused = Vec::new();
    if let Err(errors) = parameters::bind(&mut objects, parameters) {
        let mut fixed = Vec::new();
        for error in errors {
            match error {
                BindError::Unused(name) => unused.push(name),
                BindError::Fixed { .. } => fixed.push(error),
            }
        }
        if !fixed.is_empty() {
            return Err(Problems::of(fixed));
        }
    }
    let objects = Objects::new(objects).map_err(Problems::from)?;
    Ok((objects, unused))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.into(), bytes: text.into() }
    }

    #[test]
    fn variables_are_typed_where_they_are_unquoted() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  plain: ${N}\n  quoted: \"${N}\"\n";
        let mut parameters = ["N:int=2".parse::<Parameter>().unwrap()];
        let objects = read_with(&[source("a.yaml", text)], &mut parameters, &Limits::default()).unwrap();
        assert_eq!(objects.iter().next().unwrap().value["data"]["plain"], "${N}");
        assert_eq!(parameters[0].typed, ["_/core/ConfigMap/a.json#/data/plain"]);
        assert_eq!(parameters[0].pointers, ["_/core/ConfigMap/a.json#/data/quoted"]);
    }

    #[test]
    fn all_problems_are_told_at_once_with_file_and_line() {
        let sources = [source("a.yaml", "a: [\n"), source("b.yaml", "---\n---\nkind: Pod\n")];
        let text = read(&sources, &Limits::default()).unwrap_err().to_string();
        assert!(text.starts_with("2 problems") && text.contains("a.yaml:") && text.contains("b.yaml:3"), "{text}");
    }
}
