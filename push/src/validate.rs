//! `sealift validate`: manifests as a strict API server would read them, and what else a release should not hold.
//! `push` makes the same checks. Nothing is asked of a cluster.

mod around;
mod catalogue;
mod check;
mod custom;
mod finding;
mod format;
mod kinds;
mod report;
mod rule;
mod schema;

use std::collections::BTreeMap;

use sealift_verify::{
    artifact::Limits,
    layer,
    objects::{
        Objects,
        yaml::{self, ReadError, Source},
    },
    parameters::Parameter,
};
use serde_json::{Value, json};

pub(crate) use self::{
    catalogue::{Version, supported},
    rule::Skipped,
};
use self::{
    check::Varies,
    custom::{Custom, SchemasError},
    finding::Finding,
    rule::{Level, Rule},
};
use crate::{
    cli::validate::{ValidateArgs, ValidationArgs},
    exit::Exit,
    failure::Failure,
    manifests::{self, Positions},
    output::Output,
    render::Rendered,
    variants::{all_stand, parts},
};

/// Findings told before the rest is only counted.
const SHOWN: usize = 50;

/// What was found in a set of objects.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    objects: usize,
    /// Kinds without a schema, and how many objects are of each.
    unknown: BTreeMap<String, usize>,
}

/// Some manifests cannot be released as they are.
#[derive(Debug, thiserror::Error)]
#[error("{} in the manifests{}", counted(*.errors, "error"), .lines.iter().map(|line| format!("\n  {line}")).collect::<String>())]
struct Invalid {
    errors: usize,
    /// Where they were not told yet.
    lines: Vec<String>,
}

pub(crate) async fn run(args: &ValidateArgs, output: &mut Output) -> Result<Exit, Failure> {
    if args.rules {
        return report::rules(output);
    }
    let limits = Limits::default();
    let (mut reports, mut nowhere) = (Vec::new(), Vec::new());
    for part in parts(&args.files, &args.variants, &args.render)? {
        let Rendered { sources, .. } = part.rendered(&limits, output).await?;
        let report = match unread(&sources, &limits) {
            Some(report) => {
                nowhere.push(Vec::new());
                report
            }
            None => {
                let mut parameters = args.var.clone();
                let (objects, unused) = manifests::bind(&sources, &mut parameters, &limits)?;
                nowhere.push(unused);
                examine(&objects, (&sources, &parameters), &args.against, output)?
            }
        };
        reports.push((part.variant, report));
    }
    all_stand(&nowhere)?;
    let report = Report::of(reports);
    report::write(&report, args.against.kubernetes_version, output)?;
    match report.errors() {
        0 => Ok(Exit::Done),
        errors => Err(Failure::new(Exit::InvalidInput, Invalid { errors, lines: Vec::new() })
            .hint("`sealift validate --rules` says what each rule is about")),
    }
}

/// What keeps manifests from being read, as findings.
fn unread(sources: &[Source], limits: &Limits) -> Option<Report> {
    let errors = yaml::read(sources, limits).err()?;
    let finding = |error: ReadError| match error {
        ReadError::Document { at, problem } => {
            let message = problem.to_string();
            Finding {
                rule: Rule::UnreadableDocument,
                at,
                object: None,
                pointer: String::new(),
                message,
                also: None,
                variants: Vec::new(),
            }
        }
        ReadError::Duplicate(twice) => Finding {
            rule: Rule::DuplicateObject,
            at: twice.second,
            object: Some(twice.id.to_string()),
            pointer: String::new(),
            message: "it is defined twice".to_owned(),
            also: Some(twice.first),
            variants: Vec::new(),
        },
        other @ (ReadError::TooMany { .. } | ReadError::Empty { .. }) => Finding {
            rule: Rule::UnreadableDocument,
            at: sources
                .first()
                .map(|source| sealift_verify::objects::Origin { file: source.name.clone(), line: 0 })
                .unwrap_or_default(),
            object: None,
            pointer: String::new(),
            message: other.to_string(),
            also: None,
            variants: Vec::new(),
        },
    };
    Some(Report { findings: errors.into_iter().map(finding).collect(), ..Report::default() })
}

/// Everything that is wrong with objects, which were read from `sources` with these variables.
fn examine(
    objects: &Objects,
    (sources, parameters): (&[Source], &[Parameter]),
    against: &ValidationArgs,
    output: &mut Output,
) -> Result<Report, Failure> {
    let limits = Limits::default();
    let mut custom = Custom::of(objects);
    if !against.schemas.is_empty() {
        for source in manifests::sources(&against.schemas, &limits, output)? {
            custom.add(source, &limits)?;
        }
    }
    let varying = varying(parameters);
    let mut report = Report { objects: objects.len(), ..Report::default() };
    let mut positions = Positions::new(sources, &limits);
    let judge = kinds::Kinds::new(against.kubernetes_version, &custom);
    let none = BTreeMap::new();
    let mut said = Vec::new();
    for object in objects {
        let varying = varying.get(&layer::path(&object.id)).unwrap_or(&none);
        let violations = judge.judge(object, varying);
        if violations.iter().any(|violation| violation.rule == Rule::NoSchema) {
            *report.unknown.entry(kinds::name(&object.id)).or_default() += 1;
        }
        said.extend(violations.into_iter().map(|found| (object, found.pointer, found.rule, found.message)));
    }
    let names: Vec<_> = parameters.iter().map(|parameter| parameter.name.clone()).collect();
    if !against.allow_secrets {
        said.extend(around::secrets(objects, &names));
    }
    said.extend(around::namespaces(objects, &against.namespace_exists));
    let unusable = custom.unusable.iter();
    said.extend(unusable.map(|(object, pointer, why)| (object, pointer.clone(), Rule::UnusableSchema, why.clone())));
    for (object, pointer, rule, message) in said {
        if against.skips(rule) {
            continue;
        }
        let at = positions.at(object, &pointer);
        let object = Some(object.id.to_string());
        report.findings.push(Finding { rule, at, object, pointer, message, also: None, variants: Vec::new() });
    }
    report.findings.sort_by(|a, b| (&a.at.file, a.at.line, &a.pointer).cmp(&(&b.at.file, b.at.line, &b.pointer)));
    Ok(report)
}

/// Where variables stand, by the path of the object.
fn varying(parameters: &[Parameter]) -> BTreeMap<String, BTreeMap<String, Varies>> {
    let mut varying: BTreeMap<String, BTreeMap<String, Varies>> = BTreeMap::new();
    for parameter in parameters {
        let typed = parameter.typed.iter().map(|place| (place, Varies::Typed(parameter.kind)));
        let texts = parameter.pointers.iter().map(|place| (place, Varies::Text));
        for (path, pointer, varies) in typed.chain(texts).filter_map(|(p, v)| p.split_once('#').map(|(a, b)| (a, b, v)))
        {
            varying.entry(path.to_owned()).or_default().insert(pointer.to_owned(), varies);
        }
    }
    varying
}

/// A set of objects, what it was read from and which variables stand where in it.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    pub(crate) variant: Option<&'a str>,
    pub(crate) objects: &'a Objects,
    pub(crate) sources: &'a [Source],
    pub(crate) parameters: &'a [Parameter],
}

/// The checks of a push, of all its sets: errors refuse it, warnings are said.
pub(crate) fn before_push(sets: &[Read<'_>], against: &ValidationArgs, output: &mut Output) -> Result<(), Failure> {
    if against.skip_validation.contains(&Skipped::All) {
        return Ok(());
    }
    output.progress("validating");
    let mut reports = Vec::with_capacity(sets.len());
    for Read { variant, objects, sources, parameters } in sets {
        reports.push((*variant, examine(objects, (sources, parameters), against, output)?));
    }
    let report = Report::of(reports);
    let of = |level| report.findings.iter().filter(move |finding| finding.rule.level() == level);
    let errors = report.errors();
    if errors > 0 {
        let lines = of(Level::Error).take(SHOWN).map(ToString::to_string).collect();
        let hint = "`sealift validate --rules` says what each rule is about; --skip-validation RULE does without one";
        return Err(Failure::new(Exit::InvalidInput, Invalid { errors, lines }).hint(hint));
    }
    of(Level::Warning).take(SHOWN).for_each(|finding| output.warn(finding));
    Ok(())
}

impl Report {
    /// What was found in all sets. What is wrong in several variants alike is told once, with their names.
    fn of(reports: Vec<(Option<&str>, Self)>) -> Self {
        let mut all = Self::default();
        let mut found: BTreeMap<_, Finding> = BTreeMap::new();
        for (variant, Self { findings, objects, unknown }) in reports {
            all.objects += objects;
            unknown.into_iter().for_each(|(kind, count)| *all.unknown.entry(kind).or_default() += count);
            for finding in findings {
                let Some(name) = variant else {
                    all.findings.push(finding);
                    continue;
                };
                let Finding { rule, at, object, pointer, message, also: _, variants: _ } = &finding;
                let place = (at.file.clone(), at.line, pointer.clone());
                let key = (place, rule.id(), object.clone(), message.clone());
                let known = found.entry(key).or_insert(finding);
                if known.variants.last().is_none_or(|last| last != name) {
                    known.variants.push(name.to_owned());
                }
            }
        }
        all.findings.extend(found.into_values());
        all
    }

    fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.rule.level() == Level::Error).count()
    }
}

impl ValidationArgs {
    fn skips(&self, rule: Rule) -> bool {
        self.skip_validation.iter().any(|skipped| matches!(skipped, Skipped::All) || *skipped == Skipped::One(rule))
    }

    /// What a statement says of the checks that were made.
    pub(crate) fn to_json(&self) -> Value {
        let mut skipped: Vec<&str> = match self.skip_validation.contains(&Skipped::All) {
            true => return json!({"skipped": ["all"]}),
            false => Rule::ALL.iter().filter(|rule| self.skips(**rule)).map(|rule| rule.id()).collect(),
        };
        if self.allow_secrets {
            skipped.push(Rule::PlaintextSecret.id());
        }
        skipped.dedup();
        let mut made = json!({"kubernetes": self.kubernetes_version.to_string()});
        if !skipped.is_empty() {
            made["skipped"] = json!(skipped);
        }
        made
    }
}

impl From<SchemasError> for Failure {
    fn from(error: SchemasError) -> Self {
        Self::new(Exit::InvalidInput, error)
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
