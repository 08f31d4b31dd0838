//! `ferrotype config`

use clap::Args;

use crate::context::Context;

/// The arguments of `ferrotype config`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {}

/// Does it.
pub(crate) fn run(_arguments: Arguments, _context: &Context) -> anyhow::Result<()> {
    Ok(())
}
