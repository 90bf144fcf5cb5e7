//! Why a folder did not become manifests, with what it means for scripts and what to try.

use std::path::PathBuf;

use super::{
    helm::{self, ChartError},
    hooks::Undecided,
    inputs::InputsError,
    kustomize::KustomizationError,
    program::RunError,
    words::WordsError,
};
use crate::{exit::Exit, failure::Failure};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("{} holds a kustomization and a Chart.yaml", .0.display())]
    Ambiguous(PathBuf),
    #[error("{} holds no {wanted}, so --render {renderer} cannot render it", folder.display())]
    NotThat { folder: PathBuf, renderer: &'static str, wanted: &'static str },
    #[error("{flag} is for folders, and none of -f is one")]
    NoFolder { flag: &'static str },
    #[error("{0} is for charts, and none is rendered")]
    NoChart(&'static str),
    #[error("{} needs {wanted} to be rendered, and PATH has none", folder.display())]
    NoTool { folder: PathBuf, wanted: &'static str, hint: &'static str },
    #[error("--render-cmd names {0}, which is no program on PATH")]
    NoProgram(String),
    #[error("--render-cmd cannot be read")]
    Words(#[source] WordsError),
    #[error("{} cannot be read", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} cannot be rendered", folder.display())]
    Run {
        folder: PathBuf,
        #[source]
        source: RunError,
    },
    #[error("what {program} wrote is not text")]
    NotText { program: String },
    #[error("{} cannot be rendered", folder.display())]
    Hooks {
        folder: PathBuf,
        #[source]
        source: Undecided,
    },
    #[error(transparent)]
    Kustomization(#[from] KustomizationError),
    #[error(transparent)]
    Chart(#[from] ChartError),
    #[error(transparent)]
    Inputs(#[from] InputsError),
}

pub(super) const NO_KUSTOMIZE: &str = "install kustomize (https://kubectl.docs.kubernetes.io/installation/kustomize, or with Go: go install \
     sigs.k8s.io/kustomize/kustomize/v5@v5.8.2) or kubectl (https://kubernetes.io/docs/tasks/tools), which has it built in; \
     or render elsewhere, and push -f - what comes out";
pub(super) const NO_HELM: &str = "install helm (https://helm.sh/docs/intro/install, or with Go: go install helm.sh/helm/v4/cmd/helm@v4.3.1); or render \
     elsewhere with `helm template --include-crds`, and push -f - what comes out";

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let exit = match &error {
            RenderError::Ambiguous(_)
            | RenderError::NotThat { .. }
            | RenderError::NoFolder { .. }
            | RenderError::NoChart(_)
            | RenderError::Words(_) => Exit::Usage,
            RenderError::NoTool { .. } | RenderError::NoProgram(_) => Exit::NotFound,
            RenderError::Folder { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Exit::NotFound,
            RenderError::Run { source: RunError::Start { .. } | RunError::Late { .. }, .. } => Exit::Failed,
            RenderError::Folder { .. }
            | RenderError::Run { .. }
            | RenderError::NotText { .. }
            | RenderError::Hooks { .. }
            | RenderError::Kustomization(_)
            | RenderError::Chart(_)
            | RenderError::Inputs(_) => Exit::InvalidInput,
        };
        let hint = error.hint();
        let failure = Self::new(exit, error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl RenderError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Ambiguous(_) => Some("say which with --render kustomize or --render helm"),
            Self::NoTool { hint, .. } => Some(hint),
            Self::Hooks { .. } => Some(
                "--helm-hooks apply makes install and upgrade hooks ordinary objects of the release, applied when they change, \
                 without their order (a Job that changes needs spec.immutable: recreate); --helm-hooks drop leaves all out",
            ),
            Self::Kustomization(error) => error.hint(),
            Self::Run { source: RunError::Failed { stderr, .. }, .. } => helm::advice(stderr),
            Self::NotThat { .. }
            | Self::NoFolder { .. }
            | Self::NoChart(_)
            | Self::NoProgram(_)
            | Self::Words(_)
            | Self::Folder { .. }
            | Self::Run { .. }
            | Self::NotText { .. }
            | Self::Chart(_)
            | Self::Inputs(_) => None,
        }
    }
}
