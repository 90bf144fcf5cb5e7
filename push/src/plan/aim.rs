//! The cluster, and the Delivery in it, that something is compared with.

use std::{collections::BTreeMap, sync::Arc};

use sealift_apply::{
    api::Delivery,
    cluster::Cluster,
    explain::{Difference, explain},
    inventory::{Inventory, store},
    observe::{Unknown, observe},
    plan::preview,
};
use sealift_verify::{
    objects::Objects,
    parameters::Parameter,
    policy::Policy,
    refusal::Refusal,
    render::{Rendering, render},
};

use crate::{
    cluster::{self, custom},
    delivery::{self, Settings},
    exit::Exit,
    failure::Failure,
    output::Output,
};

/// What the person named.
#[derive(Debug)]
pub(crate) struct Aim<'a> {
    pub(crate) context: Option<&'a str>,
    pub(crate) delivery: Option<&'a (String, String)>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) target_namespace: Option<&'a str>,
    pub(crate) variant: Option<&'a str>,
    pub(crate) values: &'a [(String, String)],
}

/// What is there.
#[derive(Debug)]
pub(crate) struct Aimed {
    pub(crate) cluster: Cluster,
    pub(crate) settings: Settings,
    pub(crate) rendering: Rendering,
    /// What the Delivery owns; nothing without one.
    inventory: Option<Inventory>,
}

/// The Delivery named does not exist.
#[derive(Debug, thiserror::Error)]
#[error("there is no Delivery {namespace}/{name} in this cluster")]
struct NoDelivery {
    namespace: String,
    name: String,
}

impl Aim<'_> {
    /// Connects, and reads what the Delivery says, remembers and owns.
    pub(crate) async fn take(&self, output: &mut Output) -> Result<Aimed, Failure> {
        let connected = cluster::connect(self.context).await?;
        output.note(format_args!("cluster of context {}", connected.context));
        let cluster = connected.cluster;
        let (mut settings, inventory) = self.settings(&cluster, output).await?;
        settings.namespace.get_or_insert(connected.namespace);
        settings.values.extend(self.values.iter().cloned());
        output.progress("asking the cluster for its kinds");
        let rendering = settings.rendering(Some(&cluster)).await?;
        Ok(Aimed { cluster, settings, rendering, inventory })
    }

    /// Without a Delivery, what the command line says, and nothing owned.
    async fn settings(&self, cluster: &Cluster, output: &mut Output) -> Result<(Settings, Option<Inventory>), Failure> {
        let mut settings = Settings {
            namespace: self.namespace.map(str::to_owned),
            target_namespace: self.target_namespace.map(str::to_owned),
            variant: self.variant.map(str::to_owned),
            ..Settings::default()
        };
        let Some((namespace, name)) = self.delivery else { return Ok((settings, None)) };
        let Some(found) = custom::<Delivery>(cluster, Some(namespace), name).await? else {
            let error = NoDelivery { namespace: namespace.clone(), name: name.clone() };
            return Err(Failure::new(Exit::NotFound, error).hint("`sealift status -A` lists them"));
        };
        settings.namespace = Some(namespace.clone());
        settings.complete(&found, namespace, cluster).await?;
        settings.memory = Some(delivery::accepted(cluster, namespace, name, output).await?);
        let inventory = match found.reference() {
            Some(owner) => Some(store::read(cluster, &owner).await?),
            None => None,
        };
        Ok((settings, inventory))
    }
}

impl Aimed {
    /// Objects that nobody verified, as this cluster would get them. Where nothing is declared, a Delivery's values have
    /// nowhere to go.
    pub(crate) fn rendered(&self, objects: Objects, parameters: &[Parameter]) -> Result<Objects, Refusal> {
        let values = if parameters.is_empty() { BTreeMap::new() } else { self.rendering.values.clone() };
        let rendering = Rendering { values, ..self.rendering.clone() };
        Ok(render::<Arc<Policy>>(objects, parameters, &rendering, &[])?.0)
    }

    /// What would change in the cluster, by dry-run.
    pub(crate) async fn differences(&self, objects: &Objects, output: &mut Output) -> Result<Vec<Difference>, Failure> {
        output.progress(format_args!("comparing {} objects", objects.len()));
        let inventory = self.inventory.as_ref();
        let live = observe(&self.cluster, &self.cluster, objects, inventory, &Unknown).await?;
        Ok(explain(&self.cluster, preview(objects, inventory, live, &self.settings.options)).await)
    }
}
