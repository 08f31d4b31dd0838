//! How numbers and times are written on the pages.

use minijinja::{Environment, Value};

/// What stands for a value that is not there.
const NOTHING: &str = "–";
/// Shades of a cell in the confusion matrix.
const SHADES: u64 = 9;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("percent", |value: Value| written(&value, percent));
    environment.add_filter("decimal", |value: Value, digits: usize| {
        written(&value, |number| decimal(number, digits))
    });
    environment.add_filter("count", |value: Value| written(&value, count));
    environment.add_filter("bytes", |value: Value| written(&value, bytes));
    environment.add_filter("flops", |value: Value| written(&value, flops));
    environment.add_filter("duration", |value: Value| written(&value, duration));
    environment.add_filter("ago", |moment: &str, now: &str| {
        ago(moment, now).unwrap_or_else(|| moment.to_string())
    });
    environment.add_filter("heat", heat);
    environment.add_filter("spark", spark);
    environment.add_filter("sentence", sentence);
    environment.add_filter("metric", metric);
}

fn number(value: &Value) -> Option<f64> {
    f64::try_from(value.clone()).ok().filter(|n| n.is_finite())
}

fn written(value: &Value, write: impl Fn(f64) -> String) -> String {
    number(value).map_or_else(|| NOTHING.to_string(), write)
}

fn percent(fraction: f64) -> String {
    format!("{:.1}\u{a0}%", fraction * 100.0)
}

fn decimal(number: f64, digits: usize) -> String {
    if number != 0.0 && number.abs() < 0.5 * 10_f64.powi(-(digits as i32)) {
        return format!("{number:.1e}");
    }
    format!("{number:.digits$}")
}

/// A whole number with its thousands apart.
fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0.0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// With the largest unit that leaves at least 1.
fn scaled(number: f64, units: &[&str]) -> String {
    let mut value = number;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    let text = format!("{value:.digits$}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    format!("{text}\u{a0}{}", units[unit])
}

fn bytes(number: f64) -> String {
    scaled(number, &["B", "kB", "MB", "GB", "TB"])
}

fn flops(number: f64) -> String {
    scaled(number, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"])
}

fn duration(milliseconds: f64) -> String {
    let seconds = (milliseconds / 1000.0).round();
    match seconds {
        _ if milliseconds < 9_950.0 => format!("{:.1}\u{a0}s", milliseconds / 1000.0),
        _ if seconds < 60.0 => format!("{seconds:.0}\u{a0}s"),
        _ if seconds < 3600.0 => {
            format!(
                "{:.0} min {:.0} s",
                (seconds / 60.0).floor(),
                seconds % 60.0
            )
        }
        _ => {
            let minutes = (seconds / 60.0).round();
            format!(
                "{:.0} h {:.0} min",
                (minutes / 60.0).floor(),
                minutes % 60.0
            )
        }
    }
}

/// How long before `now` a moment was, both in RFC 3339; the date when that is long.
fn ago(moment: &str, now: &str) -> Option<String> {
    let moment: jiff::Timestamp = moment.parse().ok()?;
    let now: jiff::Timestamp = now.parse().ok()?;
    let seconds = now.as_second() - moment.as_second();
    Some(match seconds {
        ..10 => "just now".to_string(),
        10..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..604_800 => plural_days(seconds / 86_400),
        _ => moment.strftime("%Y-%m-%d").to_string(),
    })
}

fn plural_days(days: i64) -> String {
    match days {
        1 => "a day ago".to_string(),
        days => format!("{days} days ago"),
    }
}

/// The shade of a cell with `count` of `total`, 0 for none to 9 for all.
fn heat(count: u64, total: u64) -> u64 {
    if count == 0 || total == 0 {
        return 0;
    }
    (count * SHADES / total).clamp(1, SHADES)
}

/// The path of a small curve in a box of that size.
fn spark(values: Vec<Option<f64>>, width: f64, height: f64) -> String {
    let known: Vec<(usize, f64)> = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| value.map(|value| (index, value)))
        .collect();
    let low = known.iter().map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
    let high = known
        .iter()
        .map(|(_, v)| *v)
        .fold(f64::NEG_INFINITY, f64::max);
    let range = if high > low { high - low } else { 1.0 };
    let step = width / (values.len().max(2) - 1) as f64;
    let margin = 2.0;
    known
        .iter()
        .enumerate()
        .map(|(place, (index, value))| {
            let x = *index as f64 * step;
            let y = margin + (high - value) / range * (height - 2.0 * margin);
            let command = if place == 0 { 'M' } else { 'L' };
            format!("{command}{x:.1} {y:.1}")
        })
        .collect()
}

/// A lower-case message as a sentence, without the marks around values.
fn sentence(text: &str) -> String {
    let mut characters = text.chars().filter(|c| *c != '`');
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// The value of a metric in a list of metrics, if it is there.
fn metric(metrics: Value, key: &str) -> Value {
    let Ok(mut items) = metrics.try_iter() else {
        return Value::from(());
    };
    items
        .find(|item| {
            item.get_attr("key")
                .is_ok_and(|name| name.as_str() == Some(key))
        })
        .and_then(|item| item.get_attr("value").ok())
        .unwrap_or_else(|| Value::from(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_readers() {
        assert_eq!(percent(0.9731), "97.3\u{a0}%");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(999.0), "999");
        assert_eq!(bytes(512.0), "512\u{a0}B");
        assert_eq!(bytes(10_000_000.0), "10\u{a0}MB");
        assert_eq!(bytes(1_250_000.0), "1.2\u{a0}MB");
        assert_eq!(bytes(999_960.0), "1\u{a0}MB");
        assert_eq!(flops(16_200_000_000.0), "16.2\u{a0}GFLOP");
        assert_eq!(decimal(0.12345, 3), "0.123");
        assert_eq!(decimal(0.000_01, 3), "1.0e-5");
        assert_eq!(decimal(0.0, 3), "0.000");
        assert_eq!(written(&Value::from(()), percent), NOTHING);
        assert_eq!(written(&Value::from(f64::NAN), percent), NOTHING);
    }

    #[test]
    fn times_are_written_for_readers() {
        assert_eq!(duration(1_240.0), "1.2\u{a0}s");
        assert_eq!(duration(59_400.0), "59\u{a0}s");
        assert_eq!(duration(125_000.0), "2 min 5 s");
        assert_eq!(duration(7_260_000.0), "2 h 1 min");
        let now = "2026-01-02T03:04:05.000Z";
        assert_eq!(ago("2026-01-02T03:04:00Z", now).unwrap(), "just now");
        assert_eq!(ago("2026-01-02T03:00:00Z", now).unwrap(), "4 min ago");
        assert_eq!(ago("2026-01-01T03:00:00Z", now).unwrap(), "a day ago");
        assert_eq!(ago("2025-11-01T03:00:00Z", now).unwrap(), "2025-11-01");
        assert_eq!(ago("2027-11-01T03:00:00Z", now).unwrap(), "just now");
        assert_eq!(ago("yesterday", now), None);
    }

    #[test]
    fn a_cell_is_darker_the_more_it_holds() {
        assert_eq!(heat(0, 10), 0);
        assert_eq!(heat(1, 1000), 1);
        assert_eq!(heat(5, 10), 4);
        assert_eq!(heat(10, 10), 9);
        assert_eq!(heat(0, 0), 0);
    }

    #[test]
    fn a_small_curve_spans_its_box_and_skips_gaps() {
        let path = spark(vec![Some(2.0), None, Some(1.0)], 120.0, 28.0);
        assert_eq!(path, "M0.0 2.0L120.0 26.0");
        assert_eq!(spark(vec![], 120.0, 28.0), "");
    }
}
