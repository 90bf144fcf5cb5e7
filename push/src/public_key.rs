//! `sealift public-key`: what a policy names a signer's key by.

use sealift_verify::keys::PublicKey;
use serde_json::json;

use crate::{
    cli::public_key::PublicKeyArgs,
    exit::Exit,
    failure::Failure,
    output::{Format, Output},
    signing,
};

pub(crate) async fn run(args: &PublicKeyArgs, output: &mut Output) -> Result<Exit, Failure> {
    let pem = signing::public_pem(&args.key, args.signing_timeout).await?;
    let key = PublicKey::from_pem(&pem).map_err(|error| Failure::new(Exit::Failed, error))?;
    match output.format {
        Format::Text => {
            output.note(format_args!("key id: {}", key.id()));
            output.product(pem.trim_end())?;
        }
        Format::Json => output.json(&json!({
            "schema": "sealift.dev/public-key/v1",
            "keyId": key.id(),
            "pem": pem,
        }))?,
    }
    Ok(Exit::Done)
}
