//! A policy in words: which of its globs match, what it demands. Read from its text, so that nothing is left out.

use sealift_verify::{
    objects::Object,
    policy::{Matcher, MatcherSpec, Mode, Policy},
};
use serde_json::{Map, Value, json};

use crate::{policies::Written, table::plain};

/// One glob and whether it matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob {
    pub(crate) pattern: String,
    pub(crate) matches: bool,
}

/// What a policy says to one repository and namespace.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    object: &'a Object,
    policy: &'a Policy,
    repository: &'a str,
    namespace: Option<&'a str>,
    pub(crate) repositories: Vec<Glob>,
    /// `None` where the policy is for every namespace.
    pub(crate) namespaces: Option<Vec<Glob>>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(written: &'a Written, repository: &'a str, namespace: Option<&'a str>) -> Self {
        let Written { object, policy } = written;
        let list = |field: &str| object.value.pointer(&format!("/spec/match/{field}")).and_then(Value::as_array);
        let globs = |patterns: &Vec<Value>, text: Option<&str>| {
            patterns.iter().filter_map(Value::as_str).map(|pattern| glob(pattern, text)).collect::<Vec<_>>()
        };
        Self {
            object,
            policy,
            repository,
            namespace,
            repositories: list("repositories").map(|patterns| globs(patterns, Some(repository))).unwrap_or_default(),
            namespaces: list("namespaces").map(|patterns| globs(patterns, namespace)),
        }
    }

    /// As the verdict has it.
    pub(crate) fn matches(&self) -> bool {
        self.policy.matches(self.repository, self.namespace)
    }

    pub(crate) fn text(&self) -> String {
        let policy = self.policy;
        let mode = match (self.matches(), policy.mode) {
            (false, _) => "does not match",
            (true, Mode::Enforce) => "matches and must be satisfied",
            (true, Mode::Audit) => "matches and is only reported (mode: audit)",
        };
        let mut lines = vec![format!("policy {} ({}) {mode}", plain(&policy.name), self.object.origin)];
        let mut say = |name: &str, what: String| lines.push(format!("  {name:<22} {}", plain(&what)));
        for Glob { pattern, matches } in &self.repositories {
            say("match.repositories", format!("{pattern:?} {} {}", verb(*matches), self.repository));
        }
        match (&self.namespaces, self.namespace) {
            (None, _) => say("match.namespaces", "not set: every namespace".to_owned()),
            (Some(_), None) => say("match.namespaces", "no namespace was given, so any may be meant".to_owned()),
            (Some(globs), Some(namespace)) => globs.iter().for_each(|Glob { pattern, matches }| {
                say("match.namespaces", format!("{pattern:?} {} {namespace}", verb(*matches)));
            }),
        }
        if self.matches() {
            say("require", format!("{}, all on the same statement", policy.require));
            for (name, what) in self.demands() {
                say(&name, what);
            }
        }
        lines.join("\n")
    }

    /// Everything of the spec but `mode`, `match` and `require`, by path.
    fn demands(&self) -> Vec<(String, String)> {
        let spec = self.object.value.get("spec").and_then(Value::as_object);
        let mut found = Vec::new();
        for (name, value) in spec.into_iter().flatten() {
            match (name.as_str(), value) {
                ("mode" | "match" | "require", _) => {}
                ("authorities", Value::Array(authorities)) => {
                    found.extend(authorities.iter().map(|a| ("authority".to_owned(), authority(a))));
                }
                (_, Value::Object(fields)) => {
                    if name == "release" && !fields.contains_key("emergency") {
                        found.push((
                            "release.emergency".to_owned(),
                            "forbid (the default): who goes back signs it".to_owned(),
                        ));
                    }
                    found.extend(fields.iter().map(|(field, value)| (format!("{name}.{field}"), said(value))))
                }
                (_, value) => found.push((name.clone(), said(value))),
            }
        }
        found
    }

    pub(crate) fn json(&self) -> Value {
        let policy = self.policy;
        let globs =
            |globs: &[Glob]| globs.iter().map(|g| json!({"glob": g.pattern, "matches": g.matches})).collect::<Vec<_>>();
        json!({
            "name": policy.name,
            "origin": self.object.origin.to_string(),
            "digest": policy.digest,
            "mode": policy.mode,
            "matches": self.matches(),
            "repositories": globs(&self.repositories),
            "namespaces": self.namespaces.as_deref().map(globs),
            "require": policy.require.to_string(),
            "spec": self.object.value["spec"],
        })
    }
}

fn verb(matches: bool) -> &'static str {
    if matches { "matches" } else { "does not match" }
}

/// By the pattern's own rules; without a text nothing can be said against it.
fn glob(pattern: &str, text: Option<&str>) -> Glob {
    let spec = MatcherSpec { glob: Some(pattern.to_owned()), ..MatcherSpec::default() };
    let matches = text.is_none_or(|text| Matcher::new(&spec).is_ok_and(|matcher| matcher.matches(text)));
    Glob { pattern: pattern.to_owned(), matches }
}

/// A signer: keys by their id, which is what evidence and deny lists call them.
fn authority(value: &Value) -> String {
    let name = value["name"].as_str().unwrap_or_default();
    let others = value.as_object().into_iter().flatten().filter(|(field, _)| *field != "name");
    let parts = others.map(|(field, value)| match value.as_object() {
        Some(fields) => format!("{field} {}", fields.iter().map(part).collect::<Vec<_>>().join(", ")),
        None => format!("{field} {}", said(value)),
    });
    format!("{name}: {}", parts.collect::<Vec<_>>().join("; "))
}

fn part((field, value): (&String, &Value)) -> String {
    let key =
        value.as_str().filter(|_| field == "pem").and_then(|pem| sealift_verify::keys::PublicKey::from_pem(pem).ok());
    match key {
        Some(key) => key.id().to_string(),
        None => format!("{field} {}", said(value)),
    }
}

/// A value as a person would write it on one line.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => pairs(fields),
        other => other.to_string(),
    }
}

fn pairs(fields: &Map<String, Value>) -> String {
    fields.iter().map(|(name, value)| format!("{name} {}", said(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_judged_as_the_policy_judges_them() {
        for (pattern, text, matches) in [
            ("registry.example/acme/**", "registry.example/acme/a/b", true),
            ("registry.example/acme/*", "registry.example/acme/a/b", false),
            ("acme-*", "acme-shop", true),
            ("acme-*", "other", false),
        ] {
            assert_eq!(glob(pattern, Some(text)).matches, matches, "{pattern} {text}");
        }
    }

    #[test]
    fn values_are_said_on_one_line() {
        assert_eq!(said(&json!([{"glob": "acme/**"}, {"exact": "beta"}])), "glob acme/**, exact beta");
        assert_eq!(said(&json!([])), "nothing");
        assert_eq!(said(&json!({"epoch": 0, "sequence": 7})), "epoch 0 sequence 7");
    }
}
