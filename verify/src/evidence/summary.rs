//! Evidence as a verification summary of SLSA, for tools that gather attestations.

use serde_json::{Value, json};

use super::{Evidence, Outcome};
use crate::{digest::Digest, statement::STATEMENT_TYPE};

impl Evidence {
    /// The record as an in-toto statement with the SLSA verification-summary predicate, the whole record in an
    /// extension field of its own.
    pub fn to_json(&self) -> Value {
        let digest = |digest: &Digest| json!({"sha256": digest.hex()});
        let policies: Vec<_> = self
            .policies
            .iter()
            .map(|p| json!({"uri": format!("policy/{}", p.name), "digest": digest(&p.digest)}))
            .collect();
        json!({
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.reference, "digest": digest(&self.artifact)}],
            "predicateType": "https://slsa.dev/verification_summary/v1",
            "predicate": {
                "verifier": {"id": "https://sealift.dev/verifier", "version": {"sealift": env!("CARGO_PKG_VERSION")}},
                "timeVerified": self.time,
                "resourceUri": self.reference,
                "policy": policies.first().cloned().unwrap_or(Value::Null),
                "inputAttestations": self.payload().iter().map(|payload| json!({"digest": digest(payload)})).collect::<Vec<_>>(),
                "verificationResult": if self.outcome == Outcome::Accepted { "PASSED" } else { "FAILED" },
                "verifiedLevels": [],
                "https://sealift.dev/evidence/v1": self,
            }
        })
    }
}
