//! Where manifests came from: what the person said, else what CI's variables or git say.
//!
//! What was found, rather than said, goes into the statement only: the artifact's digest must not depend on the
//! machine, and the same manifests at another commit are the same release content.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use jiff::Timestamp;
use sealift_trace::TraceParent;
use sealift_verify::statement::Source;
use serde_json::{Value, json};

use crate::{cli::push::OriginArgs, exit::Exit, failure::Failure, trace};

/// What is known about the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    uri: Option<String>,
    revision: Option<String>,
    reference: Option<String>,
    run: Option<String>,
    /// How folders became manifests.
    render: Vec<Value>,
    /// What they were held against.
    validation: Option<Value>,
    /// The span that made it, for clusters to go on from.
    trace: Option<TraceParent>,
}

/// `SOURCE_DATE_EPOCH` is not a number of seconds.
#[derive(Debug, thiserror::Error)]
#[error("SOURCE_DATE_EPOCH {0:?} is not a number of seconds since 1970")]
struct BadEpoch(String);

/// The time that reproducible builds pretend to have been made at, if one is set.
pub(crate) fn source_date() -> Result<Option<Timestamp>, Failure> {
    let Ok(text) = env::var("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let second = text.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    second.map(Some).ok_or_else(|| Failure::new(Exit::InvalidInput, BadEpoch(text)))
}

impl Origin {
    /// What the arguments say, completed by CI's variables, completed by git where every path is in its work tree.
    pub(crate) fn find(args: &OriginArgs, paths: &[std::path::PathBuf]) -> Self {
        let said = Self { uri: args.source.clone(), revision: args.revision.clone(), ..Self::default() };
        let ci = Self::of_ci(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        // A commit of one place beside the address of another would be a false statement: one source, or none.
        let found = if ci.revision.is_some() { ci } else { Self::of_git(paths).unwrap_or_default() };
        said.completed(found)
    }

    fn completed(self, found: Self) -> Self {
        let contradicted = |said: &Option<String>, found: &Option<String>| said.is_some() && said != found;
        let other = contradicted(&self.uri, &found.uri) || contradicted(&self.revision, &found.revision);
        Self {
            run: found.run,
            render: found.render,
            validation: found.validation,
            trace: found.trace,
            reference: found.reference.filter(|_| !other),
            uri: self.uri.or(found.uri.filter(|_| !other)),
            revision: self.revision.or(found.revision.filter(|_| !other)),
        }
    }

    fn of_ci(variable: impl Fn(&str) -> Option<String>) -> Self {
        if let (Some(server), Some(name)) = (variable("GITHUB_SERVER_URL"), variable("GITHUB_REPOSITORY")) {
            let uri = format!("{server}/{name}");
            let run = variable("GITHUB_RUN_ID").map(|id| format!("{uri}/actions/runs/{id}"));
            let (revision, reference) = (variable("GITHUB_SHA"), variable("GITHUB_REF"));
            return Self { revision, reference, run, uri: Some(uri), ..Self::default() };
        }
        Self {
            uri: variable("CI_PROJECT_URL"),
            revision: variable("CI_COMMIT_SHA"),
            reference: variable("CI_COMMIT_TAG").or_else(|| variable("CI_COMMIT_BRANCH")),
            run: variable("CI_JOB_URL"),
            ..Self::default()
        }
    }

    fn of_git(paths: &[std::path::PathBuf]) -> Option<Self> {
        let first = paths.iter().find(|path| path.as_os_str() != "-")?;
        let folder = if first.is_dir() { first.as_path() } else { first.parent()? };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let root = git(folder, &["rev-parse", "--show-toplevel"])?;
        let inside = |path: &std::path::PathBuf| path.canonicalize().is_ok_and(|path| path.starts_with(&root));
        if !paths.iter().all(inside) {
            return None;
        }
        let revision = git(folder, &["rev-parse", "HEAD"])?;
        // A commit that does not hold these files would be a false statement about where they came from.
        let clean = git(folder, &["status", "--porcelain", "--", "."])?.is_empty();
        Some(Self {
            uri: git(folder, &["config", "--get", "remote.origin.url"]).map(|uri| without_credentials(&uri)),
            revision: clean.then_some(revision),
            reference: git(folder, &["symbolic-ref", "-q", "HEAD"]).filter(|_| clean),
            ..Self::default()
        })
    }

    /// The same, with how folders became manifests.
    pub(crate) fn rendered(self, render: Vec<Value>) -> Self {
        Self { render, ..self }
    }

    /// The same, with what the manifests were held against.
    pub(crate) fn validated(self, validation: Value) -> Self {
        Self { validation: Some(validation), ..self }
    }

    /// The same, with the span that makes it.
    pub(crate) fn traced(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// The source as the statement says it.
    pub(crate) fn source(&self) -> Option<Source> {
        let uri = self.uri.clone()?;
        let digest =
            self.revision.iter().map(|revision| (digest_name(revision).to_owned(), revision.clone())).collect();
        Some(Source { uri, digest, reference: self.reference.clone() })
    }

    /// How it was made, as the statement says it.
    pub(crate) fn build(&self) -> Value {
        let mut build = json!({"tool": concat!("sealift/", env!("CARGO_PKG_VERSION"))});
        if let Some(run) = &self.run {
            build["run"] = json!(run);
        }
        if !self.render.is_empty() {
            build["render"] = json!(self.render);
        }
        if let Some(validation) = &self.validation {
            build["validation"] = validation.clone();
        }
        if let Some(trace) = &self.trace {
            build[trace::FIELD] = json!(trace.to_string());
        }
        build
    }
}

/// The annotations of the artifact's manifest: only what was said, so that equal input gives an equal digest.
pub(crate) fn annotations(
    args: &OriginArgs,
    version: Option<&str>,
    created: Option<Timestamp>,
) -> BTreeMap<String, String> {
    let standard = [
        ("created", created.map(|time| time.to_string())),
        ("source", args.source.clone()),
        ("revision", args.revision.clone()),
        ("version", version.map(str::to_owned)),
    ];
    let standard =
        standard.into_iter().filter_map(|(name, value)| Some((format!("org.opencontainers.image.{name}"), value?)));
    standard.chain(args.annotation.iter().cloned()).collect()
}

fn digest_name(revision: &str) -> &'static str {
    let is_commit = matches!(revision.len(), 40 | 64) && revision.bytes().all(|b| b.is_ascii_hexdigit());
    if is_commit { "gitCommit" } else { "revision" }
}

/// What git prints; `None` if there is no git, no repository, or nothing to print it about.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A repository may name programs for git to run; none is run for a look.
    command.arg("-C").arg(folder).args(["-c", "core.fsmonitor=false", "--no-optional-locks"]).args(arguments);
    command.env_remove("SEALIFT_PASSWORD").env_remove("COSIGN_PASSWORD");
    let output = command.stdin(std::process::Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim_end().to_owned())
}

/// Remotes often hold a token; a signed statement is the last place for it.
fn without_credentials(uri: &str) -> String {
    match uri.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_variables_of_github_and_gitlab() {
        let of = |set: &'static [(&str, &str)]| {
            Origin::of_ci(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        let github = of(&[
            ("GITHUB_SERVER_URL", "https://git.example"),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_SHA", "abc"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_RUN_ID", "7"),
        ]);
        assert_eq!(github.uri.as_deref(), Some("https://git.example/acme/shop"));
        assert_eq!(github.run.as_deref(), Some("https://git.example/acme/shop/actions/runs/7"));
        let gitlab =
            of(&[("CI_PROJECT_URL", "https://lab.example/a"), ("CI_COMMIT_SHA", "def"), ("CI_COMMIT_TAG", "v1")]);
        assert_eq!((gitlab.revision.as_deref(), gitlab.reference.as_deref()), (Some("def"), Some("v1")));
    }

    #[test]
    fn two_sources_are_never_mixed() {
        let found = Origin {
            uri: Some("a".into()),
            revision: Some("1".into()),
            reference: Some("main".into()),
            ..Origin::default()
        };
        let said = Origin { uri: Some("b".into()), ..Origin::default() };
        assert_eq!(said.clone().completed(found.clone()), said);
        let agreed = Origin { uri: Some("a".into()), ..Origin::default() };
        assert_eq!(agreed.completed(found.clone()), found);
    }

    #[test]
    fn tokens_of_remotes_are_left_out() {
        for (remote, shown) in [
            ("https://user:token@git.example/a/b.git", "https://git.example/a/b.git"),
            ("https://git.example/a@b", "https://git.example/a@b"),
            ("git@git.example:a/b.git", "git@git.example:a/b.git"),
        ] {
            assert_eq!(without_credentials(remote), shown);
        }
    }

    #[test]
    fn the_manifest_holds_only_what_was_said() {
        let args = OriginArgs { source: None, revision: Some("1".into()), annotation: vec![("a".into(), "b".into())] };
        let annotations = annotations(&args, None, None);
        let expected = [("a", "b"), ("org.opencontainers.image.revision", "1")];
        assert_eq!(annotations, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
