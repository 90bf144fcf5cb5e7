//! A made-up tree of many applications, each in a folder, as a team would keep them.

use std::{error::Error, fs, path::Path};

/// Objects in the tree: four of each application.
pub(crate) const OBJECTS: usize = 2_000;

/// Writes it.
pub(crate) fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    for number in 0..OBJECTS / 4 {
        let name = format!("app-{number:03}");
        let files = folder.join(&name);
        fs::create_dir_all(&files)?;
        for (file, text) in objects(&name, number) {
            fs::write(files.join(file), text)?;
        }
    }
    Ok(())
}

/// Each application differs from the others in its name, image, sizes and settings.
fn objects(name: &str, number: usize) -> [(&'static str, String); 4] {
    let team = format!("team-{}", number % 23);
    let head = |kind: &str| {
        format!(
            "kind: {kind}\nmetadata:\n  name: {name}\n  namespace: {team}\n  labels:\n    \
             app.kubernetes.io/name: {name}\n    app.kubernetes.io/part-of: {team}\n    \
             app.kubernetes.io/managed-by: platform\n"
        )
    };
    let settings: String =
        (0..20).map(|n| format!("  SETTING_{n}: \"{}\"\n", (number * 7919 + n * 104_729) % 1_000_003)).collect();
    let (replicas, cpu, memory) = (1 + number % 5, 50 + number % 17 * 25, 64 + number % 13 * 32);
    let version = format!("{}.{}.{}", 1 + number % 4, number % 11, number % 29);
    [
        (
            "service-account.yaml",
            format!("apiVersion: v1\n{}automountServiceAccountToken: false\n", head("ServiceAccount")),
        ),
        ("config.yaml", format!("apiVersion: v1\n{}data:\n{settings}", head("ConfigMap"))),
        (
            "service.yaml",
            format!(
                "apiVersion: v1\n{}spec:\n  selector:\n    app.kubernetes.io/name: {name}\n  ports:\n    - name: http\n      \
                 port: 80\n      targetPort: http\n",
                head("Service")
            ),
        ),
        (
            "deployment.yaml",
            format!(
                "apiVersion: apps/v1\n{}spec:\n  replicas: {replicas}\n  selector:\n    matchLabels:\n      \
                 app.kubernetes.io/name: {name}\n  template:\n    metadata:\n      labels:\n        \
                 app.kubernetes.io/name: {name}\n    spec:\n      serviceAccountName: {name}\n      containers:\n        \
                 - name: app\n          image: registry.example/{team}/{name}:{version}\n          \
                 envFrom:\n            - configMapRef:\n                name: {name}\n          \
                 ports:\n            - name: http\n              containerPort: 8080\n          \
                 readinessProbe:\n            httpGet:\n              path: /ready\n              port: http\n          \
                 resources:\n            requests:\n              cpu: {cpu}m\n              memory: {memory}Mi\n            \
                 limits:\n              memory: {memory}Mi\n          securityContext:\n            \
                 readOnlyRootFilesystem: true\n            allowPrivilegeEscalation: false\n",
                head("Deployment")
            ),
        ),
    ]
}
