//! What a program asked a registry that writes everything down: requests by method, and bytes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use sealift_e2e::faulty::{Behaviour, FaultyRegistry, Referrers, Seen};
use sealift_verify::digest::Digest;

/// A registry that keeps to the specification and remembers each request.
pub(crate) fn recording(referrers: Referrers) -> FaultyRegistry {
    FaultyRegistry::start(Behaviour { referrers, ..Behaviour::default() })
}

/// How many requests of each method, and how much was in them.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    methods: BTreeMap<String, usize>,
    /// Bytes in bodies of requests.
    pub(crate) sent: u64,
    /// The same, each content once: what the registry keeps.
    pub(crate) stored: u64,
}

impl Counted {
    pub(crate) fn of<'a>(seen: impl IntoIterator<Item = &'a Seen>) -> Self {
        let (mut counted, mut contents) = (Self::default(), BTreeSet::new());
        for request in seen {
            *counted.methods.entry(request.method.to_string()).or_default() += 1;
            let length = request.body.len() as u64;
            counted.sent += length;
            if contents.insert(Digest::of(&request.body)) {
                counted.stored += length;
            }
        }
        counted
    }

    pub(crate) fn total(&self) -> usize {
        self.methods.values().sum()
    }
}

/// `19: 7 HEAD, 6 PUT`
impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut methods: Vec<_> = self.methods.iter().collect();
        methods.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let parts: Vec<_> = methods.iter().map(|(method, count)| format!("{count} {method}")).collect();
        write!(f, "{}: {}", self.total(), parts.join(", "))
    }
}

/// Bytes as people read them, in powers of ten.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
