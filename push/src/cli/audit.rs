use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  sealift verify oci://registry.example/acme/shop:prod --policy prod.yaml -o json > evidence.json
  sealift audit evidence.json                      the same decision, for people
  sealift audit evidence.json -o junit
  sealift audit - -o sarif < decisions.jsonl       many records, such as a controller's --audit-log

Nothing is fetched and nothing is judged again. A record whose verdict does not follow from its rows is refused with
exit code 3. Records are not signed: this says that one agrees with itself, not who wrote it.";

/// Show recorded evidence again, offline, as text, JSON, JUnit or SARIF
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Evidence as `verify -o json` writes it, or many in JSON lines; - for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
