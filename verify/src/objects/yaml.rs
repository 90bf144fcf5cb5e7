//! Manifests to objects, read exactly as kubectl reads them.
//!
//! kubectl cuts a file at its `---` lines, reads each piece as JSON if it starts like JSON and else by
//! `sigs.k8s.io/yaml`, which is YAML 1.1 in its scalars (`yes`, `0777`, `1_000`). What the parser underneath and
//! kubectl would understand differently is refused, never guessed: `tests/yaml_as_kubectl.rs` holds both against
//! the real thing. `serde_saphyr` sits on the same parser but hands on values without telling a bare key from a
//! quoted one, so the events are read here.

mod json;
mod lines;
mod problem;
mod quirks;
pub(crate) mod scalar;
mod stream;
mod tree;

use serde_json::Value;

pub use self::{lines::Lines, problem::Problem};
use super::{Duplicate, Object, Objects, Origin, identity};
use crate::artifact::Limits;

/// A file of manifests, or one entry of an artifact.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name for messages.
    pub name: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why sources could not be read as objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A document is not what it should be.
    #[error("{at}: {problem}")]
    Document {
        /// Where.
        at: Origin,
        /// What.
        problem: Problem,
    },
    /// Two documents describe the same object.
    #[error(transparent)]
    Duplicate(#[from] Duplicate),
    /// More objects than [`Limits::entries`].
    #[error("{found} objects are more than the {limit} allowed")]
    TooMany {
        /// How many there are.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing in the sources is an object.
    #[error("no objects in {sources} files")]
    Empty {
        /// How many sources there were.
        sources: usize,
    },
}

/// A problem and the line it is on, counted from 1 within one piece of a source.
struct Fault {
    line: usize,
    problem: Problem,
}

/// A document and the line its content starts at, counted like [`Fault::line`].
type Document = (usize, Value);

/// Reads every object of every source; lists are taken apart, empty documents skipped.
///
/// # Errors
/// All problems of all sources, at most one a document.
pub fn read(sources: &[Source], limits: &Limits) -> Result<Objects, Vec<ReadError>> {
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    for source in sources {
        read_source(source, limits, &mut objects, &mut errors);
        if errors.len() > limits.entries {
            break;
        }
    }
    if objects.len() > limits.entries {
        errors.push(ReadError::TooMany { found: objects.len(), limit: limits.entries });
    }
    if objects.is_empty() && errors.is_empty() {
        errors.push(ReadError::Empty { sources: sources.len() });
    }
    match Objects::new(objects) {
        Ok(objects) if errors.is_empty() => Ok(objects),
        Ok(_) => Err(errors),
        Err(duplicates) => {
            errors.extend(duplicates.into_iter().map(ReadError::from));
            Err(errors)
        }
    }
}

fn read_source(source: &Source, limits: &Limits, objects: &mut Vec<Object>, errors: &mut Vec<ReadError>) {
    let at = |line| Origin { file: source.name.clone(), line };
    let refuse = |errors: &mut Vec<_>, line, problem| errors.push(ReadError::Document { at: at(line), problem });
    if source.bytes.len() as u64 > limits.file {
        return refuse(errors, 0, Problem::TooLarge { limit: limits.file });
    }
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &source.bytes[..error.valid_up_to()];
            return refuse(errors, 1 + before.iter().filter(|b| **b == b'\n').count(), Problem::NotUtf8);
        }
    };
    for piece in stream::split(text) {
        // What is refused already needs no longer list of reasons, and that list needs a bound.
        if errors.len() > limits.entries {
            return;
        }
        let found = match &piece.content {
            Ok(content) => read_piece(content, limits),
            Err(problem) => Err(Fault { line: 1, problem: problem.clone() }),
        };
        match found {
            Err(fault) => refuse(errors, piece.line + fault.line - 1, fault.problem),
            Ok(documents) => {
                for (line, value) in documents {
                    let line = piece.line + line - 1;
                    if let Err(problem) = take(value, &at(line), limits, objects) {
                        refuse(errors, line, problem);
                    }
                }
            }
        }
    }
}

/// The documents of one piece: several only where JSON texts follow each other, none where there is only white space.
fn read_piece(text: &str, limits: &Limits) -> Result<Vec<Document>, Fault> {
    let start = text.trim_start_matches([' ', '\t', '\r', '\n']);
    if !start.starts_with('{') {
        return Ok(tree::read(text, limits)?.into_iter().collect());
    }
    // What starts like JSON may still be YAML in flow style; the error shown is that of the likelier of the two.
    match json::read(text, limits) {
        Ok(documents) => Ok(documents),
        Err(fault) if fault.problem.is_final() => Err(fault),
        Err(fault) => match tree::read(text, limits) {
            Ok(document) => Ok(document.into_iter().collect()),
            Err(_) if start[1..].trim_start().starts_with(['"', '}']) => Err(fault),
            Err(fault) => Err(fault),
        },
    }
}

/// Adds the objects of one document: itself, or what a list holds.
fn take(value: Value, at: &Origin, limits: &Limits, objects: &mut Vec<Object>) -> Result<(), Problem> {
    match identity::list_items(value)? {
        identity::Listed::One(value) => {
            let id = identity::of(&value).map_err(|problem| problem.in_file(&at.file, &value))?;
            // One past the limit is enough to know, and bounds what is kept.
            if objects.len() <= limits.entries {
                objects.push(Object { id, value, origin: at.clone() });
            }
            Ok(())
        }
        identity::Listed::Items(items) => items.into_iter().try_for_each(|item| take(item, at, limits, objects)),
    }
}

#[cfg(test)]
mod tests;
