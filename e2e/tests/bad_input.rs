//! The table of bad input: each has a message of its own, an exit code or a condition, and nothing is applied.

#![allow(clippy::unwrap_used, reason = "allowed in tests, which for clippy does not include their helper functions")]

mod bad_input {
    pub(crate) mod arrange;
    pub(crate) mod rows;
}

use std::collections::BTreeMap;

use bad_input::{
    arrange::{Arranged, Scene},
    rows::{ROWS, Row},
};
use sealift_e2e::{ControlPlane, Output, World};

/// What was said, without colours, over lines.
fn said(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

#[tokio::test]
async fn bad_input_is_refused_with_a_message_of_its_own_and_applies_nothing() {
    let Some(control_plane) = ControlPlane::shared() else { return };
    World::run(control_plane, "bad-input", async |world| {
        let Some(scene) = Scene::set(world).await else { return };
        let mut wrong = Vec::new();
        let mut messages: BTreeMap<&str, String> = BTreeMap::new();
        for row in ROWS {
            let arranged = scene.arrange(row).await;
            let output = match &arranged.input {
                Some(input) => world.cli.run_with_input(input, &arranged.arguments),
                None => world.cli.run(&arranged.arguments),
            };
            let said = said(&output);
            if output.code != row.code || !said.contains(row.message) {
                let Row { name, code, message, .. } = row;
                wrong.push(format!("== {name}: wanted {code} and {message:?}, got {}:\n{said}", output.code));
            }
            if let Some(reason) = row.reason
                && let Err(problem) = refused_in_the_cluster(world, row, &arranged, reason).await
            {
                wrong.push(problem);
            }
            messages.insert(row.name, said);
        }
        for row in ROWS {
            let same = messages.iter().filter(|(name, said)| **name != row.name && said.contains(row.message));
            wrong.extend(same.map(|(other, _)| format!("== {other} says {:?} too, as {}", row.message, row.name)));
        }
        assert!(wrong.is_empty(), "{} of the table's promises are broken:\n{}", wrong.len(), wrong.join("\n"));
    })
    .await;
}

/// The Delivery says why, names what is wrong, and what it owned before is all that it owns.
async fn refused_in_the_cluster(world: &World<'_>, row: &Row, arranged: &Arranged, reason: &str) -> Result<(), String> {
    let of = (world.namespace.as_str(), row.name);
    let (uid, before) = match &arranged.delivered {
        Some((uid, before)) => (uid.clone(), before.clone()),
        None => (world.deliver(of.0, of.1, arranged.spec.clone()).await, Default::default()),
    };
    world.request(of).await;
    let message = world.refused(of, reason).await;
    let after = world.owned(&uid).await.into_iter().map(|(name, metadata)| (name, metadata.resource_version)).collect();
    if before != after {
        return Err(format!("== {}: {reason}, and yet applied: {before:?} became {after:?}", row.name));
    }
    if !message.contains(row.condition) {
        return Err(format!("== {}: the condition lacks {:?}: {message}", row.name, row.condition));
    }
    Ok(())
}
