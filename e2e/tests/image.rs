//! The container images: that deploy/Containerfile builds them by deploy/build, and (`make image-check`) that the static binaries run
//! with nothing else than an image has.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

use std::{
    env, fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use sealift_e2e::{ControlPlane, Registry, World, binary, policy, workspace};
use serde_json::json;

/// What the name server of these tests knows, as the address 127.0.0.1.
const HOST: &str = "registry.test";
/// Where it is asked, on the port that resolv.conf cannot change.
const NAME_SERVER: &str = "127.0.0.77";

/// The instructions of deploy/Containerfile, each with its words, by the stage that they are in.
fn stages() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(workspace().join("deploy/Containerfile")).unwrap();
    let mut stages: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix("FROM ") {
            Some(from) => stages.push((from.to_owned(), Vec::new())),
            None => stages.last_mut().unwrap().1.push(line.to_owned()),
        }
    }
    stages
}

fn build(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(workspace().join("deploy/build")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[test]
fn the_images_hold_what_the_script_builds_and_nothing_else() {
    let stages = stages();
    for (stage, program) in [("cli", "sealift"), ("controller", "sealift-controller")] {
        let lines = |name: &str| {
            let found = stages.iter().find(|(from, _)| from.ends_with(&format!(" AS {name}")));
            found.unwrap_or_else(|| panic!("no stage {name}")).1.clone()
        };
        assert_eq!(
            lines(&format!("build-{stage}")),
            [format!("RUN deploy/build {program} \"$TARGETARCH\" /out")],
            "another way to build {program}"
        );
        let copied = [
            "COPY --from=sources /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt".to_owned(),
            format!("COPY --from=build-{stage} /out/{program}.cdx.json /usr/share/sbom/{program}.cdx.json"),
            format!("COPY --from=build-{stage} /out/{program} /usr/local/bin/{program}"),
            "USER 65532:65532".to_owned(),
            format!("ENTRYPOINT [\"/usr/local/bin/{program}\"]"),
        ];
        let lines = lines(stage);
        assert_eq!(lines[..copied.len()], copied, "{stage}");
        assert!(lines[copied.len()..].iter().all(|line| line == "CMD [\"run\"]"), "{lines:?}");
    }
    let scratch = stages.iter().filter(|(from, _)| from.starts_with("scratch AS ")).count();
    assert_eq!(scratch, 2, "{stages:?}");
    assert!(stages.last().unwrap().0.ends_with("AS controller"), "what is built without --target is the controller");

    let (from, first) = &stages[0];
    let toolchain = first.iter().find_map(|line| line.strip_prefix("ENV RUSTUP_TOOLCHAIN=")).unwrap();
    let image = from.split_once("/rust:").unwrap().1.split_once("-slim").unwrap().0;
    assert_eq!(toolchain, format!("{image}.0"), "the toolchain that is in the image");
}

#[test]
fn the_script_says_what_it_needs_and_what_it_takes() {
    for (arguments, code, words) in [
        (&["packages", "amd64"][..], 0, "gcc"),
        (&["packages", "arm64"], 0, "gcc"),
        (&["packages", "riscv64"], 2, "amd64 or arm64"),
        (&["sealift-e2e", "amd64", "out"], 2, "sealift-controller or sealift"),
        (&["sealift", "amd64"], 2, "OUT: a folder"),
        (&[], 2, "deploy/build PROGRAM ARCH OUT"),
    ] {
        let (found, said) = build(arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

/// The folder that `make image-check` has made of an image, and runs programs in.
fn image() -> Option<PathBuf> {
    env::var_os("SEALIFT_IMAGE").map(PathBuf::from)
}

/// Answers questions for `HOST` until the test's process ends.
fn serve_names() {
    let socket = UdpSocket::bind((NAME_SERVER, 53)).expect("port 53 is free, and this runs as root");
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answered(&buffer[..length]), from);
        }
    });
}

/// The answer to a question (RFC 1035, section 4): an A record for `HOST`, and no record of any other name or type.
fn answered(question: &[u8]) -> Vec<u8> {
    let (mut name, mut at) = (Vec::new(), 12);
    while question[at] != 0 {
        let label = &question[at + 1..at + 1 + usize::from(question[at])];
        name.push(String::from_utf8(label.to_vec()).unwrap());
        at += 1 + label.len();
    }
    let end = at + 5;
    let is_address = question[at + 1..at + 3] == [0, 1];
    let known = name.join(".") == HOST;
    let count = u8::from(known && is_address);
    let code = if known { 0x80 } else { 0x83 };
    let mut answer = [&question[..2], &[0x81, code, 0, 1, 0, count, 0, 0, 0, 0], &question[12..end]].concat();
    if count == 1 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

fn roots(image: &Path) -> PathBuf {
    image.join("etc/ssl/certs/ca-certificates.crt")
}

#[tokio::test]
async fn in_an_image_names_are_resolved_certificates_verified_and_releases_applied() {
    let (Some(image), Some(control_plane)) = (image(), ControlPlane::shared()) else { return };
    let Some((registry, authority)) = Registry::distribution_over_tls(HOST) else { return };
    serve_names();
    fs::write(image.join("etc/resolv.conf"), format!("nameserver {NAME_SERVER}\n")).unwrap();
    World::run(control_plane, "image", async |world| {
        let repository = format!("{HOST}:{}/acme/shop", registry.port());
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-an-image"}});
        let file = world.cli.write("map.json", map.to_string());
        let push = || {
            let mut command = world.cli.program(binary("sealift-in-image"));
            command.args(["push", &format!("oci://{repository}:prod"), "--key"]).arg(world.key.private());
            command.arg("-f").arg(&file);
            command.output().unwrap()
        };

        let other = rcgen::generate_simple_self_signed(vec!["another.test".to_owned()]).unwrap();
        fs::write(roots(&image), other.cert.pem()).unwrap();
        let refused = push();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(4), "{said}");
        assert!(said.contains("certificate") && said.contains(HOST), "{said}");

        fs::write(roots(&image), authority).unwrap();
        let pushed = push();
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        let reference = String::from_utf8(pushed.stdout).unwrap();
        let digest = reference.trim().rsplit_once('@').unwrap().1.parse().unwrap();

        world.put_policy(policy(&world.namespace, &[&format!("{HOST}:{}/**", registry.port())], &world.key)).await;
        let account = world.namespace_account(&world.namespace);
        world.start_controller_with(&["--allow-host", &format!("{HOST}:{}", registry.port())]).await;
        let of = (world.namespace.as_str(), "shop");
        let spec = json!({"repository": repository, "select": {"tag": "prod"}, "serviceAccountName": account});
        world.deliver(of.0, of.1, spec).await;
        world.delivered(of, digest).await;
    })
    .await;
}
