//! Whether the images that a release runs can be pulled: what `--check-images` adds to the verdict.
//!
//! The verdict itself does not depend on it: a cluster asks the images' registries for signatures at most. So the record of
//! the verdict stays as it is, and what was found stands beside it.

use std::collections::{BTreeMap, BTreeSet};

use sealift_registry::{client::ClientError, images};
use sealift_verify::{
    digest::Digest,
    evidence::junit::{Case, CaseResult},
    objects::images::{ImageName, ImageNameError},
};
use serde_json::{Value, json};

use crate::{
    cli::RegistryAccess,
    exit::Exit,
    failure::Failure,
    output::Output,
    pin::{counted, tag_of},
    table::plain,
    transport,
};

/// The field of the record's predicate that holds what was found.
pub(super) const EXTENSION: &str = "https://sealift.dev/images/v1";
/// What JUnit and SARIF call this.
const CHECK: &str = "image-exists";

/// One image, and what its registry said.
#[derive(Debug)]
pub(super) struct Looked {
    image: String,
    /// The objects that name it.
    objects: BTreeSet<String>,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// It is there.
    Present {
        digest: Digest,
        /// False if only a tag names it, which says something else tomorrow.
        pinned: bool,
    },
    /// The registry says that it has no such image.
    Missing,
    /// The registry has something else under that digest.
    WrongDigest(Failure),
    /// What an object names is no image.
    NoName(ImageNameError),
    /// Nobody could be asked.
    CouldNotCheck(Failure),
}

/// Some images cannot be pulled.
#[derive(Debug, thiserror::Error)]
#[error("{} of {of} cannot be pulled", counted(*.count))]
struct Absent {
    count: usize,
    of: usize,
}

/// Of some images nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("{} of {of} could not be asked about", counted(*.count))]
struct Unasked {
    count: usize,
    of: usize,
}

/// Asks the registry of each image, some at the same time and each with the credentials for its own repository; in the
/// order of their names.
pub(super) async fn look(
    named: BTreeMap<String, BTreeSet<String>>,
    access: &RegistryAccess,
    output: &mut Output,
) -> Vec<Looked> {
    output.progress(format_args!("looking for {}", counted(named.len())));
    let mut looked = images::each(named, async |(image, objects)| {
        let found = ask(&image, access).await;
        Looked { image, objects, found }
    })
    .await;
    looked.sort_by(|a, b| a.image.cmp(&b.image));
    looked
}

async fn ask(image: &str, access: &RegistryAccess) -> Found {
    let name = match ImageName::parse(image) {
        Ok(name) => name,
        Err(error) => return Found::NoName(error),
    };
    let client = match transport::client(&name.repository, access).await {
        Ok(client) => client,
        Err(failure) => return Found::CouldNotCheck(failure),
    };
    // A runtime goes by the digest where there is one, whatever the tag beside it says.
    let answer = match name.pinned() {
        Some(pinned) => client.has_manifest(&pinned).await.map(|()| (pinned.digest, true)),
        None => client.resolve(&name.repository, tag_of(&name)).await.map(|digest| (digest, false)),
    };
    match answer {
        Ok((digest, pinned)) => Found::Present { digest, pinned },
        Err(error) => Found::of(error),
    }
}

impl Found {
    fn of(error: ClientError) -> Self {
        match error {
            ClientError::NotFound { .. } => Self::Missing,
            ClientError::DigestMismatch { .. } | ClientError::TooLarge { .. } => Self::WrongDigest(error.into()),
            _ => Self::CouldNotCheck(error.into()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Present { .. } => "present",
            Self::Missing => "missing",
            Self::WrongDigest(_) => "wrong-digest",
            Self::NoName(_) => "no-image",
            Self::CouldNotCheck(_) => "could-not-check",
        }
    }

    /// In words, on one line; nothing where the word says it all.
    fn detail(&self) -> Option<String> {
        match self {
            Self::Present { pinned: true, .. } | Self::Missing => None,
            Self::Present { digest, pinned: false } => Some(format!("a tag, {digest} now")),
            Self::NoName(error) => Some(plain(&sealift_verify::chain(error))),
            Self::WrongDigest(failure) | Self::CouldNotCheck(failure) => {
                Some(plain(&sealift_verify::chain(failure.error.as_ref())))
            }
        }
    }

    /// True of an answer that is no.
    fn is_absent(&self) -> bool {
        matches!(self, Self::Missing | Self::WrongDigest(_) | Self::NoName(_))
    }
}

impl Looked {
    fn line(&self) -> String {
        let Self { image, objects, found } = self;
        let detail = found.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let by = match found {
            Found::Present { .. } => String::new(),
            _ => format!(", in {}", objects.iter().map(|object| plain(object)).collect::<Vec<_>>().join(", ")),
        };
        format!("  {:<15}  {}{detail}{by}", found.word(), plain(image))
    }

    fn json(&self) -> Value {
        let Self { image, objects, found } = self;
        let digest = match found {
            Found::Present { digest, .. } => Some(digest),
            _ => None,
        };
        json!({"image": image, "result": found.word(), "digest": digest, "detail": found.detail(), "objects": objects})
    }

    fn said(&self) -> String {
        format!("{}{}", self.found.word(), self.found.detail().map(|detail| format!(": {detail}")).unwrap_or_default())
    }

    /// One case of a suite.
    pub(super) fn case(&self) -> Case {
        let (kind, message) = (self.found.word().to_owned(), self.said());
        let result = match &self.found {
            Found::Present { .. } => CaseResult::Passed(message),
            Found::CouldNotCheck(_) => CaseResult::Error { kind, message },
            _ => CaseResult::Failed { kind, message },
        };
        Case { class: format!("sealift.verify.{CHECK}"), name: self.image.clone(), result }
    }

    /// A row of a summary; none of an image that is there.
    pub(super) fn row(&self) -> Option<(&'static str, String)> {
        let is_present = matches!(self.found, Found::Present { .. });
        (!is_present).then(|| (self.found.word(), self.image.clone()))
    }

    fn sarif(&self, rule: usize, artifact: &str) -> Option<Value> {
        let is_present = matches!(self.found, Found::Present { .. });
        (!is_present).then(|| {
            json!({
                "ruleId": CHECK, "ruleIndex": rule, "kind": "fail", "level": "error",
                "message": {"text": format!("{}: {}", self.image, self.said())},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": format!("oci://{artifact}")}}}],
                "properties": {"result": self.found.word(), "objects": self.objects},
            })
        })
    }
}

/// The lines for people.
pub(super) fn lines(looked: &[Looked]) -> String {
    let lines: Vec<_> = looked.iter().map(Looked::line).collect();
    match lines.is_empty() {
        true => "images: the release names none".to_owned(),
        false => format!("images\n{}", lines.join("\n")),
    }
}

/// Puts them into the record of the verdict, beside it.
pub(super) fn add_to_record(record: &mut Value, looked: &[Looked]) {
    record["predicate"][EXTENSION] = looked.iter().map(Looked::json).collect();
}

/// Adds the rule and its results to a run.
pub(super) fn add_to_sarif(document: &mut Value, looked: &[Looked], artifact: &str) {
    let run = &mut document["runs"][0];
    let Some(rules) = run["tool"]["driver"]["rules"].as_array_mut() else { return };
    let rule = rules.len();
    rules.push(json!({"id": CHECK, "shortDescription": {"text": "Every image can be pulled as it is named."}}));
    if let Some(results) = run["results"].as_array_mut() {
        results.extend(looked.iter().filter_map(|looked| looked.sarif(rule, artifact)));
    }
}

/// What it means for scripts: no is no, and not having been able to ask is something else.
pub(super) fn verdict(looked: Vec<Looked>) -> Result<(), Failure> {
    let of = looked.len();
    let absent = looked.iter().filter(|looked| looked.found.is_absent()).count();
    if absent > 0 {
        return Err(Failure::new(Exit::Refused, Absent { count: absent, of })
            .hint("push or mirror these images first, or release what names others"));
    }
    let unasked: Vec<_> = looked
        .into_iter()
        .filter_map(|looked| match looked.found {
            Found::CouldNotCheck(failure) => Some(failure),
            _ => None,
        })
        .collect();
    let count = unasked.len();
    match unasked.into_iter().next() {
        None => Ok(()),
        // What the first one means stands for all, but nothing was refused.
        Some(Failure { exit, hint, .. }) => {
            let exit = if exit == Exit::Credentials { exit } else { Exit::CouldNotCheck };
            Err(Failure { exit, error: Box::new(Unasked { count, of }), hint })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(found: Found) -> Looked {
        Looked { image: "registry.example/a:1".to_owned(), objects: ["Pod shop/web".to_owned()].into(), found }
    }

    fn failing(exit: Exit) -> Failure {
        Failure::new(exit, "the registry is down")
    }

    #[test]
    fn what_is_not_there_is_a_no_and_what_could_not_be_asked_about_is_not() {
        let present = || Found::Present { digest: Digest::of(b"a"), pinned: true };
        let no_name = || Found::NoName(ImageName::parse("A b").unwrap_err());
        let could_not = |exit| Found::CouldNotCheck(failing(exit));
        let missing = || Found::Missing;
        for (found, expected) in [
            (vec![], None),
            (vec![present()], None),
            (vec![present(), missing()], Some((Exit::Refused, "1 image of 2 cannot be pulled"))),
            (vec![Found::WrongDigest(failing(Exit::Refused))], Some((Exit::Refused, "1 image of 1 cannot be pulled"))),
            (vec![no_name()], Some((Exit::Refused, "1 image of 1 cannot be pulled"))),
            (
                vec![could_not(Exit::CouldNotCheck), present()],
                Some((Exit::CouldNotCheck, "1 image of 2 could not be asked about")),
            ),
            (vec![could_not(Exit::Credentials)], Some((Exit::Credentials, "1 image of 1 could not be asked about"))),
            (vec![could_not(Exit::Failed)], Some((Exit::CouldNotCheck, "1 image of 1 could not be asked about"))),
            (vec![could_not(Exit::CouldNotCheck), missing()], Some((Exit::Refused, "1 image of 2 cannot be pulled"))),
        ] {
            let shown = format!("{found:?}");
            let failure = verdict(found.into_iter().map(looked).collect()).err();
            let failure = failure.map(|failure| (failure.exit, failure.error.to_string()));
            assert_eq!(failure.as_ref().map(|(exit, text)| (*exit, text.as_str())), expected, "{shown}");
        }
    }

    #[test]
    fn a_line_says_where_an_image_that_is_not_there_is_named() {
        assert_eq!(
            lines(&[looked(Found::Missing)]),
            "images\n  missing          registry.example/a:1, in Pod shop/web"
        );
        assert_eq!(lines(&[]), "images: the release names none");
    }
}
