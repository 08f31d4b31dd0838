//! What is said of a range test: why it ended, and why it suggests nothing.

use ferrotype_engine::train::{NoDescent, RangeEnd, RateCurve, RateFinderOptions};

use super::{highest, is_cut_off, visible};

/// How the test ended, as the JSON file has it.
pub(super) fn end_name(end: RangeEnd) -> &'static str {
    match end {
        RangeEnd::Complete => "complete",
        RangeEnd::Diverged => "diverged",
        RangeEnd::NotFinite => "not_finite",
        _ => "stopped",
    }
}

/// What the picture says at its right edge: how the test ended before its highest rate, and that
/// the curve is cut off.
pub(super) fn end_label(curve: &RateCurve) -> Option<String> {
    let ended = match curve.end {
        RangeEnd::Diverged => Some(format!("diverged: {:.1e}", curve.end_rate)),
        RangeEnd::NotFinite => Some(format!("no number: {:.1e}", curve.end_rate)),
        _ => None,
    };
    let cut_off = is_cut_off(curve).then(|| format!("cut off here, rose to {:.3}", highest(curve)));
    let label: Vec<String> = ended.into_iter().chain(cut_off).collect();
    (!label.is_empty()).then(|| label.join(", "))
}

/// Where the curve ends before its highest rate and why, and what of it is not drawn.
pub(super) fn end(curve: &RateCurve) -> Option<String> {
    let rate = curve.end_rate;
    let ended = match curve.end {
        RangeEnd::Diverged => Some(format!(
            "The loss diverged at a learning rate of {rate:.1e}, where the test ended."
        )),
        RangeEnd::NotFinite => Some(format!(
            "The loss was no number any more at a learning rate of {rate:.1e}, where the test ended."
        )),
        _ => None,
    };
    let cut_off = is_cut_off(curve).then(|| {
        format!(
            "What is over {:.3} is drawn as `^`; the loss rose to {:.3}.",
            visible(curve)[1],
            highest(curve)
        )
    });
    let said: Vec<String> = ended.into_iter().chain(cut_off).collect();
    (!said.is_empty()).then(|| said.join("\n"))
}

/// Why nothing is suggested, and what to try.
pub(super) fn no_suggestion(
    why: NoDescent,
    end: RangeEnd,
    options: &RateFinderOptions,
) -> [String; 2] {
    let more_steps = options.steps.saturating_mul(3).max(100);
    // Of steps that would have been enough.
    let ended_early = matches!(end, RangeEnd::Diverged | RangeEnd::NotFinite)
        && options.steps >= RateCurve::LEAST_POINTS;
    match (why, ended_early) {
        (NoDescent::TooShort, true) => [
            "no learning rate is suggested: the test ended too early to tell a fall of the loss from its noise".to_string(),
            format!("start lower, as with `--from {:.0e}`", options.lowest / 1e3),
        ],
        (NoDescent::TooShort, false) => [
            "no learning rate is suggested: so few steps do not tell a fall of the loss from its noise".to_string(),
            format!("take more, as with `--steps {more_steps}`"),
        ],
        _ => [
            "no learning rate is suggested: the loss does not fall clearly, beyond its ups and downs from step to step".to_string(),
            format!(
                "try `--steps {more_steps}`, a larger `train.batch_size`, or a wider range (`--from`, `--to`); if it stays flat, look at the images and their labels"
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::falling;
    use super::*;

    #[test]
    fn a_loss_that_blew_up_is_told_with_its_rate_and_height() {
        insta::assert_snapshot!(end(&falling()).unwrap(), @r"
        The loss diverged at a learning rate of 1.6e0, where the test ended.
        What is over 4.299 is drawn as `^`; the loss rose to 9.300.
        ");
        let complete = RateCurve {
            end: RangeEnd::Complete,
            points: falling().points[..70].to_vec(),
            ..falling()
        };
        assert_eq!(end(&complete), None);
        assert_eq!(end_label(&complete), None);
        assert_eq!(
            end_label(&falling()).unwrap(),
            "diverged: 1.6e0, cut off here, rose to 9.300"
        );
    }

    #[test]
    fn what_to_try_depends_on_how_the_test_ended() {
        let options = RateFinderOptions::default();
        let hint = |why, end| no_suggestion(why, end, &options)[1].clone();
        assert!(hint(NoDescent::TooShort, RangeEnd::Diverged).contains("`--from 1e-10`"));
        assert!(hint(NoDescent::TooShort, RangeEnd::Complete).contains("`--steps 300`"));
        let few = RateFinderOptions {
            steps: 10,
            ..options
        };
        let [_, hint_for_few] = no_suggestion(NoDescent::TooShort, RangeEnd::Diverged, &few);
        assert!(hint_for_few.contains("`--steps 100`"), "{hint_for_few}");
        assert!(hint(NoDescent::Flat, RangeEnd::Complete).contains("`train.batch_size`"));
    }
}
