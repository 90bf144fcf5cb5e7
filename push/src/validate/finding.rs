//! What was found, where.

use std::fmt;

use sealift_verify::objects::Origin;

use super::rule::Rule;
use crate::table::plain;

/// A rule that is broken somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: Rule,
    pub(crate) at: Origin,
    /// The object, if there is one.
    pub(crate) object: Option<String>,
    /// The field, as a JSON pointer; empty for the whole object.
    pub(crate) pointer: String,
    pub(crate) message: String,
    /// Another place that has to do with it.
    pub(crate) also: Option<Origin>,
    /// The variants that it is found in, where there are some.
    pub(crate) variants: Vec<String>,
}

/// `file:line: level[rule] Kind.group namespace/name /field: message`, as compilers write it.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, at, object, pointer, message, also, variants } = self;
        write!(f, "{}: {}[{}]", plain(&at.to_string()), rule.level().word(), rule.id())?;
        if let Some(object) = object {
            write!(f, " {}", plain(object))?;
        }
        if !pointer.is_empty() {
            write!(f, " {}", plain(pointer))?;
        }
        if object.is_some() || !pointer.is_empty() {
            f.write_str(":")?;
        }
        write!(f, " {}", plain(message))?;
        if let Some(also) = also {
            write!(f, " (also {})", plain(&also.to_string()))?;
        }
        f.write_str(&of_variants(variants))
    }
}

/// Which variants something is said of, to be put after it.
pub(super) fn of_variants(variants: &[String]) -> String {
    match variants {
        [] => String::new(),
        [one] => format!(" (variant {one})"),
        several => format!(" (variants {})", several.join(", ")),
    }
}
