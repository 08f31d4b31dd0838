//! `ferrotype find-rate`: which learning rate suits, by a range test.
//!
//! It is a command of its own and makes no run: what it trains is thrown away, so there would be
//! nothing to list, compare, resume or register. What stays are two files.

mod plot;
mod svg;

use std::path::{Path, PathBuf};

use clap::Args;
use ferrotype_engine::train::{Control, RateCurve, RateFinderOptions};
use ferrotype_store::write_file_atomically;
use serde_json::{Value, json};

use crate::config_files;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::text;
use crate::training::{self, Plan};

const EXAMPLES: &str = "\
Examples:
  ferrotype find-rate data.dataset=land
  ferrotype find-rate data.dataset=land model=resnet18 train/optimizer=sgd
  ferrotype find-rate data.dataset=land --from 1e-5 --to 1 --steps 200 --output land

It trains a copy for some steps while the learning rate grows (Smith 2017, arXiv:1506.01186),
writes the curve of the loss as JSON and SVG, and suggests where the loss falls most steeply.
It makes no run.";

/// The arguments of `ferrotype find-rate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Settings, as for `train`
    overrides: Vec<String>,
    /// The lowest learning rate
    #[arg(long, value_name = "RATE", default_value = "1e-7")]
    from: f64,
    /// The highest learning rate; the test ends before when the loss explodes
    #[arg(long, value_name = "RATE", default_value = "10")]
    to: f64,
    /// Steps from the one to the other
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    steps: u32,
    /// Write `NAME.json` and `NAME.svg`
    #[arg(long, value_name = "NAME", default_value = "learning-rate")]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let store = context.existing_store()?;
    let composed = config_files::compose(context, &arguments.overrides)?;
    let plan = Plan::new(context, &store, &composed)?;
    let options = options(&arguments)?;
    let interrupt = context.interrupt().clone();
    let mut progress = context.printer().progress("Testing", options.steps as u64);
    let curve = training::find_rate(context, &store, &plan, &options, &mut |step, point| {
        let message = format!(
            "learning rate {:.1e}  loss {:.3}",
            point.learning_rate, point.smoothed_loss
        );
        progress.set(step as u64 + 1, options.steps as u64, message);
        match interrupt.is_requested() {
            true => Control::Stop,
            false => Control::Continue,
        }
    });
    drop(progress);
    let curve = curve?;
    if interrupt.is_requested() {
        return Err(Failure::new("the test was interrupted; nothing was written").into());
    }
    conclude(context, &arguments, &plan, &curve)
}

fn options(arguments: &Arguments) -> anyhow::Result<RateFinderOptions> {
    let (from, to) = (arguments.from, arguments.to);
    if !(from > 0.0 && to > from && to.is_finite()) {
        return Err(Failure::usage(format!(
            "`--from {from} --to {to}` is no range, expected two growing numbers over 0"
        ))
        .into());
    }
    Ok(RateFinderOptions {
        lowest: from,
        highest: to,
        steps: arguments.steps as usize,
        ..RateFinderOptions::default()
    })
}

fn conclude(
    context: &Context,
    arguments: &Arguments,
    plan: &Plan,
    curve: &RateCurve,
) -> anyhow::Result<()> {
    let Some(first) = curve.points.first() else {
        return Err(Failure::new(format!(
            "the loss is not a number from the start, at a learning rate of `{:.1e}`",
            arguments.from
        ))
        .hint("look at the images and at `data.mean` and `data.std`")
        .into());
    };
    let title = format!("{} on {}", plan.config.model.name, plan.dataset.reference());
    let described = described(plan, curve);
    let [json_path, svg_path] = ["json", "svg"].map(|form| with_form(&arguments.output, form));
    write_file_atomically(&json_path, &serde_json::to_vec_pretty(&described)?)?;
    write_file_atomically(&svg_path, svg::curve(curve, &title).as_bytes())?;
    let printer = context.printer();
    printer.step(
        "Tested",
        format!(
            "{title}: {}, learning rates from {:.1e} to {:.1e}",
            text::plural(curve.points.len() as u64, "step"),
            first.learning_rate,
            curve.points[curve.points.len() - 1].learning_rate,
        ),
    );
    printer.step(
        "Wrote",
        format!("{} and {}", json_path.display(), svg_path.display()),
    );
    if arguments.json {
        return printer.json(&described);
    }
    printer.result(plot::curve(curve));
    match curve.suggestion {
        Some(rate) => {
            printer.result(format_args!("\nsuggested: train.learning_rate={rate:.1e}"));
            let settings = [&arguments.overrides[..], &[format!("train.learning_rate={rate:.1e}")]];
            printer.status(format_args!(
                "\nNext: ferrotype train {}",
                settings.concat().join(" ")
            ));
        }
        None => printer.warning(
            "the loss never falls, so no learning rate is suggested: try `--steps 300`, or look at the images",
        ),
    }
    Ok(())
}

fn described(plan: &Plan, curve: &RateCurve) -> Value {
    let points: Vec<Value> = curve
        .points
        .iter()
        .map(|point| {
            json!({
                "learning_rate": point.learning_rate,
                "loss": point.loss,
                "smoothed_loss": point.smoothed_loss,
            })
        })
        .collect();
    json!({
        "model": plan.config.model.name,
        "dataset": plan.dataset.reference().to_string(),
        "suggestion": curve.suggestion,
        "points": points,
    })
}

/// `land` becomes `land.svg`; a dot in the name stays.
fn with_form(path: &Path, form: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(form);
    PathBuf::from(name)
}

/// The part of the losses that is drawn: what the curve does once it explodes is cut off as high
/// above its start as it fell below.
fn visible(curve: &RateCurve) -> [f64; 2] {
    let losses = || curve.points.iter().map(|point| point.smoothed_loss);
    let low = losses().fold(f64::INFINITY, f64::min);
    let high = losses().fold(f64::NEG_INFINITY, f64::max);
    let first = losses().next().unwrap_or(low);
    let fall = (first - low).max(0.05 * first.abs());
    [low, high.min(first + fall).max(low + 1e-9)]
}

#[cfg(test)]
mod tests {
    use ferrotype_engine::train::RatePoint;

    use super::*;

    /// A loss that is flat at first, falls around a rate of 1e-3, and explodes in the end.
    pub(super) fn falling() -> RateCurve {
        let points = (0..90).map(|step| {
            let learning_rate = 10_f64.powf(-7.0 + f64::from(step) * 8.0 / 99.0);
            let fall = 2.0 / (1.0 + ((f64::from(step) - 50.0) / 4.0).exp());
            let explosion = if step > 80 { f64::from(step - 80) } else { 0.0 };
            RatePoint {
                learning_rate,
                loss: 0.3 + fall + explosion,
                smoothed_loss: 0.3 + fall + explosion,
            }
        });
        RateCurve {
            points: points.collect(),
            suggestion: Some(1.2e-3),
        }
    }

    #[test]
    fn an_explosion_does_not_flatten_the_fall() {
        let [low, high] = visible(&falling());
        assert!((low - 0.3).abs() < 0.01, "{low}");
        assert!((high - 4.3).abs() < 0.1, "{high}");
    }

    #[test]
    fn a_name_with_a_dot_keeps_it() {
        assert_eq!(
            with_form(Path::new("a/land.v2"), "svg"),
            Path::new("a/land.v2.svg")
        );
    }
}
