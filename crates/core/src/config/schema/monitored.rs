//! The score that decides which epoch of a run is best, as lists and pages show it.

use std::collections::BTreeMap;

use super::Monitor;
use crate::manifest::Task;

/// The parameter of a run that says what its images have.
pub const TASK_PARAM: &str = "task";

/// The parameter of a run that says what is monitored.
const MONITOR_PARAM: &str = "train.monitor";

/// Metrics that only runs with several labels an image have.
const LABEL_METRICS: [&str; 2] = ["val/map", "test/map"];

/// A monitored score with what it measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitored {
    /// The metric; never [`Monitor::Auto`].
    pub monitor: Monitor,
    /// Whether an image has one class or any number of labels.
    pub task: Task,
}

impl Monitored {
    /// What a monitor means for a task.
    pub const fn new(monitor: Monitor, task: Task) -> Self {
        Self {
            monitor: monitor.of_task(task),
            task,
        }
    }

    /// What a run monitors by its parameters. A run of a time when they did not tell its task
    /// tells it by its metrics.
    pub fn of_run(params: &BTreeMap<String, String>, has_metric: impl Fn(&str) -> bool) -> Self {
        let named = params.get(TASK_PARAM).map(String::as_str);
        let is_multi_label =
            named == Some(Task::MultiLabel.as_str()) || LABEL_METRICS.into_iter().any(has_metric);
        let task = match is_multi_label {
            true => Task::MultiLabel,
            false => Task::Classification,
        };
        let monitor = params.get(MONITOR_PARAM);
        let monitor = monitor.and_then(|key| Monitor::of_key(key));
        Self::new(monitor.unwrap_or(Monitor::Auto), task)
    }

    /// The key of the metric on the validation split.
    pub const fn key(self) -> &'static str {
        self.monitor.key()
    }

    /// The key of the same metric on the test split.
    pub const fn test_key(self) -> &'static str {
        match self.monitor {
            Monitor::Loss => "test/loss",
            Monitor::MacroF1 => "test/f1",
            Monitor::Auroc => "test/auroc",
            Monitor::Auto | Monitor::Accuracy => "test/accuracy",
        }
    }

    /// What it is called.
    pub const fn title(self) -> &'static str {
        match self.monitor {
            Monitor::Loss => "loss",
            Monitor::MacroF1 => "F1",
            Monitor::Auroc => "AUROC",
            Monitor::Auto | Monitor::Accuracy => self.task.accuracy_title(),
        }
    }

    /// Whether it is a share, which people read in percent.
    pub const fn is_share(self) -> bool {
        matches!(
            self.monitor,
            Monitor::Auto | Monitor::Accuracy | Monitor::MacroF1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitored(params: &[(&str, &str)], metrics: &[&str]) -> Monitored {
        let params = params.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        Monitored::of_run(&params.collect(), |key| metrics.contains(&key))
    }

    #[test]
    fn a_score_is_called_by_what_the_images_have() {
        let classes = monitored(&[("train.monitor", "auto")], &["val/accuracy"]);
        assert_eq!(
            (classes.title(), classes.key()),
            ("accuracy", "val/accuracy")
        );
        let labels = monitored(&[("task", "multi_label")], &[]);
        assert_eq!((labels.title(), labels.test_key()), ("AUROC", "test/auroc"));
        let chosen = [("task", "multi_label"), ("train.monitor", "val/accuracy")];
        assert_eq!(monitored(&chosen, &[]).title(), "exact match");
    }

    #[test]
    fn a_run_of_before_tells_its_task_by_its_metrics() {
        let run = monitored(&[("train.monitor", "auto")], &["val/map"]);
        assert_eq!((run.task, run.title()), (Task::MultiLabel, "AUROC"));
    }
}
