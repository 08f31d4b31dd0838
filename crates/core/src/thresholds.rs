//! The probabilities above which labels count, where an image may have several.

use std::str::FromStr;

use crate::manifest::Task;

/// Labels that a message lists.
const LABELS_LISTED: usize = 20;

/// Thresholds as somebody gives them: one for all labels, or one for each.
#[derive(Debug, Clone, PartialEq)]
pub struct Thresholds(Vec<f32>);

impl Thresholds {
    /// One threshold or more.
    ///
    /// # Errors
    /// A sentence that says which one is not between 0 and 1, or that there is none.
    pub fn new(values: Vec<f32>) -> Result<Self, String> {
        if values.is_empty() {
            return Err("there is no threshold, expected one or one for each label".into());
        }
        match values.iter().find(|value| !is_threshold(**value)) {
            Some(bad) => Err(out_of_range(&bad.to_string())),
            None => Ok(Self(values)),
        }
    }

    /// The threshold of each label.
    ///
    /// # Errors
    /// A sentence that says that the task has no labels, or another number of them.
    pub fn of_labels(&self, task: Task, labels: &[String]) -> Result<Vec<f32>, String> {
        if !task.is_multi_label() {
            return Err("the model answers with one class, the most probable: a threshold is for models that answer with labels".into());
        }
        match self.0.as_slice() {
            [one] => Ok(vec![*one; labels.len()]),
            each if each.len() == labels.len() => Ok(each.to_vec()),
            others => Err(format!(
                "there are {} thresholds for {} labels, expected one for all or one for each, in this order: {}",
                others.len(),
                labels.len(),
                listed(labels)
            )),
        }
    }
}

/// One number, or several with commas between.
impl FromStr for Thresholds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let part = part.trim();
            part.parse::<f32>().map_err(|_| out_of_range(part))
        };
        Self::new(text.split(',').map(number).collect::<Result<_, _>>()?)
    }
}

/// Whether a label may count above this probability: 0 and 1 would let all or none count.
pub(crate) fn is_threshold(value: f32) -> bool {
    value > 0.0 && value < 1.0
}

fn out_of_range(threshold: &str) -> String {
    format!("the threshold is `{threshold}`, expected a number between 0 and 1")
}

/// The one threshold of all labels; none where they have different ones.
pub fn common_threshold(thresholds: &[f32]) -> Option<f32> {
    let (first, others) = thresholds.split_first()?;
    others.iter().all(|other| other == first).then_some(*first)
}

/// The first names of a list, and how many more there are.
pub fn listed(names: &[String]) -> String {
    let shown = names.len().min(LABELS_LISTED);
    let first = names[..shown].join(", ");
    match names.len() - shown {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["mass", "nodule"].map(str::to_string).to_vec()
    }

    #[test]
    fn thresholds_are_one_number_or_one_for_each_label() {
        let of = |text: &str| {
            let thresholds: Thresholds = text.parse()?;
            thresholds.of_labels(Task::MultiLabel, &labels())
        };
        assert_eq!(of("0.3"), Ok(vec![0.3, 0.3]));
        assert_eq!(of("0.3, 0.45"), Ok(vec![0.3, 0.45]));
        for (text, part) in [
            (
                "0",
                "the threshold is `0`, expected a number between 0 and 1",
            ),
            ("1.0", "is `1`"),
            ("NaN", "is `NaN`"),
            ("half", "is `half`"),
            ("", "is ``"),
            ("0.1,0.2,0.3", "3 thresholds for 2 labels"),
            ("0.1,0.2,0.3", "in this order: mass, nodule"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn one_class_an_image_has_no_threshold() {
        let thresholds: Thresholds = "0.3".parse().unwrap();
        let error = thresholds.of_labels(Task::Classification, &labels());
        assert!(error.unwrap_err().contains("answers with one class"));
    }

    #[test]
    fn equal_thresholds_are_one() {
        assert_eq!(common_threshold(&[0.3, 0.3]), Some(0.3));
        assert_eq!(common_threshold(&[0.3, 0.4]), None);
        assert_eq!(common_threshold(&[]), None);
    }
}
