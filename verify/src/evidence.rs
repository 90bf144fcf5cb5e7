//! The record of one decision. Every rendering is made from the rows, so it cannot claim a check that was not made.

pub mod junit;
pub mod packed;
pub mod record;
pub mod sarif;
mod summary;
mod text;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    digest::Digest,
    policy::Mode,
    reference::Pinned,
    refusal::{Reason, Refusal},
    signature::{Form, Skipped},
    sigstore::Proof,
    statement::{Position, Source, Statement},
    third_party::Claim,
};

macro_rules! checks {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal),+ $(,)?) => {
        /// One numbered check. The order is the order in which they are made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum CheckId { $($(#[doc = $doc])+ #[serde(rename = $word)] $name),+ }

        impl CheckId {
            /// Every check in order.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable word in JSON and text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What holds where the check passes, in one sentence.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim()),+ }
            }
        }
    };
}

checks! {
    /// An enforcing policy matches.
    Policy = "policy",
    /// The manifest's bytes have the digest asked for.
    ManifestDigest = "manifest-digest",
    /// The manifest describes one readable content layer.
    Manifest = "manifest",
    /// No deny list names artifact, statement, key or commit.
    DenyList = "deny-list",
    /// Signatures over one statement satisfy every enforcing policy.
    Signature = "signature",
    /// The signing certificate; key signatures have none.
    Certificate = "certificate",
    /// Inclusion in a transparency log.
    TransparencyLog = "transparency-log",
    /// A signed timestamp.
    Timestamp = "timestamp",
    /// The signed payload is a self-consistent release statement.
    Statement = "statement",
    /// The statement is about this very manifest.
    Subject = "subject",
    /// The stream is one the authorities speak for.
    Stream = "stream",
    /// The environment is the one demanded.
    Environment = "environment",
    /// The statement names this logical repository.
    Repository = "repository",
    /// The signed version is the selected one.
    Version = "version",
    /// Of a release with variants, the one chosen is there; of one without, none is chosen.
    Variant = "variant",
    /// Between `notBefore` and `expiresAt`.
    Validity = "validity",
    /// Within the policy's `maxAge`.
    MaxAge = "max-age",
    /// At or above the policy's minimum.
    Minimum = "minimum",
    /// A higher epoch is signed by those who may raise it.
    Epoch = "epoch",
    /// Not older than what was accepted before.
    Memory = "memory",
    /// What an emergency hold goes back to was accepted here before, and policies allow it for this time.
    Hold = "hold",
    /// Every attestation that a policy asks for is there, signed, and says what it should.
    Attestations = "attestations",
    /// The layer's bytes are the ones signed.
    Layer = "layer",
    /// The objects are the ones signed.
    Inventory = "inventory",
    /// Every declared parameter has a fitting value.
    Parameters = "parameters",
    /// Every object is allowed.
    Objects = "objects",
    /// Every image is allowed, pinned and signed as policies demand.
    Images = "images",
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckResult {
    /// Made and passed.
    Pass,
    /// Made and failed.
    Fail,
    /// Not made.
    NotChecked,
    /// There was nothing to check.
    NotPresent,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Which check.
    pub check: CheckId,
    /// What came of it.
    pub result: CheckResult,
    /// The facts, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything demanded holds.
    Accepted,
    /// Something demanded does not hold.
    Refused,
    /// There is no answer; asking again may bring one.
    CouldNotCheck,
}

/// How one policy was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRecord {
    /// Its name.
    pub name: String,
    /// Digest of name and spec.
    pub digest: Digest,
    /// Whether it decides.
    pub mode: Mode,
    /// True if everything it demands holds.
    pub satisfied: bool,
    /// Its threshold, in words.
    pub require: String,
    /// Authorities that signed the statement, with the id of the key used.
    pub signers: Vec<Signer>,
    /// The first thing that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmet: Option<String>,
}

/// What is proven of one signer of the statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureRecord {
    /// The id of the key; of a certificate, SHA-256 over its issuer and identity.
    pub signer: Digest,
    /// Digest of the referrer's manifest that carries the signature.
    pub referrer: Digest,
    /// Its form, where it is not a bundle.
    #[serde(default, skip_serializing_if = "Form::is_bundle")]
    pub form: Form,
    /// Certificate, log entries and times, each only as far as it was verified.
    #[serde(flatten)]
    pub proof: Proof,
}

/// An authority that signed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signer {
    /// The authority's name.
    pub authority: String,
    /// The id of its key; of a certificate, SHA-256 over its issuer and identity.
    pub key: Digest,
}

/// What the accepted, or best refused, statement says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementRecord {
    /// Digest of the payload.
    pub digest: Digest,
    /// Its stream.
    pub stream: String,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its place in the stream.
    pub position: Position,
    /// When the signer says it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Where the manifests came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What is proven of those who signed it in the eyes of an enforcing policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignatureRecord>,
}

/// What was signed where there is no release statement: this very manifest, by whom, with which annotations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThirdPartyRecord {
    /// Digest of one of the payloads that say so.
    pub digest: Digest,
    /// The annotations as signed; they were held against nothing.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
    /// What is proven of those who signed it in the eyes of an enforcing policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<SignatureRecord>,
}

/// The record of one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The logical repository and digest judged.
    pub reference: String,
    /// The digest judged.
    pub artifact: Digest,
    /// Where the bytes came from, if not from the logical repository itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// When.
    pub time: Timestamp,
    /// The answer.
    pub outcome: Outcome,
    /// The stable word of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The refusal in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// True if the statement has expired and only what already runs is confirmed by it.
    pub stale: bool,
    /// Every matching policy.
    pub policies: Vec<PolicyRecord>,
    /// The statement judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementRecord>,
    /// The third party's signature judged, where there is no statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third_party: Option<ThirdPartyRecord>,
    /// The variant that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The position accepted before, if memory was consulted and held one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Position>,
    /// Digest of the objects as signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_inventory: Option<Digest>,
    /// Digest of the objects after parameters and target namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_inventory: Option<Digest>,
    /// Digest of the parameter values; the values themselves are nowhere in evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Digest>,
    /// Signature candidates looked at.
    pub candidates: usize,
    /// Candidates passed over, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Skipped>,
    /// One row a check, in order.
    pub checks: Vec<Check>,
    /// Version of the verifier.
    pub verifier: String,
}

impl Evidence {
    /// A record in which nothing has been checked yet.
    pub(crate) fn new(reference: &Pinned, time: Timestamp) -> Self {
        let row = |check: &CheckId| Check { check: *check, result: CheckResult::NotChecked, detail: String::new() };
        Self {
            reference: reference.to_string(),
            artifact: reference.digest,
            transport: None,
            time,
            outcome: Outcome::CouldNotCheck,
            reason: None,
            message: None,
            stale: false,
            policies: Vec::new(),
            statement: None,
            third_party: None,
            variant: None,
            previous: None,
            signed_inventory: None,
            final_inventory: None,
            parameters: None,
            candidates: 0,
            skipped: Vec::new(),
            checks: CheckId::ALL.iter().map(row).collect(),
            verifier: concat!("sealift/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    pub(crate) fn set(&mut self, check: CheckId, result: CheckResult, detail: impl Into<String>) {
        let row = &mut self.checks[check as usize];
        (row.result, row.detail) = (result, detail.into());
    }

    pub(crate) fn pass(&mut self, check: CheckId, detail: impl Into<String>) {
        self.set(check, CheckResult::Pass, detail);
    }

    pub(crate) fn refuse(&mut self, check: CheckId, refusal: &Refusal) {
        self.set(check, CheckResult::Fail, refusal.to_string());
        self.outcome = if refusal.is_undecided() { Outcome::CouldNotCheck } else { Outcome::Refused };
        self.reason = Some(refusal.reason());
        self.message = Some(refusal.to_string());
    }

    pub(crate) fn describe(&mut self, payload: Digest, statement: &Statement) {
        let release = &statement.release;
        self.statement = Some(StatementRecord {
            digest: payload,
            stream: release.stream.clone(),
            environment: release.environment.clone(),
            version: release.version.clone(),
            position: release.position(),
            issued_at: release.issued_at,
            expires_at: release.expires_at,
            source: release.source.clone(),
            signatures: Vec::new(),
        });
    }

    pub(crate) fn describe_claim(&mut self, payload: Digest, claim: &Claim) {
        self.third_party =
            Some(ThirdPartyRecord { digest: payload, annotations: claim.annotations(), signatures: Vec::new() });
    }

    /// What is proven of the signers, of a statement or of the artifact alone.
    pub(crate) fn signed_by(&mut self, signatures: Vec<&SignatureRecord>) {
        if let Some(proven) = self.signatures_mut() {
            *proven = signatures.into_iter().cloned().collect();
        }
    }

    fn signatures_mut(&mut self) -> Option<&mut Vec<SignatureRecord>> {
        let statement = self.statement.as_mut().map(|statement| &mut statement.signatures);
        statement.or(self.third_party.as_mut().map(|third| &mut third.signatures))
    }

    /// Leaves out what is proven of each signer, where the whole record is too long; the rows stay.
    pub fn forget_signatures(&mut self) {
        self.signatures_mut().map(Vec::clear);
    }

    /// Digest of the payload that was judged: a statement's, or a third party's signature's.
    pub fn payload(&self) -> Option<Digest> {
        let third_party = self.third_party.as_ref().map(|third| third.digest);
        self.statement.as_ref().map(|statement| statement.digest).or(third_party)
    }

    /// The row of a check.
    pub fn check(&self, check: CheckId) -> &Check {
        &self.checks[check as usize]
    }

    /// True if no check was left out for want of facts: what `--require-complete` demands. A log or timestamp
    /// that no policy asks for does not count: where one does, it was checked or the answer is no.
    pub fn is_complete(&self) -> bool {
        let optional = [CheckId::TransparencyLog, CheckId::Timestamp];
        self.checks.iter().all(|row| row.result != CheckResult::NotChecked || optional.contains(&row.check))
    }
}

/// What is said of an artifact without a release statement, wherever a release would be named.
pub const THIRD_PARTY: &str = "signed by a third party, no release statement";

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Texts of the registry's making, as a test of what each rendering does with them.
    const NASTY: &str = "<b>\"&'\u{1b}[2K\n]]>";

    /// Refused, accepted, accepted as stale, and undecided: what every rendering has to show.
    pub(crate) fn records() -> [Evidence; 4] {
        [refused(), accepted(), stale(), undecided()]
    }

    fn fresh() -> Evidence {
        let repository: crate::reference::Repository = "registry.example/acme/shop".parse().unwrap();
        Evidence::new(&repository.pin(Digest::of(b"manifest")), "2026-06-01T00:00:00Z".parse().unwrap())
    }

    fn refused() -> Evidence {
        let mut evidence = fresh();
        evidence.pass(CheckId::Policy, "production");
        evidence.pass(CheckId::ManifestDigest, Digest::of(b"manifest").to_string());
        evidence.refuse(CheckId::Manifest, &Refusal::BadManifest(NASTY.to_owned()));
        evidence
    }

    fn accepted() -> Evidence {
        let mut evidence = fresh();
        for check in CheckId::ALL {
            evidence.pass(*check, "fine");
        }
        for check in [CheckId::TransparencyLog, CheckId::Timestamp, CheckId::Memory] {
            evidence.set(check, CheckResult::NotChecked, "nothing to check it with");
        }
        evidence.set(CheckId::Certificate, CheckResult::NotPresent, "signed with keys");
        evidence.policies = vec![PolicyRecord {
            name: "production".into(),
            digest: Digest::of(b"policy"),
            mode: Mode::Enforce,
            satisfied: true,
            require: "needs 1 of [release]".into(),
            signers: vec![Signer { authority: "release".into(), key: Digest::of(b"key") }],
            unmet: None,
        }];
        evidence.describe(Digest::of(b"payload"), &crate::statement::tests::statement());
        evidence.outcome = Outcome::Accepted;
        evidence
    }

    fn stale() -> Evidence {
        let mut evidence = accepted();
        evidence.stale = true;
        evidence.set(CheckId::Validity, CheckResult::Fail, "expired; accepted as stale");
        evidence
    }

    fn undecided() -> Evidence {
        let mut evidence = fresh();
        evidence.pass(CheckId::Policy, "production");
        evidence.refuse(CheckId::Signature, &Refusal::TooManySignatures { seen: 64 });
        evidence
    }

    /// Holds a rendering against the file it is kept in.
    #[track_caller]
    pub(crate) fn assert_snapshot(name: &str, actual: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/evidence/snapshots").join(name);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, actual).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(actual, expected, "{name} differs: UPDATE_GENERATED=1 cargo test -p sealift-verify evidence");
    }

    #[test]
    fn the_text_is_as_it_was() {
        let text = records().map(|record| record.to_string()).join("\n\n");
        assert_snapshot("text.txt", &format!("{text}\n"));
    }

    #[test]
    fn every_check_says_what_holds_where_it_passes() {
        for check in CheckId::ALL {
            assert!(check.describe().ends_with('.') && check.describe().len() > 10, "{check:?}");
        }
    }

    #[test]
    fn rows_stand_at_the_place_of_their_check() {
        let pinned = "registry.example/a".parse::<crate::reference::Repository>().unwrap().pin(Digest::of(b""));
        let evidence = Evidence::new(&pinned, Timestamp::UNIX_EPOCH);
        for check in CheckId::ALL {
            assert_eq!(evidence.check(*check).check, *check);
            assert_eq!(evidence.check(*check).result, CheckResult::NotChecked);
        }
        assert!(!evidence.is_complete());
        assert!(!evidence.to_string().contains("pass"));
    }
}
