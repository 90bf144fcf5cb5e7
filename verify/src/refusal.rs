//! Why a release is not accepted: one variant a reason, the same word in log, condition, metric and evidence.

use serde::{Deserialize, Serialize};

use crate::{digest::Digest, hold::NotHeld, reference::Repository, sigstore::UnknownTrustRoot};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The stable word for a refusal. Adding one is a feature; renaming one is a breaking change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum Reason { $($(#[$doc])* $name),+ }

        impl Reason {
            /// Every reason, for tables, metrics and documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }
    };
}

reasons! {
    /// No enforcing policy matches the repository and namespace.
    NoPolicy,
    /// A policy cannot be used.
    PolicyInvalid,
    /// The artifact carries no release statement at all.
    Unsigned,
    /// There are signatures, but none that satisfy every matching policy.
    NoTrustedSignature,
    /// A digest or key on a policy's deny list.
    Denied,
    /// Bytes whose digest is not the one asked for or signed.
    DigestMismatch,
    /// The manifest is not that of a release.
    BadManifest,
    /// The layer breaks a limit or holds what it must not.
    BadLayer,
    /// A trusted signature over a statement that cannot be read or contradicts itself.
    BadStatement,
    /// Trusted signatures without a release statement, where something demands one.
    NoStatement,
    /// The statement speaks for a stream the policy does not allow.
    WrongStream,
    /// The statement is for another environment.
    WrongEnvironment,
    /// The statement is not about this repository.
    WrongRepository,
    /// The statement is not valid yet.
    NotYetValid,
    /// The statement's `expiresAt` has passed.
    Expired,
    /// The statement is older than the policy's `maxAge`.
    TooOld,
    /// Below the policy's minimum epoch and sequence.
    BelowMinimum,
    /// A higher epoch than before, and not signed by those who may raise it.
    EpochRaised,
    /// Older than what this Delivery has already accepted.
    RolledBack,
    /// Two different statements claim the same sequence.
    Equivocation,
    /// An emergency hold that a policy or the memory of trust does not allow, or that has ended.
    HoldRefused,
    /// No attestation of a type that a policy asks for.
    AttestationMissing,
    /// Attestations of the right type, none of them signed or saying as the policy asks.
    AttestationRefused,
    /// The signed version is not the one selected.
    VersionMismatch,
    /// The release has variants, and none of them was chosen.
    VariantRequired,
    /// A variant was chosen that the release does not have.
    UnknownVariant,
    /// The objects are not those that were signed.
    InventoryMismatch,
    /// The policy does not allow an object of the release.
    ObjectNotAllowed,
    /// The policy does not allow an image of the release, or not under a name that may mean another one tomorrow.
    ImageNotAllowed,
    /// An image is not signed by those the policy wants.
    ImageNotSigned,
    /// The signatures of an image could not all be looked at.
    ImageUnchecked,
    /// A parameter's value is missing, unknown or not allowed.
    BadParameter,
    /// More signature candidates than may be looked at, none of those seen sufficed.
    TooManySignatures,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal with its facts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// See [`Reason::NoPolicy`].
    #[error("no enforcing SignaturePolicy matches repository {repository}{}", namespace.as_deref().map(|n| format!(" in namespace {n}")).unwrap_or_default())]
    NoPolicy {
        /// The repository.
        repository: Repository,
        /// The Delivery's namespace, if one was given.
        namespace: Option<String>,
    },
    /// See [`Reason::PolicyInvalid`].
    #[error("policy {policy} demands authority {authority:?}, which it does not define")]
    UnknownAuthority {
        /// The policies asked.
        policy: String,
        /// The name that none defines.
        authority: String,
    },
    /// See [`Reason::PolicyInvalid`].
    #[error("policy {policy} cannot be used: {problem}")]
    NoTrustRoot {
        /// The policy.
        policy: String,
        /// What about the trust root it names.
        problem: UnknownTrustRoot,
    },
    /// See [`Reason::Unsigned`].
    #[error("the artifact {0} carries no signed release statement")]
    Unsigned(Digest),
    /// See [`Reason::NoTrustedSignature`].
    #[error("none of {seen} signatures satisfies policy {policy} ({unmet})")]
    NoTrustedSignature {
        /// How many candidates were looked at.
        seen: usize,
        /// The first policy that is not satisfied.
        policy: String,
        /// What it requires.
        unmet: String,
    },
    /// See [`Reason::Denied`].
    #[error("policy {policy} denies {what}")]
    Denied {
        /// The policy with the deny list.
        policy: String,
        /// What is on it.
        what: String,
    },
    /// See [`Reason::DigestMismatch`].
    #[error("{what} has digest {actual}, not {expected}")]
    DigestMismatch {
        /// Which bytes.
        what: &'static str,
        /// What was asked for or signed.
        expected: Digest,
        /// What is there.
        actual: Digest,
    },
    /// See [`Reason::BadManifest`].
    #[error("the manifest is not that of a release: {0}")]
    BadManifest(String),
    /// See [`Reason::BadLayer`].
    #[error("the layer cannot be accepted: {0}")]
    BadLayer(String),
    /// See [`Reason::BadStatement`].
    #[error("the signed statement cannot be used: {0}")]
    BadStatement(String),
    /// See [`Reason::NoStatement`].
    #[error("{artifact} is signed by those who may, and carries no release statement of theirs, which {demanded}")]
    NoStatement {
        /// The artifact that is signed.
        artifact: Digest,
        /// What a statement alone can meet, and who demands it.
        demanded: String,
    },
    /// See [`Reason::WrongStream`].
    #[error("the statement speaks for stream {stream:?}, which {by} does not allow")]
    WrongStream {
        /// The signed stream.
        stream: String,
        /// Who objects.
        by: String,
    },
    /// See [`Reason::WrongEnvironment`].
    #[error("the statement is for environment {actual:?}, not {expected:?}")]
    WrongEnvironment {
        /// What policy or Delivery demand.
        expected: String,
        /// The signed environment.
        actual: String,
    },
    /// See [`Reason::WrongRepository`].
    #[error("the statement is about repositories {signed:?}, not {actual}")]
    WrongRepository {
        /// The signed repositories.
        signed: Vec<String>,
        /// The one asked for.
        actual: Repository,
    },
    /// See [`Reason::NotYetValid`].
    #[error("the statement is not valid before {0}")]
    NotYetValid(jiff::Timestamp),
    /// See [`Reason::Expired`].
    #[error("the statement expired at {0}")]
    Expired(jiff::Timestamp),
    /// See [`Reason::TooOld`].
    #[error("the statement was issued at {issued}, longer ago than policy {policy} allows ({max_age})")]
    TooOld {
        /// When it was issued.
        issued: jiff::Timestamp,
        /// The policy.
        policy: String,
        /// Its `maxAge`.
        max_age: String,
    },
    /// See [`Reason::BelowMinimum`].
    #[error("release {actual} is below the minimum {minimum} of policy {policy}")]
    BelowMinimum {
        /// The signed position, `epoch.sequence`.
        actual: String,
        /// The policy's floor.
        minimum: String,
        /// The policy.
        policy: String,
    },
    /// See [`Reason::EpochRaised`].
    #[error(
        "the statement raises the epoch from {reached} to {epoch}, which policy {policy} leaves to others ({unmet})"
    )]
    EpochRaised {
        /// The signed epoch.
        epoch: u64,
        /// The one reached so far.
        reached: u64,
        /// The policy.
        policy: String,
        /// Whose signatures it takes.
        unmet: String,
    },
    /// See [`Reason::AttestationMissing`].
    #[error("policy {policy} asks for attestation {name:?}, and there is none of type {predicate_type}")]
    AttestationMissing {
        /// The policy.
        policy: String,
        /// Its rule.
        name: String,
        /// The type asked for.
        predicate_type: String,
    },
    /// See [`Reason::AttestationRefused`].
    #[error("policy {policy} asks for attestation {name:?}: {problem}")]
    AttestationRefused {
        /// The policy.
        policy: String,
        /// Its rule.
        name: String,
        /// What is wrong with the one that comes closest.
        problem: String,
    },
    /// See [`Reason::RolledBack`].
    #[error("release {actual} of stream {stream:?} is older than {accepted}, which was already accepted")]
    RolledBack {
        /// The stream.
        stream: String,
        /// The signed position.
        actual: String,
        /// The remembered position.
        accepted: String,
    },
    /// See [`Reason::Equivocation`].
    #[error("two statements claim release {position} of stream {stream:?}: {first} and {second}")]
    Equivocation {
        /// The stream.
        stream: String,
        /// The position both claim.
        position: String,
        /// One statement.
        first: Digest,
        /// The other.
        second: Digest,
    },
    /// See [`Reason::HoldRefused`].
    #[error("{0}")]
    Hold(NotHeld),
    /// See [`Reason::VersionMismatch`].
    #[error("the signed version is {signed:?}, but {selected:?} was selected")]
    VersionMismatch {
        /// The signed version.
        signed: String,
        /// The selected one.
        selected: String,
    },
    /// See [`Reason::VariantRequired`].
    #[error("the release has the variants {}, and none of them is chosen", names.join(", "))]
    VariantRequired {
        /// The variants there are.
        names: Vec<String>,
    },
    /// See [`Reason::UnknownVariant`].
    #[error("variant {wanted:?} is chosen, and the release has {}", match names.as_slice() { [] => "no variants".to_owned(), names => names.join(", ") })]
    UnknownVariant {
        /// The one chosen.
        wanted: String,
        /// The variants there are.
        names: Vec<String>,
    },
    /// See [`Reason::InventoryMismatch`].
    #[error("the objects in the layer are not those that were signed ({0})")]
    InventoryMismatch(String),
    /// See [`Reason::ObjectNotAllowed`].
    #[error("policy {policy} does not allow {object}: {rule}")]
    ObjectNotAllowed {
        /// The policy.
        policy: String,
        /// The object.
        object: String,
        /// The rule it breaks.
        rule: String,
    },
    /// See [`Reason::ImageNotAllowed`].
    #[error("policy {policy} does not allow image {image:?} of {object}: {rule}")]
    ImageNotAllowed {
        /// The policy.
        policy: String,
        /// The object that names it.
        object: String,
        /// The image as it is named.
        image: String,
        /// The rule that forbids it.
        rule: String,
    },
    /// See [`Reason::ImageNotSigned`].
    #[error("none of {seen} signatures of image {image} satisfies policy {policy} ({unmet})")]
    ImageNotSigned {
        /// The policy.
        policy: String,
        /// The image.
        image: String,
        /// How many candidates were looked at.
        seen: usize,
        /// What the policy requires.
        unmet: String,
    },
    /// See [`Reason::ImageUnchecked`].
    #[error("policy {policy} wants image {image} signed, and not all of its signatures could be looked at")]
    ImageUnchecked {
        /// The policy.
        policy: String,
        /// The image.
        image: String,
    },
    /// See [`Reason::BadParameter`].
    #[error("parameter {name}: {problem}")]
    BadParameter {
        /// The parameter.
        name: String,
        /// What is wrong; never its value.
        problem: String,
    },
    /// See [`Reason::TooManySignatures`].
    #[error("only the first {seen} signature candidates were looked at, and none of them sufficed")]
    TooManySignatures {
        /// How many were looked at.
        seen: usize,
    },
}

impl Refusal {
    /// The stable word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoPolicy { .. } => Reason::NoPolicy,
            Self::UnknownAuthority { .. } | Self::NoTrustRoot { .. } => Reason::PolicyInvalid,
            Self::Unsigned(_) => Reason::Unsigned,
            Self::NoTrustedSignature { .. } => Reason::NoTrustedSignature,
            Self::Denied { .. } => Reason::Denied,
            Self::DigestMismatch { .. } => Reason::DigestMismatch,
            Self::BadManifest(_) => Reason::BadManifest,
            Self::BadLayer(_) => Reason::BadLayer,
            Self::BadStatement(_) => Reason::BadStatement,
            Self::NoStatement { .. } => Reason::NoStatement,
            Self::WrongStream { .. } => Reason::WrongStream,
            Self::WrongEnvironment { .. } => Reason::WrongEnvironment,
            Self::WrongRepository { .. } => Reason::WrongRepository,
            Self::NotYetValid(_) => Reason::NotYetValid,
            Self::Expired(_) => Reason::Expired,
            Self::TooOld { .. } => Reason::TooOld,
            Self::BelowMinimum { .. } => Reason::BelowMinimum,
            Self::EpochRaised { .. } => Reason::EpochRaised,
            Self::AttestationMissing { .. } => Reason::AttestationMissing,
            Self::AttestationRefused { .. } => Reason::AttestationRefused,
            Self::RolledBack { .. } => Reason::RolledBack,
            Self::Equivocation { .. } => Reason::Equivocation,
            Self::Hold(_) => Reason::HoldRefused,
            Self::VersionMismatch { .. } => Reason::VersionMismatch,
            Self::VariantRequired { .. } => Reason::VariantRequired,
            Self::UnknownVariant { .. } => Reason::UnknownVariant,
            Self::InventoryMismatch(_) => Reason::InventoryMismatch,
            Self::ObjectNotAllowed { .. } => Reason::ObjectNotAllowed,
            Self::ImageNotAllowed { .. } => Reason::ImageNotAllowed,
            Self::ImageNotSigned { .. } => Reason::ImageNotSigned,
            Self::ImageUnchecked { .. } => Reason::ImageUnchecked,
            Self::BadParameter { .. } => Reason::BadParameter,
            Self::TooManySignatures { .. } => Reason::TooManySignatures,
        }
    }

    /// True if the answer is "could not check" rather than "no": trying again may help.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::TooManySignatures { .. } | Self::ImageUnchecked { .. })
    }

    /// True if another signature or statement about the same digest could turn the verdict.
    pub fn curable_by_signature(&self) -> bool {
        matches!(
            self.reason(),
            Reason::Unsigned
                | Reason::NoTrustedSignature
                | Reason::NoStatement
                | Reason::TooManySignatures
                | Reason::WrongStream
                | Reason::WrongEnvironment
                | Reason::WrongRepository
                | Reason::NotYetValid
                | Reason::Expired
                | Reason::TooOld
                | Reason::BelowMinimum
                | Reason::EpochRaised
                | Reason::AttestationMissing
                | Reason::AttestationRefused
                | Reason::RolledBack
                | Reason::ImageNotSigned
                | Reason::ImageUnchecked
        )
    }

    /// What to try, for the person who reads the message.
    pub fn hint(&self) -> &'static str {
        match self.reason() {
            Reason::NoPolicy => {
                "nothing is trusted by default: add a SignaturePolicy whose match covers this repository and namespace"
            }
            Reason::PolicyInvalid => {
                "name only authorities that a matching policy defines, and trust roots that there are"
            }
            Reason::Unsigned => "push with `sealift push --key …`, which signs before it moves a tag",
            Reason::NoTrustedSignature => {
                "compare the key ids below with the policy's authorities; was it signed with another key?"
            }
            Reason::Denied => "the platform team has withdrawn trust; push a new release signed by a trusted key",
            Reason::DigestMismatch => {
                "the registry serves other bytes than were asked for: treat it as compromised or broken"
            }
            Reason::BadManifest | Reason::BadLayer => {
                "push the manifests with `sealift push`, or check what produced this artifact"
            }
            Reason::BadStatement => "sign again with the version of sealift that the verifier's operators run",
            Reason::WrongStream | Reason::WrongEnvironment | Reason::WrongRepository => {
                "the signature is fine but meant for somewhere else: sign a statement for this stream, environment and repository"
            }
            Reason::NoStatement => {
                "sign a release statement with `sealift push`; a signature of the artifact alone counts only where every policy \
                 says release.statement: optional, and a Delivery has never accepted a statement and asks for nothing that \
                 only one can say"
            }
            Reason::NotYetValid => "wait, or check this machine's clock",
            Reason::Expired | Reason::TooOld => "push the release again, or sign a fresh statement about it",
            Reason::BelowMinimum | Reason::RolledBack => {
                "to go back on purpose, sign a new statement with a higher sequence about the older digest"
            }
            Reason::EpochRaised => {
                "have those who may raise the epoch sign the very same statement with `sealift sign --statement`"
            }
            Reason::AttestationMissing | Reason::AttestationRefused => {
                "attach what the policy asks for, for instance with `cosign attest`; nothing needs to be pushed again"
            }
            Reason::Equivocation => {
                "two signers used one sequence number, or a key is misused: find out before you push again"
            }
            Reason::HoldRefused => {
                "`sealift status` shows what was accepted before; what is to last is a rollback that is signed"
            }
            Reason::VersionMismatch => "push with --version equal to the tag",
            Reason::VariantRequired | Reason::UnknownVariant => {
                "choose one that there is, by spec.variant of the Delivery or --variant; a release without variants takes no choice"
            }
            Reason::InventoryMismatch => "the layer was changed after signing, or packed by another tool",
            Reason::ObjectNotAllowed => "remove the object from the release, or ask the policy's owner to allow it",
            Reason::ImageNotAllowed => {
                "name images by digest in the manifests (name@sha256:…), from repositories that the policy lists"
            }
            Reason::ImageNotSigned => "sign the image with `cosign sign`, as one of the policy's authorities",
            Reason::ImageUnchecked => {
                "are the image's registry and its signatures within reach? What is not looked at is not accepted"
            }
            Reason::BadParameter => "see `sealift inspect` for the parameters this release declares",
            Reason::TooManySignatures => "somebody may be flooding the repository with referrers; clean them up",
        }
    }
}
