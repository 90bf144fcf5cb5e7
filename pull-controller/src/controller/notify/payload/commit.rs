//! The status of the commit that a release was made from: GitHub and GitLab. *pure*

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sealift_apply::api::{NotificationSpec, NotificationType, PendingEvent, Severity};
use secrecy::ExposeSecret as _;
use serde_json::json as value;
use url::Url;

use super::{
    super::template::{cut, text},
    {About, Access, Post, Unfit, address, bearer, json, secret, token, usual_address},
};

/// GitHub takes no longer description, GitLab 255.
const DESCRIPTION: usize = 140;
const PRIVATE_TOKEN: HeaderName = HeaderName::from_static("private-token");
const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");

pub(super) fn github(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let (project, commit) = subject(spec, about)?;
    let mut headers = HeaderMap::new();
    bearer(&mut headers, token(access)?)?;
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.insert(API_VERSION, HeaderValue::from_static("2022-11-28"));
    let status = value!({
        "state": state(about.event, "failure"),
        "context": context(about),
        "description": cut(&text(spec.template.as_deref(), about)?, DESCRIPTION),
    });
    let url = address(spec, access)?;
    let path = format!("{}/repos/{project}/statuses/{commit}", url.path().trim_end_matches('/'));
    Ok(json(at(url, &path), headers, &status))
}

pub(super) fn gitlab(spec: &NotificationSpec, access: &Access, about: &About<'_>) -> Result<Post, Unfit> {
    let (project, commit) = subject(spec, about)?;
    let mut headers = HeaderMap::new();
    secret(&mut headers, PRIVATE_TOKEN, token(access)?.expose_secret())?;
    let status = value!({
        "state": state(about.event, "failed"),
        "name": context(about),
        "description": cut(&text(spec.template.as_deref(), about)?, DESCRIPTION),
    });
    let url = address(spec, access)?;
    // The project's path is one segment here, so its slashes are escaped.
    let project = project.replace('/', "%2F");
    let path = format!("{}/api/v4/projects/{project}/statuses/{commit}", url.path().trim_end_matches('/'));
    Ok(json(at(url, &path), headers, &status))
}

fn at(mut url: Url, path: &str) -> Url {
    url.set_path(path);
    url
}

fn state(event: &PendingEvent, failed: &'static str) -> &'static str {
    match event.severity {
        Severity::Error => failed,
        Severity::Info if event.progressing => "pending",
        Severity::Info => "success",
    }
}

/// What tells one cluster's and Delivery's status of a commit from another's.
fn context(about: &About<'_>) -> String {
    cut(&format!("sealift/{}/{}", about.cluster, about.delivery()), 255).to_owned()
}

fn subject(spec: &NotificationSpec, about: &About<'_>) -> Result<(String, String), Unfit> {
    let project = project(spec, about.event).ok_or(Unfit::NoCommit)?;
    let commit = about.event.source.as_ref().map(|source| source.commit.clone()).ok_or(Unfit::NoCommit)?;
    Ok((project, commit))
}

/// The project that the commit is in: the one that is named, or that of the statement's source if it is at the service's
/// own host. A commit of a repository elsewhere has no status there, though one of the same name may be.
pub(in super::super) fn project(spec: &NotificationSpec, event: &PendingEvent) -> Option<String> {
    let source = event.source.as_ref().filter(|source| is_commit(&source.commit))?;
    if let Some(named) = &spec.repository {
        return Some(named.clone()).filter(|named| is_project(named));
    }
    let (host, path) = repository(&source.uri)?;
    // An address in a Secret is not known here, so the repository must be named beside it.
    let address = spec.address.as_deref().or(usual_address(spec.kind))?;
    let service = Url::parse(address).ok()?.host_str()?.to_ascii_lowercase();
    let service = match spec.kind {
        NotificationType::Github => service.strip_prefix("api.").unwrap_or(&service).to_owned(),
        _ => service,
    };
    (host.eq_ignore_ascii_case(&service) && is_project(&path)).then_some(path)
}

/// Host and path of a repository's address, in any of the forms that git and CI systems write.
fn repository(uri: &str) -> Option<(String, String)> {
    let text = uri.strip_prefix("git+").unwrap_or(uri);
    let (host, path) = match text.split_once("://") {
        Some(_) => {
            let url = Url::parse(text).ok()?;
            (url.host_str()?.to_owned(), url.path().to_owned())
        }
        // scp's form: git@host:path
        None => {
            let (host, path) = text.split_once(':')?;
            (host.rsplit('@').next()?.to_owned(), path.to_owned())
        }
    };
    let path = path.trim_matches('/');
    Some((host, path.strip_suffix(".git").unwrap_or(path).to_owned()))
}

/// What stands in a URL must not change what the URL means.
fn is_project(path: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let part = |part: &str| !part.is_empty() && part.chars().all(fine) && !part.chars().all(|c| c == '.');
    path.contains('/') && path.split('/').all(part)
}

fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::{super::super::filter::tests::event, *};
    use sealift_apply::api::SourceRevision;
    use serde_json::{Value, json};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn project_of(spec: Value, uri: &str, commit: &str) -> Option<String> {
        let spec: NotificationSpec = serde_json::from_value(spec).unwrap();
        let source = Some(SourceRevision { uri: uri.into(), commit: commit.into() });
        project(&spec, &PendingEvent { source, ..event(0, Severity::Info, "Applied") })
    }

    #[test]
    fn a_commit_has_a_status_where_it_is_and_nowhere_else() {
        let github = || json!({"type": "github"});
        let own = || json!({"type": "gitlab", "address": "https://git.example/gitlab"});
        for (spec, uri, wanted) in [
            (github(), "https://github.com/acme/shop", Some("acme/shop")),
            (github(), "git+https://github.com/acme/shop.git", Some("acme/shop")),
            (github(), "git@github.com:acme/shop.git", Some("acme/shop")),
            (github(), "ssh://git@github.com/acme/shop", Some("acme/shop")),
            (github(), "https://elsewhere.example/acme/shop", None),
            (github(), "https://github.com.evil.example/acme/shop", None),
            (github(), "https://github.com/acme", None),
            (github(), "https://github.com/acme/../../user", None),
            (json!({"type": "github", "repository": "../../user"}), "https://github.com/acme/shop", None),
            (github(), "https://github.com/acme/a%2e%2e/b", None),
            (own(), "https://git.example/group/sub/shop", Some("group/sub/shop")),
            (own(), "https://gitlab.com/group/shop", None),
            (json!({"type": "github", "repository": "acme/fork"}), "https://elsewhere.example/x/y", Some("acme/fork")),
            (
                json!({"type": "github", "secretName": "s", "address": "https://api.ghe.example"}),
                "https://ghe.example/a/b",
                Some("a/b"),
            ),
            (github(), "nonsense", None),
        ] {
            assert_eq!(project_of(spec, uri, COMMIT).as_deref(), wanted, "{uri}");
        }
        for commit in ["", "main", "../../../user", "0123", "zz23456789abcdef0123456789abcdef01234567"] {
            assert_eq!(project_of(github(), "https://github.com/acme/shop", commit), None, "{commit}");
        }
    }
}
