//! `--multirun`: from overrides with several values to the overrides of each run.

use indexmap::IndexMap;

use super::error::{ConfigError, ConfigErrorKind};
use super::overrides::{self, Element, Number, Override, OverrideValue, Sweep};
use super::source::{ConfigSource, Repository};

/// The most runs that one command starts.
const MAX_RUNS: usize = 10_000;

/// The overrides of each run: every combination of the sweeps' values, the last one changing
/// fastest, as Hydra's basic sweeper does. Without a sweep there is one run.
///
/// # Errors
/// A malformed override, an empty or endless range, `interval` (which only a sampler can use),
/// or more than 10,000 runs.
pub fn compose_multirun(
    source: &dyn ConfigSource,
    overrides: &[String],
) -> Result<Vec<Vec<String>>, ConfigError> {
    let repository = Repository::new(source, true);
    let mut axes: IndexMap<String, Vec<String>> = IndexMap::new();
    for given in overrides::parse_all(overrides)? {
        let key = format!("{}{}", given.prefix(), given.full_key());
        let texts = axis(&given, &key, &repository).map_err(|error| error.at(&given.origin()))?;
        axes.insert(key, texts);
    }
    let count = axes
        .values()
        .try_fold(1_usize, |count, axis| count.checked_mul(axis.len()))
        .filter(|count| *count <= MAX_RUNS);
    if count.is_none() {
        return Err(too_many());
    }
    let mut runs = vec![Vec::new()];
    for axis in axes.values() {
        runs = runs
            .iter()
            .flat_map(|run| {
                axis.iter()
                    .map(move |text| [run.as_slice(), std::slice::from_ref(text)].concat())
            })
            .collect();
    }
    Ok(runs)
}

fn too_many() -> ConfigError {
    ConfigError::new(
        ConfigErrorKind::TooLarge,
        format!("the sweep has more than {MAX_RUNS} runs"),
    )
}

/// The overrides that one override stands for.
fn axis(
    given: &Override,
    key: &str,
    repository: &Repository<'_>,
) -> Result<Vec<String>, ConfigError> {
    let elements = match &given.value {
        Some(OverrideValue::Sweep(sweep)) => values(sweep, &given.key, repository)?,
        _ => return Ok(vec![given.text.clone()]),
    };
    if elements.is_empty() {
        return Err(ConfigError::new(
            ConfigErrorKind::OutOfRange,
            format!("the sweep of `{}` has no values", given.key),
        ));
    }
    Ok(elements
        .iter()
        .map(|element| format!("{key}={}", element.to_override_text()))
        .collect())
}

fn values(
    sweep: &Sweep,
    group: &str,
    repository: &Repository<'_>,
) -> Result<Vec<Element>, ConfigError> {
    match sweep {
        Sweep::Choice { items, .. } => Ok(items.clone()),
        Sweep::Range { start, stop, step } => range(*start, *stop, *step),
        Sweep::Interval { .. } => Err(ConfigError::unsupported(
            "`interval`, which has no end of values,",
        )
        .with_hint("write `choice(…)` or `range(start,stop,step)`")),
        Sweep::Glob { include, exclude } => {
            let matches = |patterns: &[String], name: &str| {
                patterns.iter().any(|pattern| glob_matches(pattern, name))
            };
            Ok(repository
                .options(group)
                .into_iter()
                .filter(|name| matches(include, name) && !matches(exclude, name))
                .map(Element::Text)
                .collect())
        }
    }
}

fn range(start: Number, stop: Number, step: Number) -> Result<Vec<Element>, ConfigError> {
    let step_size = step.as_f64();
    if step_size == 0.0 || !step_size.is_finite() {
        return Err(ConfigError::new(
            ConfigErrorKind::OutOfRange,
            "the step of a range must not be 0",
        ));
    }
    let mut values = Vec::new();
    loop {
        let index = values.len();
        if index > MAX_RUNS {
            return Err(too_many());
        }
        let value = match (start, stop, step) {
            (Number::Int(start), Number::Int(_), Number::Int(step)) => {
                Number::Int(start + step * index as i128)
            }
            _ => Number::Float(start.as_f64() + step_size * index as f64),
        };
        let is_inside = if step_size > 0.0 {
            value.as_f64() < stop.as_f64()
        } else {
            value.as_f64() > stop.as_f64()
        };
        if !is_inside {
            return Ok(values);
        }
        values.push(value.element());
    }
}

/// `*` for any characters, `?` for one. At a mismatch the last `*` takes one more character.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut last_star = None;
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                last_star = Some((at_pattern, at_name));
                at_pattern += 1;
            }
            Some(c) if *c == '?' || *c == name[at_name] => {
                at_pattern += 1;
                at_name += 1;
            }
            _ => match &mut last_star {
                Some((star, taken)) => {
                    *taken += 1;
                    (at_pattern, at_name) = (*star + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at_pattern..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::NoSource;

    fn runs(overrides: &[&str]) -> Vec<String> {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        compose_multirun(&NoSource, &overrides)
            .unwrap()
            .iter()
            .map(|run| run.join(" "))
            .collect()
    }

    fn error(overrides: &str) -> String {
        compose_multirun(&NoSource, &[overrides.to_string()])
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_last_sweep_changes_fastest() {
        assert_eq!(
            runs(&["a=1,2", "b=x", "c=range(0,1,0.5)"]),
            [
                "a=1 b=x c=0.0",
                "a=1 b=x c=0.5",
                "a=2 b=x c=0.0",
                "a=2 b=x c=0.5"
            ]
        );
    }

    #[test]
    fn without_a_sweep_there_is_one_run() {
        assert_eq!(runs(&["a=[1,2]", "+b='c,d'"]), ["a=[1,2] +b='c,d'"]);
        assert_eq!(runs(&[]), [""]);
    }

    #[test]
    fn a_glob_takes_the_options_of_a_group() {
        assert_eq!(
            runs(&["train/schedule=glob(*,exclude=[co*,p*])"]),
            ["train/schedule=one_cycle", "train/schedule=step"]
        );
        assert_eq!(
            error("train/schedule=glob(x*)"),
            "the sweep of `train/schedule` has no values (command line: train/schedule=glob(x*))"
        );
    }

    #[test]
    fn a_sweep_that_does_not_end_is_refused() {
        assert!(error("a=range(0,1,0)").contains("must not be 0"));
        assert!(error("a=range(0,1000000)").contains("more than 10000 runs"));
        assert!(error("a=range(0,inf)").contains("more than 10000 runs"));
        assert!(error("a=interval(0,1)").contains("no end of values"));
    }

    #[test]
    fn a_glob_of_many_stars_is_matched_at_once() {
        let name = "a".repeat(200);
        assert!(!glob_matches(
            &"*a".repeat(50).replace("*a*a", "*a*b*"),
            &name
        ));
        assert!(glob_matches("*a?a*", &name));
        assert!(!glob_matches("a", ""));
    }
}
