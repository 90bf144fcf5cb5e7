//! The real thing for tests: a control plane, registries, cosign, a private Sigstore and Vault, as processes on loopback.
//!
//! Nothing here is a mock: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (in place of kubelets)
//! come from `testenv/build`, so do the registries, cosign, Sigstore's services and Vault. Every process lives in its own process
//! group, logs into a temp folder and is killed when its handle is dropped; where nothing is dropped (a killed or aborted
//! test process) a [`reaper`] does it.
//!
//! A test starts with `let Some(control_plane) = ControlPlane::shared() else { return };`: without the tools that prints
//! a loud SKIPPED line and passes on a person's machine, and panics with `CI=true`.

mod attacker;
mod audit;
mod cli;
mod collector;
pub mod contract;
mod control_plane;
mod cosign;
mod dump;
mod edge;
mod hook;
mod keys;
mod loopback;
mod manifests;
mod measured;
mod namespace;
mod object_storage;
mod platform;
mod process;
mod prometheus;
mod reaper;
mod registry;
mod rights;
mod sigstore;
mod tls;
mod tool;
mod vault;
mod webhook;
mod world;

pub use attacker::{Attacker, fallback_tag};
pub use audit::{Audit, AuditMark, Request};
pub use cli::{Cli, Output};
pub use collector::{Collector, Span};
pub use control_plane::ControlPlane;
pub use cosign::Cosign;
pub use edge::Edge;
pub use hook::{Answers, Hook, Told};
pub use keys::{KeyPair, policy};
pub use manifests::{Name, corpus, expected};
pub use measured::Measured;
pub use object_storage::ObjectStorage;
pub use platform::Platform;
pub use process::{HarnessError, Process, free_port};
pub use prometheus::Prometheus;
pub use registry::{Login, Registry, faulty};
pub use rights::may;
pub use sigstore::{Identity, Sigstore};
pub use tool::{Tool, binary, interop, on_ci, shared_folder, skip, workspace};
pub use vault::Vault;
pub use webhook::{Says, Webhook};
pub use world::{Copies, Replica, SlowWrites, World, is_ready, reason};
