//! `sealift policy test`: policies against artifacts, and what has to come of each.

use jiff::Timestamp;
use sealift_verify::{
    evidence::{
        Evidence, Outcome,
        junit::{self, CaseResult},
    },
    policy::select,
    refusal::Reason,
};
use serde_json::{Value, json};

use super::case::{self, Case, CaseFacts, Expected, Remembered};
use crate::{
    cli::{RegistryAccess, policy::TestArgs},
    delivery::{self, Settings},
    exit::Exit,
    failure::Failure,
    judge::{Extent, refused_while_fetching},
    output::{ERROR, Output, Report, paint},
    policies::{self, Trust},
    table::plain,
    transport,
    verify::{Question, decide},
};

/// Some expectations do not hold.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {all} expectations do not hold")]
struct Failed {
    failed: usize,
    all: usize,
}

/// What came of a case.
#[derive(Debug)]
struct Answer {
    outcome: Outcome,
    reason: Option<Reason>,
    message: String,
    evidence: Option<Evidence>,
}

/// A case and its answer, or why there is none.
struct Tried<'a> {
    case: &'a Case,
    answer: Result<Answer, Failure>,
}

pub(crate) async fn run(args: &TestArgs, output: &mut Output) -> Result<Exit, Failure> {
    let suite = case::read(&args.file)?;
    let trust = policies::read(&suite.policies, output)?;
    let mut tried = Vec::with_capacity(suite.cases.len());
    for case in &suite.cases {
        output.progress(format_args!("case {}", plain(&case.name)));
        tried.push(Tried { case, answer: answer(case, &trust, &args.registry, output).await });
    }
    match output.report {
        Report::Text => output.product(tried.iter().map(Tried::text).collect::<Vec<_>>().join("\n"))?,
        Report::Junit => output.product(junit(args, &trust, &tried).trim_end())?,
        Report::Json | Report::Sarif => output.json(&document(args, &trust, &tried))?,
    }
    let all = tried.len();
    let failed = tried.iter().filter(|tried| tried.holds() == Some(false)).count();
    if failed > 0 {
        return Err(Failure::new(Exit::Refused, Failed { failed, all })
            .hint("`sealift policy explain` says which rule decides"));
    }
    // What could not be asked is no success; the first reason stands for all.
    tried.into_iter().find_map(|tried| tried.answer.err()).map_or(Ok(Exit::Done), Err)
}

async fn answer(case: &Case, trust: &Trust, registry: &RegistryAccess, output: &mut Output) -> Result<Answer, Failure> {
    let settings = settings(&case.facts)?;
    let reference = transport::named(&case.reference, case.logical.as_ref())?;
    let logical = case.logical.clone().unwrap_or_else(|| reference.repository.clone());
    if let Err(refusal) = select(&trust.policies, &logical, settings.namespace.as_deref()) {
        let (reason, message) = (Some(refusal.reason()), refusal.to_string());
        return Ok(Answer { outcome: Outcome::Refused, reason, message, evidence: None });
    }
    let (now, version) = (case.facts.now, case.facts.version.as_deref());
    let question = Question { location: &case.reference.location, reference: &reference, logical, now, version };
    match decide(&question, trust, &settings, registry, output).await {
        Ok(judged) => {
            let evidence = judged.decision.evidence;
            let message = evidence.message.clone().unwrap_or_default();
            Ok(Answer { outcome: evidence.outcome, reason: evidence.reason, message, evidence: Some(evidence) })
        }
        Err(failure) => match refused_while_fetching(&failure) {
            Some(reason) => {
                let message = failure.error.to_string();
                Ok(Answer { outcome: Outcome::Refused, reason: Some(reason), message, evidence: None })
            }
            None => Err(failure),
        },
    }
}

fn settings(facts: &CaseFacts) -> Result<Settings, Failure> {
    let CaseFacts {
        namespace,
        environment,
        stream,
        version: _,
        variant,
        now: _,
        memory,
        require,
        parameters,
        target_namespace,
    } = facts;
    let memory = match memory {
        None => None,
        Some(Remembered::Here(memory)) => Some(memory.clone()),
        Some(Remembered::File(path)) => Some(delivery::read_memory(path)?),
    };
    Ok(Settings {
        namespace: namespace.clone(),
        stream: stream.clone(),
        variant: variant.clone(),
        // A test is of one Delivery, which chooses or does not.
        extent: Extent::Chosen,
        environment: environment.clone(),
        target_namespace: target_namespace.clone(),
        values: parameters.clone(),
        require: require.clone(),
        memory,
        options: sealift_apply::options::Options::default(),
        cluster: None,
    })
}

impl Tried<'_> {
    /// Whether the expectation holds, if it could be asked.
    fn holds(&self) -> Option<bool> {
        self.answer.as_ref().ok().map(|answer| self.case.expect.is(answer.outcome, answer.reason))
    }

    /// What came of it, for people.
    fn came(&self) -> String {
        match &self.answer {
            Err(failure) => chain(failure),
            Ok(Answer { outcome, reason, message, .. }) => {
                let word = match outcome {
                    Outcome::Accepted => "accepted",
                    Outcome::Refused => "refused",
                    Outcome::CouldNotCheck => "could not check",
                };
                let reason = reason.map(|reason| format!(" {reason}: {message}")).unwrap_or_default();
                format!("{word}{reason}")
            }
        }
    }

    /// The difference between what came and what was to come, for people.
    fn difference(&self) -> String {
        format!("expected {}, came {}", self.case.expect, self.came())
    }

    fn text(&self) -> String {
        let name = plain(&self.case.name);
        match self.holds() {
            Some(true) => format!("pass   {name}: {}", self.case.expect),
            Some(false) => format!("{}   {name}: {}", paint(ERROR, "FAIL"), plain(&self.difference())),
            None => format!("{}  {name}: {}", paint(ERROR, "ERROR"), plain(&self.came())),
        }
    }

    fn json(&self) -> Value {
        let answer = self.answer.as_ref().ok();
        json!({
            "name": self.case.name,
            "result": match self.holds() { Some(true) => "pass", Some(false) => "fail", None => "error" },
            "expected": self.case.expect,
            "outcome": answer.map(|answer| answer.outcome),
            "reason": answer.and_then(|answer| answer.reason),
            "message": answer.map(|answer| answer.message.as_str()),
            "error": self.answer.as_ref().err().map(chain),
            "evidence": answer.and_then(|answer| answer.evidence.as_ref()).map(Evidence::to_json),
        })
    }

    fn result(&self) -> CaseResult {
        match self.holds() {
            Some(true) => CaseResult::Passed(self.came()),
            Some(false) => CaseResult::Failed { kind: kind(self.case.expect), message: self.difference() },
            None => CaseResult::Error { kind: "CouldNotAsk".to_owned(), message: self.came() },
        }
    }
}

fn kind(expected: Expected) -> String {
    match expected {
        Expected::Accepted => "Accepted".to_owned(),
        Expected::Refused(reason) | Expected::CouldNotCheck(reason) => reason.to_string(),
    }
}

fn document(args: &TestArgs, trust: &Trust, tried: &[Tried<'_>]) -> Value {
    let count = |wanted| tried.iter().filter(|tried| tried.holds() == wanted).count();
    json!({
        "schema": "sealift.dev/policy-test/v1",
        "file": args.file,
        "policies": trust.policies.iter().map(|policy| json!({"name": policy.name, "digest": policy.digest})).collect::<Vec<_>>(),
        "cases": tried.iter().map(Tried::json).collect::<Vec<_>>(),
        "passed": count(Some(true)),
        "failed": count(Some(false)),
        "errors": count(None),
    })
}

fn junit(args: &TestArgs, trust: &Trust, tried: &[Tried<'_>]) -> String {
    let case = |tried: &Tried<'_>| junit::Case {
        class: "sealift.policy".to_owned(),
        name: tried.case.name.clone(),
        result: tried.result(),
    };
    let suite = junit::Suite {
        name: args.file.display().to_string(),
        timestamp: Timestamp::now().to_string(),
        properties: trust.policies.iter().map(|p| (format!("policy.{}", p.name), p.digest.to_string())).collect(),
        cases: tried.iter().map(case).collect(),
    };
    junit::document("sealift policy test", &[suite])
}

fn chain(failure: &Failure) -> String {
    let causes = std::iter::successors(failure.error.source(), |cause| cause.source());
    causes.fold(failure.error.to_string(), |text, cause| format!("{text}: {cause}"))
}
