//! What an evaluation can cost at most, reckoned from the expression and the sizes of the very values it is about to see.
//!
//! The interpreter copies freely: a variable of a comprehension, the list it grows, and every argument of a function. So the
//! unit is the byte that may have to be copied, and every step is charged for all that it could copy.

use std::collections::BTreeMap;

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use serde_json::Value;

use super::{BUDGET, CelError, MAX_INPUT, form::HAS};

/// What the smallest value, and each step, is charged.
const UNIT: u64 = 16;
/// What a call is charged beside its arguments: argument lists, dispatch, and parsing of times and quantities.
const CALL: u64 = 256;
/// What each byte is charged that a pattern is held against: a large pattern may look at it from many of its places.
const PATTERN: u64 = 256;
/// JSON nests no deeper: `serde_json` refuses more.
const DEEPEST: usize = 130;

/// The size of a value, from above.
#[derive(Clone, Debug, Default)]
struct Shape {
    /// Bytes of the whole.
    bytes: u64,
    /// Elements or fields, of this value alone.
    items: u64,
    /// What any one element, field or key is no larger than.
    child: Option<Box<Shape>>,
}

impl Shape {
    fn scalar(bytes: u64) -> Self {
        Self { bytes: UNIT.saturating_add(bytes), items: 0, child: None }
    }

    fn of(value: &Value, depth: usize) -> Self {
        if depth > DEEPEST {
            return Self::scalar(u64::MAX);
        }
        let of_all = |items: &mut dyn Iterator<Item = Self>| {
            items.fold(Self::scalar(0), |sum, item| Self {
                bytes: sum.bytes.saturating_add(item.bytes),
                items: sum.items + 1,
                child: Some(Box::new(Self::either(sum.child.map(|c| *c).unwrap_or_default(), item))),
            })
        };
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Self::scalar(0),
            Value::String(text) => Self::scalar(text.len() as u64),
            Value::Array(items) => of_all(&mut items.iter().map(|item| Self::of(item, depth + 1))),
            Value::Object(fields) => of_all(&mut fields.iter().map(|(name, value)| {
                let value = Self::of(value, depth + 1);
                Self { bytes: value.bytes.saturating_add(UNIT + name.len() as u64), ..value }
            })),
        }
    }

    /// No smaller than either.
    fn either(one: Self, other: Self) -> Self {
        let child = match (one.child, other.child) {
            (Some(a), Some(b)) => Some(Box::new(Self::either(*a, *b))),
            (a, b) => a.or(b),
        };
        Self { bytes: one.bytes.max(other.bytes), items: one.items.max(other.items), child }
    }

    /// No smaller than both one after the other.
    fn both(one: Self, other: Self) -> Self {
        let (bytes, items) = (one.bytes.saturating_add(other.bytes), one.items.saturating_add(other.items));
        Self { bytes, items, ..Self::either(one, other) }
    }

    /// What an element or field is no larger than.
    fn element(&self) -> Self {
        self.child.as_deref().cloned().unwrap_or_else(|| Self::scalar(0))
    }
}

/// Refuses what is too large to be handed in, or could cost too much.
pub(super) fn within_budget(expression: &IdedExpr, values: &[(&str, &Value)]) -> Result<(), CelError> {
    let mut known = BTreeMap::new();
    let mut handed = 0_u64;
    for (name, value) in values {
        let shape = Shape::of(value, 0);
        if shape.bytes > MAX_INPUT {
            return Err(CelError::Input { variable: (*name).to_owned() });
        }
        handed = handed.saturating_add(shape.bytes);
        known.insert((*name).to_owned(), shape);
    }
    let mut reckoning = Reckoning { known, cost: handed };
    reckoning.of(expression);
    match reckoning.cost > BUDGET {
        true => Err(CelError::Costly { cost: reckoning.cost }),
        false => Ok(()),
    }
}

struct Reckoning {
    known: BTreeMap<String, Shape>,
    cost: u64,
}

impl Reckoning {
    fn charge(&mut self, cost: u64) {
        self.cost = self.cost.saturating_add(cost);
    }

    fn of(&mut self, part: &IdedExpr) -> Shape {
        self.charge(UNIT);
        match &part.expr {
            Expr::Literal(LiteralValue::String(text)) => Shape::scalar(text.inner().len() as u64),
            Expr::Literal(_) | Expr::Unspecified | Expr::Struct(_) => Shape::scalar(0),
            Expr::Ident(name) => self.known.get(name).cloned().unwrap_or_default(),
            Expr::List(list) => {
                let elements: Vec<_> = list.elements.iter().map(|element| self.of(element)).collect();
                self.holding(elements)
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => Some((&entry.key, &entry.value)),
                    EntryExpr::StructField(_) => None,
                });
                let entries = entries.map(|(key, value)| Shape::both(self.of(key), self.of(value))).collect();
                self.holding(entries)
            }
            Expr::Select(select) => {
                let operand = self.of(&select.operand);
                match select.test {
                    true => Shape::scalar(0),
                    false => operand.element(),
                }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    /// A list or map made of these, which are copied into it.
    fn holding(&mut self, parts: Vec<Shape>) -> Shape {
        let items = parts.len() as u64;
        let bytes = parts.iter().fold(UNIT, |sum, part| sum.saturating_add(part.bytes));
        self.charge(bytes);
        Shape { bytes, items, child: parts.into_iter().reduce(Shape::either).map(Box::new) }
    }

    fn call(&mut self, call: &CallExpr) -> Shape {
        let target = call.target.as_deref().map(|target| self.of(target));
        let args: Vec<_> = call.args.iter().map(|arg| self.of(arg)).collect();
        let all = || target.iter().chain(&args);
        let bytes = all().fold(0_u64, |sum, shape| sum.saturating_add(shape.bytes));
        match call.func_name.as_str() {
            operators::CONDITIONAL => args.into_iter().skip(1).fold(Shape::default(), Shape::either),
            operators::INDEX => args.first().map(Shape::element).unwrap_or_default(),
            operators::ADD => {
                self.charge(bytes);
                args.into_iter().fold(Shape::default(), Shape::both)
            }
            operators::EQUALS | operators::NOT_EQUALS => {
                self.charge(bytes);
                Shape::scalar(0)
            }
            operators::IN => {
                // Against every element of a list the other side is compared whole.
                let (sought, items) = (args.first().map_or(0, |a| a.bytes), args.get(1).map_or(0, |a| a.items));
                self.charge(bytes.saturating_add(sought.saturating_mul(items)));
                Shape::scalar(0)
            }
            // A map is shared, not copied, to be asked for one of its keys.
            HAS => {
                self.charge(CALL);
                Shape::scalar(0)
            }
            name if name.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                // Arguments are turned from one kind of value into another, and the answer back.
                let each = if name == "matches" { PATTERN } else { 4 };
                self.charge(bytes.saturating_mul(each).saturating_add(CALL));
                match name {
                    // At worst every letter becomes a text of its own.
                    "split" => Shape {
                        bytes: bytes.saturating_mul(UNIT + 1),
                        items: bytes,
                        child: Some(Box::new(Shape::scalar(bytes))),
                    },
                    "min" | "max" => {
                        all().cloned().map(|s| Shape::either(s.element(), s)).fold(Shape::default(), Shape::either)
                    }
                    "string" | "lowerAscii" | "upperAscii" | "trim" | "substring" => {
                        Shape::scalar(bytes.saturating_add(64))
                    }
                    _ => Shape::scalar(64),
                }
            }
            _ => {
                self.charge(bytes);
                Shape::scalar(0)
            }
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Shape {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_cond, loop_step, result } =
            comprehension;
        let range = self.of(iter_range);
        let init = self.of(accu_init);
        let makes_list = matches!(accu_init.expr, Expr::List(_));
        let around = self.known.clone();
        for name in [Some(iter_var), iter_var2.as_ref()].into_iter().flatten() {
            self.known.insert(name.clone(), range.element());
        }
        self.known.insert(accu_var.clone(), init);
        let before = std::mem::take(&mut self.cost);
        self.of(loop_cond);
        let step = self.of(loop_step);
        let times = range.items;
        let made = match makes_list {
            true => Shape {
                bytes: times.saturating_mul(step.bytes),
                items: times.saturating_mul(step.items),
                child: step.child,
            },
            false => step,
        };
        // In every round the element is copied, and what has been made so far is read, added to and kept.
        let round = self.cost.saturating_add(range.element().bytes).saturating_add(made.bytes.saturating_mul(3));
        self.cost = before.saturating_add(times.saturating_mul(round));
        self.known.insert(accu_var.clone(), made);
        let shape = self.of(result);
        self.known = around;
        self.charge(shape.bytes);
        shape
    }
}
