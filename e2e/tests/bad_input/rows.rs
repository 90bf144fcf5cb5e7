//! The rows, as data.

/// What is done wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wrong {
    /// A manifest, pushed from a file.
    Manifest(&'static str),
    /// The same from standard input.
    Stdin(&'static str),
    /// A file of 200 MB.
    Large,
    /// A kind that nobody serves.
    UnknownKind,
    /// A policy, which is `PolicySpec` with this change.
    Policy(PolicyChange),
    /// An artifact in the registry.
    Artifact(Tampering),
    /// The way to it.
    Access(Access),
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PolicyChange {
    /// A key that is none.
    NoKey,
    /// A field that the language does not have.
    UnknownField,
}

/// What the attacker who holds the registry did, or somebody who pushes there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tampering {
    /// The same content under another digest, which nobody signed.
    Unsigned,
    /// Signed by a key that no policy names.
    OtherKey,
    /// Unsigned, with the signature of another artifact attached.
    CopiedSignature,
    /// Other bytes under the digest of the layer.
    Layer,
    /// Other bytes under the digest of the manifest.
    Manifest,
    /// The tag names an older release, properly signed.
    Replay,
}

/// What is wrong on the way to the registry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// The tag does not exist.
    NoTag,
    /// Nobody listens.
    Down,
    /// The password is wrong.
    WrongPassword,
}

/// One promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Also the name of repository, object and Delivery.
    pub(crate) name: &'static str,
    pub(crate) wrong: Wrong,
    /// What the command line says, and no other row.
    pub(crate) message: &'static str,
    /// How it ends.
    pub(crate) code: i32,
    /// The reason of the Delivery's Ready condition, where it comes that far.
    pub(crate) reason: Option<&'static str>,
    /// What its message says.
    pub(crate) condition: &'static str,
}

const fn manifest(name: &'static str, content: &'static str, message: &'static str) -> Row {
    Row { name, wrong: Wrong::Manifest(content), message, code: 5, reason: None, condition: "" }
}

pub(crate) const ROWS: &[Row] = &[
    manifest("not-yaml", "a: [1, 2\nb: }\n", "not YAML"),
    manifest("not-an-object", "- just\n- a list\n", "not an object"),
    manifest("missing-kind", "apiVersion: v1\nmetadata: {name: x}\n", "kind is missing"),
    Row {
        name: "not-yaml-from-stdin",
        wrong: Wrong::Stdin("\u{1}"),
        message: "U+0001",
        code: 5,
        reason: None,
        condition: "",
    },
    Row { name: "large-file", wrong: Wrong::Large, message: "bytes, more than", code: 5, reason: None, condition: "" },
    Row {
        name: "unknown-kind",
        wrong: Wrong::UnknownKind,
        message: "neither the cluster nor this release defines Unheard",
        code: 3,
        reason: Some("ApplyFailed"),
        condition: "neither the cluster nor this release defines Unheard",
    },
    Row {
        name: "no-such-tag",
        wrong: Wrong::Access(Access::NoTag),
        message: "does not exist",
        code: 6,
        reason: Some("NotFound"),
        condition: "does not exist",
    },
    Row {
        name: "registry-down",
        wrong: Wrong::Access(Access::Down),
        message: "the connection failed",
        code: 4,
        reason: Some("SourceUnavailable"),
        condition: "the connection failed",
    },
    Row {
        name: "wrong-credentials",
        wrong: Wrong::Access(Access::WrongPassword),
        message: "were refused",
        code: 7,
        reason: Some("AuthenticationFailed"),
        condition: "were refused",
    },
    Row {
        name: "unsigned",
        wrong: Wrong::Artifact(Tampering::Unsigned),
        message: "carries no signed release statement",
        code: 3,
        reason: Some("Unsigned"),
        condition: "carries no signed release statement",
    },
    Row {
        name: "other-key",
        wrong: Wrong::Artifact(Tampering::OtherKey),
        message: "none of 1 signatures satisfies policy",
        code: 3,
        reason: Some("NoTrustedSignature"),
        condition: "none of 1 signatures satisfies policy",
    },
    Row {
        name: "copied-signature",
        wrong: Wrong::Artifact(Tampering::CopiedSignature),
        message: "the signed subject has digest",
        code: 3,
        reason: Some("DigestMismatch"),
        condition: "the signed subject has digest",
    },
    Row {
        name: "tampered-layer",
        wrong: Wrong::Artifact(Tampering::Layer),
        message: "blobs/sha256",
        code: 3,
        reason: Some("DigestMismatch"),
        condition: "the layer has digest",
    },
    Row {
        name: "tampered-manifest",
        wrong: Wrong::Artifact(Tampering::Manifest),
        message: "manifests/sha256",
        code: 3,
        reason: Some("DigestMismatch"),
        condition: "the manifest has digest",
    },
    Row {
        name: "older-release",
        wrong: Wrong::Artifact(Tampering::Replay),
        message: "which was already accepted",
        code: 3,
        reason: Some("RolledBack"),
        condition: "which was already accepted",
    },
    Row {
        name: "malformed-policy",
        wrong: Wrong::Policy(PolicyChange::NoKey),
        message: "the key of authority \"release\" cannot be used",
        code: 5,
        reason: Some("PolicyInvalid"),
        condition: "the key of authority \"release\" cannot be used",
    },
    Row {
        name: "unknown-policy-field",
        wrong: Wrong::Policy(PolicyChange::UnknownField),
        message: "unknown field `skipVerification`",
        code: 5,
        reason: Some("PolicyInvalid"),
        condition: "unknown field `skipVerification`",
    },
];
