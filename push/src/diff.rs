//! `sealift diff`: how an artifact differs from another one, from files or from a cluster. Nothing is verified.

mod access;
mod compare;
mod in_cluster;
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
    side::Side,
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
    before: Side,
    after: Side,
    compared: Compared,
    summary: Summary,
}

pub(crate) async fn run(args: &DiffArgs, output: &mut Output) -> Result<Exit, Failure> {
    // What can be wrong on this side is found before the first request.
    let files = if args.files.is_empty() { None } else { Some(side::files(args, output).await?) };
    let from = side::artifact(&args.from, args.variant.as_deref(), &args.registry, output).await?;
    let (difference, refused) = match (&args.context, files, &args.to) {
        (Some(context), ..) => {
            let Seen { differences, before, after, aimed } = in_cluster::look(args, context, from, output).await?;
            let refused = plan::verdict(&differences);
            (Difference::of(before, after, of_cluster(differences), &aimed.rendering.discovered), refused)
        }
        (None, Some(files), _) => (Difference::between(from, files), Ok(())),
        (None, None, Some(to)) => {
            let to = side::artifact(to, args.variant.as_deref(), &args.registry, output).await?;
            (Difference::between(from, to), Ok(()))
        }
        (None, None, None) => return Err(usage("name what to compare with: an artifact, -f or --context")),
    };
    output.note("nothing here is verified: `sealift verify` judges artifacts");
    match output.format {
        Format::Text => output.product(show::text(&difference))?,
        Format::Json => output.json(&show::json(&difference))?,
    }
    // What a cluster would not take is said as by `plan`.
    refused?;
    Ok(if difference.is_change() && args.exit_code { Exit::Changes } else { Exit::Done })
}

impl Difference {
    fn between(before: Side, after: Side) -> Self {
        let compared = compare(&before.objects, &after.objects);
        Self::of(before, after, compared, &BTreeMap::new())
    }

    fn of(before: Side, after: Side, compared: Compared, discovered: &BTreeMap<(String, String), Scope>) -> Self {
        let scopes = scopes(&before.objects, &after.objects, discovered);
        let summary = summary(&before.objects, &after.objects, &scopes);
        Self { before, after, compared, summary }
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
