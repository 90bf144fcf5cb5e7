//! What a valid release is.
//!
//! Pure functions from data to data: no clock, no network, no file system, no async. Time, trust and limits are
//! passed in. `sealift verify` and the controller call the very same [`verify`] functions.

pub mod approval;
pub mod artifact;
pub mod attestation;
pub mod cel;
mod chain;
pub mod digest;
pub mod duration;
pub mod evidence;
pub mod hold;
pub mod keys;
pub mod layer;
pub mod memory;
pub mod objects;
pub mod parameters;
pub mod policy;
pub mod reference;
pub mod refusal;
pub mod render;
pub mod signature;
pub mod sigstore;
pub mod statement;
pub mod third_party;
pub mod verify;

pub use self::chain::chain;
