//! Layouts in folders and tar files: the story that registries tell, and what is wrong with some.

use std::{fs, path::Path};

use sealift_registry::{
    client::{AttachedBy, ClientConfig, ClientError, PutAs},
    store::{Layout, LayoutFault, Location, Store},
};
use sealift_verify::{
    artifact::{Descriptor, IMAGE_MANIFEST},
    digest::Digest,
    reference::Repository,
};
use serde_json::json;

use crate::peers::told_by;

fn open(location: &str) -> Store {
    let location: Location = location.parse().unwrap();
    Layout::at(&location, &ClientConfig::default()).unwrap().unwrap().into()
}

fn folder(path: &Path) -> Store {
    open(&format!("oci-layout:{}", path.display()))
}

fn repository() -> Repository {
    "registry.example/acme/shop".parse().unwrap()
}

#[tokio::test]
async fn a_folder_and_a_tar_answer_as_a_registry_does() {
    let root = tempfile::tempdir().unwrap();
    told_by(&folder(&root.path().join("layout")), &repository(), AttachedBy::Layout).await;
    let tar = root.path().join("shop.tar");
    told_by(&open(&format!("oci-archive:{}", tar.display())), &repository(), AttachedBy::Layout).await;
    let left: Vec<_> = fs::read_dir(root.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing waits beside the tar: {left:?}");
}

/// A layout with one manifest, tagged `v1`, and one blob.
async fn small(path: &Path) -> (Digest, Descriptor) {
    let store = folder(path);
    let blob = store.push_blob(&repository(), "text/plain", "content".into()).await.unwrap();
    let put = store.put_manifest(&repository(), PutAs::Tag("v1"), IMAGE_MANIFEST, "{}".into()).await.unwrap();
    (put.pinned.digest, blob)
}

fn blob_path(root: &Path, digest: &Digest) -> std::path::PathBuf {
    root.join("blobs/sha256").join(digest.hex())
}

#[tokio::test]
async fn changed_grown_and_missing_content_is_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let (manifest, blob) = small(root.path()).await;
    let (store, place) = (folder(root.path()), repository().pin(manifest));
    assert_eq!(store.manifest(&place).await.unwrap(), "{}");

    fs::write(blob_path(root.path(), &manifest), "[]").unwrap();
    assert!(matches!(store.manifest(&place).await, Err(ClientError::DigestMismatch { .. })));
    fs::write(blob_path(root.path(), &manifest), vec![b' '; (4 << 20) + 1]).unwrap();
    assert!(matches!(store.manifest(&place).await, Err(ClientError::TooLarge { .. })));
    fs::write(blob_path(root.path(), &blob.digest), "content and more").unwrap();
    assert!(matches!(store.blob(&repository(), &blob).await, Err(ClientError::TooLarge { .. })));
    fs::remove_file(blob_path(root.path(), &blob.digest)).unwrap();
    let missing = store.blob(&repository(), &blob).await.unwrap_err();
    assert!(matches!(missing, ClientError::NotFound { .. }));
    assert_eq!(missing.status(), None, "nobody spoke HTTP");
    assert!(!sealift_verify::chain(&missing).contains("the registry answered"), "{}", sealift_verify::chain(&missing));

    // Something that is no file would be waited for.
    fs::create_dir(blob_path(root.path(), &blob.digest)).unwrap();
    assert!(matches!(store.blob(&repository(), &blob).await, Err(ClientError::Unreachable { .. })));
}

#[tokio::test]
async fn what_is_no_layout_is_neither_read_nor_written() {
    let root = tempfile::tempdir().unwrap();
    let store = folder(root.path());
    assert!(matches!(store.tags(&repository()).await, Err(ClientError::NotFound { .. })));
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    let put = store.put_manifest(&repository(), PutAs::Tag("v1"), IMAGE_MANIFEST, "{}".into()).await.unwrap_err();
    assert!(matches!(&put, ClientError::Unusable { fault, .. } if matches!(**fault, LayoutFault::Other)), "{put:?}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing was written");

    let root = tempfile::tempdir().unwrap();
    small(root.path()).await;
    let (index, marker) = (root.path().join("index.json"), root.path().join("oci-layout"));
    for (path, content, what) in [
        (&index, "[]".to_owned(), "cannot be read"),
        (&index, json!({"manifests": vec![7; 10_001]}).to_string(), "more than 10000 entries"),
        (&index, " ".repeat((16 << 20) + 1), "larger than"),
        (&marker, json!({"imageLayoutVersion": "2.0.0"}).to_string(), "unknown version \"2.0.0\""),
        (&marker, "x".to_owned(), "no file oci-layout"),
        (&marker, " ".repeat(2048), "larger than"),
    ] {
        let before = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let error = folder(root.path()).resolve(&repository(), "v1").await.unwrap_err();
        assert!(sealift_verify::chain(&error).contains(what), "{}", sealift_verify::chain(&error));
        fs::write(path, before).unwrap();
    }
    assert!(folder(root.path()).resolve(&repository(), "v1").await.is_ok());
}

#[tokio::test]
async fn a_tar_that_is_something_else_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("backup.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    tar.append_data(&mut header, "diary.txt", &b"dear"[..]).unwrap();
    tar.into_inner().unwrap();
    let before = fs::read(&path).unwrap();
    let store = open(&format!("oci-archive:{}", path.display()));
    let put = store.put_manifest(&repository(), PutAs::Tag("v1"), IMAGE_MANIFEST, "{}".into()).await.unwrap_err();
    assert!(matches!(&put, ClientError::Unusable { fault, .. } if matches!(**fault, LayoutFault::Other)), "{put:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn many_writers_lose_nothing_of_each_other() {
    let root = tempfile::tempdir().unwrap();
    for location in ["oci-layout:layout", "oci-archive:shop.tar"] {
        let location = location.replace(':', &format!(":{}/", root.path().display()));
        let writers = (0..8).map(|n| {
            let store = open(&location);
            async move {
                let bytes = format!("{{\"n\":{n}}}").into();
                store.put_manifest(&repository(), PutAs::Tag(&format!("v{n}")), IMAGE_MANIFEST, bytes).await.unwrap();
            }
        });
        futures::future::join_all(writers).await;
        assert_eq!(open(&location).tags(&repository()).await.unwrap().len(), 8, "{location}");
    }
}
