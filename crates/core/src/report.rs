//! What a bulk operation did: how many items it took, and which it skipped and why.

use serde::{Deserialize, Serialize};

/// One item that a bulk operation left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What was left out: a path relative to the operation's root, or a name.
    pub item: String,
    /// A short machine-readable reason, such as `truncated` or `not_an_image`.
    pub kind: String,
    /// The reason for a reader.
    pub reason: String,
}

/// The outcome of a bulk operation. It never stops at the first bad item and never loses one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkReport {
    /// Items taken.
    pub done: u64,
    /// Items left out, each with its reason.
    pub skipped: Vec<Skipped>,
    /// What the user should know although nothing was left out.
    pub warnings: Vec<String>,
}

impl BulkReport {
    /// Records an item that was left out.
    pub fn skip(
        &mut self,
        item: impl Into<String>,
        kind: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.skipped.push(Skipped {
            item: item.into(),
            kind: kind.into(),
            reason: reason.into(),
        });
    }

    /// Records something the user should know.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Skipped items counted by kind, most frequent first.
    pub fn skipped_by_kind(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<(String, u64)> = Vec::new();
        for skipped in &self.skipped {
            match counts.iter_mut().find(|(kind, _)| *kind == skipped.kind) {
                Some((_, count)) => *count += 1,
                None => counts.push((skipped.kind.clone(), 1)),
            }
        }
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_items_are_counted_by_kind_most_frequent_first() {
        let mut report = BulkReport::default();
        report.skip("a.jpg", "truncated", "ends early");
        report.skip("b.txt", "not_an_image", "text");
        report.skip("c.txt", "not_an_image", "text");
        assert_eq!(
            report.skipped_by_kind(),
            vec![
                ("not_an_image".to_string(), 2),
                ("truncated".to_string(), 1)
            ]
        );
    }
}
