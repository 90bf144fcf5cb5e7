//! Who asks for a certificate: what the issuers of CI systems and of people put into their tokens.

use serde_json::{Value, json};

/// The kinds of issuers, each with an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Github,
    Gitlab,
    /// The plugin `oidc-provider` of Jenkins.
    Jenkins,
    /// A cluster, of its service accounts.
    Kubernetes,
    Email,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Github, Self::Gitlab, Self::Jenkins, Self::Kubernetes, Self::Email];

    /// Its place in the address of the issuer.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Jenkins => "jenkins",
            Self::Kubernetes => "kubernetes",
            Self::Email => "people",
        }
    }
}

/// Somebody who signs without a key.
#[derive(Debug, Clone)]
pub struct Identity {
    pub(super) kind: Kind,
    pub(super) claims: Value,
    subject: String,
}

impl Identity {
    /// A job of the workflow `release.yaml` on GitHub, for `OWNER/NAME`, a ref such as `refs/heads/main`, and the
    /// environment it deploys to, if any.
    #[must_use]
    pub fn github(repository: &str, reference: &str, environment: Option<&str>) -> Self {
        let owner = repository.split('/').next().unwrap_or(repository);
        let workflow = format!("{repository}/.github/workflows/release.yaml@{reference}");
        let commit = "6f1c8ea7a1c5f1f1a2ab3d5ecf2f3f4b5a6c7d8e";
        let mut claims = json!({
            "sub": format!("repo:{repository}:ref:{reference}"),
            "repository": repository, "repository_id": "4711", "repository_visibility": "private",
            "repository_owner": owner, "repository_owner_id": "42",
            "ref": reference, "sha": commit, "event_name": "push", "workflow": "release",
            "job_workflow_ref": workflow, "job_workflow_sha": commit, "workflow_ref": workflow, "workflow_sha": commit,
            "runner_environment": "github-hosted", "run_id": "1001", "run_attempt": "1",
        });
        if let Some(environment) = environment {
            claims["environment"] = json!(environment);
            claims["sub"] = json!(format!("repo:{repository}:environment:{environment}"));
        }
        Self { kind: Kind::Github, claims, subject: format!("https://github.com/{workflow}") }
    }

    /// A job of the pipeline `.gitlab-ci.yml` on GitLab, for `GROUP/NAME` and a branch.
    #[must_use]
    pub fn gitlab(project: &str, branch: &str, environment: Option<&str>) -> Self {
        let group = project.split('/').next().unwrap_or(project);
        let config = format!("gitlab.com/{project}//.gitlab-ci.yml@refs/heads/{branch}");
        let commit = "7e2d9fb8b2d6a2a2b3bc4e6fda3a4a5c6b7d8e9f";
        let mut claims = json!({
            "sub": format!("project_path:{project}:ref_type:branch:ref:{branch}"),
            "project_path": project, "project_id": "815", "project_visibility": "private",
            "namespace_path": group, "namespace_id": "51",
            "ref": branch, "ref_type": "branch", "sha": commit, "pipeline_source": "push",
            "pipeline_id": "2002", "job_id": "3003", "ci_config_ref_uri": config, "ci_config_sha": commit,
            "runner_environment": "gitlab-hosted",
        });
        if let Some(environment) = environment {
            claims["environment"] = json!(environment);
        }
        Self { kind: Kind::Gitlab, claims, subject: format!("https://{config}") }
    }

    /// A build of this job on Jenkins, whose tokens name the address of the job on the issuer's own host.
    #[must_use]
    pub fn jenkins(job: &str) -> Self {
        let subject = format!("http://127.0.0.1/job/{job}/");
        Self { kind: Kind::Jenkins, claims: json!({"sub": subject, "build_number": 7}), subject }
    }

    /// A pod's service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let claims = json!({
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io": {
                "namespace": namespace, "serviceaccount": {"name": name, "uid": "7d3c"},
                "pod": {"name": "release-pod", "uid": "8e4d"},
            },
        });
        let subject = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}");
        Self { kind: Kind::Kubernetes, claims, subject }
    }

    /// A person.
    #[must_use]
    pub fn email(address: &str) -> Self {
        let claims = json!({"sub": address, "email": address, "email_verified": true});
        Self { kind: Kind::Email, claims, subject: address.to_owned() }
    }

    /// What stands in the certificate as its subject.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}
