//! Where artifacts live: OCI registries, and a small one to serve them.

pub mod client;
pub mod copy;
pub mod docker_config;
pub mod fetch;
pub mod identity;
pub mod images;
pub mod server;
pub mod store;
pub mod versions;
