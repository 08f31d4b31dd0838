//! `ferrotype find-rate`: which learning rate suits, by a range test.
//!
//! It is a command of its own and makes no run: what it trains is thrown away, so there would be
//! nothing to list, compare, resume or register. What stays are two files.

mod plot;
mod svg;
mod words;

use std::path::{Path, PathBuf};

use clap::Args;
use ferrotype_engine::train::{Control, RateCurve, RateFinderOptions};
use ferrotype_store::{check_target, write_file_atomically};
use serde_json::{Value, json};

use crate::config_files;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Printer, text};
use crate::training::{self, Plan};

const EXAMPLES: &str = "\
Examples:
  ferrotype find-rate data.dataset=land
  ferrotype find-rate data.dataset=land model=resnet18 train/optimizer=sgd
  ferrotype find-rate data.dataset=land --from 1e-5 --to 1 --steps 200 --output land

It trains a copy for some steps while the learning rate grows (Smith 2017, arXiv:1506.01186),
writes the curve of the loss as JSON and SVG, and suggests where the loss falls most steeply,
if it falls clearly. It makes no run.";

/// The arguments of `ferrotype find-rate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Settings, as for `train`
    overrides: Vec<String>,
    /// The lowest learning rate
    #[arg(
        long,
        value_name = "RATE",
        default_value = "1e-7",
        allow_negative_numbers = true
    )]
    from: f64,
    /// The highest learning rate; the test ends before when the loss explodes
    #[arg(
        long,
        value_name = "RATE",
        default_value = "10",
        allow_negative_numbers = true
    )]
    to: f64,
    /// Steps from the one to the other
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    steps: u32,
    /// Write `NAME.json` and `NAME.svg`; the name of one of the two will do
    #[arg(long, value_name = "NAME", default_value = "learning-rate")]
    output: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(arguments: Arguments, context: &Context) -> anyhow::Result<()> {
    let options = options(&arguments)?;
    for path in output_paths(&arguments.output) {
        check_target(&path)?;
    }
    let store = context.existing_store()?;
    let composed = config_files::compose(context, &arguments.overrides)?;
    let plan = Plan::new(context, &store, &composed)?;
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
    conclude(context, &arguments, &options, &plan, &curve)
}

fn options(arguments: &Arguments) -> anyhow::Result<RateFinderOptions> {
    let (from, to) = (arguments.from, arguments.to);
    for (name, rate) in [("--from", from), ("--to", to)] {
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Failure::usage(format!(
                "`{name}` is `{rate}`, expected a learning rate over 0"
            ))
            .into());
        }
    }
    if to <= from {
        return Err(Failure::usage(format!(
            "`--to {to}` is not over `--from {from}`: the learning rate grows from the one to the other"
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
    options: &RateFinderOptions,
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
    let [json_path, svg_path] = output_paths(&arguments.output);
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
        printer.json(&described)?;
    } else {
        printer.result(plot::curve(curve));
        if let Some(ended) = words::end(curve) {
            printer.result(format_args!("\n{ended}"));
        }
    }
    match curve.suggestion {
        Ok(rate) if !arguments.json => suggest(printer, arguments, rate),
        Ok(_) => {}
        Err(why) => {
            let [said, hint] = words::no_suggestion(why, curve.end, options);
            printer.warning(said);
            printer.status(format_args!("hint: {hint}"));
        }
    }
    Ok(())
}

fn suggest(printer: &Printer, arguments: &Arguments, rate: f64) {
    let setting = format!("train.learning_rate={rate:.1e}");
    printer.result(format_args!("\nsuggested: {setting}"));
    let settings = [&arguments.overrides[..], &[setting]].concat();
    printer.status(format_args!(
        "\nNext: ferrotype train {}",
        settings.join(" ")
    ));
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
        "suggestion": curve.suggestion.ok(),
        "end": words::end_name(curve.end),
        "end_learning_rate": curve.end_rate,
        "points": points,
    })
}

/// The two files: `land` becomes `land.json` and `land.svg`, and so does the path of one of them.
/// Another dot in the name stays.
fn output_paths(path: &Path) -> [PathBuf; 2] {
    let is_form = path.extension().is_some_and(|end| {
        ["json", "svg"]
            .iter()
            .any(|form| end.eq_ignore_ascii_case(form))
    });
    let stem = match is_form {
        true => path.with_extension(""),
        false => path.to_path_buf(),
    };
    ["json", "svg"].map(|form| {
        let mut name = stem.as_os_str().to_owned();
        name.push(".");
        name.push(form);
        PathBuf::from(name)
    })
}

/// The part of the losses that is drawn: what the curve does once it explodes is cut off as high
/// above its start as it fell below.
fn visible(curve: &RateCurve) -> [f64; 2] {
    let losses = || curve.points.iter().map(|point| point.smoothed_loss);
    let low = losses().fold(f64::INFINITY, f64::min);
    let first = losses().next().unwrap_or(low);
    let fall = (first - low).max(0.05 * first.abs());
    [low, highest(curve).min(first + fall).max(low + 1e-9)]
}

/// The highest smoothed loss.
fn highest(curve: &RateCurve) -> f64 {
    let losses = curve.points.iter().map(|point| point.smoothed_loss);
    losses.fold(f64::NEG_INFINITY, f64::max)
}

/// Whether the loss rises above what is drawn.
fn is_cut_off(curve: &RateCurve) -> bool {
    highest(curve) > visible(curve)[1]
}

#[cfg(test)]
mod tests {
    use ferrotype_engine::train::{RangeEnd, RatePoint};

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
        let points: Vec<RatePoint> = points.collect();
        RateCurve {
            end_rate: points[89].learning_rate,
            points,
            suggestion: Ok(1.2e-3),
            end: RangeEnd::Diverged,
        }
    }

    #[test]
    fn an_explosion_does_not_flatten_the_fall() {
        let [low, high] = visible(&falling());
        assert!((low - 0.3).abs() < 0.01, "{low}");
        assert!((high - 4.3).abs() < 0.1, "{high}");
    }

    #[test]
    fn an_output_may_be_named_with_or_without_its_ending() {
        let paths = |path: &str| {
            output_paths(Path::new(path)).map(|path| path.display().to_string().replace('\\', "/"))
        };
        assert_eq!(paths("a/land.v2"), ["a/land.v2.json", "a/land.v2.svg"]);
        assert_eq!(paths("a/tiny.json"), ["a/tiny.json", "a/tiny.svg"]);
        assert_eq!(paths("tiny.v2.SVG"), ["tiny.v2.json", "tiny.v2.svg"]);
        assert_eq!(paths(".json"), [".json.json", ".json.svg"]);
    }
}
