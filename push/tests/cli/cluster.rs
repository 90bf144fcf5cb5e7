//! Commands that need a cluster, without one: whose fault it is, and never a guess which cluster was meant.

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn no_cluster_is_ever_guessed() {
    let world = World::new().await;
    let (reference, policy) = (world.oci(":prod"), ["--policy", "policy.yaml"]);
    let bootstrap = [&["bootstrap", &reference][..], &policy].concat();
    for arguments in [&["status"][..], &["plan", "-f", "manifests"], &bootstrap] {
        world.run(arguments).exits(5).silent().says(&["error: no kubeconfig can be used", "hint: set KUBECONFIG"]);
    }
    let empty = "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n";
    world.write(".kube/config", empty);
    world.run(&["status"]).exits(5).silent().says(&["the kubeconfig names no current context"]);
    world.run(&["status", "--context", "prod"]).exits(5).silent().says(&["context prod cannot be used"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_could_not_be_checked() {
    let world = World::new().await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters:\n- {{name: c, cluster: {{server: \"https://{address}\"}}}}\n\
         users:\n- {{name: u, user: {{token: t}}}}\ncontexts:\n- {{name: here, context: {{cluster: c, user: u}}}}\n"
    );
    world.write(".kube/config", &config);
    let says = ["error: the API server cannot be reached", "try again"];
    let down = world.run(&["status"]).exits(4).silent().says(&says);
    assert!(down.stderr.starts_with("error: "), "it is said once: {}", down.stderr);
    world.run(&["plan", "-f", "manifests"]).exits(4).silent();
    // Before any registry is asked.
    world.run(&["bootstrap", &world.oci(":prod"), "--policy", "policy.yaml"]).exits(4).silent().says(&["try again"]);
    let other = ["bootstrap", "oci://registry.example/other:prod", "--policy", "policy.yaml"];
    world.run(&other).exits(3).silent().says(&["error: NoPolicy:"]);
    world.run(&["bootstrap", "file.tar:prod", "--policy", "policy.yaml"]).exits(2).silent().says(&["--as HOST/REPO"]);
}
