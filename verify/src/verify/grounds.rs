//! What an artifact is accepted on: a release statement, or a third party's signature and nothing more.

use crate::{digest::Digest, memory::Standing, statement::Statement};

/// Why an artifact may be applied.
#[derive(Clone, Debug)]
pub enum Grounds {
    /// A release statement: it binds the content, and has a place in a stream.
    Stated(Box<Stated>),
    /// A signature about the manifest's digest alone, where the policies want no more. Nothing says which release it is
    /// or whether there is a newer one, so no memory of trust advances on it.
    ThirdParty(ThirdParty),
}

/// A trusted statement and how it stands.
#[derive(Clone, Debug)]
pub struct Stated {
    /// The statement.
    pub statement: Statement,
    /// Digest of its payload.
    pub payload: Digest,
    /// How it stands to the memory.
    pub standing: Standing,
}

/// A third party's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThirdParty {
    /// Digest of one of the payloads that were signed; others may say the same in other bytes.
    pub payload: Digest,
}

impl Grounds {
    /// The release statement, if there is one.
    pub fn stated(&self) -> Option<&Stated> {
        match self {
            Self::Stated(stated) => Some(stated),
            Self::ThirdParty(_) => None,
        }
    }
}
