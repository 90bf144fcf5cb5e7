//! `sealift policy`: what policies say, before a cluster has to find out.

mod case;
mod check;
mod explain;
mod schema;
mod test;
mod words;

use crate::{
    cli::policy::{PolicyArgs, PolicyCommand},
    exit::Exit,
    failure::Failure,
    output::Output,
};

pub(crate) async fn run(args: &PolicyArgs, output: &mut Output) -> Result<Exit, Failure> {
    match &args.command {
        PolicyCommand::Check(args) => check::run(args, output),
        PolicyCommand::Test(args) => test::run(args, output).await,
        PolicyCommand::Explain(args) => explain::run(args, output).await,
        PolicyCommand::Schema(_) => schema::run(output),
    }
}
