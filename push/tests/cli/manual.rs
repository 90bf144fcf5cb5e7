//! The manual: held against git, and complete.

use std::{fs, path::Path};

use crate::support::World;

/// Held against git, so that the reference one reads is the one of this version.
#[tokio::test(flavor = "multi_thread")]
async fn generated_cli_reference_is_up_to_date() {
    let world = World::new().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let printed = world.run(&["man", "--markdown"]).exits(0).stdout;
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &printed).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == printed, "docs/cli.md is stale: UPDATE_GENERATED=1 cargo test -p sealift --test cli generated");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_page_for_every_command() {
    let world = World::new().await;
    let pages = world.run(&["man", "--dir", "share/man1"]).exits(0).stdout;
    for page in pages.lines() {
        let text = world.read(&format!("share/man1/{page}"));
        let name = page.trim_end_matches(".1").replace('-', "\\-");
        assert!(text.contains(".TH ") && text.contains(&name), "{page}:\n{text}");
    }
    for page in ["sealift.1", "sealift-push.1", "sealift-policy-check.1"] {
        assert!(pages.lines().any(|name| name == page), "{page} is missing from\n{pages}");
    }
    let push = world.read("share/man1/sealift-push.1");
    assert!(push.contains("sealift push oci://") && push.contains("Examples:"), "{push}");
    world.run(&["man"]).exits(2).silent();
    world.write("file", "");
    world.run(&["man", "--dir", "file"]).exits(1).silent().says(&["man pages cannot be written to file"]);
}
