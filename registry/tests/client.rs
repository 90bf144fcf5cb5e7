//! The client against real registries, and against one that misbehaves in one way at a time.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "the lints except test functions, not what they share")]

#[path = "client/auth.rs"]
mod auth;
#[path = "client/fake.rs"]
mod fake;
#[path = "client/faults.rs"]
mod faults;
#[path = "client/flavours.rs"]
mod flavours;
#[path = "client/identity.rs"]
mod identity;
#[path = "client/layouts.rs"]
mod layouts;
#[path = "client/network.rs"]
mod network;
#[path = "client/peers.rs"]
mod peers;
#[path = "client/secure.rs"]
mod secure;
#[path = "client/transfers.rs"]
mod transfers;
