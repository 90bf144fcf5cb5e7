//! Folders to manifests, at push: a kustomization by kustomize, a chart by helm, anything else by a program of the person's.
//!
//! Renderers run without a cluster, and kustomize and helm without a network, plugins or anything else of the person's. What
//! they may have read is hashed, so that a statement can say what its manifests were made from.

mod error;
mod helm;
mod hooks;
mod inputs;
mod kustomize;
mod program;
mod templates;
mod words;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use sealift_verify::{artifact::Limits, digest::Digest, objects::yaml::Source};
use serde_json::{Value, json};

use self::{
    error::RenderError,
    hooks::{Hook, Sorted},
    inputs::Inputs,
    program::{Bounds, Run, Said, Surroundings},
    templates::{Call, Calls},
};
use crate::{
    cli::render::{RenderArgs, Renderer},
    failure::Failure,
    manifests,
    output::Output,
    table::plain,
};

/// How long one folder may take.
const TIME: Duration = Duration::from_secs(300);
/// How long a program may take to say its version.
const VERSION: Duration = Duration::from_secs(30);
/// Places that are named before the rest is only counted.
const NAMED: usize = 10;

/// Manifests, and how they came to be.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) sources: Vec<Source>,
    /// For the statement, one a folder that was rendered.
    pub(crate) builds: Vec<Value>,
}

/// What becomes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// Files are taken as they are.
    Files,
    Kustomization,
    Chart,
    /// The person's own program runs in it.
    Command,
}

/// The manifests at `paths`, rendered where that is asked for, and how.
pub(crate) async fn sources(
    paths: &[PathBuf],
    args: &RenderArgs,
    limits: &Limits,
    output: &mut Output,
) -> Result<Rendered, Failure> {
    let means = paths.iter().map(|path| means(path, args)).collect::<Result<Vec<_>, _>>()?;
    all_of_use(&means, args)?;
    let with = |wanted: fn(&Means) -> bool| {
        means.iter().zip(paths).filter(move |(means, _)| wanted(means)).map(|(means, path)| (*means, path.clone()))
    };
    let mut rendered = Rendered::default();
    let files: Vec<_> = with(|means| *means == Means::Files).map(|(_, path)| path).collect();
    if !files.is_empty() {
        rendered.sources = manifests::sources(&files, limits, output)?;
    }
    for (means, folder) in with(|means| *means != Means::Files) {
        output.progress(format_args!("rendering {}", folder.display()));
        let task = Task { folder: &folder, at: &canonical(&folder)?, args, limits };
        match means {
            Means::Kustomization => task.kustomize(&mut rendered, output).await?,
            Means::Chart => task.helm(&mut rendered, output).await?,
            Means::Command | Means::Files => task.command(&mut rendered, output).await?,
        }
    }
    Ok(rendered)
}

/// What is in a folder decides, or the person does.
fn means(path: &Path, args: &RenderArgs) -> Result<Means, RenderError> {
    if path.as_os_str() == "-" || !path.is_dir() {
        return Ok(Means::Files);
    }
    if args.render_cmd.is_some() {
        return Ok(Means::Command);
    }
    let (kustomization, chart) = (kustomize::in_folder(path).is_some(), path.join(helm::NAME).is_file());
    let not_that = |renderer, wanted| RenderError::NotThat { folder: path.to_owned(), renderer, wanted };
    match (args.render, kustomization, chart) {
        (Renderer::None, ..) | (Renderer::Auto, false, false) => Ok(Means::Files),
        (Renderer::Auto, true, true) => Err(RenderError::Ambiguous(path.to_owned())),
        (Renderer::Auto | Renderer::Kustomize, true, _) => Ok(Means::Kustomization),
        (Renderer::Auto | Renderer::Helm, _, true) => Ok(Means::Chart),
        (Renderer::Kustomize, false, _) => Err(not_that("kustomize", "kustomization.yaml")),
        (Renderer::Helm, _, false) => Err(not_that("helm", helm::NAME)),
    }
}

/// A flag that does nothing is a mistake somebody makes once.
fn all_of_use(means: &[Means], args: &RenderArgs) -> Result<(), RenderError> {
    if let Some(flag) = args.for_charts().filter(|_| !means.contains(&Means::Chart)) {
        return Err(RenderError::NoChart(flag));
    }
    match args.render_cmd.is_some() && !means.contains(&Means::Command) {
        true => Err(RenderError::NoFolder { flag: "--render-cmd" }),
        false => Ok(()),
    }
}

/// One folder to render.
struct Task<'a> {
    /// As it was given.
    folder: &'a Path,
    /// Where it is.
    at: &'a Path,
    args: &'a RenderArgs,
    limits: &'a Limits,
}

/// How a folder was rendered.
struct How<'a> {
    renderer: &'a str,
    version: String,
    /// Without where files lie on this machine.
    arguments: Vec<&'a str>,
    /// What only this renderer has to say.
    more: Value,
}

impl Task<'_> {
    async fn kustomize(&self, rendered: &mut Rendered, output: &mut Output) -> Result<(), RenderError> {
        let roots = kustomize::roots(self.at)?;
        let inputs = Inputs::under(self.at, &roots)?;
        let own = program::find("kustomize");
        let (program, build, version) = match own.as_deref() {
            Some(program) => (program.to_owned(), "build", self.told(program, &["version"]).await?),
            None => {
                let wanted = "kustomize or kubectl";
                let kubectl = program::find("kubectl").ok_or(self.no_tool(wanted, error::NO_KUSTOMIZE))?;
                let told = self.told(&kubectl, &["version", "--client", "-o", "json"]).await?;
                let versions: Value = serde_json::from_str(&told).unwrap_or_default();
                let version = versions["kustomizeVersion"].as_str().unwrap_or("unknown").to_owned();
                (kubectl, "kustomize", version)
            }
        };
        let Said { stdout, stderr } =
            self.run(&program, &[build.into(), ".".into()], Surroundings::Sealed, self.limits.file).await?;
        remark(&stderr, output);
        let from: Vec<_> = roots.iter().map(|root| inputs::relative(self.at, root)).filter(|p| !p.is_empty()).collect();
        let name = format!("{} (kustomize)", shown(self.folder));
        let more = json!({"bases": from});
        self.done(rendered, output, &inputs, How { renderer: "kustomize", version, arguments: vec![build, "."], more });
        rendered.sources.push(Source { name, bytes: stdout });
        Ok(())
    }

    async fn helm(&self, rendered: &mut Rendered, output: &mut Output) -> Result<(), RenderError> {
        let chart = helm::chart(self.at, self.args)?;
        let inputs = Inputs::under(self.at, &BTreeSet::from([self.at.to_owned()]))?;
        let program = program::find("helm").ok_or(self.no_tool("helm", error::NO_HELM))?;
        let version = self.told(&program, &["version", "--template", "{{.Version}}"]).await?;
        let Said { stdout, stderr } =
            self.run(&program, &chart.arguments, Surroundings::Sealed, self.limits.expanded).await?;
        remark(&stderr, output);
        let text = String::from_utf8(stdout).map_err(|_| RenderError::NotText { program: "helm".to_owned() })?;
        let sorted = hooks::sort(hooks::documents(&text), self.args.helm_hooks, self.limits);
        let Sorted { sources, applied, left_out } =
            sorted.map_err(|source| RenderError::Hooks { folder: self.folder.to_owned(), source })?;
        let calls = templates::calls(self.at, self.limits);
        let values = chart.values.iter().map(|(file, digest)| json!({"file": file, "digest": digest}));
        let mut more = json!({"values": values.collect::<Vec<_>>()});
        let list = |hooks: &[Hook]| hooks.iter().map(ToString::to_string).collect::<Vec<_>>();
        if !applied.is_empty() || !left_out.is_empty() {
            more["hooks"] = json!({"applied": list(&applied), "leftOut": list(&left_out)});
        }
        if !calls.lookup.is_empty() {
            more["lookup"] = json!(calls.lookup.iter().take(NAMED).map(place).collect::<Vec<_>>());
        }
        let arguments = chart.shown.iter().map(String::as_str).collect();
        self.done(rendered, output, &inputs, How { renderer: "helm", version, arguments, more });
        about_hooks(&applied, &left_out, output);
        about_calls(&calls, output);
        rendered.sources.extend(sources);
        Ok(())
    }

    async fn command(&self, rendered: &mut Rendered, output: &mut Output) -> Result<(), RenderError> {
        let line = self.args.render_cmd.as_deref().unwrap_or_default();
        let words = words::split(line).map_err(RenderError::Words)?;
        let (name, arguments) = words.split_first().expect("a command has a first word");
        let program = program::find(name).ok_or_else(|| RenderError::NoProgram(format!("{name:?}")))?;
        let inputs = Inputs::under(self.at, &BTreeSet::from([self.at.to_owned()]))?;
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let Said { stdout, stderr } = self.run(&program, &arguments, Surroundings::Own, self.limits.file).await?;
        remark(&stderr, output);
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Each program is asked for its version differently, and arguments may hold what is nobody's business.
        let version = inputs::hash(&program)?.0.to_string();
        let more = json!({"command": Digest::of(line.as_bytes()), "inputsMayBeIncomplete": true});
        self.done(rendered, output, &inputs, How { renderer: &name, version, arguments: Vec::new(), more });
        rendered.sources.push(Source { name: format!("{} ({name})", shown(self.folder)), bytes: stdout });
        Ok(())
    }

    /// Writes down how a folder was rendered, and says it.
    fn done(&self, rendered: &mut Rendered, output: &mut Output, inputs: &Inputs, how: How<'_>) {
        let How { renderer, version, arguments, more } = how;
        let folder = shown(self.folder);
        let mut build = json!({"folder": folder, "renderer": renderer, "version": version, "inputs": inputs.json()});
        let said = [("arguments".to_owned(), json!(arguments))].into_iter();
        let said = said.chain(more.as_object().cloned().into_iter().flatten());
        for (name, value) in said.filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty())) {
            build[name] = value;
        }
        rendered.builds.push(build);
        output.note(format_args!(
            "rendered  {} by {renderer} {version} from {} files, inputs {}",
            plain(&folder),
            inputs.len(),
            inputs.digest()
        ));
    }

    fn no_tool(&self, wanted: &'static str, hint: &'static str) -> RenderError {
        RenderError::NoTool { folder: self.folder.to_owned(), wanted, hint }
    }

    /// What a program says about itself, on one line.
    async fn told(&self, program: &Path, arguments: &[&str]) -> Result<String, RenderError> {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let run = Run { program, arguments: &arguments, folder: self.at, surroundings: Surroundings::Sealed };
        let said = program::run(&run, Bounds { time: VERSION, output: 64 << 10 }).await;
        let said = said.map_err(|source| RenderError::Run { folder: self.folder.to_owned(), source })?;
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        Ok(if text.is_empty() { "unknown".to_owned() } else { text })
    }

    async fn run(
        &self,
        program: &Path,
        arguments: &[OsString],
        surroundings: Surroundings,
        output: u64,
    ) -> Result<Said, RenderError> {
        let run = Run { program, arguments, folder: self.at, surroundings };
        let said = program::run(&run, Bounds { time: TIME, output }).await;
        said.map_err(|source| RenderError::Run { folder: self.folder.to_owned(), source })
    }
}

fn canonical(folder: &Path) -> Result<PathBuf, RenderError> {
    fs::canonicalize(folder).map_err(|source| RenderError::Folder { path: folder.to_owned(), source })
}

/// A path as it was given; of an absolute one only the name, since the rest says where somebody's machine has it.
fn shown(path: &Path) -> String {
    match path.is_absolute() {
        true => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        false => path.display().to_string(),
    }
}

/// What a renderer had to say although it did its work.
fn remark(stderr: &str, output: &mut Output) {
    stderr.lines().take(NAMED).for_each(|line| output.warn(plain(line)));
}

fn about_hooks(applied: &[Hook], left_out: &[Hook], output: &mut Output) {
    for hook in applied {
        output.note(format_args!(
            "hook      {} is an object of the release, applied when it changes",
            plain(&hook.to_string())
        ));
    }
    for hook in left_out {
        let why = if hook.is_test() { "for helm test" } else { "nothing runs it here" };
        output.note(format_args!("left out  hook {}: {why}", plain(&hook.to_string())));
    }
}

fn about_calls(calls: &Calls, output: &mut Output) {
    let Calls { lookup, random, unread } = calls;
    let places = |calls: &[Call]| {
        let named = calls.iter().take(NAMED).map(place).collect::<Vec<_>>().join(", ");
        match calls.len().saturating_sub(NAMED) {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    };
    if !lookup.is_empty() {
        output.warn(format_args!(
            "lookup finds nothing where there is no cluster, and what depends on it is rendered as for a first installation: {}",
            plain(&places(lookup))
        ));
    }
    if !random.is_empty() {
        output.warn(format_args!(
            "these render differently each time, so that each push is a change, if they are reached: {}",
            plain(&places(random))
        ));
    }
    for chart in unread {
        output.warn(format_args!("{} was not looked into for lookup and random values", plain(chart)));
    }
}

fn place(call: &Call) -> String {
    format!("{} in {}:{}", call.function, call.file, call.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(folder.path().join(name), "").unwrap());
        folder
    }

    #[test]
    fn what_is_in_a_folder_decides_unless_somebody_does() {
        let (plain, both) = (folder(&["a.yaml"]), folder(&["kustomization.yaml", "Chart.yaml"]));
        let (kustomization, chart) = (folder(&["Kustomization", "a.yaml"]), folder(&["Chart.yaml"]));
        let of =
            |folder: &tempfile::TempDir, render| means(folder.path(), &RenderArgs { render, ..RenderArgs::default() });
        for (folder, render, expected) in [
            (&plain, Renderer::Auto, Means::Files),
            (&kustomization, Renderer::Auto, Means::Kustomization),
            (&chart, Renderer::Auto, Means::Chart),
            (&kustomization, Renderer::None, Means::Files),
            (&both, Renderer::Kustomize, Means::Kustomization),
            (&both, Renderer::Helm, Means::Chart),
        ] {
            assert_eq!(of(folder, render).unwrap(), expected, "{render:?}");
        }
        assert!(matches!(of(&both, Renderer::Auto), Err(RenderError::Ambiguous(_))));
        assert!(matches!(of(&plain, Renderer::Kustomize), Err(RenderError::NotThat { .. })));
        assert!(matches!(of(&kustomization, Renderer::Helm), Err(RenderError::NotThat { .. })));
        let command = RenderArgs { render_cmd: Some("x".into()), ..RenderArgs::default() };
        assert_eq!(means(chart.path(), &command).unwrap(), Means::Command);
        assert_eq!(means(&chart.path().join("Chart.yaml"), &command).unwrap(), Means::Files);
        assert_eq!(means(Path::new("-"), &command).unwrap(), Means::Files);
    }

    #[test]
    fn a_flag_that_would_do_nothing_is_refused() {
        let values = RenderArgs { values: vec!["a".into()], ..RenderArgs::default() };
        assert!(matches!(all_of_use(&[Means::Kustomization], &values), Err(RenderError::NoChart("--values"))));
        assert!(all_of_use(&[Means::Files, Means::Chart], &values).is_ok());
        let command = RenderArgs { render_cmd: Some("x".into()), ..RenderArgs::default() };
        assert!(matches!(all_of_use(&[Means::Files], &command), Err(RenderError::NoFolder { .. })));
    }

    #[test]
    fn where_a_machine_keeps_a_folder_is_not_told() {
        assert_eq!(shown(Path::new("/srv/overlays/prod")), "prod");
        assert_eq!(shown(Path::new("overlays/prod")), "overlays/prod");
    }
}
