//! Who refers to a manifest: the referrers API united with the fallback tag.
//!
//! A registry that learned the API after signatures were pushed may serve only the newer ones there, so both are
//! read. "None" is only ever said when the registry said so; an error is an error, since "no signature" and "could
//! not look" lead to different verdicts.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;
use reqwest::Method;
use sealift_verify::{
    artifact::{Descriptor, IMAGE_INDEX, IMAGE_MANIFEST},
    digest::Digest,
    reference::Pinned,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Client, ClientError, Fault};

/// The annotation that says when a manifest was made.
pub(crate) const CREATED: &str = "org.opencontainers.image.created";
/// More pages than this are not read, however few entries are on them.
const MOST_PAGES: usize = 64;

/// What refers to a manifest. All of it is the registry's claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Referrers {
    /// The referring manifests, by digest, each once.
    pub descriptors: Vec<Descriptor>,
    /// Entries that no descriptor can be read from, such as ones with another digest algorithm.
    pub unreadable: usize,
    /// False if there are more than were asked for.
    pub complete: bool,
}

/// Entries as they are written. Whoever wrote them decides what they hold, and parsed JSON of any kind takes a hundred
/// times the memory of its text.
#[derive(Deserialize)]
struct Index<'a> {
    #[serde(default, borrow)]
    manifests: Option<Vec<&'a RawValue>>,
}

/// What of a manifest says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Config>,
    subject: Option<Subject>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: String,
}

/// The tag that stands in for the referrers API.
pub(crate) fn fallback_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

/// The descriptors of an index, and how many entries hold none.
pub(crate) fn entries(bytes: &[u8]) -> Result<(Vec<Descriptor>, usize), serde_json::Error> {
    let listed = serde_json::from_slice::<Index<'_>>(bytes)?.manifests.unwrap_or_default();
    let all = listed.len();
    let read: Vec<Descriptor> = listed.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect();
    let unreadable = all - read.len();
    Ok((read, unreadable))
}

/// Unites two lists. Where there are more than `cap`, the newest are kept as far as they say when they were made: a
/// fallback tag lists the oldest first, and whoever may push can make it long.
pub(crate) fn unite(api: Referrers, fallback: Referrers, cap: usize) -> Referrers {
    let mut seen = BTreeMap::new();
    for descriptor in api.descriptors.into_iter().chain(fallback.descriptors) {
        seen.entry(descriptor.digest).or_insert(descriptor);
    }
    let complete = api.complete && fallback.complete && seen.len() <= cap;
    let mut descriptors: Vec<Descriptor> = seen.into_values().collect();
    if descriptors.len() > cap {
        descriptors.sort_by_cached_key(newest_first);
        descriptors.truncate(cap);
    }
    Referrers { descriptors, unreadable: api.unreadable + fallback.unreadable, complete }
}

/// What a manifest is about, and how it is listed among the referrers of that; `None` if it is about nothing.
pub(crate) fn referrer_entry(manifest: &[u8]) -> Option<(Digest, Descriptor)> {
    let read: Referring = serde_json::from_slice(manifest).ok()?;
    let subject = read.subject?.digest.parse().ok()?;
    let artifact_type = read.artifact_type.or_else(|| Some(read.config?.media_type));
    let media_type = read.media_type.unwrap_or_else(|| IMAGE_MANIFEST.to_owned());
    let annotations = read.annotations.unwrap_or_default();
    Some((subject, Descriptor { artifact_type, annotations, ..Descriptor::of(&media_type, manifest) }))
}

/// A key by which referrers are in order of when they say they were made, the newest first and those that do not say
/// last.
pub(crate) fn newest_first(referrer: &Descriptor) -> (Reverse<Option<Timestamp>>, Digest) {
    let created = referrer.annotations.get(CREATED).and_then(|text| text.parse().ok());
    (Reverse(created), referrer.digest)
}

impl Client {
    /// What refers to `subject`, at most `cap` manifests.
    ///
    /// # Errors
    /// Any, except that a registry without the referrers API or without the fallback tag has none there.
    pub async fn referrers(&self, subject: &Pinned, cap: usize) -> Result<Referrers, ClientError> {
        let (api, fallback) = tokio::try_join!(self.referrers_api(subject, cap), self.referrers_tag(subject))?;
        Ok(unite(api.unwrap_or_else(none), fallback, cap))
    }

    /// What the API says; `None` if the registry has no such API.
    ///
    /// No filter is sent: registries differ in what they take for the artifact type, and a filter would hide entries.
    async fn referrers_api(&self, subject: &Pinned, cap: usize) -> Result<Option<Referrers>, ClientError> {
        let mut call = self.call(Method::GET, &subject.repository, &format!("referrers/{}", subject.digest))?;
        call.accept = IMAGE_INDEX;
        let mut found = none();
        for number in 0..MOST_PAGES {
            let page = match self.page(&call).await {
                Err(error) if number == 0 && is_unsupported(&error) => return Ok(None),
                // A few manifests with annotations of megabytes fill a page: what is not read is not "none".
                Err(ClientError::TooLarge { .. }) => break,
                other => other?,
            };
            // Some hosts answer unknown paths with a web page and 200; that is no referrers API either.
            if number == 0 && !["", IMAGE_INDEX, "application/json"].contains(&page.media_type.as_str()) {
                return Ok(None);
            }
            let (read, unreadable) =
                entries(&page.body).map_err(|error| ClientError::protocol(call.at.clone(), Fault::Json(error)))?;
            found.unreadable += unreadable;
            found.descriptors.extend(read);
            match page.next {
                None => return Ok(Some(found)),
                Some(_) if found.descriptors.len() >= cap => break,
                Some(next) => call.url = next,
            }
        }
        Ok(Some(Referrers { complete: false, ..found }))
    }

    /// What the fallback tag says. Something else than an index there is one unreadable entry: whoever may push could
    /// otherwise stop everyone from reading.
    async fn referrers_tag(&self, subject: &Pinned) -> Result<Referrers, ClientError> {
        let bytes = match self.tag_content(&subject.repository, &fallback_tag(&subject.digest)).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(none()),
            Err(ClientError::TooLarge { .. }) => return Ok(Referrers { complete: false, ..none() }),
            Err(error) => return Err(error),
        };
        let (descriptors, unreadable) = entries(&bytes).unwrap_or_else(|_| (Vec::new(), 1));
        Ok(Referrers { descriptors, unreadable, complete: true })
    }
}

fn none() -> Referrers {
    Referrers { complete: true, ..Referrers::default() }
}

fn is_unsupported(error: &ClientError) -> bool {
    match error.status() {
        Some(404 | 405 | 501) => true,
        Some(400) => error.reply().is_some_and(|reply| reply.code == "UNSUPPORTED"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(contents: &[&str]) -> Referrers {
        let descriptors = contents.iter().map(|content| Descriptor::of("text/plain", content.as_bytes())).collect();
        Referrers { descriptors, unreadable: 0, complete: true }
    }

    #[test]
    fn unites_by_digest_and_says_when_something_is_left_out() {
        let both = unite(list(&["a", "b"]), list(&["b", "c"]), 3);
        assert_eq!((both.descriptors.len(), both.complete), (3, true));
        let cut = unite(list(&["a", "b"]), list(&["b", "c"]), 2);
        assert_eq!((cut.descriptors.len(), cut.complete), (2, false));
        let equal = unite(list(&["a", "b"]), list(&["a", "b"]), 2);
        assert!(equal.complete);
    }

    #[test]
    fn the_newest_are_kept_where_there_are_too_many() {
        let mut dated = list(&["old", "new", "undated"]);
        for (at, year) in [(0, 2024), (1, 2026)] {
            let created = format!("{year}-01-01T00:00:00Z");
            dated.descriptors[at].annotations.insert(CREATED.to_owned(), created);
        }
        let [old, new, _] = &dated.descriptors[..] else { panic!() };
        let kept = unite(list(&["a", "b"]), dated.clone(), 2);
        assert_eq!((kept.descriptors, kept.complete), (vec![new.clone(), old.clone()], false));
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_counted_and_hides_no_other() {
        let good = Descriptor::of("text/plain", b"a");
        let index = serde_json::json!({"manifests": [
            {"mediaType": "text/plain", "digest": format!("sha512:{}", "0".repeat(128)), "size": 1}, good, 7,
        ]});
        assert_eq!(entries(index.to_string().as_bytes()).unwrap(), (vec![good], 2));
        assert_eq!(entries(br#"{"manifests":null}"#).unwrap(), (vec![], 0));
    }
}
