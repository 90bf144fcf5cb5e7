//! Why an expression cannot be used, or is not true of what it was asked about.

use kube_cel::cel::ExecutionError;

/// Why an expression cannot be used, or is neither true nor false. None holds any of the data it was evaluated on: that
/// may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CelError {
    /// Longer than [`super::MAX_LENGTH`].
    #[error("it has {0} bytes; at most {max} are read", max = super::MAX_LENGTH)]
    TooLong(usize),
    /// More parts than [`super::MAX_NODES`], or deeper than [`super::MAX_DEPTH`].
    #[error("it has more than {parts} parts, or parts more than {depth} deep", parts = super::MAX_NODES, depth = super::MAX_DEPTH)]
    TooComplex,
    /// Comprehensions nested deeper than [`super::MAX_NESTED`].
    #[error("more than {max} comprehensions lie in each other or follow from each other", max = super::MAX_NESTED)]
    Nested,
    /// It is not CEL.
    #[error("it is not CEL: {0}")]
    Syntax(String),
    /// It names a variable there is none of.
    #[error("there is no variable {name:?}, only {known}")]
    Variable {
        /// The name.
        name: String,
        /// The variables there are.
        known: String,
    },
    /// It calls a function that is not offered here.
    #[error("there is no function {name:?} of {values} values here")]
    Function {
        /// Its name.
        name: String,
        /// How many values it is given, with the one before the dot.
        values: usize,
    },
    /// A part of the language that is not offered here.
    #[error("{0} are not offered here")]
    Unsupported(&'static str),
    /// A pattern that is computed, malformed or very large.
    #[error("the pattern of matches() {0}")]
    Pattern(&'static str),
    /// A value handed in is larger than [`super::MAX_INPUT`].
    #[error("{variable} is larger than {max} bytes", max = super::MAX_INPUT)]
    Input {
        /// Which.
        variable: String,
    },
    /// Evaluating it on these values could cost more than [`super::BUDGET`].
    #[error("evaluating it could cost {cost}, more than {budget}", budget = super::BUDGET)]
    Costly {
        /// The estimate.
        cost: u64,
    },
    /// It could not be evaluated.
    #[error("it cannot be evaluated: {0}")]
    Failed(String),
    /// It is neither true nor false.
    #[error("it is neither true nor false")]
    NotBoolean,
}

/// A failure of the interpreter in words of our own: its own show the values, and those may be secret.
pub(super) fn words(failure: &ExecutionError, source: &str) -> String {
    match failure {
        // A key may be computed; one that is written in the expression tells nothing new.
        ExecutionError::NoSuchKey(name) if source.contains(name.as_str()) => format!("there is no {name:?}"),
        ExecutionError::NoSuchKey(_) => "there is no such field".into(),
        ExecutionError::UndeclaredReference(name) => format!("there is no {name:?}"),
        ExecutionError::FunctionError { function, .. } => format!("{function}() refuses what it is given"),
        ExecutionError::InvalidArgumentCount { expected, actual } => {
            format!("a function takes {expected} arguments, not {actual}")
        }
        ExecutionError::NotSupportedAsMethod { method, .. } => format!("{method}() does not fit the type"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".into(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".into(),
        ExecutionError::Overflow(operator, ..) => format!("{operator} overflows"),
        _ => "types that do not fit".into(),
    }
}
