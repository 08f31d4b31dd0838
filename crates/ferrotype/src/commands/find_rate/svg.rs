//! The curve of a range test as a picture.

use std::fmt::Write as _;

use ferrotype_engine::train::{RateCurve, RatePoint};

use super::{visible, words};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 48.0;

/// Lines of the grid across.
const LEVELS: usize = 5;

/// Light and dark as the reader's system is.
const STYLE: &str = "\
svg{color-scheme:light dark;background:#fff;font:12px system-ui,sans-serif}\
text{fill:#222}.grid{stroke:#ddd}.raw{stroke:#9aa;fill:none}\
.smooth{stroke:#1b5e9b;stroke-width:2;fill:none}.pick{stroke:#b3541e;stroke-dasharray:4 3}\
.picked{fill:#b3541e}.title{font-size:14px;font-weight:600}\
@media(prefers-color-scheme:dark){svg{background:#16181a}text{fill:#ddd}.grid{stroke:#333}\
.raw{stroke:#566}.smooth{stroke:#7db7ea}.pick{stroke:#e59a66}.picked{fill:#e59a66}}";

/// The loss over the logarithm of the learning rate: as measured, smoothed, and the suggestion.
pub(super) fn curve(curve: &RateCurve, title: &str) -> String {
    let view = View::of(curve);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>Loss by learning rate: {title}</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"24\">Loss by learning rate: {title}</text>\n",
        title = escaped(title),
    );
    view.add_grid(&mut svg);
    for (class, loss) in [
        ("raw", (|point| point.loss) as fn(&RatePoint) -> f64),
        ("smooth", |point| point.smoothed_loss),
    ] {
        let places: Vec<String> = curve
            .points
            .iter()
            .map(|point| {
                format!(
                    "{:.1},{:.1}",
                    view.x(point.learning_rate),
                    view.y(loss(point))
                )
            })
            .collect();
        line(
            &mut svg,
            format_args!(
                "<polyline class=\"{class}\" points=\"{}\"/>",
                places.join(" ")
            ),
        );
    }
    if let Ok(rate) = curve.suggestion {
        let label = format!("suggested: {rate:.1e}");
        view.add_mark(&mut svg, rate, &label, TOP + 14.0);
    }
    if let Some(label) = words::end_label(curve) {
        view.add_mark(&mut svg, curve.end_rate, &label, TOP + 32.0);
    }
    svg.push_str("</svg>\n");
    svg
}

/// From rates and losses to places.
struct View {
    /// Logarithms to base 10 of the lowest and the highest rate.
    rates: [f64; 2],
    losses: [f64; 2],
}

impl View {
    fn of(curve: &RateCurve) -> Self {
        let logarithm = |point: Option<&RatePoint>| point.map_or(0.0, |p| p.learning_rate.log10());
        Self {
            // The last rate may have no loss to show.
            rates: [logarithm(curve.points.first()), curve.end_rate.log10()],
            losses: visible(curve),
        }
    }

    fn x(&self, rate: f64) -> f64 {
        let [first, last] = self.rates;
        let share = (rate.log10() - first) / (last - first).max(1e-9);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// What does not fit lies at the edge.
    fn y(&self, loss: f64) -> f64 {
        let [low, high] = self.losses;
        let share = ((high - loss) / (high - low)).clamp(0.0, 1.0);
        TOP + share * (HEIGHT - TOP - BOTTOM)
    }

    /// A line upwards at a rate, with a label at a height, on the side where there is more room.
    fn add_mark(&self, svg: &mut String, rate: f64, label: &str, height: f64) {
        let (x, bottom) = (self.x(rate), HEIGHT - BOTTOM);
        let (place, anchor) = match x < WIDTH / 2.0 {
            true => (x + 6.0, "start"),
            false => (x - 6.0, "end"),
        };
        line(
            svg,
            format_args!(
                "<line class=\"pick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
                 <text class=\"picked\" x=\"{place:.1}\" y=\"{height:.1}\" text-anchor=\"{anchor}\">{label}</text>"
            ),
        );
    }

    fn add_grid(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let [first, last] = self.rates;
        for decade in first.ceil() as i32..=last.floor() as i32 {
            let x = self.x(10_f64.powi(decade));
            line(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
                ),
            );
            line(
                svg,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1e{decade}</text>",
                    bottom + 18.0
                ),
            );
        }
        let [low, high] = self.losses;
        for level in 0..LEVELS {
            let loss = low + (high - low) * level as f64 / (LEVELS - 1) as f64;
            let y = self.y(loss);
            line(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
                ),
            );
            line(
                svg,
                format_args!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.3}</text>",
                    LEFT - 8.0,
                    y + 4.0
                ),
            );
        }
        line(
            svg,
            format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">learning rate</text>",
                (LEFT + right) / 2.0,
                HEIGHT - 10.0
            ),
        );
    }
}

fn line(svg: &mut String, element: std::fmt::Arguments<'_>) {
    // A string takes whatever is written to it.
    let _ = writeln!(svg, "{element}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::falling;
    use super::*;

    #[test]
    fn a_picture_has_both_curves_and_the_suggestion() {
        let svg = curve(&falling(), "a <b> & c");
        assert!(svg.contains("a &lt;b&gt; &amp; c"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("suggested: 1.2e-3"), "{svg}");
        assert!(
            svg.contains("diverged: 1.6e0, cut off here, rose to 9.300"),
            "{svg}"
        );
        let numbers = svg
            .split(['"', ' ', ','])
            .filter_map(|part| part.parse::<f64>().ok());
        assert!(
            numbers
                .into_iter()
                .all(|number| (-10.0..=1e4).contains(&number))
        );
    }
}
