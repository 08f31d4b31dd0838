//! Numbers and times as people read them.

use std::time::Duration;

use ferrotype_core::config::schema::Monitored;
use ferrotype_core::time::Timestamp;

/// A count with commas: `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 image`, `2 images`.
pub(crate) fn plural(value: u64, noun: &str) -> String {
    if value == 1 {
        format!("1 {noun}")
    } else if let Some(stem) = noun.strip_suffix("ss") {
        format!("{} {stem}sses", count(value))
    } else {
        format!("{} {noun}s", count(value))
    }
}

/// A size in bytes: `812 B`, `9.3 kB`, `1.2 GB` (powers of 1000).
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1000.0;
    let mut unit = 0;
    // From 999.95 on, one digit after the point would round up to a thousand.
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A large count to three digits: `925`, `1.23 k`, `30.9 G`.
pub(crate) fn large(value: u64) -> String {
    const UNITS: [&str; 5] = ["k", "M", "G", "T", "P"];
    if value < 1000 {
        return value.to_string();
    }
    let mut scaled = value as f64 / 1000.0;
    let mut unit = 0;
    // From 999.5 on, three digits would round up to a thousand.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = match scaled {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$} {}", UNITS[unit])
}

/// A share of one: `92.3 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A measured number to four digits: `0.8730`, `2.5e-5`.
pub(crate) fn number(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.1e}")
    } else {
        format!("{value:.4}")
    }
}

/// A length of time: `0.8 s`, `42 s`, `3 min 05 s`, `2 h 10 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// How long ago a moment was: `just now`, `5 min ago`, `3 days ago`.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    let seconds = now.millis_since(then) / 1000;
    match seconds {
        0..60 => "just now".to_string(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} ago", plural(seconds / 86_400, "day")),
    }
}

/// A moment to the minute, in UTC: `2026-01-02 03:04 UTC`.
pub(crate) fn minute(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('T') {
        Some((day, rest)) => format!("{day} {} UTC", rest.get(..5).unwrap_or(rest)),
        None => text,
    }
}

/// A score between 0 and 1 that is no percentage, such as an AUROC: `0.973`.
pub(crate) fn three_digits(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_string(), |value| format!("{value:.3}"))
}

/// A score with its name: `accuracy 94.7 %`, `AUROC 0.973`.
pub(crate) fn score(monitored: Monitored, value: f64) -> String {
    let title = monitored.title();
    if monitored.is_share() {
        format!("{title} {}", percent(value))
    } else {
        format!("{title} {value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrotype_core::config::schema::Monitor;
    use ferrotype_core::manifest::Task;

    #[test]
    fn a_score_is_told_with_its_name() {
        let cases = [
            (Monitor::Auto, Task::Classification, "accuracy 87.3 %"),
            (Monitor::Auto, Task::MultiLabel, "AUROC 0.873"),
            (Monitor::Accuracy, Task::MultiLabel, "exact match 87.3 %"),
            (Monitor::Loss, Task::MultiLabel, "loss 0.873"),
        ];
        for (monitor, task, text) in cases {
            assert_eq!(score(Monitored::new(monitor, task), 0.873), text);
        }
    }

    #[test]
    fn a_small_number_keeps_its_digits() {
        let cases = [(0.873, "0.8730"), (2.5e-5, "2.5e-5"), (0.0, "0.0000")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_moment_is_told_to_the_minute() {
        let time = Timestamp::from_millis(1_767_323_045_000);
        assert_eq!(minute(time), "2026-01-02 03:04 UTC");
    }

    #[test]
    fn counts_have_commas_between_thousands() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (value, text) in cases {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn a_noun_agrees_with_its_count() {
        let cases = [
            (1, "image", "1 image"),
            (0, "image", "0 images"),
            (2, "class", "2 classes"),
        ];
        for (value, noun, text) in cases {
            assert_eq!(plural(value, noun), text);
        }
    }

    #[test]
    fn sizes_keep_one_digit_after_the_point() {
        let cases = [
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_940, "999.9 kB"),
            (999_999, "1.0 MB"),
            (2_500_000_000, "2.5 GB"),
        ];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn large_counts_have_three_digits() {
        let cases = [
            (999, "999"),
            (1_230, "1.23 k"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (30_948_000_000, "30.9 G"),
        ];
        for (value, text) in cases {
            assert_eq!(large(value), text);
        }
    }

    #[test]
    fn a_length_of_time_has_two_units_at_most() {
        let cases = [
            (0.84, "0.8 s"),
            (42.0, "42 s"),
            (185.0, "3 min 05 s"),
            (7800.0, "2 h 10 min"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn a_moment_in_the_past_is_told_in_one_unit() {
        let now = Timestamp::from_millis(1_000_000_000);
        let cases = [
            (0, "just now"),
            (300, "5 min ago"),
            (7_200, "2 h ago"),
            (86_400, "1 day ago"),
        ];
        for (seconds, text) in cases {
            assert_eq!(ago(now, now.minus_millis(seconds * 1000)), text);
        }
    }
}
