//! Plan, server-side apply, health, prune: the cluster's edge.
//!
//! ```text
//! Verified ─observe→ Live ─plan(Inventory, Live)→ Plan ─prepare→ Prepared ─apply→ ChangeSet ─prune→ ChangeSet ─assess→ HealthReport
//! ```
//!
//! [`plan`], [`order`], [`diff`], [`freeze`] and [`health`] are pure functions over data; [`cluster`] is the only module that
//! speaks HTTP, and [`observe`], [`apply`], [`prune`], [`assess`], [`explain`] and [`foresee`] use nothing else of the network.

pub mod accepted;
pub mod admission_policy;
pub mod api;
pub mod apply;
pub mod assess;
pub mod budget;
pub mod change;
pub mod cluster;
pub mod diff;
pub mod drift;
pub mod explain;
pub mod foresee;
pub mod freeze;
pub mod ground;
pub mod health;
pub mod inventory;
pub mod observe;
pub mod options;
pub mod order;
pub mod owner;
pub mod permit;
pub mod plan;
pub mod presume;
pub mod progress;
pub mod prune;
pub mod takeover;
pub mod terminating;

/// The field manager of everything Sealift applies.
pub const FIELD_MANAGER: &str = "sealift";

/// How many requests one step of one Delivery keeps in flight. Measured: beyond 32 an API server gains nothing.
pub const IN_FLIGHT: usize = 16;
