//! What may be written: the syntax tree is walked once, names are held against what there is, and what the interpreter
//! gets wrong is rewritten or refused.

use std::collections::BTreeMap;

use kube_cel::cel::{
    common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators},
    parser::Parser,
};
use regex::{Regex, RegexBuilder};

use super::{CelError, MAX_DEPTH, MAX_LENGTH, MAX_NESTED, MAX_NODES};

/// What a pattern may take once compiled.
const PATTERN_BYTES: usize = 64 * 1024;

/// Functions that may be called, as methods or not, and how many values they take: the interpreter passes over one too many.
/// What makes a value much larger than its arguments, such as `replace`, `join` and `lists.range`, is not among them.
const FUNCTIONS: [(&str, std::ops::RangeInclusive<usize>); 33] = [
    ("size", 1..=1),
    ("contains", 2..=2),
    ("startsWith", 2..=2),
    ("endsWith", 2..=2),
    ("matches", 2..=2),
    ("string", 1..=1),
    ("int", 1..=1),
    ("uint", 1..=1),
    ("double", 1..=1),
    ("min", 1..=8),
    ("max", 1..=8),
    ("timestamp", 1..=1),
    ("duration", 1..=1),
    ("getFullYear", 1..=1),
    ("getMonth", 1..=1),
    ("getDate", 1..=1),
    ("getDayOfMonth", 1..=1),
    ("getDayOfWeek", 1..=1),
    ("getHours", 1..=1),
    ("getMinutes", 1..=1),
    ("getSeconds", 1..=1),
    ("lowerAscii", 1..=1),
    ("upperAscii", 1..=1),
    ("trim", 1..=1),
    ("split", 2..=2),
    ("substring", 2..=3),
    ("indexOf", 2..=2),
    ("quantity", 1..=1),
    ("isQuantity", 1..=1),
    ("asInteger", 1..=1),
    ("isGreaterThan", 2..=2),
    ("isLessThan", 2..=2),
    ("compareTo", 2..=2),
];

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

/// An expression in the form that is evaluated, with its patterns.
pub(super) struct Formed {
    pub(super) parsed: IdedExpr,
    pub(super) patterns: BTreeMap<String, Regex>,
}

pub(super) fn read(source: &str, variables: &[&str]) -> Result<Formed, CelError> {
    if source.len() > MAX_LENGTH {
        return Err(CelError::TooLong(source.len()));
    }
    super::scan::scan(source)?;
    let depth = u16::try_from(MAX_DEPTH).unwrap_or(u16::MAX);
    let parsed = Parser::new().max_recursion_depth(depth).parse(source).map_err(|errors| {
        let first = errors.errors.first();
        CelError::Syntax(first.map_or_else(String::new, |e| format!("{} at {}:{}", e.msg, e.pos.0, e.pos.1)))
    })?;
    let mut walk = Walk { variables, bound: Vec::new(), nodes: 0, patterns: BTreeMap::new() };
    let mut parsed = parsed;
    let nested = walk.visit(&mut parsed, 0)?;
    match nested > MAX_NESTED {
        true => Err(CelError::Nested),
        false => Ok(Formed { parsed, patterns: walk.patterns }),
    }
}

struct Walk<'a> {
    variables: &'a [&'a str],
    /// The variables of the comprehensions around.
    bound: Vec<String>,
    nodes: usize,
    patterns: BTreeMap<String, Regex>,
}

impl Walk<'_> {
    /// How many comprehensions lie in each other in this part, or take their list from each other: `l.map(…).map(…)` can
    /// multiply as well as one within the other.
    fn visit(&mut self, part: &mut IdedExpr, depth: usize) -> Result<usize, CelError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES || depth > MAX_DEPTH {
            return Err(CelError::TooComplex);
        }
        let deeper = depth + 1;
        match &mut part.expr {
            Expr::Unspecified => Err(CelError::Unsupported("empty parts")),
            Expr::Struct(_) => Err(CelError::Unsupported("messages")),
            Expr::Literal(LiteralValue::Bytes(_)) => Err(CelError::Unsupported("bytes")),
            Expr::Literal(_) => Ok(0),
            Expr::Ident(name) => self.known(name).map(|()| 0),
            Expr::List(list) if !list.optional_indices.is_empty() => Err(CelError::Unsupported("optional values")),
            Expr::List(list) => self.deepest(&mut list.elements, deeper),
            Expr::Map(map) => {
                let mut nested = 0;
                for entry in &mut map.entries {
                    let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                        return Err(CelError::Unsupported("messages"));
                    };
                    if entry.optional {
                        return Err(CelError::Unsupported("optional values"));
                    }
                    nested = nested.max(self.visit(&mut entry.key, deeper)?).max(self.visit(&mut entry.value, deeper)?);
                }
                Ok(nested)
            }
            Expr::Select(select) => {
                let nested = self.visit(&mut select.operand, deeper)?;
                part.expr = match select.test {
                    true => presence(std::mem::take(select)),
                    false => field(std::mem::take(select)),
                };
                Ok(nested)
            }
            Expr::Call(call) => self.call(call, deeper),
            Expr::Comprehension(comprehension) => {
                let range = self.visit(&mut comprehension.iter_range, deeper)?;
                let init = self.visit(&mut comprehension.accu_init, deeper)?;
                let bound = self.bound.len();
                self.bound.push(comprehension.iter_var.clone());
                self.bound.extend(comprehension.iter_var2.clone());
                self.bound.push(comprehension.accu_var.clone());
                let condition = self.visit(&mut comprehension.loop_cond, deeper)?;
                let step = self.visit(&mut comprehension.loop_step, deeper)?;
                let result = self.visit(&mut comprehension.result, deeper)?;
                self.bound.truncate(bound);
                Ok(1 + range + init.max(condition).max(step).max(result))
            }
        }
    }

    fn deepest(&mut self, parts: &mut [IdedExpr], depth: usize) -> Result<usize, CelError> {
        parts.iter_mut().try_fold(0, |nested, part| Ok(nested.max(self.visit(part, depth)?)))
    }

    fn known(&self, name: &str) -> Result<(), CelError> {
        if self.variables.contains(&name) || self.bound.iter().any(|bound| bound == name) {
            return Ok(());
        }
        Err(CelError::Variable { name: name.to_owned(), known: self.variables.join(", ") })
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<usize, CelError> {
        let name = call.func_name.as_str();
        let operator = OPERATORS.contains(&name) || name == operators::NOT_STRICTLY_FALSE;
        let values = call.args.len() + usize::from(call.target.is_some());
        if !operator && !FUNCTIONS.iter().any(|(known, takes)| *known == name && takes.contains(&values)) {
            return Err(CelError::Function { name: name.to_owned(), values });
        }
        if name == "matches" {
            self.pattern(call)?;
        }
        let target = call.target.as_deref_mut().map_or(Ok(0), |target| self.visit(target, depth))?;
        // Functions may hand on what they are given, so a list made in the target is one that is gone through here.
        Ok(target.max(self.deepest(&mut call.args, depth)?))
    }

    /// Patterns are literals, so that each is compiled once and while somebody looks on.
    fn pattern(&mut self, call: &CallExpr) -> Result<(), CelError> {
        let (Some(_), [argument]) = (&call.target, call.args.as_slice()) else {
            return Err(CelError::Pattern("has to be its only argument"));
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &argument.expr else {
            return Err(CelError::Pattern("has to be a literal"));
        };
        let compiled = RegexBuilder::new(pattern.inner()).size_limit(PATTERN_BYTES).build();
        let compiled = compiled.map_err(|_| CelError::Pattern("cannot be read, or is too large"))?;
        self.patterns.insert(pattern.inner().to_owned(), compiled);
        Ok(())
    }
}

/// What `has` becomes; nobody can write this name.
pub(super) const HAS: &str = "@has";

/// `has(a.b)` as a function of ours: the interpreter says of what is no map that it has no such field, so that the negation
/// would be true of it.
fn presence(select: SelectExpr) -> Expr {
    let SelectExpr { operand, field, test: _ } = select;
    let name = Expr::Literal(LiteralValue::String(field.as_str().into()));
    let id = operand.id;
    let args = vec![*operand, IdedExpr { id, expr: name }];
    Expr::Call(CallExpr { func_name: HAS.to_owned(), target: None, args })
}

/// `a.b` as `a["b"]`: of what is no map, the interpreter says that its field is `false`, where there is none.
fn field(select: SelectExpr) -> Expr {
    let SelectExpr { operand, field, test: _ } = select;
    let name = Expr::Literal(LiteralValue::String(field.as_str().into()));
    let id = operand.id;
    let args = vec![*operand, IdedExpr { id, expr: name }];
    Expr::Call(CallExpr { func_name: operators::INDEX.to_owned(), target: None, args })
}
