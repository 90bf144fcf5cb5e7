//! The tables of `docs/tenants.md`, each between two comments that name it.

use std::{
    env, fs,
    sync::{Mutex, PoisonError},
};

use sealift_e2e::workspace;

/// Tests of one program run side by side, and each has a table of the same file.
static FILE: Mutex<()> = Mutex::new(());

/// Fails unless this very table is published; writes it where `UPDATE_GENERATED` is set.
pub(crate) fn held(name: &str, table: &str) {
    let _file = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = workspace().join("docs/tenants.md");
    let text = fs::read_to_string(&path).unwrap();
    let begin = format!("<!-- {name}: UPDATE_GENERATED=1 cargo test -p sealift-e2e --test tenants -->\n");
    let end = "<!-- end -->";
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no table {name}"));
    let (found, tail) = rest.split_once(end).unwrap();
    if env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
    } else {
        assert!(found == table, "docs/tenants.md is stale, the API server answers:\n{table}");
    }
}
