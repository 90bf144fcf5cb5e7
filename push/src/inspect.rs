use crate::{cli::inspect::InspectArgs, exit::Exit, failure::Failure, output::Output};
pub(crate) async fn run(_: &InspectArgs, _: &mut Output) -> Result<Exit, Failure> { Ok(Exit::Done) }
