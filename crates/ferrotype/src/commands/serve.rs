//! `ferrotype serve`: answers over HTTP with a registered model, and shows the pages.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use anyhow::Context as _;
use clap::Args;
use ferrotype_core::name::Reference;
use ferrotype_inference::RuntimeChoice;
use ferrotype_store::Store;
use ferrotype_web::{DEFAULT_RETENTION_DAYS, Limits, OnReady, ServeOptions};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Printer;

/// The port unless told otherwise.
pub(super) const DEFAULT_PORT: u16 = 8000;

/// As many as the longest sides that any format has make: more cannot be told apart from no limit.
const MOST_PIXELS: u64 = 1 << 32;

/// The arguments of `ferrotype serve`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model that answers: `name@production`, `name@v3` [default: the only one there is]
    #[arg(short, long)]
    model: Option<Reference>,
    /// The address to listen on; `0.0.0.0` lets other machines in
    #[arg(long, default_value = "127.0.0.1")]
    host: IpAddr,
    /// The port; 0 takes a free one
    #[arg(short, long, default_value_t = DEFAULT_PORT)]
    port: u16,
    /// A host name to answer for, beside localhost and the address; may be given several times
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// What runs the network: auto, native, rten or onnxruntime
    #[arg(long, default_value_t = RuntimeChoice::Auto)]
    runtime: RuntimeChoice,
    /// Images worked on at once; 0 takes as many as there are cores
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// The largest body of a request in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_body_bytes)]
    max_body_bytes: usize,
    /// The most pixels of an image; decoding takes three bytes for each
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_pixels, value_parser = clap::value_parser!(u64).range(1..=MOST_PIXELS))]
    max_pixels: u64,
    /// Days that logged predictions are kept; 0 keeps them for ever
    #[arg(long, value_name = "DAYS", default_value_t = DEFAULT_RETENTION_DAYS)]
    retention_days: u32,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let listener = listen(arguments.host, arguments.port)?;
    let store = context.store()?;
    context.wait(store.recover_dead())?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        context.printer().warning(
            "anybody who reaches this machine can use the service: there is no log-in yet",
        );
    }
    if arguments.model.is_none() {
        warn_without_default(context, &store)?;
    }
    let mut options = ServeOptions::new(listener, store, context.clock());
    options.limits.max_body_bytes = arguments.max_body_bytes;
    options.limits.max_pixels = arguments.max_pixels;
    options.retention_days = (arguments.retention_days > 0).then_some(arguments.retention_days);
    options.allowed_hosts = arguments.allow_host;
    options.workers = arguments.workers;
    options.runtime = arguments.runtime;
    options.model = arguments.model;
    options.on_ready = Some(say_ready(
        context.printer(),
        address,
        options.model.as_ref(),
    ));
    serve(context, options)
}

/// Says so when no model answers a request that names none.
fn warn_without_default(context: &Context, store: &Store) -> anyhow::Result<()> {
    let models = context.wait(store.models())?;
    match models.len() {
        0 => context.printer().warning(
            "there is no model yet: requests are answered once one is registered",
        ),
        1 => {}
        count => context.printer().warning(format_args!(
            "there are {count} models and none is named by `--model`: a request has to, by `?model=`"
        )),
    }
    Ok(())
}

/// Serves until Ctrl-C or SIGTERM; what is in flight is finished first.
pub(super) fn serve(context: &Context, options: ServeOptions) -> anyhow::Result<()> {
    let stop = context.interrupt().clone();
    context.wait(ferrotype_web::serve(
        options.with_shutdown(stop.requested()),
    ))?;
    context.printer().step("Stopped", "the server");
    Ok(())
}

/// Says where the service is, once it answers.
pub(super) fn say_ready(
    printer: &Printer,
    address: SocketAddr,
    model: Option<&Reference>,
) -> OnReady {
    let printer = printer.clone();
    let model = model.map_or_else(String::new, |model| format!("{model} "));
    Box::new(move |ready| {
        let runtime = ready.runtime.as_ref();
        let runtime = runtime.map_or_else(String::new, |runtime| format!(" ({runtime})"));
        printer.step("Serving", format!("{model}at http://{address}{runtime}"));
        if let Some(refusal) = &ready.native_refusal {
            printer.status(format!("the native runtime does not run it: {refusal}"));
        }
    })
}

/// Takes the port.
fn listen(host: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((host, port)) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Err(Failure::new(format!("port {port} on {host} is in use"))
                .hint("pass another by `--port N`, or `--port 0` for a free one")
                .into())
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(Failure::new(format!(
            "port {port} on {host} may not be used by you"
        ))
        .hint("ports below 1024 are the administrator's; pass another by `--port N`")
        .into()),
        Err(error) => Err(error).with_context(|| format!("cannot listen on {host}:{port}")),
    }
}

/// Takes the first free port from `port` on, at most `tries` of them, and says so if it is
/// another one.
pub(super) fn listen_from(
    printer: &Printer,
    host: IpAddr,
    port: u16,
    tries: u16,
) -> anyhow::Result<TcpListener> {
    for candidate in port..=port.saturating_add(tries) {
        match TcpListener::bind((host, candidate)) {
            Ok(listener) => {
                if candidate != port {
                    printer.warning(format_args!("port {port} is in use, taking {candidate}"));
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on {host}:{candidate}"));
            }
        }
    }
    let last = port.saturating_add(tries);
    Err(Failure::new(format!(
        "the ports {port} to {last} on {host} are all in use"
    ))
    .hint("pass another by `--port N`")
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Verbosity;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_port_in_use_is_told_or_the_next_one_taken() {
        let first = listen(HOST, 0).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen(HOST, port).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("port {port} on 127.0.0.1 is in use")
        );
        let printer = Printer::new(Verbosity::Quiet);
        let next = listen_from(&printer, HOST, port, 100).unwrap();
        assert_ne!(next.local_addr().unwrap().port(), port);
        assert!(listen_from(&printer, HOST, port, 0).is_err());
    }
}
