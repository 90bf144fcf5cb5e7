//! What the command line says. Platform configuration stands here, where no tenant can reach it.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sealift_apply::admission_policy::AdmissionPolicy;
use sealift_registry::{
    identity::IdentityRule,
    store::{Location, Place},
};
use sealift_verify::{duration::Duration, reference::Repository};

use crate::queue::Key;

/// Pulls releases, verifies them and applies exactly what was signed.
#[derive(Debug, Parser)]
#[command(name = "sealift-controller", version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller, in a cluster or beside one.
    Run(Box<Options>),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Print the ValidatingAdmissionPolicies that let nobody but Sealift change what it manages, and what it remembers.
    ///
    /// Objects that Sealift applied are then changed by requests that carry the extra `sealift.dev/delivery`, by the cluster
    /// itself (kube-system, nodes, the garbage collector) and by whom you name here. `status` and `scale` stay as RBAC says.
    #[command(
        after_help = "Example:\n  sealift-controller admission-policy --break-glass-group oncall | kubectl apply \
                            --server-side -f -"
    )]
    AdmissionPolicy(AdmissionPolicyOptions),
}

/// Whom the admission policy names.
#[derive(Clone, Debug, Args)]
pub struct AdmissionPolicyOptions {
    /// The namespace of the controller's service account.
    #[arg(long, value_name = "NAMESPACE", default_value = "sealift-system")]
    pub namespace: String,
    /// A group of people who may change managed objects by hand, and the controller's records; may be repeated.
    #[arg(long, value_name = "GROUP")]
    pub break_glass_group: Vec<String>,
    /// A user or group of a program that writes to what is delivered, such as
    /// system:serviceaccount:cert-manager:cert-manager; may be repeated. It cannot change whose an object is.
    #[arg(long, value_name = "NAME")]
    pub operator: Vec<String>,
}

impl AdmissionPolicyOptions {
    /// What the options say.
    pub fn policy(self) -> AdmissionPolicy {
        let Self { namespace, break_glass_group: break_glass_groups, operator: operators } = self;
        AdmissionPolicy { namespace, break_glass_groups, operators }
    }
}

/// Settings of a run.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The kubeconfig to use; otherwise KUBECONFIG, ~/.kube/config or the pod's own account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Where /metrics, /healthz and /readyz are served; port 0 takes a free one and logs it.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub metrics_listen: SocketAddr,
    /// A registry host that may be a loopback or link-local address (over TLS). Refused otherwise.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_host: Vec<String>,
    /// A registry host that is spoken to by plain HTTP, and may be a loopback address. Refused otherwise.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http_host: Vec<String>,
    /// Where the bytes of a logical repository, or of all below it, are fetched. Given several times for one FROM, the
    /// places are tried in order; the repository itself is then only tried if it is named too. TO may also be an OCI image
    /// layout: s3://BUCKET/PREFIX (as whom and where: AWS_* variables of this process), oci-layout:FOLDER or
    /// oci-archive:FILE, the first two with the rest of the repository's name appended.
    #[arg(long, value_name = "FROM=TO")]
    pub mirror: Vec<Mirror>,
    /// CA certificates trusted at registries in addition to the system's, as PEM.
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
    /// A certificate to show to one registry that asks for it in TLS, and its private key, as PEM files. Read at the start.
    #[arg(long, value_name = "HOST[:PORT]=CERT,KEY")]
    pub registry_cert: Vec<RegistryCertificate>,
    /// Who this controller is in its cloud (aws, gcp or azure), shown to that cloud's registries, or to those below
    /// HOST[/PATH], on behalf of every Delivery whose pull secret has nothing for them. May be repeated.
    #[arg(long, value_name = "[HOST[/PATH]=]PROVIDER")]
    pub registry_identity: Vec<IdentityRule>,
    /// The service account, in each Delivery's own namespace, of Deliveries that name none. Without it such a Delivery
    /// is refused: nothing is ever applied as the controller itself.
    #[arg(long, value_name = "NAME")]
    pub default_service_account: Option<String>,
    /// The Delivery that brings the policies, or all the others. A release that changes policies or trust roots so that what
    /// this Delivery runs would be refused is refused itself. What would refuse itself always is.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = delivery)]
    pub root_delivery: Option<Key>,
    /// Hold changes by hand: an object whose annotation sealift.dev/break-glass-until names a time is left as it is until
    /// then, but for this long at most, or until a release changes it. Without it such changes are put right like any other.
    /// Whoever may write to an object may say so on it: see deploy/admission.yaml.
    #[arg(long, value_name = "LONGEST")]
    pub break_glass: Option<Duration>,
    /// Look after the Deliveries of this namespace only; may be repeated. Without it, those of all namespaces. Two
    /// controllers must never look after the same one.
    #[arg(long, value_name = "NAMESPACE")]
    pub watch_namespace: Vec<String>,
    /// Share the Deliveries with all other replicas that are given this namespace, by Leases there: each is looked after by
    /// one, and those of one that is gone by the others. Without it this one looks after all of them, and must be alone.
    #[arg(long, value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Which Leases of that namespace belong together, where several controllers with Deliveries of their own have theirs there.
    #[arg(long, value_name = "NAME", default_value = "sealift-controller", value_parser = lease_name, requires = "lease_namespace")]
    pub lease_group: String,
    /// How long a Lease lasts after its last renewal. Others take over once they have seen none for a quarter longer. No write
    /// takes longer than it lasts, so it must not be shorter than webhooks take.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = lease_duration, requires = "lease_namespace")]
    pub lease_duration: Duration,
    /// Which replica this is, such as the pod's name; the host's name if absent. Who gives one says that nobody else has it
    /// at the same time: a replica that is started again takes the place of its former run at once.
    #[arg(long, value_name = "NAME", value_parser = lease_name, requires = "lease_namespace")]
    pub replica_id: Option<String>,
    /// How many watches of applied objects there are at the same time; each is a connection to the API server. A kind
    /// takes one, or one a namespace where the controller may not watch it itself. Objects past the bound are looked at by
    /// the interval, which their Delivery's status says.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(0..=4096))]
    pub max_watches: u16,
    /// How many Deliveries are reconciled at the same time. Namespaces take turns, and none holds more than three quarters
    /// of these.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrent: u16,
    /// No Delivery is looked at more often, whatever its interval.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub min_interval: Duration,
    /// How much memory fetched manifests, signatures and layers, their objects, and inventories may take; what was not
    /// used for longest goes first.
    #[arg(long, value_name = "SIZE", default_value = "128Mi")]
    pub cache_memory: Size,
    /// Keep what was fetched in this folder too: with the registry down, repair goes on after a restart. Everything is
    /// hashed again when it is read.
    #[arg(long, value_name = "FOLDER")]
    pub cache_dir: Option<PathBuf>,
    /// How much that folder may take.
    #[arg(long, value_name = "SIZE", default_value = "512Mi")]
    pub cache_disk: Size,
    /// How long fetching the signatures of one artifact, or its layer, may take over all.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub fetch_timeout: Duration,
    /// A reconcile that makes no progress for so long is ended, told and tried again.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub stall_timeout: Duration,
    /// Append one JSON line a decision to this file: the evidence, whose it is and what was done. `-` is standard output,
    /// which holds nothing else. A line comes when a verdict or what is applied changes, and once after each start. The file
    /// is never rotated here: copy and truncate it, or move it away and start anew.
    #[arg(long, value_name = "FILE")]
    pub audit_log: Option<PathBuf>,
    /// What this cluster is called where somebody is told of several.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub cluster_name: String,
    /// The namespace whose Notifications may be about Deliveries of other namespaces; the controller's own if it runs in a
    /// pod.
    #[arg(long, value_name = "NAMESPACE")]
    pub platform_namespace: Option<String>,
    /// A host that Notifications, and the issuers of Receivers, may have by plain HTTP, and that may be a loopback or
    /// link-local address. Refused otherwise.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http_service: Vec<String>,
    /// Where Receivers are listened to, by plain HTTP: put what ends TLS before it. Nobody is listened to without it.
    #[arg(long, value_name = "ADDRESS")]
    pub receiver_listen: Option<SocketAddr>,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// A name that a Lease can begin with.
fn lease_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fine = text.bytes().all(|byte| plain(byte) || byte == b'-') && text.len() <= 200;
    let ends = |byte: Option<u8>| byte.is_some_and(plain);
    match fine && ends(text.bytes().next()) && ends(text.bytes().last()) {
        true => Ok(text.to_owned()),
        false => Err("not of lower-case letters, digits and hyphens, letters or digits first and last".to_owned()),
    }
}

/// As long as an API server that is busy needs to answer, and no longer than anybody waits for a takeover.
fn lease_duration(text: &str) -> Result<Duration, String> {
    let duration: Duration = text.parse().map_err(|error| format!("{error}"))?;
    match (2..=120).contains(&duration.get().as_secs()) {
        true => Ok(duration),
        false => Err("not between 2s and 2m".to_owned()),
    }
}

/// Where a pod finds the namespace it runs in.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

impl Options {
    /// The namespace of the platform, if there is one.
    pub fn platform_namespace(&self) -> Option<String> {
        let own = || std::fs::read_to_string(OWN_NAMESPACE).ok().map(|text| text.trim().to_owned());
        self.platform_namespace.clone().or_else(own).filter(|namespace| !namespace.is_empty())
    }
}

fn delivery(text: &str) -> Result<Key, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Key::new(namespace, name))
        }
        _ => Err("expected NAMESPACE/NAME".to_owned()),
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line an event, for people.
    Text,
    /// One JSON object an event.
    Json,
}

/// A number of bytes, written as `1048576`, `512Ki`, `128Mi` or `2Gi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of bytes such as 512Ki, 128Mi or 2Gi")]
pub struct SizeError(String);

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let units = [("Ki", 10), ("Mi", 20), ("Gi", 30)];
        let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
        let (digits, shift) = unit.unwrap_or((text, 0));
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok()).flatten();
        let bytes = number.and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| SizeError(text.to_owned()))
    }
}

/// Where the bytes of logical repositories are fetched. Trust does not move: policies and statements speak of `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    from: String,
    to: To,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum To {
    /// A registry's host, or what repositories there begin with.
    Registry(String),
    /// A folder, a tar file or a bucket, or what they lie below.
    Layout(Location),
}

/// Why a text is not a mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not of the form FROM=TO: each a HOST or HOST/PATH, or TO one of s3://BUCKET/PREFIX, oci-layout:FOLDER, \
     oci-archive:FILE"
)]
pub struct MirrorError(String);

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let wrong = || MirrorError(text.to_owned());
        let (from, to) = text.split_once('=').ok_or_else(wrong)?;
        let prefix = |part: &str| Repository::prefix(part).ok_or_else(wrong);
        let to = match to.parse::<Location>() {
            Ok(layout) if !layout.is_registry() => To::Layout(layout),
            _ => To::Registry(prefix(to)?),
        };
        Ok(Self { from: prefix(from)?, to })
    }
}

impl Mirror {
    /// The rest of a repository's name below `from`.
    fn rest<'a>(&self, name: &'a str) -> Option<&'a str> {
        // One file is one repository.
        let is_file = matches!(self.to, To::Layout(Location::Archive(_)));
        name.strip_prefix(&self.from).filter(|rest| rest.is_empty() || (rest.starts_with('/') && !is_file))
    }

    fn place(&self, repository: &Repository) -> Option<Place> {
        let name = repository.to_string();
        let rest = self.rest(&name)?;
        match &self.to {
            To::Registry(to) => Some(format!("{to}{rest}").parse::<Repository>().ok()?.into()),
            To::Layout(location) => location.below(rest)?.read_as(Some(repository)),
        }
    }
}

/// A client certificate for one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryCertificate {
    /// `HOST` or `HOST:PORT`.
    pub host: String,
    /// The certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a text is not a client certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form HOST[:PORT]=CERT,KEY")]
pub struct RegistryCertificateError(String);

impl FromStr for RegistryCertificate {
    type Err = RegistryCertificateError;

    fn from_str(text: &str) -> Result<Self, RegistryCertificateError> {
        let parts = text.split_once('=').and_then(|(host, files)| Some((host, files.split_once(',')?)));
        let fine = |host: &str| format!("{host}/x").parse::<Repository>().is_ok_and(|place| place.host() == host);
        match parts {
            Some((host, (certificate, key))) if fine(host) && !certificate.is_empty() && !key.is_empty() => {
                Ok(Self { host: host.to_owned(), certificate: certificate.into(), key: key.into() })
            }
            _ => Err(RegistryCertificateError(text.to_owned())),
        }
    }
}

/// Where to look for a logical repository, in order: what the longest matching `from` says, else the repository itself.
pub fn places(mirrors: &[Mirror], repository: &Repository) -> Vec<Place> {
    let name = repository.to_string();
    let longest = mirrors.iter().filter(|mirror| mirror.rest(&name).is_some()).map(|mirror| mirror.from.len()).max();
    let places = mirrors.iter().filter(|mirror| Some(mirror.from.len()) == longest);
    let found: Vec<_> = places.filter_map(|mirror| mirror.place(repository)).collect();
    if found.is_empty() { vec![repository.clone().into()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mirrors: &[&str], repository: &str) -> Vec<String> {
        let mirrors: Vec<_> = mirrors.iter().map(|text| text.parse().unwrap()).collect();
        places(&mirrors, &repository.parse().unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_longest_prefix_decides_and_whole_segments_match() {
        let mirrors = ["registry.example=edge:5000", "registry.example/team=other:5000/mirror/team"];
        assert_eq!(found(&mirrors, "registry.example/app"), ["edge:5000/app"]);
        assert_eq!(found(&mirrors, "registry.example/team/app"), ["other:5000/mirror/team/app"]);
        assert_eq!(found(&mirrors, "registry.example/teams/app"), ["edge:5000/teams/app"]);
        assert_eq!(found(&mirrors, "elsewhere.example/app"), ["elsewhere.example/app"]);
        let spelled = ["oci://Registry.Example/team=oci://Edge:5000"];
        assert_eq!(found(&spelled, "registry.example/team/app"), ["edge:5000/app"], "as repositories are spelled");
    }

    #[test]
    fn several_places_are_tried_in_order_and_the_origin_only_if_named() {
        let mirrors = ["registry.example=a:5000", "registry.example=b:5000", "registry.example=registry.example"];
        assert_eq!(found(&mirrors, "registry.example/app"), ["a:5000/app", "b:5000/app", "registry.example/app"]);
        assert_eq!(found(&mirrors[..1], "registry.example/app"), ["a:5000/app"]);
    }

    #[test]
    fn a_layout_stands_for_a_repository_or_for_all_below_a_name() {
        let mirrors = [
            "registry.example=s3://releases/mirror",
            "registry.example/edge=oci-layout:/srv/oci",
            "registry.example/edge/shop=oci-archive:/srv/shop.tar",
        ];
        assert_eq!(found(&mirrors, "registry.example/team/app"), ["s3://releases/mirror/team/app"]);
        assert_eq!(found(&mirrors, "registry.example/edge/app"), ["oci-layout:/srv/oci/app"]);
        assert_eq!(found(&mirrors, "registry.example/edge/shop"), ["oci-archive:/srv/shop.tar"]);
        assert_eq!(found(&mirrors, "registry.example/edge/shop/part"), ["oci-layout:/srv/oci/shop/part"]);
        let place = places(&[mirrors[0].parse().unwrap()], &"registry.example/app".parse().unwrap()).remove(0);
        assert_eq!(place.repository.to_string(), "registry.example/app", "it is read as the repository it stands for");
    }

    #[test]
    fn refuses_what_is_no_mirror() {
        for text in
            ["", "a", "=b", "a=", "https://a=b", "a b=c", "a=s3://", "a=s3://b/c:tag", "s3://abc=b", "a=oci-layout:"]
        {
            assert!(text.parse::<Mirror>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_certificate_is_for_one_host() {
        let read: RegistryCertificate = "registry.example:5000=/tls/tls.crt,/tls/tls.key".parse().unwrap();
        assert_eq!((&*read.host, read.key.to_str()), ("registry.example:5000", Some("/tls/tls.key")));
        for text in ["", "a.example", "a.example=/c", "a.example=/c,", "a.example/team=/c,/k", "=/c,/k"] {
            assert!(text.parse::<RegistryCertificate>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("512Ki", Some(512 << 10)),
            ("2Gi", Some(2 << 30)),
            ("", None),
            ("Mi", None),
            ("1.5Gi", None),
            ("128M", None),
            ("+1", None),
            ("-1", None),
            ("99999999999Gi", None),
        ] {
            assert_eq!(text.parse::<Size>().ok().map(Size::bytes), bytes, "{text}");
        }
    }

    #[test]
    fn what_leases_are_named_and_how_long_they_last_has_bounds() {
        for (text, fine) in
            [("sealift-controller-7d9f-x2", true), ("a", true), ("", false), ("-a", false), ("a-", false)]
        {
            assert_eq!(lease_name(text).is_ok(), fine, "{text}");
        }
        assert!(lease_name("A").is_err() && lease_name("a.b").is_err() && lease_name(&"a".repeat(201)).is_err());
        let fine = ["1s", "2s", "15s", "2m", "121s", "x"].map(|text| lease_duration(text).is_ok());
        assert_eq!(fine, [false, true, true, true, false, false]);
        let read = |words: &[&str]| Cli::try_parse_from(["sealift-controller", "run"].iter().chain(words));
        assert!(read(&["--lease-namespace", "a", "--replica-id", "b"]).is_ok());
        assert!(read(&["--replica-id", "b"]).is_err(), "it is of no use alone");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
