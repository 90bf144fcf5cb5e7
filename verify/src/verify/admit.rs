//! The first half of the verdict: policies, signatures, statement, order. Pure, in the order of the evidence's rows.

use std::sync::Arc;

use super::{
    Admitted, Decision, Facts, Grounds, Stated, ThirdParty, Unverified,
    attested::{self, Attested, Setting},
    candidate::Judge,
    epochs, held,
    payload::{Payload, group},
    proofs::rows,
};
use crate::{
    artifact::{Manifest, ManifestError},
    digest::Digest,
    evidence::{CheckId, CheckResult, Evidence, PolicyRecord},
    memory::{Mark, Memory, Standing},
    policy::{Mode, OnFirstContact, Policy, Selected, StatementDemand, select},
    refusal::Refusal,
    signature::Skipped,
    statement::{Statement, StatementError},
};

/// Judges manifest, signatures and statement of an artifact.
///
/// The caller has selected nothing and skipped nothing: all policies there are go in, and every matching one must
/// pass. Candidates are judged each for itself, so a bad one never hides a good one.
pub fn admit(unverified: &Unverified, policies: &[Arc<Policy>], facts: &Facts<'_>) -> Decision<Admitted> {
    let mut evidence = Evidence::new(&unverified.reference, facts.now);
    evidence.transport = unverified.transport.clone();
    evidence.skipped = unverified.skipped.clone();
    evidence.candidates = unverified.candidates.len();
    let outcome = Admission { unverified, facts, evidence: &mut evidence, attested: Vec::new() }.judge(policies);
    let outcome = match outcome {
        Ok(mut admitted) => {
            admitted.evidence = evidence.clone();
            Ok(admitted)
        }
        Err((check, refusal)) => {
            evidence.refuse(check, &refusal);
            Err(refusal)
        }
    };
    Decision { evidence, outcome }
}

type Refused = (CheckId, Refusal);

struct Admission<'a> {
    unverified: &'a Unverified,
    facts: &'a Facts<'a>,
    evidence: &'a mut Evidence,
    /// What is attested beside the release.
    attested: Vec<Attested>,
}

/// What the artifact is accepted on, and why nothing new may come of it, if so.
type Released = (Grounds, Option<Refusal>);

impl Admission<'_> {
    fn judge(mut self, policies: &[Arc<Policy>]) -> Result<Admitted, Refused> {
        let selected = self.policy(policies)?;
        let held = held::meant(self.facts, &selected)?;
        let manifest = self.manifest()?;
        let (layer, format) = manifest.content().map_err(|e| bad_manifest(CheckId::Manifest, &e))?;
        self.evidence.pass(CheckId::Manifest, format!("one layer of {} bytes, {}", layer.size, layer.media_type));
        let digests = [("artifact", self.unverified.reference.digest), ("layer", layer.digest)];
        if let Some(refusal) = selected.enforcing.iter().find_map(|policy| denied_digest(policy, &digests)) {
            return Err((CheckId::DenyList, refusal));
        }
        let (grounds, stale) = self.release(&selected, held).map_err(|refused| self.unless_truncated(refused))?;
        Ok(Admitted {
            reference: self.unverified.reference.clone(),
            layer: layer.clone(),
            format,
            grounds,
            variant: self.facts.variant.map(str::to_owned),
            stale,
            approvals: attested::approvals(&self.attested, &selected.enforcing, self.facts.now),
            policies: selected.enforcing,
            auditing: selected.auditing,
            evidence: self.evidence.clone(),
            limits: self.facts.limits,
        })
    }

    /// The statement that counts, if all that can be said without the layer speaks for it. Where trusted signers state
    /// nothing about this artifact, their bare signature is looked at.
    fn release(&mut self, selected: &Selected, held: Option<&Mark>) -> Result<Released, Refused> {
        let (mut claims, payloads): (Vec<_>, Vec<_>) =
            self.signatures(selected)?.into_iter().partition(|payload| payload.claim.is_some());
        let stated = payloads.iter().any(|payload| states(payload, self.unverified.reference.digest));
        match claims.pop().filter(|_| !stated && held.is_none()) {
            Some(claim) => self.third_party(&claim, selected).map(|grounds| (grounds, None)),
            None => self.stated(payloads, selected, held),
        }
    }

    fn stated(
        &mut self,
        payloads: Vec<Payload>,
        selected: &Selected,
        held: Option<&Mark>,
    ) -> Result<Released, Refused> {
        let seen = self.unverified.candidates.len();
        let payloads = match held {
            Some(mark) => held::among(mark, payloads, seen, selected).map_err(|why| (CheckId::Signature, why))?,
            None => payloads,
        };
        let (payload, statement) = self.statement(payloads, selected)?;
        self.variant(&statement)?;
        self.minimum(&statement, selected)?;
        let (result, detail) = epochs::row(&statement, selected, self.facts.memory);
        self.evidence.set(CheckId::Epoch, result, detail);
        let standing = match held {
            Some(mark) => {
                held::rows(mark, self.facts, self.evidence);
                Standing::Held
            }
            None => self.memory(&payload, &statement)?,
        };
        let stale = self.freshness(&statement, standing, selected)?;
        let signed = serde_json::from_slice(&payload.bytes).ok();
        let setting = Setting { statement: signed.as_ref(), now: self.facts.now };
        attested::judge(&self.attested, selected, setting, self.evidence)?;
        Ok((Grounds::Stated(Box::new(Stated { statement, payload: payload.digest, standing })), stale))
    }

    /// At the cap the statement that would be accepted may be among those nobody looked at, for instance behind copies
    /// of older ones that are signed as well as it is.
    fn unless_truncated(&mut self, (check, refusal): Refused) -> Refused {
        if !self.unverified.truncated {
            return (check, refusal);
        }
        self.evidence.set(check, CheckResult::Fail, refusal.to_string());
        (CheckId::Signature, Refusal::TooManySignatures { seen: self.unverified.candidates.len() })
    }

    /// Default deny: no enforcing policy, no answer but no.
    fn policy(&mut self, policies: &[Arc<Policy>]) -> Result<Selected, Refused> {
        let repository = &self.unverified.reference.repository;
        let selected = select(policies, repository, self.facts.namespace).map_err(|r| (CheckId::Policy, r))?;
        let all = || selected.enforcing.iter().chain(&selected.auditing);
        if let Some(name) = self.facts.require.iter().find(|name| all().all(|p| p.authority(name).is_none())) {
            let names: Vec<_> = all().map(|p| p.name.as_str()).collect();
            let refusal = Refusal::UnknownAuthority { policy: names.join(", "), authority: name.clone() };
            return Err((CheckId::Policy, refusal));
        }
        for policy in &selected.enforcing {
            // A policy that names a root there is none of is not the policy its author meant.
            if let Some(problem) = policy.trust_roots().find_map(|name| self.facts.trust.get(name).err()) {
                return Err((CheckId::Policy, Refusal::NoTrustRoot { policy: policy.name.clone(), problem }));
            }
        }
        let names: Vec<_> = selected.enforcing.iter().map(|p| p.name.as_str()).collect();
        self.evidence.pass(CheckId::Policy, names.join(", "));
        self.evidence.set(CheckId::Hold, CheckResult::NotPresent, "no emergency hold");
        Ok(selected)
    }

    fn manifest(&mut self) -> Result<Manifest, Refused> {
        let expected = &self.unverified.reference.digest;
        let manifest = Manifest::parse(&self.unverified.manifest, expected).map_err(|error| match error {
            ManifestError::Digest { expected, actual } => {
                (CheckId::ManifestDigest, Refusal::DigestMismatch { what: "the manifest", expected, actual })
            }
            other => {
                self.evidence.pass(CheckId::ManifestDigest, expected.to_string());
                bad_manifest(CheckId::Manifest, &other)
            }
        })?;
        self.evidence.pass(CheckId::ManifestDigest, expected.to_string());
        Ok(manifest)
    }

    /// The payloads that satisfy every enforcing policy's threshold and the Delivery's own demands.
    fn signatures(&mut self, selected: &Selected) -> Result<Vec<Payload>, Refused> {
        let Unverified { candidates, reference, .. } = self.unverified;
        let Facts { memory, now, limits, require, trust, .. } = *self.facts;
        let all: Vec<_> = selected.enforcing.iter().chain(&selected.auditing).cloned().collect();
        let payloads = group(candidates, &all, Judge { memory, now, trust }, limits.bundle, self.evidence);
        self.attested = attested::of(&payloads, &all, &reference.digest);
        let records = |payload: &Payload| all.iter().map(|p| payload.record(p)).collect::<Vec<PolicyRecord>>();
        let met = |payload: &Payload| {
            selected.enforcing.iter().all(|p| p.require.is_met(&payload.signers(p)))
                && payload.is_signed_by_all(require, selected)
        };
        let (good, rest): (Vec<_>, Vec<_>) = payloads.into_iter().partition(met);
        if !good.is_empty() {
            return Ok(good);
        }
        // The payload with most signers tells the person most about what is missing.
        let closest = rest.iter().max_by_key(|p| records(p).iter().map(|r| r.signers.len()).sum::<usize>());
        self.evidence.policies = closest.map(records).unwrap_or_default();
        let refusal = if candidates.is_empty() {
            Refusal::Unsigned(reference.digest)
        } else if let Some((policy, what)) = rest.iter().flat_map(|p| &p.denied).next() {
            Refusal::Denied { policy: policy.clone(), what: what.clone() }
        } else {
            let unmet = |p: &&Arc<Policy>| !closest.is_some_and(|c| p.require.is_met(&c.signers(p)));
            match selected.enforcing.iter().find(unmet) {
                Some(policy) => no_trust(candidates.len(), &policy.name, policy.require.to_string()),
                None => no_trust(candidates.len(), "(Delivery)", format!("spec.require [{}]", require.join(", "))),
            }
        };
        Err((CheckId::Signature, refusal))
    }

    /// Among trusted payloads meant for this place and in force now, the highest counts.
    fn statement(&mut self, payloads: Vec<Payload>, selected: &Selected) -> Result<(Payload, Statement), Refused> {
        let mut fitting: Vec<(Payload, Statement)> = Vec::new();
        let mut refused: Vec<(Refused, Payload, Option<Statement>)> = Vec::new();
        for payload in payloads {
            match Statement::parse(&payload.bytes) {
                // Trusted signers attest other things too; an attestation is no release.
                Err(StatementError::Type(_)) if attested::has(&self.attested, &payload.digest) => {}
                Err(StatementError::Type(kind)) => self.evidence.skipped.push(Skipped {
                    referrer: payload.referrer,
                    reason: format!("signed, but of type {kind:?} and so no release"),
                }),
                Err(error) => {
                    let text = match std::error::Error::source(&error) {
                        Some(source) => format!("{error}: {source}"),
                        None => error.to_string(),
                    };
                    refused.push(((CheckId::Statement, Refusal::BadStatement(text)), payload, None));
                }
                Ok(statement) => match self.fits(&payload, &statement, selected) {
                    Ok(()) => fitting.push((payload, statement)),
                    Err(refusal) => refused.push((refusal, payload, Some(statement))),
                },
            }
        }
        fitting.sort_by_key(|(_, statement)| statement.release.position());
        let Some((payload, statement)) = fitting.pop() else {
            refused.sort_by_key(|(_, _, statement)| statement.as_ref().map(|s| s.release.position()));
            let Some((refusal, payload, statement)) = refused.pop() else {
                let seen = self.unverified.candidates.len();
                return Err((
                    CheckId::Signature,
                    no_trust(seen, &selected.enforcing[0].name, "a release statement".into()),
                ));
            };
            self.trusted(&payload, statement.as_ref(), selected);
            return Err(refusal);
        };
        self.trusted(&payload, Some(&statement), selected);
        self.evidence.pass(CheckId::Statement, payload.digest.to_string());
        // Numbers count per stream and environment; equal ones elsewhere claim nothing about each other.
        let place = |s: &Statement| (s.release.position(), s.release.stream.clone(), s.release.environment.clone());
        if let Some((other, twin)) = fitting.iter().rev().find(|(_, other)| place(other) == place(&statement)) {
            let refusal = Refusal::Equivocation {
                stream: twin.release.stream.clone(),
                position: twin.release.position().to_string(),
                first: other.digest,
                second: payload.digest,
            };
            return Err((CheckId::Memory, refusal));
        }
        self.describe_fit(&statement, selected);
        Ok((payload, statement))
    }

    fn trusted(&mut self, payload: &Payload, statement: Option<&Statement>, selected: &Selected) {
        let all = selected.enforcing.iter().chain(&selected.auditing);
        let judged = |policy: &Arc<Policy>| {
            let mut record = payload.record(policy);
            let misplaced = statement.and_then(|s| match policy.mode {
                Mode::Enforce => place(policy, s).err().map(|(_, refusal)| refusal),
                Mode::Audit => self.objection(policy, payload, s),
            });
            let misplaced = misplaced.or_else(|| {
                let claim = payload.claim.as_ref()?;
                denied_digest(policy, &[("artifact", claim.artifact)]).or_else(|| no_statement(policy, claim.artifact))
            });
            if let Some(refusal) = misplaced.filter(|_| record.satisfied) {
                (record.satisfied, record.unmet) = (false, Some(refusal.to_string()));
            }
            record
        };
        let records = all.map(judged).collect();
        self.evidence.policies = records;
        let deciding = self.evidence.policies.iter().filter(|policy| policy.mode == Mode::Enforce);
        let signers = deciding.flat_map(|p| &p.signers);
        let mut names: Vec<_> = signers.map(|s| format!("{} ({})", s.authority, s.key.short())).collect();
        names.sort();
        names.dedup();
        self.evidence.pass(CheckId::Signature, names.join(", "));
        if let Some(statement) = statement {
            self.evidence.describe(payload.digest, statement);
        } else if let Some(claim) = &payload.claim {
            self.evidence.describe_claim(payload.digest, claim);
        }
        let proofs = payload.proofs(&selected.enforcing);
        for (check, (result, detail)) in rows(&proofs) {
            self.evidence.set(check, result, detail);
        }
        self.evidence.signed_by(proofs);
    }

    /// A signature about this very manifest, where no statement is demanded: by a policy, by what a Delivery asks of one, or
    /// by one that was accepted before.
    fn third_party(&mut self, payload: &Payload, selected: &Selected) -> Result<Grounds, Refused> {
        let Facts { memory, stream, environment, version, variant, .. } = *self.facts;
        let artifact = self.unverified.reference.digest;
        self.trusted(payload, None, selected);
        self.evidence.pass(CheckId::DenyList, "");
        if let Some(refusal) = selected.enforcing.iter().find_map(|policy| no_statement(policy, artifact)) {
            return Err((CheckId::Statement, refusal));
        }
        if self.unverified.truncated {
            // A statement may be among what nobody looked at, and it would be the one that counts.
            return Err((CheckId::Signature, Refusal::TooManySignatures { seen: self.unverified.candidates.len() }));
        }
        let by = self.evidence.check(CheckId::Signature).detail.clone();
        let detail = format!("third-party signature by {by}, no release statement");
        self.evidence.set(CheckId::Statement, CheckResult::NotPresent, detail);
        self.evidence.pass(CheckId::Subject, artifact.to_string());
        let demanded = |name: &str, value: &str| Refusal::NoStatement {
            artifact,
            demanded: format!("the Delivery demands, of {name} {value:?}"),
        };
        for (check, name, value) in [
            (CheckId::Stream, "stream", stream),
            (CheckId::Environment, "environment", environment),
            (CheckId::Version, "version", version),
            (CheckId::Variant, "variant", variant),
        ] {
            if let Some(value) = value {
                return Err((check, demanded(name, value)));
            }
        }
        for check in [CheckId::Stream, CheckId::Environment, CheckId::Repository, CheckId::Version, CheckId::Variant] {
            self.evidence.set(check, CheckResult::NotPresent, "no statement names one");
        }
        self.evidence.set(CheckId::Validity, CheckResult::NotPresent, "no statement says until when it holds");
        self.evidence.set(CheckId::MaxAge, CheckResult::NotPresent, "no policy sets a maximum age");
        self.evidence.set(CheckId::Minimum, CheckResult::NotPresent, "no policy sets a minimum");
        self.evidence.set(CheckId::Epoch, CheckResult::NotPresent, "no statement names one");
        self.never_stated(memory, artifact)?;
        let setting = Setting { statement: None, now: self.facts.now };
        attested::judge(&self.attested, selected, setting, self.evidence)?;
        Ok(Grounds::ThirdParty(ThirdParty { payload: payload.digest }))
    }

    /// Who leaves out statements must not get rid of their order.
    fn never_stated(&mut self, memory: Option<&Memory>, artifact: Digest) -> Result<(), Refused> {
        let Some(memory) = memory else {
            self.evidence.set(CheckId::Memory, CheckResult::NotChecked, "no memory of trust was given");
            return Ok(());
        };
        let Some(mark) = memory.marks.last() else {
            let detail = "no statement gives it a place in an order: nothing tells it from an older artifact";
            self.evidence.set(CheckId::Memory, CheckResult::NotPresent, detail);
            return Ok(());
        };
        self.evidence.previous = Some(mark.position);
        let demanded = format!("is demanded since {} of stream {:?} was accepted by one", mark.position, mark.stream);
        Err((CheckId::Memory, Refusal::NoStatement { artifact, demanded }))
    }

    /// What an audit policy would refuse if it decided: everything that enforcing ones are asked one by one.
    fn objection(&self, policy: &Policy, payload: &Payload, statement: &Statement) -> Option<Refusal> {
        let digests = [("artifact", statement.artifact), ("layer", statement.release.content.layer)];
        denied_digest(policy, &digests)
            .or_else(|| denied_statement(policy, payload.digest, statement))
            .or_else(|| place(policy, statement).err().map(|(_, refusal)| refusal))
            .or_else(|| below_minimum(policy, statement))
            .or_else(|| epochs::refused(policy, payload, statement, self.facts.memory))
            .or_else(|| too_old(policy, statement, self.facts.now))
            .or_else(|| held::forbidden(policy).filter(|_| self.facts.hold.is_some()))
    }

    /// Whether a statement is meant for this digest, place and time, whatever its order.
    fn fits(&self, payload: &Payload, statement: &Statement, selected: &Selected) -> Result<(), Refused> {
        let Facts { stream, environment, version, now, .. } = *self.facts;
        let (release, reference) = (&statement.release, &self.unverified.reference);
        if statement.artifact != reference.digest {
            let (expected, actual) = (reference.digest, statement.artifact);
            return Err((CheckId::Subject, Refusal::DigestMismatch { what: "the signed subject", expected, actual }));
        }
        for policy in &selected.enforcing {
            if let Some(refusal) = denied_statement(policy, payload.digest, statement) {
                return Err((CheckId::DenyList, refusal));
            }
            place(policy, statement)?;
            if let Some(refusal) = epochs::refused(policy, payload, statement, self.facts.memory) {
                return Err((CheckId::Epoch, refusal));
            }
        }
        if let Some(wanted) = stream.filter(|wanted| *wanted != release.stream) {
            let by = format!("the Delivery, which wants {wanted:?},");
            return Err((CheckId::Stream, Refusal::WrongStream { stream: release.stream.clone(), by }));
        }
        if let Some(wanted) = environment {
            in_environment(wanted, statement)?;
        }
        self.follows(statement, selected)?;
        if !release.repositories.contains(&reference.repository) {
            let signed = release.repositories.iter().map(ToString::to_string).collect();
            let actual = reference.repository.clone();
            return Err((CheckId::Repository, Refusal::WrongRepository { signed, actual }));
        }
        if let Some(selected) = version.filter(|v| release.version.as_deref() != Some(v)) {
            let signed = release.version.clone().unwrap_or_default();
            return Err((CheckId::Version, Refusal::VersionMismatch { signed, selected: selected.to_owned() }));
        }
        match release.not_before.filter(|start| now < *start) {
            Some(start) => Err((CheckId::Validity, Refusal::NotYetValid(start))),
            None => Ok(()),
        }
    }

    /// Whoever has followed one stream or environment goes on with it until told by name to follow another.
    fn follows(&self, statement: &Statement, selected: &Selected) -> Result<(), Refused> {
        let Facts { memory: Some(memory), stream, environment, .. } = *self.facts else { return Ok(()) };
        let release = &statement.release;
        let followed = memory.followed_instead(&release.stream, release.environment.as_deref());
        if let (Some(so_far), None) = (followed.stream, stream) {
            let by = format!("the Delivery, which has followed {so_far:?} so far and names no stream,");
            return Err((CheckId::Stream, Refusal::WrongStream { stream: release.stream.clone(), by }));
        }
        let named = environment.is_some() || selected.enforcing.iter().any(|p| p.release.environment.is_some());
        match followed.environment.filter(|_| !named) {
            Some(so_far) => in_environment(so_far, statement),
            None => Ok(()),
        }
    }

    fn describe_fit(&mut self, statement: &Statement, selected: &Selected) {
        let release = &statement.release;
        // Only now everything that a deny list may name is known, and was held against it.
        self.evidence.pass(CheckId::DenyList, "");
        self.evidence.pass(CheckId::Subject, statement.artifact.to_string());
        self.evidence.pass(CheckId::Stream, release.stream.clone());
        let demanded =
            self.facts.environment.is_some() || selected.enforcing.iter().any(|p| p.release.environment.is_some());
        let environment = release.environment.as_deref().unwrap_or("none");
        match demanded {
            true => self.evidence.pass(CheckId::Environment, environment),
            false => {
                let detail = format!("none is demanded; the statement names {environment}");
                self.evidence.set(CheckId::Environment, CheckResult::NotPresent, detail);
            }
        }
        self.evidence.pass(CheckId::Repository, self.unverified.reference.repository.to_string());
        match self.facts.version {
            Some(version) => self.evidence.pass(CheckId::Version, version),
            None => self.evidence.set(CheckId::Version, CheckResult::NotPresent, "the selection names no version"),
        }
    }

    /// Which of several sets of objects is meant. All of them are signed, so a wrong choice is the only thing that can be
    /// wrong here.
    fn variant(&mut self, statement: &Statement) -> Result<(), Refused> {
        let chosen = statement.release.chosen(self.facts.variant).map_err(|refusal| (CheckId::Variant, refusal))?;
        self.evidence.variant = chosen.variant.map(str::to_owned);
        match chosen.variant {
            Some(name) => {
                self.evidence.pass(CheckId::Variant, format!("{name}, of {}", statement.release.variants.len()))
            }
            None => self.evidence.set(CheckId::Variant, CheckResult::NotPresent, "the release has none"),
        }
        Ok(())
    }

    /// The policy's floor.
    fn minimum(&mut self, statement: &Statement, selected: &Selected) -> Result<(), Refused> {
        if let Some(refusal) = selected.enforcing.iter().find_map(|policy| below_minimum(policy, statement)) {
            return Err((CheckId::Minimum, refusal));
        }
        match selected.enforcing.iter().filter_map(|policy| policy.release.minimum).max() {
            Some(minimum) => self.evidence.pass(CheckId::Minimum, minimum.to_string()),
            None => self.evidence.set(CheckId::Minimum, CheckResult::NotPresent, "no policy sets a minimum"),
        }
        Ok(())
    }

    fn memory(&mut self, payload: &Payload, statement: &Statement) -> Result<Standing, Refused> {
        let Some(memory) = self.facts.memory else {
            self.evidence.set(CheckId::Memory, CheckResult::NotChecked, "no memory of trust was given");
            return Ok(Standing::First);
        };
        let release = &statement.release;
        self.evidence.previous = memory.mark(&release.stream, release.environment.as_deref()).map(|m| m.position);
        let standing = memory.judge(&payload.digest, statement).map_err(|r| (CheckId::Memory, r))?;
        let detail = match (standing, self.evidence.previous) {
            (Standing::First, _) => "first seen".to_owned(),
            (Standing::Advance, Some(previous)) => format!("{previous} → {}", release.position()),
            (_, previous) => format!("at {}", previous.unwrap_or_default()),
        };
        self.evidence.pass(CheckId::Memory, detail);
        Ok(standing)
    }

    /// Past `expiresAt` or `maxAge` nothing new is accepted; what already runs is confirmed, with why it is stale.
    fn freshness(
        &mut self,
        statement: &Statement,
        standing: Standing,
        selected: &Selected,
    ) -> Result<Option<Refusal>, Refused> {
        let (release, now) = (&statement.release, self.facts.now);
        let mut late: Vec<Refused> = Vec::new();
        match release.expires_at {
            Some(end) if now > end => late.push((CheckId::Validity, Refusal::Expired(end))),
            Some(end) => self.evidence.pass(CheckId::Validity, format!("until {end}")),
            None => self.evidence.pass(CheckId::Validity, "does not expire"),
        }
        match selected.enforcing.iter().find_map(|policy| too_old(policy, statement, now)) {
            Some(refusal) => late.push((CheckId::MaxAge, refusal)),
            None if selected.enforcing.iter().any(|policy| policy.release.max_age.is_some()) => {
                self.evidence.pass(CheckId::MaxAge, format!("issued {}", release.issued_at))
            }
            None => self.evidence.set(CheckId::MaxAge, CheckResult::NotPresent, "no policy sets a maximum age"),
        }
        let Some((check, refusal)) = late.pop() else { return Ok(None) };
        let latest = selected.enforcing.iter().all(|p| p.release.on_first_contact == OnFirstContact::Latest);
        let known = self.facts.memory.is_some();
        if known && (standing == Standing::Current || standing == Standing::First && latest) {
            self.evidence.stale = true;
            for (check, refusal) in late.iter().chain([&(check, refusal.clone())]) {
                self.evidence.set(*check, CheckResult::Fail, format!("{refusal}; accepted as stale"));
            }
            return Ok(Some(refusal));
        }
        Err((check, refusal))
    }
}

/// True if a payload is, or means to be, a release statement about the artifact: then that is what is judged. Other things
/// that trusted signers attest hide no signature of theirs.
fn states(payload: &Payload, artifact: Digest) -> bool {
    match Statement::parse(&payload.bytes) {
        Ok(statement) => statement.artifact == artifact,
        Err(StatementError::Type(_)) => false,
        Err(_) => Statement::is_meant(&payload.bytes),
    }
}

/// That a policy wants more than a signature.
fn no_statement(policy: &Policy, artifact: Digest) -> Option<Refusal> {
    let demanded = || format!("policy {} demands", policy.name);
    let required = policy.release.statement == StatementDemand::Required;
    required.then(|| Refusal::NoStatement { artifact, demanded: demanded() })
}

/// A digest on the policy's deny list.
fn denied_digest(policy: &Policy, digests: &[(&str, Digest)]) -> Option<Refusal> {
    let (what, digest) = digests.iter().find(|(_, digest)| policy.deny.digests.contains(digest))?;
    Some(Refusal::Denied { policy: policy.name.clone(), what: format!("{what} {digest}") })
}

/// A statement on the policy's deny list, or one about a commit that is, under whichever name it stands there.
fn denied_statement(policy: &Policy, payload: Digest, statement: &Statement) -> Option<Refusal> {
    let denied = |what: String| Some(Refusal::Denied { policy: policy.name.clone(), what });
    if policy.deny.digests.contains(&payload) {
        return denied(format!("statement {payload}"));
    }
    let commits = statement.release.source.iter().flat_map(|source| source.digest.values());
    commits
        .into_iter()
        .find(|commit| policy.deny.names_commit(commit))
        .and_then(|commit| denied(format!("commit {commit:?}")))
}

fn below_minimum(policy: &Policy, statement: &Statement) -> Option<Refusal> {
    let actual = statement.release.position();
    policy.release.minimum.filter(|minimum| actual < *minimum).map(|minimum| Refusal::BelowMinimum {
        actual: actual.to_string(),
        minimum: minimum.to_string(),
        policy: policy.name.clone(),
    })
}

fn too_old(policy: &Policy, statement: &Statement, now: jiff::Timestamp) -> Option<Refusal> {
    let (issued, max_age) = (statement.release.issued_at, policy.release.max_age?);
    let longest = jiff::SignedDuration::try_from(max_age.get()).unwrap_or(jiff::SignedDuration::MAX);
    (now.duration_since(issued) > longest).then(|| Refusal::TooOld {
        issued,
        policy: policy.name.clone(),
        max_age: max_age.to_string(),
    })
}

/// What a policy says about stream and environment.
fn place(policy: &Policy, statement: &Statement) -> Result<(), Refused> {
    let stream = &statement.release.stream;
    if !policy.streams.iter().any(|matcher| matcher.matches(stream)) {
        let by = format!("policy {}", policy.name);
        return Err((CheckId::Stream, Refusal::WrongStream { stream: stream.clone(), by }));
    }
    policy.release.environment.as_deref().map_or(Ok(()), |wanted| in_environment(wanted, statement))
}

fn in_environment(wanted: &str, statement: &Statement) -> Result<(), Refused> {
    let actual = statement.release.environment.as_deref().unwrap_or_default();
    if wanted == actual {
        return Ok(());
    }
    let refusal = Refusal::WrongEnvironment { expected: wanted.to_owned(), actual: actual.to_owned() };
    Err((CheckId::Environment, refusal))
}

fn no_trust(seen: usize, policy: &str, unmet: String) -> Refusal {
    Refusal::NoTrustedSignature { seen, policy: policy.to_owned(), unmet }
}

fn bad_manifest(check: CheckId, error: &ManifestError) -> Refused {
    (check, Refusal::BadManifest(error.to_string()))
}
