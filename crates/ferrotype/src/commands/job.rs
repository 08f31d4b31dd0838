//! `ferrotype job`: long work as rows in the store. The server starts `job run` as a child.

use clap::{Args, Subcommand};
use ferrotype_core::id::JobId;
use ferrotype_store::{JobFilter, Store};

use super::train;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Table, text};
use crate::training;

/// The arguments of `ferrotype job`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
enum Command {
    /// Take a waiting or interrupted job on, and do it
    Run {
        /// The job's id
        id: JobId,
    },
    /// List the newest jobs
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Ask for a job to be stopped; a training saves first
    Cancel {
        /// The job's id
        id: JobId,
    },
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    match arguments.command {
        Command::Run { id } => work(context, &store, id),
        Command::List { json, limit } => list(context, &store, json, limit),
        Command::Cancel { id } => {
            context.wait(store.request_cancel(id))?;
            context.printer().step("Cancelling", format!("job {id}"));
            Ok(())
        }
    }
}

fn work(context: &Context, store: &Store, id: JobId) -> anyhow::Result<()> {
    let job = context.wait(store.job(id))?;
    if job.kind != training::JOB_KIND {
        return Err(
            Failure::new(format!("job `{id}` is of the unknown kind `{}`", job.kind))
                .hint("a newer ferrotype may have enqueued it")
                .into(),
        );
    }
    let claimed = context.wait(store.claim_job(id))?;
    let trained = training::work(context, store, claimed)?;
    train::conclude(context, &trained)
}

fn list(context: &Context, store: &Store, json: bool, limit: u32) -> anyhow::Result<()> {
    context.wait(store.recover_dead())?;
    let jobs = context.wait(store.jobs(&JobFilter::default(), limit))?;
    if json {
        return context.printer().json(&jobs);
    }
    if jobs.is_empty() {
        context.printer().status("no jobs yet: a training is one");
        return Ok(());
    }
    let now = context.now();
    let mut table = Table::new(["job", "kind", "status", ">done", "at", "run", "made"]);
    for job in jobs {
        table.row([
            job.id.to_string(),
            job.kind,
            job.status.to_string(),
            text::percent(job.progress),
            job.message,
            job.run.map_or_else(|| "–".into(), |run| run.short()),
            text::ago(now, job.created_at),
        ]);
    }
    context.printer().table(&table);
    Ok(())
}
