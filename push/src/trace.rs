//! The trace that a CI run began: a push is a span of it, and clusters go on from there.
//!
//! CI says which trace it is in `TRACEPARENT`. What clusters go on from stands in the statement's `build.traceparent`, which is signed:
//! in the artifact it would give equal manifests another digest at every run, and beside the signature anybody who holds
//! the registry could send every cluster's spans into a trace of theirs.

use std::{
    env,
    time::{Duration, SystemTime},
};

use sealift_trace::{
    Exporter, Kind, Settings, Span, TraceParent,
    span::{Trail, Value},
};
use sealift_verify::statement::Release;
use serde_json::json;

use crate::{exit::Exit, failure::Failure, output::Output};

/// The field of the statement's `build`.
pub(crate) const FIELD: &str = "traceparent";
/// How long a push that is over waits for its spans to be sent.
const LAST: Duration = Duration::from_secs(5);

/// The span of this run.
#[derive(Debug)]
pub(crate) struct Trace {
    parent: Option<TraceParent>,
    own: TraceParent,
    began: SystemTime,
    trail: Trail,
    exporter: Option<Exporter>,
    facts: Vec<(&'static str, Value)>,
}

/// What CI said, if it is one.
fn parent(variable: &impl Fn(&str) -> Option<String>) -> Option<TraceParent> {
    variable("TRACEPARENT")?.trim().parse().ok()
}

fn of_environment(name: &str) -> Option<String> {
    env::var(name).ok()
}

impl Trace {
    /// Begins, with what the environment says. What is wrong with it is a warning: a trace is worth less than a release.
    pub(crate) fn begin(output: &mut Output) -> Self {
        let parent = parent(&of_environment);
        if parent.is_none() && env::var_os("TRACEPARENT").is_some_and(|text| !text.is_empty()) {
            output.warn("TRACEPARENT is no trace context of W3C's, and is left out");
        }
        let exporter = match Settings::of("sealift", of_environment) {
            Ok(settings) => settings.map(|settings| Exporter::start(settings, |_, _| {})).transpose(),
            Err(error) => {
                output.warn(format_args!("no trace is sent: {error}"));
                Ok(None)
            }
        };
        let exporter = exporter.unwrap_or_else(|error| {
            output.warn(format_args!("no trace is sent: {}", sealift_verify::chain(&error)));
            None
        });
        let own = parent.map_or_else(TraceParent::root, TraceParent::child);
        Self { parent, own, began: SystemTime::now(), trail: Trail::new(), exporter, facts: Vec::new() }
    }

    /// From where clusters go on: from this span if it is sent anywhere, else from CI's.
    pub(crate) fn handed(&self) -> Option<TraceParent> {
        if self.exporter.is_some() { Some(self.own) } else { self.parent }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, name: &'static str) {
        self.trail.step(name);
    }

    /// Something that is known of it now.
    pub(crate) fn fact(&mut self, name: &'static str, value: impl Into<Value>) {
        self.facts.push((name, value.into()));
    }

    /// It is over. Waits a little for the spans to be sent.
    pub(crate) async fn end(self, result: &Result<Exit, Failure>, output: &mut Output) {
        let Self { parent, own, began, trail, exporter, facts } = self;
        let Some(exporter) = exporter else { return };
        let error = result.as_ref().err().map(|failure| failure.error.to_string());
        let (context, kind, ended) = (own, Kind::Producer, SystemTime::now().max(began));
        let whole = Span { name: "push", context, parent, link: None, kind, began, ended, attributes: facts, error };
        let parts = trail.spans(&whole, part);
        exporter.send([whole].into_iter().chain(parts));
        if !exporter.flush(LAST).await {
            output.warn("the collector did not take the trace in time, and it is left out");
        }
    }
}

/// The spans that steps become.
fn part(step: &str) -> Option<&'static str> {
    ["read", "channel", "sign", "upload", "attach", "tag"].into_iter().find(|name| *name == step)
}

/// A statement that is made of another one belongs to the run that makes it.
pub(crate) fn retrace(release: &mut Release) {
    traced(release, parent(&of_environment));
}

fn traced(release: &mut Release, parent: Option<TraceParent>) {
    if let Some(build) = release.build.as_mut().and_then(serde_json::Value::as_object_mut) {
        build.remove(FIELD);
    }
    if let Some(parent) = parent {
        let build = release.build.get_or_insert_with(|| json!({}));
        if let Some(build) = build.as_object_mut() {
            build.insert(FIELD.to_owned(), json!(parent.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CI: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_ci_says_is_taken_if_it_is_a_trace_context() {
        let of = |text: &str| parent(&|name| (name == "TRACEPARENT").then(|| text.to_owned()));
        assert_eq!(of(&format!(" {CI}\n")), CI.parse().ok());
        assert_eq!((of(""), of("00-abc-def-01"), parent(&|_| None)), (None, None, None));
    }

    #[test]
    fn a_push_that_sends_no_spans_hands_on_what_ci_said() {
        let (began, parent) = (SystemTime::now(), CI.parse::<TraceParent>().ok());
        let own = parent.unwrap().child();
        let silent = Trace { parent, own, began, trail: Trail::new(), exporter: None, facts: vec![] };
        assert_eq!(silent.handed(), parent, "a span that nobody ever sees has no children");
        assert_eq!(Trace { parent: None, ..silent }.handed(), None);
    }

    #[test]
    fn a_statement_made_of_another_is_of_the_run_that_makes_it() {
        let zero = format!("sha256:{}", "0".repeat(64));
        let content = json!({"layer": zero, "uncompressed": zero, "files": 1, "objects": 1, "inventory": zero});
        let release = json!({"stream": "a", "repositories": ["registry.example/a"], "sequence": 1, "content": content,
            "issuedAt": "2026-01-01T00:00:00Z", "build": {"tool": "sealift/0"}});
        let mut release: Release = serde_json::from_value(release).unwrap();
        let tool = release.build.clone();
        traced(&mut release, CI.parse().ok());
        assert_eq!(release.build.as_ref().unwrap()[FIELD], CI);
        traced(&mut release, None);
        assert_eq!(release.build, tool, "the run before has nothing to do with it");
        release.build = None;
        traced(&mut release, None);
        assert_eq!(release.build, None);
        traced(&mut release, CI.parse().ok());
        assert_eq!(release.build.unwrap()[FIELD], CI);
    }
}
