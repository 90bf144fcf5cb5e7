//! The custom resources, and nothing else: types, their schemas and their conditions.

#![allow(clippy::duplicated_attributes, reason = "every printer column has a type")]

mod accepted_release;
mod conditions;
mod crds;
mod delivery;
mod drift;
mod freeze;
mod health_check;
mod history;
mod hold;
mod inventory;
mod notification;
mod pending;
mod receiver;
mod schema;
mod signature_policy;
mod trust_root;

pub use accepted_release::{AcceptedRelease, AcceptedReleaseSpec, DeliveryName, accepted_release_name};
pub use conditions::{Condition, condition, is_true, set_condition};
pub use crds::{crds, file_name, render};
pub use delivery::{
    Adopt, CheckRow, DeletionPolicy, Delivery, DeliverySpec, DeliveryStatus, Dependency, Immutable, KeyReference,
    LastApplied, LastAttempted, Parameter, ParameterSource, Select, Selection, Validation, VerificationStatus,
    WouldRefuse,
};
pub use drift::{DriftMode, DriftSpec, DriftState, DriftStatus, DriftedObject, ForeignFields, IgnoreRule};
pub use freeze::{Freeze, FreezeSpec};
pub use health_check::HealthCheck;
pub use history::{ChangeCounts, HistoryEntry, REMEMBERED};
pub use hold::{HELD, HoldSpec, HoldState, HoldStatus};
pub use inventory::{DeliveryReference, Inventory, InventorySpec, Mark, Row};
pub use notification::{
    Notification, NotificationFilter, NotificationSpec, NotificationStatus, NotificationType, Severity,
};
pub use pending::{PendingEvent, PendingEvents, SourceRevision, Topic};
pub use receiver::{OidcSpec, Receiver, ReceiverSpec, ReceiverStatus, ReceiverType, Said};
pub use signature_policy::{SignaturePolicy, SignaturePolicySpec, UnusablePolicy};
pub use trust_root::{TrustRoot, TrustRootSpec};

/// The API group of every kind.
pub const GROUP: &str = "sealift.dev";

/// Finalizer that keeps a Delivery until what it applied is gone or let go: on it before anything is applied.
pub const FINALIZER: &str = "sealift.dev/finalizer";

/// Label on every applied object and on every Inventory: the uid of the Delivery that owns it.
pub const OWNER_LABEL: &str = "sealift.dev/delivery";

/// Annotation on every applied object: `namespace/name` of the Delivery that owns it, for people.
pub const OWNER_NAME_ANNOTATION: &str = "sealift.dev/delivery-name";

/// Annotation that keeps an object when it leaves the release: `disabled`.
pub const PRUNE_ANNOTATION: &str = "sealift.dev/prune";

/// Annotation that takes over an object from another delivery tool: `enabled`.
pub const ADOPT_ANNOTATION: &str = "sealift.dev/adopt";

/// Annotation that says how an object of a release is applied: `ignore`, `ifNotPresent` or `merge`.
pub const APPLY_ANNOTATION: &str = "sealift.dev/apply";

/// Annotation that deletes and creates an object anew where a field that must change is immutable: `recreate`.
pub const IMMUTABLE_ANNOTATION: &str = "sealift.dev/immutable";

/// Annotation on a live object: until when it is left as hands have made it, as an RFC 3339 time. It counts only where the
/// platform allows that (`--break-glass`), and no longer than that.
pub const BREAK_GLASS_UNTIL_ANNOTATION: &str = "sealift.dev/break-glass-until";

/// Annotation beside it: why, for people.
pub const BREAK_GLASS_REASON_ANNOTATION: &str = "sealift.dev/break-glass-reason";

/// Annotation whose new value makes the controller reconcile at once.
pub const REQUESTED_AT_ANNOTATION: &str = "reconcile.sealift.dev/requestedAt";

/// Annotation of a Delivery: the namespaces, separated by commas, whose Deliveries may depend on it; `*` is all.
pub const ALLOW_DEPENDENTS_ANNOTATION: &str = "sealift.dev/allow-dependents";

/// Prefix of the labels on an Inventory that names objects another Delivery still owns; the rest is its uid.
pub const CLAIMS_LABEL_PREFIX: &str = "claims.sealift.dev/";
