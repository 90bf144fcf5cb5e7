//! An artifact that is compared, judged first.

use sealift_registry::store::Address;
use sealift_verify::{artifact::Limits, reference::Repository};
use serde_json::json;

use super::{side::Whole, statement::Stated};
use crate::{
    cli::{RegistryAccess, diff::DiffArgs, verify::FactsArgs},
    delivery::Settings,
    failure::Failure,
    output::Output,
    packed::{Head, Packed},
    policies::{self, Trust},
    verify::{Accepted, accepted},
};

/// Who says whether artifacts are believed.
pub(super) struct Judge {
    trust: Trust,
    settings: Settings,
    logical: Option<Repository>,
}

impl Judge {
    /// `None` where no policy is given, and nothing is judged.
    pub(super) async fn of(args: &DiffArgs, output: &mut Output) -> Result<Option<Self>, Failure> {
        if args.policy.is_empty() {
            return Ok(None);
        }
        let facts = FactsArgs {
            namespace: args.namespace.clone(),
            // Between artifacts each variant is judged, since one side may have others than the other, or none.
            variant: args.variant.clone().filter(|_| args.context.is_some()),
            set: args.set.clone(),
            context: args.context.clone(),
            delivery: args.delivery.clone(),
            ..FactsArgs::default()
        };
        let (trust, settings) = (policies::read(&args.policy, output)?, Settings::of(&facts, output).await?);
        Ok(Some(Self { trust, settings, logical: args.as_repository.clone() }))
    }

    /// What is accepted, stale or not, with its objects as they were signed, before parameters have values.
    pub(super) async fn accepted(
        &self,
        address: &Address,
        registry: &RegistryAccess,
        output: &mut Output,
    ) -> Result<Whole, Failure> {
        let Self { trust, settings, logical } = self;
        let Accepted { place, verified, manifest, layer } =
            accepted(address, logical.as_ref(), trust, settings, registry, output).await?;
        let shown = address.location.at(&place.digest);
        if let Some(stale) = verified.stale() {
            output.warn(format_args!("{shown} is stale: {stale}"));
        }
        let Packed { sets, .. } = Head::parse(&place, &manifest)?.open(&layer, &Limits::default(), None)?;
        let stated = verified
            .grounds()
            .stated()
            .map(|stated| Stated { payload: stated.payload, release: stated.statement.release.clone() });
        let about = json!({"kind": "artifact", "reference": shown, "digest": place.digest});
        Ok(Whole { name: shown, about, sets, stated: stated.into_iter().collect() })
    }
}
