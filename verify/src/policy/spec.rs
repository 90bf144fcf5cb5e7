//! The policy language as written. Unknown fields are errors everywhere.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    duration::Duration,
    sigstore::{ClaimMatchersSpec, Demand},
    statement::Position,
};

/// What a `SignaturePolicy` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicySpec {
    /// `enforce` (the default) decides; `audit` is judged and reported but authorises nothing.
    #[serde(default)]
    pub mode: Mode,
    /// Which artifacts and Deliveries the policy is about.
    #[serde(rename = "match")]
    pub matches: MatchSpec,
    /// Who may sign.
    #[schemars(length(min = 1, max = 32))]
    pub authorities: Vec<AuthoritySpec>,
    /// Which of them must have signed the very same statement.
    pub require: RequireSpec,
    /// What must be there beside a signature.
    #[serde(default, skip_serializing_if = "TransparencySpec::is_default")]
    pub transparency: TransparencySpec,
    /// What the statement must say.
    pub release: ReleaseSpec,
    /// What else must be attested of the artifact, beside its release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub attestations: Vec<AttestationSpec>,
    /// What may be in the release.
    #[serde(default)]
    pub objects: ObjectsSpec,
    /// Which container images its objects may run.
    #[serde(default, skip_serializing_if = "ImagesSpec::is_default")]
    pub images: ImagesSpec,
    /// What is refused whoever signed it.
    #[serde(default)]
    pub deny: DenySpec,
}

/// Whether a policy decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Must pass.
    #[default]
    Enforce,
    /// Is judged beside the enforcing ones and never authorises.
    Audit,
}

/// Which artifacts and Deliveries a policy is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchSpec {
    /// Globs over logical repositories, `host/path`; `*` stays within one path segment, `**` crosses them.
    #[schemars(length(min = 1, max = 256))]
    pub repositories: Vec<String>,
    /// Globs over the Delivery's namespace; all namespaces if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
}

/// A named signer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthoritySpec {
    /// The name that `require` and a Delivery's `require` use.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The public key it signs with. Exactly one of `key` and `keyless` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySpec>,
    /// Whose certificates it signs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<KeylessSpec>,
}

/// Whose Sigstore certificates count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeylessSpec {
    /// Who vouched for the identity, such as `https://token.actions.githubusercontent.com`.
    pub issuer: MatcherSpec,
    /// The identity: an email address or a URI, such as a workflow at a ref.
    pub subject: MatcherSpec,
    /// What else the certificate must say of the build.
    #[serde(default, skip_serializing_if = "ClaimMatchersSpec::is_empty")]
    pub claims: ClaimMatchersSpec,
    /// The TrustRoot that certificate, log and timestamps are held against; the public-good instance by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_root: Option<String>,
}

/// What must be there beside a signature, for every authority of the policy. `required` must be there and verify, what is
/// `optional` must verify where it is there, what is `off` is not looked at and reported as not checked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransparencySpec {
    /// Inclusion in a transparency log. By default `required` of keyless signatures and `off` for keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tlog: Option<Demand>,
    /// RFC 3161 timestamps. By default `optional` for keyless signatures and `off` for keys. A keyless signature needs a
    /// log or a timestamp to say when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Demand>,
    /// The signed certificate timestamp of a keyless signature's certificate. `required` by default; a private Fulcio
    /// may have no certificate log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sct: Option<Demand>,
    /// Whether signatures under the tag `sha256-<hex>.sig`, as cosign wrote them before bundles, are looked at. They carry
    /// no release statement, so only with `release.statement: optional`; and of a log they have a promise, no proof.
    #[serde(default, rename = "legacySignatures", skip_serializing_if = "std::ops::Not::not")]
    pub legacy_signatures: bool,
}

impl TransparencySpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A public key and when its signatures count: judged at the verified time of a log or timestamp if the policy asks for
/// one and the signature has it, else when the statement was first seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeySpec {
    /// A PEM block of type PUBLIC KEY.
    #[schemars(length(min = 1, max = 8192))]
    pub pem: String,
    /// Signatures from before do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_before: Option<Timestamp>,
    /// Signatures from later do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub not_after: Option<Timestamp>,
    /// The TrustRoot that log and timestamps are held against; the public-good instance by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_root: Option<String>,
}

/// How many authorities must have signed; exactly one of the three. Distinct keys and identities are counted, and only on equal statements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequireSpec {
    /// Every one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_of: Option<Vec<String>>,
    /// Any one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub any_of: Option<Vec<String>>,
    /// At least `count` of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<AtLeastSpec>,
}

/// A threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AtLeastSpec {
    /// How many. (Not `n`: YAML 1.1 reads that key as false.)
    #[schemars(range(min = 1))]
    pub count: usize,
    /// Of whom.
    pub of: Vec<String>,
}

/// What the statement must say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReleaseSpec {
    /// `required` (the default), or `optional`: then an artifact that the authorities have signed and said nothing else
    /// about, as `cosign sign` does, is accepted too. Nothing tells such an artifact from an older one, so there is no
    /// protection against rollback, and `environment`, `maxAge` and `minimum` cannot stand beside it. A release statement
    /// that is there still counts, and once one was accepted a Delivery takes nothing without.
    #[serde(default, skip_serializing_if = "StatementDemand::is_required")]
    pub statement: StatementDemand,
    /// The streams the authorities speak for. Empty only with `statement: optional`: then no statement of theirs counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub streams: Vec<MatcherSpec>,
    /// The environment every statement must name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How long after `issuedAt` a statement may still bring something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Nothing below is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Position>,
    /// What to do with an expired statement where nothing of the stream runs yet.
    #[serde(default)]
    pub on_first_contact: OnFirstContact,
    /// What becomes of a release that runs once its signatures no longer count or a deny list names it. Where several
    /// policies match, `suspend` in any of them is what holds.
    #[serde(default, skip_serializing_if = "OnRevocation::is_keep")]
    pub on_revocation: OnRevocation,
    /// Whether a Delivery may be held for a time at a release that it accepted before, by whoever may edit it and without a
    /// new signature. `forbid` by default; it takes `allow` in every policy that matches.
    #[serde(default, skip_serializing_if = "Emergency::is_forbidden")]
    pub emergency: Emergency,
    /// Who raises the epoch. Without it, whoever may release may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<EpochsSpec>,
    /// Who approves what a release would do to a cluster, before it does. Without it, nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalSpec>,
}

/// Who raises the epoch: a statement of a higher epoch than the one accepted last, or than the policy's minimum where
/// nothing was accepted yet, counts only if these have signed it too. So the key that releases every day can neither
/// burn the counter nor reset it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochsSpec {
    /// Which authorities must have signed the statement that raises it, beside those of the policy's `require`.
    pub require: RequireSpec,
}

/// Who approves plans. A plan that is not approved is not carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSpec {
    /// Which authorities must have signed the approval; `sealift approve` makes one.
    pub require: RequireSpec,
}

/// An attestation that must be there: an in-toto statement about this very manifest, in a signed bundle beside it. One
/// that is signed as required and of which every expression is true is enough; others are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AttestationSpec {
    /// What it is called in verdicts.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its predicate type, exactly, such as `https://slsa.dev/provenance/v1`.
    #[schemars(length(min = 1, max = 512))]
    pub predicate_type: String,
    /// Which authorities must have signed it; those of the policy's `require` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<RequireSpec>,
    /// CEL over `predicate`, `subject` (the one that names this manifest), `statement` (the release statement or null),
    /// `certificate` (`issuer`, `identity` and `claims` of who signed, or null; true of each where several did) and `now`
    /// (a text for `timestamp()`). Each must be true; what fails or is neither true nor false is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 2048)))]
    pub expressions: Vec<String>,
    /// How long ago it may have been signed, by the time that a log or timestamp vouches for. A signature without such a
    /// time is too old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

/// Whether there must be a release statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatementDemand {
    /// Nothing is accepted without.
    #[default]
    Required,
    /// A third party's signature on the artifact is enough where there is none.
    Optional,
}

impl StatementDemand {
    fn is_required(&self) -> bool {
        *self == Self::Required
    }
}

/// What becomes of a release that runs once trust in it is withdrawn. Nothing is ever deleted for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnRevocation {
    /// It runs on and is kept in repair; the Delivery's status says that it would be refused now.
    #[default]
    Keep,
    /// It runs on as it is: nothing is repaired, pruned or applied until it, or another release, is accepted.
    Suspend,
}

impl OnRevocation {
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// Whether a Delivery may be held at an earlier release without a new signature. A hold lets those go back who may edit a
/// Delivery and sign nothing, so no policy says yes by saying nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Emergency {
    /// Who wants to go back has to sign it.
    #[default]
    Forbid,
    /// For a week at most, to what this Delivery has accepted before, until a higher release comes.
    Allow,
}

impl Emergency {
    fn is_forbidden(&self) -> bool {
        *self == Self::Forbid
    }
}

/// What to do with an expired statement where nothing of the stream runs yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFirstContact {
    /// Refuse it.
    #[default]
    Refuse,
    /// Accept the latest there is, and say that it is stale.
    Latest,
}

/// How a text is matched; exactly one of the three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "one of exact, glob and regex with a text")]
pub struct MatcherSpec {
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// A glob; `*` stays within one `/` segment, `**` crosses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// A regular expression, matched against the whole text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// What may be in a release. An absent list allows everything of its sort; an empty one nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectsSpec {
    /// Globs over the namespaces that objects may lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Globs over `Kind` (core) or `Kind.group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// Globs over `Kind/name` or `Kind.group/name` of cluster-scoped objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_scoped: Option<Vec<String>>,
    /// Sensitive places that parameters may reach. None by default.
    #[serde(default)]
    pub parameters: Vec<ParameterPlace>,
    /// What a release may delete by no longer naming it.
    #[serde(default, skip_serializing_if = "DeletionsSpec::is_default")]
    pub deletions: DeletionsSpec,
}

/// What a release may delete by no longer naming it. Judged over the whole plan, before its first write.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeletionsSpec {
    /// How many at once: a number, or a share of what the Delivery owns such as `10%`, rounded down but never to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<MostSpec>,
    /// Globs over `Kind` (core) or `Kind.group` of what is never deleted so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected_kinds: Vec<String>,
}

impl DeletionsSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A number, or a share such as `10%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "MostWritten", try_from = "MostWritten")]
pub enum MostSpec {
    /// So many.
    Count(u32),
    /// So many of a hundred.
    Percent(u8),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum MostWritten {
    Count(u32),
    Percent(String),
}

impl From<MostSpec> for MostWritten {
    fn from(most: MostSpec) -> Self {
        match most {
            MostSpec::Count(count) => Self::Count(count),
            MostSpec::Percent(share) => Self::Percent(format!("{share}%")),
        }
    }
}

impl TryFrom<MostWritten> for MostSpec {
    type Error = String;

    fn try_from(written: MostWritten) -> Result<Self, String> {
        let text = match written {
            MostWritten::Count(count) => return Ok(Self::Count(count)),
            MostWritten::Percent(text) => text,
        };
        let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let share = digits.and_then(|digits| digits.parse().ok()).filter(|share| *share <= 100);
        share.map(Self::Percent).ok_or_else(|| format!("{text:?} is neither a number nor a share such as 10%"))
    }
}

impl JsonSchema for MostSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Most".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number, or a share such as `10%`.",
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^([0-9]{1,2}|100)%$"}],
            "x-kubernetes-int-or-string": true,
        })
    }
}

/// Which container images the objects of a release may run: those of pods and of anything shaped like a pod's spec, and
/// what stands at `places`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagesSpec {
    /// Whether every image must name its digest.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// Globs over image repositories, `host/path` in full: `docker.io/library/nginx`. All if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub repositories: Option<Vec<String>>,
    /// Which authorities must have signed every image, as `cosign sign` does. Only what is pinned can be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<RequireSpec>,
    /// Where else objects name images, as `Kind.group/spec/image`; `*` stands for every item or field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub places: Vec<String>,
}

impl ImagesSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A place in an object that a variable may only reach where the policy says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterPlace {
    /// `metadata.name`, `metadata.namespace` and every reference named `namespace`.
    Names,
    /// Container images.
    Images,
    /// Rules, subjects and role references of RBAC objects, and service account names.
    Rbac,
}

/// What is refused whoever signed it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DenySpec {
    /// Digests of artifacts, statements, layers or images. An image that is named by a tag alone is not recognised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<Digest>,
    /// Ids of keys, `sha256:` over the DER public key. A certificate is denied by its own key or its fingerprint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Digest>,
    /// Git commits, or what they begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<String>,
}

impl DenySpec {
    /// True if a commit is on the list. It may be cut short there, and hexadecimal has two cases.
    pub(crate) fn names_commit(&self, commit: &str) -> bool {
        let commit = commit.to_ascii_lowercase();
        self.commits.iter().any(|denied| commit.starts_with(&denied.to_ascii_lowercase()))
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
