//! `sealift login` and `logout`: credentials where docker, podman and every command of sealift look for them.

mod ask;
mod auth_file;
mod helper;
mod place;

use sealift_registry::{
    client::{Checked, Credentials},
    docker_config::{places, server_name},
};
use serde_json::json;

use self::{
    ask::Given,
    auth_file::AuthFile,
    place::{Place, Way},
};
use crate::{
    cli::login::{LoginArgs, LogoutArgs},
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    transport,
};

/// Nowhere to keep anything.
#[derive(Debug, thiserror::Error)]
#[error("no place for credentials is known: neither HOME nor DOCKER_CONFIG is set")]
struct NoPlace;

pub(crate) async fn login(args: &LoginArgs, output: &mut Output) -> Result<Exit, Failure> {
    let LoginArgs { host, username, password_stdin, auth_file, registry } = args;
    let server = server_name(host);
    // Where they would go is settled, and readable, before anybody types a password.
    let place = match auth_file {
        Some(path) => Place::of(AuthFile::read(path)?, server)?,
        None => place::choose(read_all()?, server)?
            .ok_or_else(|| Failure::new(Exit::InvalidInput, NoPlace).hint("name a file with --auth-file"))?,
    };
    let Given { username, password } = ask::given(username.as_deref(), *password_stdin, host, output)?;

    output.progress(format_args!("trying the credentials at {host}"));
    let credentials = Credentials::Basic { username: username.clone(), password: password.clone() };
    let checked = transport::client_as(host, registry, credentials)?.check_credentials().await;
    let checked = checked.map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit {
            Exit::Credentials => {
                failure.hint("nothing was kept; some registries take only an access token in place of a password")
            }
            _ => failure,
        }
    })?;
    if checked == Checked::NotAsked {
        output.warn(format_args!("{host} lets everybody in, so the credentials could not be tried"));
    }

    let stored = place.store(server, &username, &password).await?;
    output.note(format_args!("logged in to {host} as {username}: kept {stored}"));
    if matches!(stored, Way::File(_)) {
        output.note("the file holds the password unencrypted, readable by you only");
    }
    if output.format == Format::Json {
        output.json(&json!({
            "schema": "sealift.dev/login/v1",
            "outcome": "logged-in",
            "host": host,
            "username": username,
            "checked": checked == Checked::Taken,
            "kept": stored.json(),
        }))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn logout(args: &LogoutArgs, output: &mut Output) -> Result<Exit, Failure> {
    let LogoutArgs { host, auth_file } = args;
    let server = server_name(host);
    let files = match auth_file {
        Some(path) => vec![AuthFile::read(path)?],
        None => read_all()?,
    };
    let mut removed = Vec::new();
    for file in files {
        removed.extend(Place::of(file, server)?.erase(server).await?);
    }
    removed.iter().for_each(|way| output.note(format_args!("forgotten {way}")));
    if removed.is_empty() {
        output.note(format_args!("there are no credentials for {host}"));
    }
    if output.format == Format::Json {
        output.json(&json!({
            "schema": "sealift.dev/logout/v1",
            "outcome": if removed.is_empty() { "not-logged-in" } else { "logged-out" },
            "host": host,
            "removed": removed.iter().map(Way::json).collect::<Vec<_>>(),
        }))?;
    }
    Ok(Exit::Done)
}

fn read_all() -> Result<Vec<AuthFile>, Failure> {
    places().iter().map(|path| AuthFile::read(path).map_err(Failure::from)).collect()
}
