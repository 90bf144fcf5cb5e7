//! JSON texts, one after another, with duplicate keys refused.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{Document, Fault, Problem, scalar};
use crate::artifact::Limits;

/// Reads every JSON text in `text`.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Vec<Document>, Fault> {
    let mut documents = Vec::new();
    let (mut rest, mut line) = (text, 1);
    loop {
        let start = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        line += newlines(&rest[..rest.len() - start.len()]);
        rest = start;
        if rest.is_empty() {
            return Ok(documents);
        }
        if documents.len() >= limits.entries {
            let problem = Problem::NotJson(format!("more than {} JSON texts in a row", limits.entries));
            return Err(Fault { line, problem });
        }
        let (value, read) = read_one(rest, limits).map_err(|f| Fault { line: line + f.line - 1, ..f })?;
        documents.push((line, value));
        line += newlines(&rest[..read]);
        rest = &rest[read..];
    }
}

/// Reads the JSON text that `text` starts with and says how many bytes it took.
fn read_one(text: &str, limits: &Limits) -> Result<(Value, usize), Fault> {
    let problem = RefCell::new(None);
    let mut stream = serde_json::Deserializer::from_str(text);
    let any = Any { left: limits.depth, limit: limits.depth, problem: &problem };
    match any.deserialize(&mut stream) {
        Ok(value) => {
            // The deserializer does not tell its place; a stream over the same text does.
            let mut places = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
            places.next();
            Ok((value, places.byte_offset()))
        }
        Err(error) => {
            let shown = error.to_string();
            // The line is in the error's own field, and in the place it is reported at.
            let shown = shown.rsplit_once(" at line ").map_or(shown.as_str(), |(message, _)| message);
            let problem = problem.take().unwrap_or_else(|| match shown {
                "number out of range" => Problem::Number("out of the range of a double".to_owned()),
                _ => Problem::NotJson(shown.to_owned()),
            });
            Err(Fault { line: error.line().max(1), problem })
        }
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Any JSON value; what serde's errors cannot carry is left in `problem`.
#[derive(Clone, Copy)]
struct Any<'a> {
    left: usize,
    limit: usize,
    problem: &'a RefCell<Option<Problem>>,
}

impl Any<'_> {
    fn refuse<E: Error>(self, problem: Problem) -> E {
        let error = E::custom(&problem);
        self.problem.replace(Some(problem));
        error
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.refuse(Problem::TooDeep { limit: self.limit })),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        scalar::from_float(value).ok_or_else(|| self.refuse(Problem::Number(value.to_string())))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(self.refuse(Problem::DuplicateKey(key)));
            }
            object.insert(key, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}
