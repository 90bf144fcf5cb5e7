//! The in-cluster half of Sealift: pulls artifacts, verifies them, applies exactly what was signed.
//!
//! [`controller`] is the story of one reconcile, step by step; [`run`] puts it on a cluster's events; the rest is what
//! a long-running program needs around it.

pub mod audit;
pub mod controller;
mod delivery_watch;
mod freeze_watch;
mod memory_watch;
pub mod metrics;
pub mod options;
mod own_watch;
pub mod platform;
mod policy_watch;
pub mod queue;
pub mod run;
pub mod server;
mod shards;
pub mod telemetry;
pub mod vitals;
pub mod watch;
mod workers;
