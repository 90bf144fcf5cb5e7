//! `sealift diff`: how an artifact differs from another one, from files or from a cluster. Artifacts are judged where a
//! policy is given.

mod access;
mod compare;
mod in_cluster;
mod judged;
mod privileges;
mod show;
mod side;
mod statement;
mod summary;

use std::collections::BTreeMap;

use sealift_verify::objects::{
    Object, Objects,
    scope::{self, Scope, Scopes},
};

use self::{
    compare::{Compared, compare, of_cluster},
    in_cluster::Seen,
    judged::Judge,
    side::{Side, Whole},
    summary::{Summary, summary},
};
use crate::{
    cli::diff::DiffArgs,
    exit::Exit,
    failure::{Failure, usage},
    output::{Format, Output},
    plan,
};

/// What a person or program is shown.
struct Difference {
    /// Of which variant.
    variant: Option<String>,
    before: Side,
    after: Side,
    compared: Compared,
    summary: Summary,
    /// True if every artifact in it was accepted by policies.
    is_verified: bool,
}

pub(crate) async fn run(args: &DiffArgs, output: &mut Output) -> Result<Exit, Failure> {
    // What can be wrong on this side is found before the first request.
    let files = if args.files.is_empty() { None } else { Some(side::files(args, output).await?) };
    let judge = Judge::of(args, output).await?;
    let from = side::artifact(&args.from, judge.as_ref(), &args.registry, output).await?;
    let (mut differences, refused) = match (&args.context, files, &args.to) {
        (Some(context), ..) => {
            let Seen { differences, before, after, aimed } = in_cluster::look(args, context, &from, output).await?;
            let refused = plan::verdict(&differences);
            let variant = aimed.settings.variant.clone();
            let compared = of_cluster(differences);
            (vec![Difference::of(variant, before, after, compared, &aimed.rendering.discovered)], refused)
        }
        (None, Some(files), _) => (between(&from, &files, args)?, Ok(())),
        (None, None, Some(to)) => {
            let to = side::artifact(to, judge.as_ref(), &args.registry, output).await?;
            (between(&from, &to, args)?, Ok(()))
        }
        (None, None, None) => return Err(usage("name what to compare with: an artifact, -f or --context")),
    };
    differences.iter_mut().for_each(|difference| difference.is_verified = judge.is_some());
    if judge.is_none() {
        output.note("nothing here is verified: --policy judges the artifacts");
    }
    match (output.format, differences.as_slice()) {
        (Format::Text, all) => output.product(all.iter().map(show::text).collect::<Vec<_>>().join("\n\n"))?,
        (Format::Json, [one]) => output.json(&show::json(one))?,
        // One a line.
        (Format::Json, several) => {
            let lines: Vec<_> = several.iter().map(|difference| show::json(difference).to_string()).collect();
            output.product(lines.join("\n"))?;
        }
    }
    // What a cluster would not take is said as by `plan`.
    refused?;
    let changes = differences.iter().any(Difference::is_change);
    Ok(if changes && args.exit_code { Exit::Changes } else { Exit::Done })
}

fn between(before: &Whole, after: &Whole, args: &DiffArgs) -> Result<Vec<Difference>, Failure> {
    let pairs = side::pairs(before, after, args.variant.as_deref())?.into_iter();
    Ok(pairs.map(|(variant, before, after)| Difference::between(variant, before, after)).collect())
}

impl Difference {
    fn between(variant: Option<String>, before: Side, after: Side) -> Self {
        let compared = compare(&before.objects, &after.objects);
        Self::of(variant, before, after, compared, &BTreeMap::new())
    }

    fn of(
        variant: Option<String>,
        before: Side,
        after: Side,
        compared: Compared,
        discovered: &BTreeMap<(String, String), Scope>,
    ) -> Self {
        let scopes = scopes(&before.objects, &after.objects, discovered);
        let summary = summary(&before.objects, &after.objects, &scopes);
        Self { variant, before, after, compared, summary, is_verified: false }
    }

    fn is_change(&self) -> bool {
        !self.compared.changes.is_empty()
    }
}

/// What is known of scopes from the definitions on either side.
fn scopes(before: &Objects, after: &Objects, discovered: &BTreeMap<(String, String), Scope>) -> Scopes {
    let is_definition = |object: &&Object| object.id.kind == "CustomResourceDefinition";
    let mut definitions: BTreeMap<_, &Object> = BTreeMap::new();
    for object in before.iter().chain(after).filter(is_definition) {
        definitions.insert(object.id.key(), object);
    }
    let definitions = Objects::new(definitions.into_values().cloned().collect());
    let mut scopes = scope::scopes(&definitions.expect("a map holds each object once"));
    scopes.learn(discovered);
    scopes
}
