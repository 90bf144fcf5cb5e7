//! What a verdict depends on besides the artifact: as the person gave it, or as a Delivery in a cluster has it.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use jiff::Timestamp;
use sealift_apply::{
    api::{AcceptedRelease, Delivery, DriftState, accepted_release_name},
    cluster::Cluster,
    drift::Limit,
    options::Options,
};
use sealift_verify::{memory::Memory, objects::scope::Scope, render::Rendering, sigstore::TrustRoots, verify::Facts};
use serde_json::Value;

use crate::{
    cli::verify::FactsArgs,
    cluster::{self, custom},
    exit::Exit,
    failure::Failure,
    judge::Extent,
    output::Output,
    parameters,
    yaml::{self, YamlError},
};

/// The facts of one verdict.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) namespace: Option<String>,
    pub(crate) stream: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) extent: Extent,
    pub(crate) target_namespace: Option<String>,
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) require: Vec<String>,
    pub(crate) memory: Option<Memory>,
    /// How objects are applied.
    pub(crate) options: Options,
    pub(crate) cluster: Option<Cluster>,
}

/// The file named by `--memory` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} is no memory of trust", path.display())]
struct BadMemory {
    path: std::path::PathBuf,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// The record in the cluster is another Delivery's.
#[derive(Debug, thiserror::Error)]
#[error("AcceptedRelease {0} is not about this Delivery")]
struct OtherMemory(String);

impl Settings {
    /// The facts given on the command line; what a Delivery says counts where nothing else was given.
    pub(crate) async fn of(args: &FactsArgs, output: &mut Output) -> Result<Self, Failure> {
        // What a Delivery does not choose is not chosen.
        let extent = if args.delivery.is_none() { Extent::Each } else { Extent::Chosen };
        let mut settings = Self {
            extent,
            namespace: args.namespace.clone(),
            stream: args.stream.clone(),
            environment: args.env.clone(),
            variant: args.variant.clone(),
            target_namespace: args.target_namespace.clone(),
            memory: args.memory.as_deref().map(read_memory).transpose()?,
            ..Self::default()
        };
        if let Some((namespace, name)) = &args.delivery {
            let cluster = cluster::connect(args.context.as_deref()).await?.cluster;
            settings.memory = Some(accepted(&cluster, namespace, name, output).await?);
            match custom::<Delivery>(&cluster, Some(namespace), name).await? {
                Some(delivery) => settings.complete(&delivery, namespace, &cluster).await?,
                None => output
                    .warn(format_args!("there is no Delivery {namespace}/{name}; only its memory of trust counts")),
            }
            settings.namespace.get_or_insert_with(|| namespace.clone());
            settings.cluster = Some(cluster);
        }
        settings.values.extend(args.set.iter().cloned());
        Ok(settings)
    }

    /// The facts as the verdict takes them, at this moment.
    pub(crate) fn facts<'a>(&'a self, trust: &'a TrustRoots) -> Facts<'a> {
        Facts {
            trust,
            namespace: self.namespace.as_deref(),
            memory: self.memory.as_ref(),
            stream: self.stream.as_deref(),
            environment: self.environment.as_deref(),
            variant: self.variant.as_deref(),
            require: &self.require,
            ..Facts::at(Timestamp::now())
        }
    }

    /// What is added to the signed objects; `cluster` tells the scopes of kinds that only it knows.
    pub(crate) async fn rendering(&self, cluster: Option<&Cluster>) -> Result<Rendering, Failure> {
        Ok(Rendering {
            values: self.values.clone(),
            target_namespace: self.target_namespace.clone(),
            default_namespace: self.namespace.clone(),
            discovered: scopes(cluster).await?,
        })
    }

    /// Takes over what the Delivery says.
    pub(crate) async fn complete(
        &mut self,
        delivery: &Delivery,
        namespace: &str,
        cluster: &Cluster,
    ) -> Result<(), Failure> {
        let spec = &delivery.spec;
        self.stream = self.stream.take().or_else(|| spec.stream.clone());
        self.environment = self.environment.take().or_else(|| spec.environment.clone());
        self.variant = self.variant.take().or_else(|| spec.variant.clone());
        self.target_namespace = self.target_namespace.take().or_else(|| spec.target_namespace.clone());
        self.require.clone_from(&spec.require);
        self.options = Options { break_glass: break_glass(delivery, Timestamp::now()), ..Options::of(spec) };
        self.values = parameters::read(cluster, namespace, &spec.parameters).await?;
        Ok(())
    }
}

/// How long changes by hand are held, as far as it shows: as long as the longest of those that are held now. How much longer the
/// platform would let them last is known to the controller alone.
fn break_glass(delivery: &Delivery, now: Timestamp) -> Option<Limit> {
    let drifted = &delivery.status.as_ref()?.drift.as_ref()?.objects;
    let held = drifted.iter().filter(|object| object.state == DriftState::Held);
    let until = held.filter_map(|object| object.until).max()?;
    let longest = Duration::try_from(until.duration_since(now)).ok()?;
    Some(Limit { now, longest })
}

/// What a Delivery has accepted so far; nothing, if the cluster knows of nothing.
pub(crate) async fn accepted(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    output: &mut Output,
) -> Result<Memory, Failure> {
    match accepted_record(cluster, namespace, name).await? {
        Some(found) => Ok(found.spec.memory()),
        None => {
            output.note(format_args!(
                "the cluster remembers nothing of {namespace}/{name}: this would be its first release"
            ));
            Ok(Memory::default())
        }
    }
}

/// The memory of trust of a Delivery as the cluster holds it.
pub(crate) async fn accepted_record(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<AcceptedRelease>, Failure> {
    let record = accepted_release_name(namespace, name);
    let found = custom::<AcceptedRelease>(cluster, None, &record).await?;
    let whose = found.as_ref().map(|found| (&*found.spec.delivery.namespace, &*found.spec.delivery.name));
    match whose.is_none_or(|whose| whose == (namespace, name)) {
        true => Ok(found),
        false => Err(other_memory(&record)),
    }
}

/// The record of this name is about another Delivery.
pub(crate) fn other_memory(record: &str) -> Failure {
    Failure::new(Exit::InvalidInput, OtherMemory(record.to_owned()))
}

/// Scopes of kinds that only a cluster knows; none without one.
pub(crate) async fn scopes(cluster: Option<&Cluster>) -> Result<BTreeMap<(String, String), Scope>, Failure> {
    match cluster {
        Some(cluster) => Ok(cluster.scopes().await?),
        None => Ok(BTreeMap::new()),
    }
}

/// A memory by itself, or an AcceptedRelease as `kubectl get -o yaml` prints it.
pub(crate) fn read_memory(path: &Path) -> Result<Memory, Failure> {
    memory_file(path, parse_memory)
}

/// What `parse` makes of a file that `--memory` names.
pub(crate) fn memory_file<T>(path: &Path, parse: impl Fn(&str) -> Result<T, YamlError>) -> Result<T, Failure> {
    let bad = |exit, source| {
        Failure::new(exit, BadMemory { path: path.to_owned(), source })
            .hint("`kubectl get acceptedreleases.sealift.dev -o yaml` of the cluster that remembers prints one")
    };
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => bad(Exit::NotFound, error.into()),
        _ => bad(Exit::InvalidInput, error.into()),
    })?;
    parse(&text).map_err(|error| bad(Exit::InvalidInput, error))
}

pub(crate) fn parse_memory(text: &str) -> Result<Memory, YamlError> {
    let value = yaml::read(text)?;
    match value.get("kind").and_then(Value::as_str) {
        Some("AcceptedRelease") => Ok(serde_json::from_value::<AcceptedRelease>(value)?.spec.memory()),
        Some(other) => Err(format!("it is a {other}").into()),
        // An empty file would be an empty memory, in which every old release is new.
        None if value.get("marks").is_none() => Err("it holds no marks".into()),
        None => Ok(serde_json::from_value(value)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MARKS: &str = "marks:\n- stream: a\n  position: {epoch: 0, sequence: 7}\n  statement: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n  artifact: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\n  firstSeen: 2026-01-01T00:00:00Z\n";

    #[test]
    fn reads_a_memory_alone_and_in_its_resource() {
        let alone = parse_memory(MARKS).unwrap();
        assert_eq!(alone.marks[0].position.sequence, 7);
        let indented = MARKS.replace('\n', "\n  ");
        let resource = format!(
            "apiVersion: sealift.dev/v1alpha1\nkind: AcceptedRelease\nmetadata: {{name: x, uid: y}}\nspec:\n  delivery: {{namespace: n, name: d}}\n  {indented}"
        );
        assert_eq!(parse_memory(&resource).unwrap(), alone);
    }

    #[test]
    fn changes_by_hand_are_held_as_long_as_the_controller_holds_any() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let drifted = |state: &str, until: Option<&str>| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "state": state, "what": "", "at": now, "until": until});
        for (what, objects, seconds) in [
            ("nothing", json!([]), None),
            ("drift", json!([drifted("Reported", None)]), None),
            (
                "the longer of two",
                json!([drifted("Held", Some("2026-01-01T12:05:00Z")), drifted("Held", Some("2026-01-01T12:10:00Z"))]),
                Some(600),
            ),
            ("what is over", json!([drifted("Held", Some("2026-01-01T11:59:59Z"))]), None),
        ] {
            let delivery: Delivery = serde_json::from_value(json!({
                "metadata": {"name": "a"}, "spec": {"repository": "r.example/a", "select": {"tag": "prod"}},
                "status": {"drift": {"open": 1, "objects": objects}}
            }))
            .unwrap();
            let limit = break_glass(&delivery, now);
            assert_eq!(limit.map(|limit| limit.longest.as_secs()), seconds, "{what}");
        }
    }

    #[test]
    fn what_is_no_memory_is_not_an_empty_one() {
        for text in ["", "{}", "kind: ConfigMap", "marks: [{stream: a}]", "marks: []\nmoon: full"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
        assert!(parse_memory("marks: []").unwrap().marks.is_empty());
    }
}
