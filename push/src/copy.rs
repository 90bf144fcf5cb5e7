//! `sealift copy`: artifacts with everything that hangs on them, from one place to another. Content first, then the
//! verdict at the destination, tags last.

mod logical;
mod report;
mod roots;
mod tags;

use sealift_registry::{
    copy::{self, Side, SurveyError},
    store::Address,
};
use sealift_verify::reference::{Reference, Repository};

use self::report::Copied;
use crate::{
    cli::copy::CopyArgs,
    delivery::Settings,
    exit::Exit,
    failure::Failure,
    judge::{Subject, judge},
    output::{Output, transfer::Transfer},
    policies,
    release::Artifact,
    transport,
};

pub(crate) async fn run(args: &CopyArgs, output: &mut Output) -> Result<Exit, Failure> {
    // Everything that can be wrong on this side is found before the first request.
    let wanted = roots::wanted(args)?;
    let logical = logical::name(args)?;
    let trust = if args.policy.is_empty() { None } else { Some(policies::read(&args.policy, output)?) };
    let settings = Settings::of(&args.facts, output).await?;
    if let Some(trust) = &trust {
        sealift_verify::policy::select(&trust.policies, &logical, settings.namespace.as_deref())?;
    }
    let (source, destination) = (asked(&args.source, &logical), asked(&args.destination, &logical));
    let (from, to) = (
        transport::open(&args.source.location, &args.registry).await?,
        transport::open(&args.destination.location, &args.registry).await?,
    );
    let (from, to) = (
        Side { store: &from, repository: &source.repository },
        Side { store: &to, repository: &destination.repository },
    );

    // source: what there is to copy, and whether it may stand for that repository.
    let roots = roots::find(from, &wanted, output).await?;
    output.progress("reading what belongs to it");
    let digests: Vec<_> = roots.iter().map(|root| root.digest).collect();
    let survey = copy::survey(from, &digests).await?;
    let mut artifacts = Vec::with_capacity(roots.len());
    for root in &roots {
        let artifact = Artifact::fetch(from.store, from.repository.pin(root.digest)).await?;
        logical::may_stand_for(&artifact, &logical)?;
        artifacts.push(artifact);
    }
    let bare = artifacts.iter().filter(|artifact| artifact.releases().is_empty()).count();
    if bare > 0 {
        output.warn(format_args!(
            "{bare} of {} artifacts carry no release statement, so nothing says which repository they belong to",
            artifacts.len()
        ));
    }

    // destination: by digest, and read back.
    output.clear_status();
    let done = {
        // There, and back to be read.
        let moving = Transfer::begin("copying and reading back", survey.size().saturating_mul(2));
        copy::transfer(from, to, &survey, &|bytes| moving.at(bytes)).await?
    };
    copy::name(to, &survey, &survey.legacy).await?;

    // destination: the verdict that a cluster would reach there, then the names.
    if let Some(trust) = &trust {
        let facts = settings.facts(&trust.roots);
        let rendering = settings.rendering(settings.cluster.as_ref()).await?;
        for root in &roots {
            let subject = Subject { place: to.repository.pin(root.digest), logical: logical.pin(root.digest) };
            output.progress(format_args!("verifying {}", to.store.shown(&subject.place)));
            let facts = (&facts, settings.extent);
            let judged = judge(to.store, &args.registry, &subject, &trust.policies, facts, &rendering).await?;
            judged.warn_of_others(output);
            judged.current(&trust.policies, output)?;
        }
    }
    let named = tags::moves(to, &roots, &artifacts).await?;
    let forward: Vec<_> = named.iter().filter_map(tags::Move::target).collect();
    copy::name(to, &survey, &forward).await?;
    let copied = Copied {
        from: &args.source.location,
        to: &args.destination.location,
        logical: &logical,
        roots: &roots,
        artifacts: &artifacts,
        survey: &survey,
        done,
        named: &named,
        is_judged: trust.is_some(),
    };
    copied.write(output)
}

/// What a place is asked for as: its own name, or the logical one.
fn asked(address: &Address, logical: &Repository) -> Reference {
    transport::unnamed(address, Some(logical))
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        match error {
            SurveyError::Client(error) => error.into(),
            SurveyError::Referrers(_) => Self::new(Exit::CouldNotCheck, error)
                .hint("remove what does not belong there from the source, and try again"),
            SurveyError::TooMuch | SurveyError::Manifest(..) => Self::new(Exit::InvalidInput, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(arguments: &str) -> Box<CopyArgs> {
        let line = format!("sealift copy {arguments}");
        let Command::Copy(args) = Cli::parse_from(line.split_whitespace()).command else { panic!("not a copy") };
        args
    }

    #[test]
    fn which_repository_a_copy_stands_for() {
        for (arguments, logical) in [
            ("oci://a.example/shop:v1 shop.tar", Some("a.example/shop")),
            ("shop.tar:v1 oci://b.example/shop", Some("b.example/shop")),
            ("oci://a.example/shop:v1 oci://b.example/shop", Some("b.example/shop")),
            ("oci://a.example/shop:v1 oci://b.example/shop --as a.example/shop", Some("a.example/shop")),
            ("shop.tar:v1 oci-layout:x --as a.example/shop", Some("a.example/shop")),
            ("shop.tar:v1 oci-layout:x", None),
            ("s3://bucket/shop:v1 shop.tar", None),
        ] {
            let found = logical::name(&args(arguments)).ok().map(|name| name.to_string());
            assert_eq!(found.as_deref(), logical, "{arguments}");
        }
    }

    #[test]
    fn what_is_copied_is_said_once() {
        for (arguments, fine) in [
            ("a.example/shop:v1 x.tar", true),
            ("a.example/shop:v1 x.tar:v2", true),
            ("a.example/shop --all-tags x.tar", true),
            ("a.example/shop --tag v1 --tag v2 x.tar", true),
            ("a.example/shop x.tar", false),
            ("a.example/shop:v1 --all-tags x.tar", false),
            ("a.example/shop --all-tags x.tar:v2", false),
            ("a.example/shop --tag v1 x.tar:v2", false),
        ] {
            assert_eq!(roots::wanted(&args(arguments)).is_ok(), fine, "{arguments}");
        }
        let digest = sealift_verify::digest::Digest::of(b"x");
        assert!(roots::wanted(&args(&format!("a.example/shop:v1 x.tar@{digest}"))).is_err());
        assert!(roots::wanted(&args(&format!("a.example/shop@{digest} x.tar"))).is_ok());
    }
}
