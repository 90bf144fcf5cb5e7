//! Somebody who holds the registry: he can serve and change anything in it, and has no signing key. What he needs is
//! what any writer needs, so another signer uses it too.

use std::{fs, path::Path};

use futures::{StreamExt as _, stream};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

/// The media types that a manifest of a release, a signature or their index may have.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// An attacker at one registry on loopback, in one repository.
#[derive(Debug, Clone)]
pub struct Attacker {
    client: Client,
    repository: String,
}

impl Attacker {
    /// At `HOST/PATH`.
    ///
    /// # Panics
    /// Where no HTTP client can be made, or without a path.
    #[must_use]
    pub fn at(repository: &str) -> Self {
        // the first caller installs it; another one's is the same
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (host, path) = repository.split_once('/').expect("a repository is HOST/PATH");
        let client = Client::builder().no_proxy().build().expect("a client needs nothing");
        Self { client, repository: format!("http://{host}/v2/{path}") }
    }

    /// The digest that a tag names.
    pub async fn digest(&self, tag: &str) -> Digest {
        Digest::of(&self.bytes(&format!("manifests/{tag}")).await)
    }

    /// A manifest or index, by tag or digest.
    pub async fn manifest(&self, reference: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("manifests/{reference}")).await).expect("a manifest is JSON")
    }

    /// A blob.
    pub async fn blob(&self, digest: &str) -> Vec<u8> {
        self.bytes(&format!("blobs/{digest}")).await
    }

    /// Makes a tag name another artifact of the repository.
    pub async fn move_tag(&self, tag: &str, digest: Digest) {
        let bytes = self.bytes(&format!("manifests/{digest}")).await;
        self.put_manifest(tag, &bytes).await;
    }

    /// Stores a changed manifest under its new digest, and makes the tag name it. Nothing refers to it.
    pub async fn replace_manifest(&self, tag: &str, change: impl FnOnce(&mut Value)) -> Digest {
        let mut manifest = self.manifest(tag).await;
        change(&mut manifest);
        let bytes = manifest.to_string().into_bytes();
        self.put_manifest(tag, &bytes).await;
        Digest::of(&bytes)
    }

    /// The same content as an artifact of its own: nobody signed it.
    pub async fn unsigned_twin(&self, tag: &str) -> Digest {
        self.replace_manifest(tag, |manifest| manifest["annotations"]["copied"] = json!("yes")).await
    }

    /// The Sigstore bundles attached to an artifact, each with the manifest that attaches it.
    pub async fn bundles(&self, subject: Digest) -> Vec<(Value, Value)> {
        let mut bundles = Vec::new();
        for referrer in self.referrers(subject).await {
            let bundle = referrer["layers"][0]["digest"].as_str().expect("a bundle is the layer");
            let bundle = serde_json::from_slice(&self.blob(bundle).await).expect("a bundle is JSON");
            bundles.push((referrer, bundle));
        }
        bundles
    }

    /// Attaches one more bundle, the way `like` attaches another; gives the digest of the referrer.
    pub async fn attach(&self, like: &Value, bundle: &Value) -> Digest {
        let bytes = bundle.to_string().into_bytes();
        let mut manifest = like.clone();
        manifest["layers"][0]["digest"] = json!(Digest::of(&bytes));
        manifest["layers"][0]["size"] = json!(bytes.len());
        self.put_blob(bytes).await;
        let bytes = manifest.to_string().into_bytes();
        let referrer = Digest::of(&bytes);
        self.put_manifest(&referrer.to_string(), &bytes).await;
        referrer
    }

    /// Attaches copies of everything that refers to one artifact to another one.
    pub async fn copy_referrers(&self, from: Digest, to: Digest) {
        let subject = self.bytes(&format!("manifests/{to}")).await;
        for mut manifest in self.referrers(from).await {
            manifest["subject"]["digest"] = json!(to);
            manifest["subject"]["size"] = json!(subject.len());
            let bytes = manifest.to_string().into_bytes();
            self.put_manifest(&Digest::of(&bytes).to_string(), &bytes).await;
        }
    }

    /// Copies an artifact and everything that refers to it into another repository, under a tag there.
    pub async fn replay_in(&self, other: &Self, artifact: Digest, tag: &str) {
        let manifest = self.bytes(&format!("manifests/{artifact}")).await;
        self.copy_content(other, &manifest).await;
        other.put_manifest(tag, &manifest).await;
        for referrer in self.referrers(artifact).await {
            let bytes = referrer.to_string().into_bytes();
            self.copy_content(other, &bytes).await;
            other.put_manifest(&Digest::of(&bytes).to_string(), &bytes).await;
        }
    }

    async fn copy_content(&self, other: &Self, manifest: &[u8]) {
        let manifest: Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
        for content in manifest["layers"].as_array().into_iter().flatten().chain([&manifest["config"]]) {
            other.put_blob(self.blob(content["digest"].as_str().expect("a descriptor has a digest")).await).await;
        }
    }

    /// Attaches that many manifests that call themselves signatures and hold junk, each a little different.
    pub async fn litter(&self, subject: Digest, count: usize, created: Option<&str>) {
        let manifests = self.junk(subject, count, created).await;
        let put = manifests.iter().map(async |bytes| self.put_manifest(&Digest::of(bytes).to_string(), bytes).await);
        stream::iter(put).buffer_unordered(8).collect::<()>().await;
        if self.list(&format!("referrers/{subject}")).await.is_none() {
            self.enter(subject, &manifests).await;
        }
    }

    /// Junk as [`Attacker::litter`] attaches it, stored nowhere yet but for its layer: the newest of what is there, with
    /// that layer and other annotations.
    pub async fn junk(&self, subject: Digest, count: usize, created: Option<&str>) -> Vec<Vec<u8>> {
        let junk = b"no bundle".to_vec();
        let mut like = self.referrers(subject).await.swap_remove(0);
        like["layers"][0]["digest"] = json!(Digest::of(&junk));
        like["layers"][0]["size"] = json!(junk.len());
        self.put_blob(junk).await;
        let numbered = |number: usize| {
            let mut manifest = like.clone();
            manifest["annotations"] = json!({"number": number.to_string()});
            if let Some(created) = created {
                manifest["annotations"]["org.opencontainers.image.created"] = json!(created);
            }
            manifest.to_string().into_bytes()
        };
        (0..count).map(numbered).collect()
    }

    /// Lists manifests under the fallback tag, before what it lists already.
    async fn enter(&self, subject: Digest, manifests: &[Vec<u8>]) {
        let index = self.fallback_index(subject, manifests).await;
        self.put_manifest(&fallback_tag(subject), &index).await;
    }

    /// The index of the fallback tag, with these manifests before what it lists already.
    pub async fn fallback_index(&self, subject: Digest, manifests: &[Vec<u8>]) -> Vec<u8> {
        let tag = fallback_tag(subject);
        let mut index = self.manifest(&tag).await;
        let kept = index["manifests"].as_array().cloned().unwrap_or_default();
        let entries = manifests.iter().map(|bytes| {
            let manifest: Value = serde_json::from_slice(bytes).expect("a manifest is JSON");
            json!({
                "mediaType": manifest["mediaType"], "digest": Digest::of(bytes), "size": bytes.len(),
                "artifactType": manifest["artifactType"], "annotations": manifest["annotations"],
            })
        });
        index["manifests"] = entries.chain(kept).collect();
        index.to_string().into_bytes()
    }

    /// Takes away everything that refers to an artifact; gives what [`Attacker::put_back`] takes.
    pub async fn hide_referrers(&self, subject: Digest) -> Vec<(String, Vec<u8>)> {
        if self.list(&format!("referrers/{subject}")).await.is_none() {
            let tag = fallback_tag(subject);
            let index = self.bytes(&format!("manifests/{tag}")).await;
            let mut none: Value = serde_json::from_slice(&index).expect("an index is JSON");
            none["manifests"] = json!([]);
            self.put_manifest(&tag, none.to_string().as_bytes()).await;
            return vec![(tag, index)];
        }
        let mut hidden = Vec::new();
        for referrer in self.listed(subject).await {
            let address = format!("{}/manifests/{referrer}", self.repository);
            hidden.push((referrer.to_string(), self.bytes(&format!("manifests/{referrer}")).await));
            let answer = self.client.delete(&address).send().await.unwrap_or_else(|error| panic!("{address}: {error}"));
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{address}");
        }
        hidden
    }

    /// Puts back what was hidden.
    pub async fn put_back(&self, hidden: &[(String, Vec<u8>)]) {
        for (reference, bytes) in hidden {
            self.put_manifest(reference, bytes).await;
        }
    }

    /// The digest of the only layer of an artifact.
    pub async fn layer(&self, reference: &str) -> Digest {
        let manifest = self.manifest(reference).await;
        manifest["layers"][0]["digest"].as_str().and_then(|text| text.parse().ok()).expect("a release has a layer")
    }

    /// What refers to an artifact, as far as the first page goes; at least one.
    pub async fn listed(&self, subject: Digest) -> Vec<Digest> {
        let index = match self.list(&format!("referrers/{subject}")).await {
            Some(index) => index,
            None => self.manifest(&fallback_tag(subject)).await,
        };
        let entries = index["manifests"].as_array().into_iter().flatten();
        let digests = entries.map(|entry| entry["digest"].as_str().and_then(|text| text.parse().ok()));
        let digests: Vec<Digest> = digests.collect::<Option<_>>().expect("a descriptor has a digest");
        assert!(!digests.is_empty(), "nothing refers to {subject}");
        digests
    }

    /// The manifests that refer to an artifact; at least one.
    async fn referrers(&self, subject: Digest) -> Vec<Value> {
        let mut manifests = Vec::new();
        for referrer in self.listed(subject).await {
            manifests.push(self.manifest(&referrer.to_string()).await);
        }
        manifests
    }

    /// A list, unless the registry keeps none of that kind.
    async fn list(&self, path: &str) -> Option<Value> {
        let address = format!("{}/{path}", self.repository);
        let answer = self.client.get(&address).send().await.unwrap_or_else(|error| panic!("{address}: {error}"));
        let found = answer.status().is_success();
        let bytes = answer.bytes().await.unwrap_or_else(|error| panic!("{address}: {error}"));
        found.then(|| serde_json::from_slice(&bytes).expect("a list is JSON"))
    }

    async fn put_blob(&self, bytes: Vec<u8>) {
        let digest = Digest::of(&bytes);
        let address = format!("{}/blobs/uploads/?digest={digest}", self.repository);
        let sent =
            async |request: RequestBuilder| request.send().await.unwrap_or_else(|error| panic!("{address}: {error}"));
        let mut answer = sent(self.client.post(&address).body(bytes.clone())).await;
        if answer.status() == StatusCode::ACCEPTED {
            // a registry that takes nothing with the first request says where to send it
            let place = answer.headers()[header::LOCATION].to_str().expect("an address is text");
            let mut place = answer.url().join(place).expect("an upload has an address");
            place.query_pairs_mut().append_pair("digest", &digest.to_string());
            answer = sent(self.client.put(place).body(bytes)).await;
        }
        assert_eq!(answer.status(), StatusCode::CREATED, "{address}");
    }

    async fn put_manifest(&self, reference: &str, bytes: &[u8]) {
        let status = self.offer_manifest(reference, bytes).await;
        assert_eq!(status, StatusCode::CREATED, "{}/manifests/{reference}", self.repository);
    }

    /// Offers a manifest or index under a tag or its digest, and gives the registry's answer.
    pub async fn offer_manifest(&self, reference: &str, bytes: &[u8]) -> StatusCode {
        let media_type = serde_json::from_slice::<Value>(bytes).expect("a manifest is JSON")["mediaType"].clone();
        let address = format!("{}/manifests/{reference}", self.repository);
        let request = self.client.request(Method::PUT, &address).body(bytes.to_owned());
        let request = request.header(header::CONTENT_TYPE, media_type.as_str().expect("a manifest names its type"));
        request.send().await.unwrap_or_else(|error| panic!("{address}: {error}")).status()
    }

    async fn bytes(&self, path: &str) -> Vec<u8> {
        let address = format!("{}/{path}", self.repository);
        let request = self.client.get(&address).header(header::ACCEPT, MANIFESTS);
        let answer = request.send().await.and_then(Response::error_for_status);
        let answer = answer.unwrap_or_else(|error| panic!("{address}: {error}"));
        answer.bytes().await.unwrap_or_else(|error| panic!("{address}: {error}")).to_vec()
    }

    /// Changes content in an OCI layout without its digest: as a broken disk does, or who can write there.
    pub fn corrupt(layout: &Path, digest: Digest) {
        let path = layout.join("blobs/sha256").join(digest.hex());
        let mut bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(mut manifest) => {
                manifest["annotations"]["changed"] = json!("in place");
                bytes = manifest.to_string().into_bytes();
            }
            Err(_) => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
        }
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// The tag under which clients list what refers to an artifact, in a registry that does not.
#[must_use]
pub fn fallback_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}
