//! A mutation fuzzer of everything that a registry, or whoever holds it, can put before the verifier.
//!
//! Each target changes valid input at random for `SEALIFT_FUZZ_SECONDS` (3 if unset) and holds what comes of it against
//! a property; a panic is a failure like any other. All choices follow from `SEALIFT_FUZZ_SEED`, which is printed; a
//! failure says how to start at the very mutation that caused it.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod campaign;
mod layer;
mod mutate;
mod parsers;
mod random;
mod verdict;
mod world;
