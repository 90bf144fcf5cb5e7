//! `sealift verify`: the verdict a cluster would reach, by the very functions it calls.

use sealift_verify::{
    evidence::{Evidence, Outcome},
    render::Rendering,
};

use crate::{
    cli::verify::VerifyArgs,
    delivery::{self, Settings},
    exit::Exit,
    failure::Failure,
    judge::{Subject, explain_keys, judge},
    output::{Format, Output},
    policies::{self, Trust},
    table::plain_lines,
    transport,
};

/// Some check was not made, and the person demanded all of them.
#[derive(Debug, thiserror::Error)]
#[error("nothing was refused, but some checks were not made: {}", .0.join(", "))]
struct Incomplete(Vec<String>);

pub(crate) async fn run(args: &VerifyArgs, output: &mut Output) -> Result<Exit, Failure> {
    let Trust { policies, roots } = policies::read(&args.policy, output)?;
    let settings = Settings::of(&args.facts, output).await?;
    let logical = args.facts.as_repository.clone().unwrap_or_else(|| args.reference.repository.clone());
    // A repository that no policy speaks for is never contacted.
    sealift_verify::policy::select(&policies, &logical, settings.namespace.as_deref())?;

    let client = transport::client(&args.reference.repository, &args.registry).await?;
    let digest = transport::digest(&client, &args.reference, output).await?;
    let facts = settings.facts(&roots);
    let rendering = Rendering {
        values: settings.values.clone(),
        target_namespace: settings.target_namespace.clone(),
        default_namespace: settings.namespace.clone(),
        discovered: delivery::scopes(settings.cluster.as_ref()).await?,
    };
    let subject = Subject { place: args.reference.repository.pin(digest), logical: logical.pin(digest) };
    output.progress(format_args!("verifying {}", subject.place));
    let judged = judge(&client, &subject, &policies, &facts, &rendering).await?;
    write(&judged.decision.evidence, output)?;
    match judged.decision.outcome {
        Ok(_) => complete(args, &judged.decision.evidence),
        Err(refusal) => {
            explain_keys(&refusal, &judged.candidates, &policies, output);
            Err(refusal.into())
        }
    }
}

fn write(evidence: &Evidence, output: &mut Output) -> Result<(), Failure> {
    match output.format {
        Format::Text => output.product(plain_lines(&evidence.to_string()))?,
        Format::Json => output.json(&evidence.to_json())?,
    }
    Ok(())
}

fn complete(args: &VerifyArgs, evidence: &Evidence) -> Result<Exit, Failure> {
    debug_assert_eq!(evidence.outcome, Outcome::Accepted);
    if !args.require_complete || evidence.is_complete() {
        return Ok(Exit::Done);
    }
    let open = evidence.checks.iter().filter(|row| row.result == sealift_verify::evidence::CheckResult::NotChecked);
    let open = open.map(|row| row.check.as_str().to_owned()).collect();
    Err(Failure::new(Exit::Incomplete, Incomplete(open))
        .hint("what a cluster accepted before is known by --context and --delivery, or --memory"))
}
