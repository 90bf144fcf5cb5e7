//! Real manifests of other projects, document by document.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use sealift_verify::{
    artifact::Limits,
    objects::{
        Objects, emit,
        yaml::{Source, read},
    },
};

use super::oracle;

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus");
    let folder = env::var_os("SEALIFT_CORPUS").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(env::var("CI").as_deref() != Ok("true"), "SEALIFT_CORPUS is not there");
    eprintln!("NOT RUN: the corpus of manifests is not in SEALIFT_CORPUS");
    None
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(path);
        }
    }
}

/// Every document of the corpus that is meant to be applied.
fn documents() -> Option<Vec<(String, String)>> {
    let mut paths = Vec::new();
    files(&folder()?, &mut paths);
    let mut documents = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for document in format!("\n{text}").split("\n---") {
            let is_blank = document.lines().all(|line| line.trim().is_empty() || line.starts_with('#'));
            let is_input = ["kustomize.config.k8s.io", "kind: Kustomization", "kind: Component"];
            if !is_blank && !is_input.iter().any(|word| document.contains(word)) {
                documents.push((path.display().to_string(), format!("{document}\n")));
            }
        }
    }
    assert!(documents.len() > 100, "the corpus has shrunk to {}", documents.len());
    Some(documents)
}

fn objects(name: &str, text: &str) -> Objects {
    let source = Source { name: name.to_owned(), bytes: text.as_bytes().to_vec() };
    read(&[source], &Limits::default()).unwrap_or_else(|errors| panic!("{name}: {errors:?}"))
}

#[test]
fn the_corpus_is_read_as_kubectl_reads_it() {
    let Some(documents) = documents() else { return };
    let texts: Vec<_> = documents.iter().map(|(_, text)| text.clone()).collect();
    let Some(answers) = oracle::ask(&texts) else { return };
    for ((name, text), theirs) in documents.iter().zip(answers) {
        let ours = objects(name, text);
        match theirs.unwrap() {
            list if list.get("items").is_some() => {
                assert_eq!(ours.len(), list["items"].as_array().unwrap().len(), "{name}");
                for object in &ours {
                    assert!(list["items"].as_array().unwrap().contains(&object.value), "{name}");
                }
            }
            theirs => assert_eq!(ours.into_vec().remove(0).value, theirs, "{name}"),
        }
    }
}

#[test]
fn the_corpus_written_as_yaml_is_read_by_kubectl_as_it_was() {
    let Some(documents) = documents() else { return };
    let objects: Vec<_> = documents.iter().flat_map(|(name, text)| objects(name, text).into_vec()).collect();
    let written: Vec<_> = objects.iter().map(|object| emit::to_yaml(&object.value)).collect();
    let Some(answers) = oracle::ask(&written) else { return };
    for ((object, text), theirs) in objects.iter().zip(&written).zip(answers) {
        assert_eq!(theirs.as_ref(), Ok(&object.value), "{} from {}", object.id, object.origin);
        assert_eq!(self::objects("written", text).into_vec().remove(0).value, object.value, "{}", object.id);
    }
}
