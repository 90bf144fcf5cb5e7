//! Expressions in CEL, the Common Expression Language, in the dialect of Kubernetes: what a policy or a Delivery says
//! about data that no field of its own speaks of.
//!
//! The interpreter underneath knows no limit and cannot be stopped, so everything is decided before it runs: an expression
//! is read within [`MAX_LENGTH`] and [`MAX_NODES`], names only variables and functions there are, nests at most
//! [`MAX_NESTED`] comprehensions, and is evaluated only where its cost on the very data handed in, estimated from above,
//! is within [`BUDGET`]: 0.6 s at worst in a debug build on two busy cores, by
//! `cargo test -p sealift-verify --lib the_dearest -- --nocapture`.

mod cost;
mod error;
mod form;
mod scan;
mod value;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use kube_cel::{
    KubeCelExt,
    cel::{Context, ExecutionError, Value as CelValue, common::ast::IdedExpr, extractors::This, objects::KeyRef},
};
use regex::Regex;
use serde_json::Value;

pub use self::error::CelError;

/// The longest expression, in bytes.
pub const MAX_LENGTH: usize = 2048;
/// The parts an expression may have once its macros are written out.
pub const MAX_NODES: usize = 512;
/// How deep parts may lie within each other.
pub const MAX_DEPTH: usize = 48;
/// How many comprehensions (`all`, `exists`, `exists_one`, `map`, `filter`) may lie in each other or follow from each other.
pub const MAX_NESTED: usize = 2;
/// The largest value handed in, in bytes of JSON or nearly so: 16 for each value and the length of its text.
pub const MAX_INPUT: u64 = 1024 * 1024;
/// What an evaluation may cost, in bytes that may have to be looked at or copied.
pub const BUDGET: u64 = 64 * 1024 * 1024;

/// An expression that is known to be readable and bounded.
///
/// ```
/// use sealift_verify::cel::Expression;
/// let expression = Expression::parse("predicate.builder.id.startsWith('https://ci.example/')", &["predicate"])?;
/// let predicate = serde_json::json!({"builder": {"id": "https://ci.example/release"}});
/// assert!(expression.holds(&[("predicate", &predicate)])?);
/// assert!(Expression::parse("predicat.builder", &["predicate"]).is_err());
/// # Ok::<(), sealift_verify::cel::CelError>(())
/// ```
#[derive(Clone)]
pub struct Expression {
    source: String,
    parsed: IdedExpr,
    /// The patterns of `matches`, compiled once: each is a literal.
    patterns: Arc<BTreeMap<String, Regex>>,
}

impl Expression {
    /// Reads an expression that may speak of `variables`.
    ///
    /// # Errors
    /// [`CelError`] if it cannot be read, is longer or deeper than the limits of this module, or names a variable or
    /// function that is not there.
    pub fn parse(source: &str, variables: &[&str]) -> Result<Self, CelError> {
        let form::Formed { parsed, patterns } = form::read(source, variables)?;
        Ok(Self { source: source.to_owned(), parsed, patterns: Arc::new(patterns) })
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is true of these values. Synchronous, and bounded by [`BUDGET`] alone: not for threads that serve others.
    ///
    /// # Errors
    /// [`CelError`] if it is neither true nor false of them, if it fails, or if evaluating it could cost too much. Every
    /// error is a no: no caller may take one for anything else. None holds any of the values.
    pub fn holds(&self, values: &[(&str, &Value)]) -> Result<bool, CelError> {
        cost::within_budget(&self.parsed, values)?;
        // A panic in the interpreter is an expression that failed, and not the end of who evaluates it.
        catch_unwind(AssertUnwindSafe(|| self.evaluate(values)))
            .unwrap_or_else(|_| Err(CelError::Failed("the interpreter panicked".into())))
    }

    fn evaluate(&self, values: &[(&str, &Value)]) -> Result<bool, CelError> {
        let mut context = Context::default().with_all();
        let patterns = Arc::clone(&self.patterns);
        context.add_function("matches", move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let compiled = patterns.get(pattern.as_str()).map(|regex| regex.is_match(&text));
            compiled.ok_or_else(|| ExecutionError::function_error("matches", "a pattern that is no literal"))
        });
        context.add_function(form::HAS, |of: CelValue, field: Arc<String>| match of {
            CelValue::Map(map) => Ok(map.get(&KeyRef::String(&field)).is_some()),
            _ => Err(ExecutionError::NoSuchOverload),
        });
        // The interpreter's own is `false` where either is no text, so that its negation would be true.
        context
            .add_function("contains", |This(text): This<Arc<String>>, part: Arc<String>| text.contains(part.as_str()));
        for (name, value) in values {
            context.add_variable_from_value(*name, value::of(value));
        }
        match CelValue::resolve(&self.parsed, &context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(_) => Err(CelError::NotBoolean),
            Err(failure) => Err(CelError::Failed(error::words(&failure, &self.source))),
        }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

#[cfg(test)]
mod tests;
