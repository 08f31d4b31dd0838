//! The curve of a range test in the terminal.

use ferrotype_engine::train::RateCurve;

use super::visible;

const WIDTH: usize = 60;
const HEIGHT: usize = 12;

/// A loss above what is drawn.
const CUT_OFF: char = '^';

/// The smoothed loss over the logarithm of the learning rate, in characters.
pub(super) fn curve(curve: &RateCurve) -> String {
    let [low, high] = visible(curve);
    let rates = |index: usize| {
        curve
            .points
            .get(index)
            .map_or(0.0, |p| p.learning_rate.ln())
    };
    let (first, last) = (rates(0), rates(curve.points.len().saturating_sub(1)));
    let column = |rate: f64| {
        let share = (rate.ln() - first) / (last - first).max(1e-9);
        ((share * (WIDTH - 1) as f64).round() as usize).min(WIDTH - 1)
    };
    let mut rows = vec![vec![' '; WIDTH]; HEIGHT];
    if let Ok(rate) = curve.suggestion {
        for row in &mut rows {
            row[column(rate)] = '┊';
        }
    }
    for point in &curve.points {
        let share = (high - point.smoothed_loss) / (high - low);
        let row = (share.clamp(0.0, 1.0) * (HEIGHT - 1) as f64).round() as usize;
        rows[row][column(point.learning_rate)] = match share < 0.0 {
            true => CUT_OFF,
            false => '•',
        };
    }
    let mut lines = vec!["   loss".to_string()];
    for (index, row) in rows.iter().enumerate() {
        let label = match index {
            0 => format!("{high:>7.3} ┤"),
            _ if index + 1 == HEIGHT => format!("{low:>7.3} ┤"),
            _ => "        │".to_string(),
        };
        let row: String = row.iter().collect();
        lines.push(format!("{label}{}", row.trim_end()));
    }
    lines.push(format!("        └{}", "─".repeat(WIDTH)));
    let (first, last) = (
        format!("{:.0e}", first.exp()),
        format!("{:.0e}", last.exp()),
    );
    let middle = "learning rate";
    let room = WIDTH.saturating_sub(first.len() + middle.len() + last.len());
    lines.push(format!(
        "         {first}{}{middle}{}{last}",
        " ".repeat(room / 2),
        " ".repeat(room - room / 2)
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::falling;
    use super::*;

    #[test]
    fn a_curve_is_drawn_with_its_suggestion() {
        insta::assert_snapshot!(curve(&falling()), @r#"
           loss
          4.299 ┤                                 ┊                      ^^^^
                │                                 ┊
                │                                 ┊
                │                                 ┊                     •
                │                                 ┊
                │                                 ┊                    •
                │••••••••••••••••••••••••••••••   ┊
                │                             ••• ┊
                │                                ••                    •
                │                                 ┊••
                │                                 ┊  ••••
          0.301 ┤                                 ┊      ••••••••••••••
                └────────────────────────────────────────────────────────────
                 1e-7                    learning rate                    2e0
        "#);
    }
}
