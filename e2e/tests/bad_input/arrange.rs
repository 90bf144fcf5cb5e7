//! From a row to a registry, a policy and a command line.

use std::{collections::BTreeMap, fs::File, path::PathBuf};

use sealift_e2e::{Attacker, KeyPair, Login, Name, Registry, World, policy};
use sealift_verify::digest::Digest;
use serde_json::{Value, json};

use super::rows::{Access, PolicyChange, Row, Tampering, Wrong};

/// What all rows share.
pub(crate) struct Scene<'a, 'b> {
    world: &'a World<'b>,
    account: &'static str,
    /// The policy for everything but the rows about policies.
    trusted: PathBuf,
    stranger: KeyPair,
    /// Stopped: its address is known and nobody listens there.
    down: Registry,
    guarded: Registry,
    login: Login,
}

/// What a Delivery owned before, by name and resource version.
pub(crate) type Owned = BTreeMap<Name, Option<String>>;

/// A row ready to be run.
pub(crate) struct Arranged {
    pub(crate) arguments: Vec<String>,
    pub(crate) input: Option<Vec<u8>>,
    pub(crate) spec: Value,
    /// The uid of a Delivery made already, and what it owned before things went wrong.
    pub(crate) delivered: Option<(String, Owned)>,
}

impl<'a, 'b> Scene<'a, 'b> {
    /// Starts what the rows need; `None` where a program is missing.
    pub(crate) async fn set(world: &'a World<'b>) -> Option<Self> {
        let (guarded, login) = Registry::distribution_with_login()?;
        let mut down = Registry::embedded();
        let account = world.namespace_account(&world.namespace);
        let repositories = [&world.registry, &down, &guarded].map(|registry| format!("{}/acme/*", registry.host()));
        let repositories: Vec<&str> = repositories.iter().map(String::as_str).collect();
        let trusted = world.put_policy(policy(&world.namespace, &repositories, &world.key)).await;
        down.stop();
        world.start_controller_with(&["--plain-http-host", &down.host(), "--plain-http-host", &guarded.host()]).await;
        let stranger = KeyPair::generate(&world.cli, "stranger");
        Some(Self { world, account, trusted, stranger, down, guarded, login })
    }

    pub(crate) async fn arrange(&self, row: &Row) -> Arranged {
        let world = self.world;
        let repository = world.repository(&format!("acme/{}", row.name));
        match row.wrong {
            Wrong::Manifest(content) => {
                let file = world.cli.write(&format!("{}.yaml", row.name), content);
                self.pushing(&repository, &file.display().to_string(), None)
            }
            Wrong::Stdin(content) => self.pushing(&repository, "-", Some(content.into())),
            Wrong::Large => {
                let path = world.cli.home().join("large.yaml");
                File::create(&path).and_then(|file| file.set_len(200 << 20)).unwrap();
                self.pushing(&repository, &path.display().to_string(), None)
            }
            Wrong::UnknownKind => {
                let object = json!({"apiVersion": "of.example/v1", "kind": "Unheard", "metadata": {"name": row.name}});
                let file = world.cli.write("unheard.json", object.to_string());
                world.push(&format!("acme/{}:prod", row.name), &[&file], &[]);
                let words = ["plan", "-f", &file.display().to_string(), "--namespace", &world.namespace];
                self.arranged(words.map(str::to_owned).to_vec(), &repository)
            }
            Wrong::Policy(change) => self.with_policy(row, change, &repository).await,
            Wrong::Artifact(tampering) => self.tampered(row, tampering, &repository).await,
            Wrong::Access(access) => self.without_access(row, access, &repository).await,
        }
    }

    fn arranged(&self, arguments: Vec<String>, repository: &str) -> Arranged {
        let spec = json!({"repository": repository, "select": {"tag": "prod"}, "serviceAccountName": self.account});
        Arranged { arguments, input: None, spec, delivered: None }
    }

    fn pushing(&self, repository: &str, file: &str, input: Option<Vec<u8>>) -> Arranged {
        let key = self.world.key.private().display().to_string();
        let words = ["push", &format!("oci://{repository}:prod"), "-f", file, "--key", &key].map(str::to_owned);
        Arranged { input, ..self.arranged(words.to_vec(), repository) }
    }

    fn verifying(&self, repository: &str, policy: &str) -> Arranged {
        let words = ["verify", &format!("oci://{repository}:prod"), "--policy", policy].map(str::to_owned);
        self.arranged(words.to_vec(), repository)
    }

    fn judged(&self, repository: &str) -> Arranged {
        self.verifying(repository, &self.trusted.display().to_string())
    }

    /// A ConfigMap named like the row, and a push of it.
    fn release(&self, row: &Row, content: &str, key: &KeyPair) -> Digest {
        let world = self.world;
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": row.name}, "data": {"is": content}});
        let file = world.cli.write(&format!("{}.json", row.name), map.to_string()).display().to_string();
        let reference = format!("oci://{}:prod", world.repository(&format!("acme/{}", row.name)));
        let output = world.cli.run(&["push", &reference, "-f", &file, "--key", &key.private().display().to_string()]);
        assert_eq!(output.code, 0, "{}", output.stderr);
        output.digest()
    }

    async fn with_policy(&self, row: &Row, change: PolicyChange, repository: &str) -> Arranged {
        self.release(row, "fine", &self.world.key);
        // the good policy would do; one beside it that nobody can read must not be passed over
        let mut changed = policy(&format!("{}-{}", self.world.namespace, row.name), &[repository], &self.world.key);
        match change {
            PolicyChange::NoKey => changed["spec"]["authorities"][0]["key"]["pem"] = json!("not a key"),
            PolicyChange::UnknownField => changed["spec"]["skipVerification"] = json!(false),
        }
        let file = self.world.put_policy(changed).await;
        self.verifying(repository, &file.display().to_string())
    }

    async fn tampered(&self, row: &Row, tampering: Tampering, repository: &str) -> Arranged {
        let (world, attacker) = (self.world, Attacker::at(repository));
        if let Tampering::OtherKey = tampering {
            self.release(row, "evil", &self.stranger);
            return self.judged(repository);
        }
        let digest = self.release(row, "fine", &world.key);
        match tampering {
            Tampering::Unsigned => drop(attacker.unsigned_twin("prod").await),
            Tampering::CopiedSignature => {
                let twin = attacker.unsigned_twin("prod").await;
                attacker.copy_referrers(digest, twin).await;
            }
            Tampering::Layer => {
                let layer = attacker.layer("prod").await;
                Attacker::corrupt(&world.registry.layout(), layer);
            }
            Tampering::Manifest => Attacker::corrupt(&world.registry.layout(), digest),
            Tampering::Replay => return self.replayed(row, digest, repository, &attacker).await,
            Tampering::OtherKey => {}
        }
        self.judged(repository)
    }

    async fn replayed(&self, row: &Row, older: Digest, repository: &str, attacker: &Attacker) -> Arranged {
        let (world, of) = (self.world, (self.world.namespace.as_str(), row.name));
        let newer = self.release(row, "better", &world.key);
        let mut arranged = self.judged(repository);
        let uid = world.deliver(of.0, of.1, arranged.spec.clone()).await;
        world.delivered(of, newer).await;
        let owned = world.owned(&uid).await.into_iter().map(|(name, metadata)| (name, metadata.resource_version));
        arranged.delivered = Some((uid, owned.collect()));
        attacker.move_tag("prod", older).await;
        // what the cluster remembers is what makes it old
        arranged.arguments.extend(["--delivery".to_owned(), format!("{}/{}", of.0, of.1)]);
        arranged
    }

    async fn without_access(&self, row: &Row, access: Access, repository: &str) -> Arranged {
        match access {
            Access::NoTag => self.judged(repository),
            Access::Down => self.judged(&format!("{}/acme/{}", self.down.host(), row.name)),
            Access::WrongPassword => {
                let (host, world) = (self.guarded.host(), self.world);
                let config = json!({"auths": {(host.clone()): {"username": self.login.user, "password": "wrong"}}});
                world.cli.write(".docker/config.json", config.to_string());
                let secret = json!({
                    "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
                    "metadata": {"name": "login", "namespace": world.namespace},
                    "stringData": {".dockerconfigjson": config.to_string()},
                });
                let file = world.cli.write("login.json", secret.to_string());
                world.kubectl(&["create", "-f", &file.display().to_string()]);
                let mut arranged = self.judged(&format!("{host}/acme/{}", row.name));
                arranged.spec["pullSecretName"] = json!("login");
                arranged
            }
        }
    }
}
