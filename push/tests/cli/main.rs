//! The real binary against a real registry: what it prints, where, and with which exit code.

#[cfg(test)]
mod attest;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod copy;
#[cfg(test)]
mod cosign;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod inspect;
#[cfg(test)]
mod keygen;
#[cfg(test)]
mod list;
#[cfg(test)]
mod live;
#[cfg(test)]
mod login;
#[cfg(test)]
mod manual;
#[cfg(test)]
mod pin;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod progress;
#[cfg(test)]
mod promote;
#[cfg(test)]
mod pull;
#[cfg(test)]
mod push;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod registries;
#[cfg(test)]
mod render;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod sign;
#[cfg(test)]
mod signers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod validate;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod verify;
#[cfg(test)]
mod verify_bundle;
