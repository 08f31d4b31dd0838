//! `ferrotype export`: writes a run's or model's ONNX file.

use std::path::PathBuf;

use clap::Args;
use ferrotype_store::write_file_atomically;

use crate::context::Context;
use crate::evaluation::Subject;
use crate::failure::Failure;
use crate::output::text;

/// The arguments of `ferrotype export`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A run (its best weights), or a model as `name@v3`
    #[arg(value_name = "RUN|MODEL")]
    subject: String,
    /// Where to write it [default: the name with `.onnx`, in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let subject = Subject::find(context, &store, &arguments.subject)?;
    let path = match arguments.output {
        Some(path) => path,
        None => PathBuf::from(format!("{}.onnx", file_stem(&subject))),
    };
    if path.exists() && !arguments.force {
        return Err(Failure::new(format!("`{}` exists already", path.display()))
            .hint("pass `--force` to replace it, or `-o FILE` for another name")
            .into());
    }
    let onnx = subject.onnx(context, &store)?;
    write_file_atomically(&path, &onnx)?;
    context.printer().step(
        "Exported",
        format!("{} ({})", subject.title(), text::bytes(onnx.len() as u64)),
    );
    context.printer().result(path.display());
    Ok(())
}

/// `run-1a2b3c4d` or `land-v3`.
fn file_stem(subject: &Subject) -> String {
    match subject {
        Subject::Run(run) => run.name.clone(),
        Subject::ModelVersion(version) => format!("{}-v{}", version.name, version.version),
    }
}
