//! One file in the form of Docker's `config.json` and podman's `auth.json`: read, changed, written back whole. What other
//! tools keep in it stays as it is.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use sealift_registry::docker_config::server_name;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{exit::Exit, failure::Failure};

/// Larger files are no such configuration.
const LARGEST: u64 = 16 << 20;

/// A file of credentials. It does not print: it holds secrets.
pub(super) struct AuthFile {
    pub(super) path: PathBuf,
    exists: bool,
    content: Map<String, Value>,
}

/// Why a file of credentials cannot be used. The cause in its JSON is withheld, since it may quote a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthFileError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not the JSON of a Docker configuration (line {line}, column {column})", path.display())]
    Json { path: PathBuf, line: usize, column: usize },
    #[error("the field {field:?} of {} is not what it should be", path.display())]
    Field { path: PathBuf, field: &'static str },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<AuthFileError> for Failure {
    fn from(error: AuthFileError) -> Self {
        match error {
            AuthFileError::Write { .. } => Self::new(Exit::Failed, error),
            _ => Self::new(Exit::InvalidInput, error).hint("nothing was changed"),
        }
    }
}

/// Who keeps the secrets for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keeper {
    /// A program for this server alone.
    Helper(String),
    /// A program for all servers; the file names each of them.
    Store(String),
    /// The file itself.
    File,
}

impl AuthFile {
    /// Reads the file; one that is not there is empty.
    pub(super) fn read(path: &Path) -> Result<Self, AuthFileError> {
        let unreadable = |source| AuthFileError::Read { path: path.to_owned(), source };
        let bytes = match fs::metadata(path) {
            Ok(found) if found.len() > LARGEST => return Err(unreadable(io::ErrorKind::FileTooLarge.into())),
            Ok(_) => fs::read(path).map_err(unreadable)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), exists: false, content: Map::new() });
            }
            Err(error) => return Err(unreadable(error)),
        };
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, AuthFileError> {
        // `touch auth.json` makes a file that podman takes for an empty one.
        let bytes = if bytes.trim_ascii().is_empty() { b"{}" } else { bytes };
        let content = serde_json::from_slice(bytes).map_err(|error| AuthFileError::Json {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        Ok(Self { path: path.to_owned(), exists: true, content })
    }

    pub(super) fn exists(&self) -> bool {
        self.exists
    }

    /// Who keeps the secrets for `server`, as docker decides it.
    pub(super) fn keeper(&self, server: &str) -> Result<Keeper, AuthFileError> {
        let wrong = |field| AuthFileError::Field { path: self.path.clone(), field };
        let text = |value: Option<&Value>, field| match value {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(wrong(field)),
        };
        let helper = match self.content.get("credHelpers") {
            None | Some(Value::Null) => None,
            Some(Value::Object(helpers)) => text(helpers.get(server), "credHelpers")?,
            Some(_) => return Err(wrong("credHelpers")),
        };
        match (helper, text(self.content.get("credsStore"), "credsStore")?) {
            (Some(helper), _) => Ok(Keeper::Helper(helper)),
            (None, Some(store)) => Ok(Keeper::Store(store)),
            (None, None) => Ok(Keeper::File),
        }
    }

    /// True if there is an entry for `server`, be it one that only says that a store has it.
    pub(super) fn knows(&self, server: &str) -> bool {
        self.content
            .get("auths")
            .and_then(Value::as_object)
            .is_some_and(|auths| auths.keys().any(|key| is_for(key, server)))
    }

    /// Keeps the credentials in the file itself, in place of those that were there.
    pub(super) fn keep(&mut self, server: &str, username: &str, password: &SecretString) -> Result<(), AuthFileError> {
        let auth = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
        self.enter(server, json!({"auth": auth}))
    }

    /// Says that a store has the credentials, as docker does.
    pub(super) fn refer(&mut self, server: &str) -> Result<(), AuthFileError> {
        self.enter(server, json!({}))
    }

    fn enter(&mut self, server: &str, entry: Value) -> Result<(), AuthFileError> {
        self.remove(server)?;
        let path = &self.path;
        let auths = self.content.entry("auths").or_insert_with(|| json!({}));
        if auths.is_null() {
            *auths = json!({});
        }
        let wrong = || AuthFileError::Field { path: path.clone(), field: "auths" };
        auths.as_object_mut().ok_or_else(wrong)?.insert(server.to_owned(), entry);
        Ok(())
    }

    /// Takes out every entry for `server`; true if one was there. Entries for single repositories stay.
    pub(super) fn remove(&mut self, server: &str) -> Result<bool, AuthFileError> {
        match self.content.get_mut("auths") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Object(auths)) => {
                let before = auths.len();
                auths.retain(|key, _| !is_for(key, server));
                Ok(auths.len() < before)
            }
            Some(_) => Err(AuthFileError::Field { path: self.path.clone(), field: "auths" }),
        }
    }

    /// Puts the file in the place of what is there, whole or not at all, for the owner's eyes only.
    pub(super) fn write(&self) -> Result<(), AuthFileError> {
        // Behind a link lies the file that is meant; the link itself stays.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| AuthFileError::Write { path: path.clone(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = folder.join(format!(".{name}.{}", std::process::id()));
        let written = write_new(&new, &self.to_bytes()).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map_err(failed)
    }

    /// Indented with tabs, as docker writes it.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let form = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, form);
        self.content.serialize(&mut writer).expect("writing JSON to memory does not fail");
        bytes.push(b'\n');
        bytes
    }
}

impl std::fmt::Debug for AuthFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether an entry is for the whole server, by whatever name tools have for it.
fn is_for(key: &str, server: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    key == server || (["", "v1", "v2"].contains(&path.trim_end_matches('/')) && server_name(host) == server)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const HUB: &str = "https://index.docker.io/v1/";

    fn file(value: &Value) -> AuthFile {
        AuthFile::parse(Path::new("config.json"), value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_replaces_those_of_the_same_server_and_no_others() {
        let mut auths = file(&json!({"auths": {
            "https://registry.example/v2/": {"auth": "old"}, "registry.example/team": {"auth": "team"},
            "registry.example:5000": {"auth": "port"},
        }, "proxies": {"default": {"httpProxy": "x"}}, "currentContext": "c"}));
        assert!(auths.knows("registry.example") && !auths.knows("other.example"));
        auths.keep("registry.example", "me", &"pass:word".into()).unwrap();
        let expected = json!({"auths": {
            "registry.example": {"auth": STANDARD.encode("me:pass:word")}, "registry.example/team": {"auth": "team"},
            "registry.example:5000": {"auth": "port"},
        }, "proxies": {"default": {"httpProxy": "x"}}, "currentContext": "c"});
        assert_eq!(Value::Object(auths.content), expected);
    }

    #[test]
    fn docker_hub_is_removed_by_all_its_names() {
        for name in ["docker.io", "index.docker.io", "registry-1.docker.io", HUB] {
            let mut auths = file(&json!({"auths": {name: {}}}));
            assert!(auths.remove(HUB).unwrap(), "{name}");
            assert!(!auths.remove(HUB).unwrap());
        }
    }

    #[test]
    fn a_helper_of_the_server_counts_before_the_store_of_all() {
        let config = json!({"credsStore": "all", "credHelpers": {"registry.example": "one", "none.example": ""}});
        let config = file(&config);
        assert_eq!(config.keeper("registry.example").unwrap(), Keeper::Helper("one".into()));
        for server in ["none.example", "other.example"] {
            assert_eq!(config.keeper(server).unwrap(), Keeper::Store("all".into()));
        }
        assert_eq!(file(&json!({})).keeper("registry.example").unwrap(), Keeper::File);
    }

    #[test]
    fn what_is_no_configuration_is_never_written_over_or_quoted() {
        let error = AuthFile::parse(Path::new("c"), b"{\"auths\": s3cret}").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"));
        assert!(AuthFile::parse(Path::new("c"), b"[]").is_err());
        assert!(file(&json!({"auths": []})).keep("a.example", "u", &"p".into()).is_err());
        assert!(file(&json!({"credsStore": 1})).keeper("a.example").is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_behind_its_link_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("dot/files.json"), folder.path().join("home/config.json"));
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::create_dir_all(real.parent().unwrap()).unwrap();
        fs::write(&real, "{\"psFormat\": \"table\"}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&real, &link).unwrap();
        let mut auths = AuthFile::read(&link).unwrap();
        auths.keep("registry.example", "me", &"secret".into()).unwrap();
        auths.write().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&real).unwrap();
        assert!(text.starts_with("{\n\t\"auths\"") && text.contains("\"psFormat\": \"table\""), "{text}");
        assert_eq!(fs::read_dir(real.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");

        let new = AuthFile::read(&folder.path().join("new/folder/auth.json")).unwrap();
        new.write().unwrap();
        let mode = fs::metadata(folder.path().join("new")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
