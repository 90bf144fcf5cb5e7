//! A span: a piece of work that is over, with what is to be known of it. *pure*

use std::time::{Duration, SystemTime};

use crate::context::TraceParent;

/// A piece of work that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What was done, of a closed set of names.
    pub name: &'static str,
    /// Which span it is.
    pub context: TraceParent,
    /// The span it is a part of, in the same trace.
    pub parent: Option<TraceParent>,
    /// A span that it goes back to, in another trace.
    pub link: Option<TraceParent>,
    /// What sort of work.
    pub kind: Kind,
    /// When it began.
    pub began: SystemTime,
    /// When it was over.
    pub ended: SystemTime,
    /// Facts about it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What sort of work a span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Done where it was asked for.
    Internal,
    /// It makes what others take up later.
    Producer,
    /// It takes up what another made.
    Consumer,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// When steps began, in order; each ends where the next begins.
#[derive(Clone, Debug)]
pub struct Trail {
    steps: Vec<(&'static str, SystemTime)>,
}

/// No work has more steps; what comes after belongs to the last.
const MOST_STEPS: usize = 32;

impl Trail {
    /// These steps.
    pub fn of(steps: impl IntoIterator<Item = (&'static str, SystemTime)>) -> Self {
        Self { steps: steps.into_iter().take(MOST_STEPS).collect() }
    }

    /// Nothing yet.
    pub fn new() -> Self {
        Self::of([])
    }

    /// The next step begins now.
    pub fn step(&mut self, name: &'static str) {
        if self.steps.len() < MOST_STEPS {
            self.steps.push((name, SystemTime::now()));
        }
    }

    /// A span of each step that `of` names by the words that programs use, as parts of `whole`; steps that follow each other under one
    /// name are one.
    pub fn spans(&self, whole: &Span, of: impl Fn(&str) -> Option<&'static str>) -> Vec<Span> {
        let ends = self.steps.iter().skip(1).map(|(_, began)| *began).chain([whole.ended]);
        let mut spans: Vec<Span> = Vec::new();
        for ((step, began), ended) in self.steps.iter().zip(ends) {
            let Some(name) = of(step) else { continue };
            match spans.last_mut().filter(|last| last.name == name && last.ended == *began) {
                Some(last) => last.ended = ended.max(last.ended),
                None => spans.push(whole.part(name, *began, ended)),
            }
        }
        // What failed, failed in its last step.
        if let Some(last) = spans.last_mut() {
            last.error.clone_from(&whole.error);
        }
        spans
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self::new()
    }
}

impl Span {
    /// A part of this span.
    #[must_use]
    pub fn part(&self, name: &'static str, began: SystemTime, ended: SystemTime) -> Self {
        Self {
            name,
            context: self.context.child(),
            parent: Some(self.context),
            link: None,
            kind: Kind::Internal,
            began,
            // A clock that was set back makes no work of negative length.
            ended: ended.max(began),
            attributes: Vec::new(),
            error: None,
        }
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended.duration_since(self.began).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_parts_that_follow_each_other() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let context = TraceParent::root();
        let whole = Span {
            name: "deliver",
            context,
            parent: None,
            link: None,
            kind: Kind::Consumer,
            began: at(1),
            ended: at(20),
            attributes: vec![],
            error: Some("refused".into()),
        };
        let trail =
            Trail::of([("resolve", at(1)), ("memory", at(2)), ("fetch", at(3)), ("get", at(5)), ("verify", at(4))]);
        let named = |step: &str| match step {
            "resolve" => Some("resolve"),
            "fetch" | "get" => Some("fetch"),
            "verify" => Some("verify"),
            _ => None,
        };
        let spans = trail.spans(&whole, named);
        let told: Vec<_> = spans.iter().map(|span| (span.name, span.took().as_secs(), span.error.is_some())).collect();
        assert_eq!(
            told,
            [("resolve", 1, false), ("fetch", 2, false), ("verify", 16, true)],
            "and no time runs backwards"
        );
        assert!(spans.iter().all(|span| span.parent == Some(context) && span.context.trace_id() == context.trace_id()));
        let mut endless = Trail::new();
        (0..100).for_each(|_| endless.step("again"));
        assert_eq!(endless.steps.len(), MOST_STEPS);
    }
}
