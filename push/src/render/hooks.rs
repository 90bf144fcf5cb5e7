//! What a chart has Helm do around an installation, and what becomes of it in a release: pure.

use sealift_verify::{
    artifact::Limits,
    objects::{
        ObjectId,
        yaml::{self, Source},
    },
};

use crate::cli::render::HelmHooks;

const ANNOTATION: &str = "helm.sh/hook";

/// A hook of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) id: ObjectId,
    /// When Helm would run it, as the annotation says.
    pub(super) when: String,
    pub(super) template: String,
    kind: Kind,
}

/// When a hook runs, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// For `helm test` only.
    Test,
    /// With an installation or upgrade, perhaps among other times.
    Install,
    /// With deletion or rollback only.
    Removal,
}

/// A chart's documents and what became of its hooks.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) sources: Vec<Source>,
    /// Hooks that are ordinary objects now.
    pub(super) applied: Vec<Hook>,
    pub(super) left_out: Vec<Hook>,
}

/// The chart has hooks, and nobody said what is to become of them.
#[derive(Debug)]
pub(crate) struct Undecided(Vec<Hook>);

impl std::error::Error for Undecided {}

impl std::fmt::Display for Undecided {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the chart has hooks, which helm runs around an installation and a release has no place for")?;
        self.0.iter().try_for_each(|hook| write!(f, "\n  {hook} in {}", hook.template))
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.id, self.when)
    }
}

impl Hook {
    /// Whether this is one for `helm test`.
    pub(super) fn is_test(&self) -> bool {
        self.kind == Kind::Test
    }
}

/// Takes hooks out of the documents of a chart, as `wanted` says. A document that cannot be read stays, for whoever reads
/// all of them to say so.
pub(super) fn sort(documents: Vec<Source>, wanted: HelmHooks, limits: &Limits) -> Result<Sorted, Undecided> {
    let mut sorted = Sorted::default();
    let mut undecided = Vec::new();
    for source in documents {
        let Some(hook) = hook(&source, limits) else {
            sorted.sources.push(source);
            continue;
        };
        match (hook.kind, wanted) {
            (Kind::Test, _) | (_, HelmHooks::Drop) | (Kind::Removal, HelmHooks::Apply) => sorted.left_out.push(hook),
            (Kind::Install, HelmHooks::Apply) => {
                sorted.sources.push(source);
                sorted.applied.push(hook);
            }
            (Kind::Install | Kind::Removal, HelmHooks::Refuse) => undecided.push(hook),
        }
    }
    if undecided.is_empty() { Ok(sorted) } else { Err(Undecided(undecided)) }
}

fn hook(source: &Source, limits: &Limits) -> Option<Hook> {
    // Most documents do not even have the word.
    source.bytes.windows(ANNOTATION.len()).find(|window| *window == ANNOTATION.as_bytes())?;
    let objects = yaml::read(std::slice::from_ref(source), limits).ok()?;
    // The items of a list are no hooks to helm.
    let object = objects.iter().next().filter(|_| objects.len() == 1)?;
    let when = object.value["metadata"]["annotations"][ANNOTATION].as_str()?;
    let (id, template) = (object.id.clone(), source.name.clone());
    Some(Hook { id, when: when.to_owned(), template, kind: Kind::of(when) })
}

impl Kind {
    /// Helm knows no hook by another word, and takes what names only such ones for an ordinary object; here that is
    /// somebody's decision.
    fn of(when: &str) -> Self {
        let mut words = when.split(',').map(|word| word.trim().to_ascii_lowercase());
        let is_test = |word: &String| matches!(word.as_str(), "test" | "test-success" | "test-failure");
        let is_removal =
            |word: &String| matches!(word.as_str(), "pre-delete" | "post-delete" | "pre-rollback" | "post-rollback");
        if words.clone().all(|word| is_test(&word)) {
            Self::Test
        } else if words.all(|word| is_removal(&word) || is_test(&word)) {
            Self::Removal
        } else {
            Self::Install
        }
    }
}

/// The documents of what helm writes, each by the template that helm says it comes from.
pub(super) fn documents(text: &str) -> Vec<Source> {
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        let ends = |rest: &&str| rest.trim().is_empty() || rest.trim_start().starts_with('#') && rest.starts_with(' ');
        match line.strip_prefix("---").filter(ends) {
            Some(_) => documents.push(String::new()),
            None => documents.last_mut().expect("there is one from the start").push_str(line),
        }
    }
    let has_content =
        |text: &String| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let named = |text: String| {
        let template = text.lines().find_map(|line| line.strip_prefix("# Source: ")).unwrap_or("helm template");
        Source { name: template.trim().to_owned(), bytes: text.into_bytes() }
    };
    documents.into_iter().filter(has_content).map(named).collect()
}

#[cfg(test)]
mod tests {
    use sealift_verify::objects::yaml::ReadError;

    use super::*;

    const RENDERED: &str = "---\n# Source: shop/templates/web.yaml\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
        ---\n# Source: shop/templates/empty.yaml\n\n---\n# Source: shop/templates/hooks.yaml\napiVersion: batch/v1\nkind: Job\n\
        metadata:\n  name: migrate\n  annotations: {helm.sh/hook: 'pre-install, pre-upgrade'}\n\
        ---\n# Source: shop/templates/tests.yaml\napiVersion: v1\nkind: Pod\nmetadata: {name: try, annotations: {helm.sh/hook: test}}\n\
        ---\n# Source: shop/templates/bye.yaml\napiVersion: batch/v1\nkind: Job\n\
        metadata: {name: bye, annotations: {helm.sh/hook: pre-delete}}\n\
        ---\n# Source: shop/templates/broken.yaml\nhelm.sh/hook: [\n";

    fn sorted(wanted: HelmHooks) -> Result<Sorted, Undecided> {
        sort(documents(RENDERED), wanted, &Limits::default())
    }

    fn names(hooks: &[Hook]) -> Vec<&str> {
        hooks.iter().map(|hook| hook.id.name.as_str()).collect()
    }

    #[test]
    fn hooks_are_refused_by_name_unless_somebody_says_what_becomes_of_them() {
        let text = sorted(HelmHooks::Refuse).unwrap_err().to_string();
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "  Job.batch migrate (pre-install, pre-upgrade) in shop/templates/hooks.yaml",
                "  Job.batch bye (pre-delete) in shop/templates/bye.yaml"
            ]
        );
        let applied = sorted(HelmHooks::Apply).unwrap();
        assert_eq!((names(&applied.applied), names(&applied.left_out)), (vec!["migrate"], vec!["try", "bye"]));
        let dropped = sorted(HelmHooks::Drop).unwrap();
        assert_eq!(names(&dropped.left_out), ["migrate", "try", "bye"]);
    }

    #[test]
    fn documents_keep_the_name_of_their_template_and_what_cannot_be_read_stays() {
        let dropped = sorted(HelmHooks::Drop).unwrap();
        let names: Vec<_> = dropped.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["shop/templates/web.yaml", "shop/templates/broken.yaml"]);
        assert!(matches!(
            yaml::read(&dropped.sources, &Limits::default()).unwrap_err().as_slice(),
            [ReadError::Document { at, .. }] if at.file == "shop/templates/broken.yaml"
        ));
    }

    #[test]
    fn when_a_hook_runs_is_told_from_all_its_words() {
        for (when, kind) in [
            ("test", Kind::Test),
            ("test-success,test-failure", Kind::Test),
            ("post-install", Kind::Install),
            ("Pre-Install , pre-delete", Kind::Install),
            ("pre-delete,post-rollback", Kind::Removal),
            ("test,pre-delete", Kind::Removal),
            ("crd-install", Kind::Install),
            ("something-else", Kind::Install),
        ] {
            assert_eq!(Kind::of(when), kind, "{when}");
        }
    }
}
