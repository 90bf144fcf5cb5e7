//! How many requests came, by method and endpoint: what benchmarks and tests read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Request counts at one moment, by method (`GET`) and endpoint: `base`, `blob`, `uploads`, `upload`, `manifest`,
/// `tags`, `referrers` or `other`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests(BTreeMap<(String, &'static str), u64>);

impl Requests {
    /// The requests with `method` to `endpoint`.
    pub fn get(&self, method: &str, endpoint: &str) -> u64 {
        self.iter().filter(|(m, e, _)| (*m, *e) == (method, endpoint)).map(|(_, _, count)| count).sum()
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The requests that came after `earlier` was taken.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.0.clone();
        for (key, count) in &mut difference {
            *count -= earlier.0.get(key).copied().unwrap_or_default().min(*count);
        }
        difference.retain(|_, count| *count > 0);
        Self(difference)
    }

    /// Every count as method, endpoint, number.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'static str, u64)> {
        self.0.iter().map(|((method, endpoint), count)| (method.as_str(), *endpoint, *count))
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<Requests>);

impl Counters {
    pub(super) fn add(&self, method: &axum::http::Method, endpoint: &'static str) {
        // A method is any token a client sends; only those of the specification get a counter of their own.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE") => known,
            _ => "OTHER",
        };
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.0.entry((method.to_owned(), endpoint)).or_default() += 1;
    }

    pub(super) fn snapshot(&self) -> Requests {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;

    #[test]
    fn counts_what_came_since_an_earlier_moment() {
        let counters = Counters::default();
        counters.add(&Method::GET, "blob");
        let earlier = counters.snapshot();
        counters.add(&Method::GET, "blob");
        counters.add(&Method::PUT, "manifest");
        let since = counters.snapshot().since(&earlier);
        assert_eq!((since.get("GET", "blob"), since.get("PUT", "manifest"), since.total()), (1, 1, 2));
    }
}
