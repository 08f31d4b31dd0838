//! Views of a batch whose answers are averaged: test-time augmentation.

use ferrotype_core::config::schema::TestTimeAugmentation;

use crate::RgbImage;

/// One way to look at an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Left and right change places.
    is_mirrored: bool,
    /// Top and bottom change places.
    is_upside_down: bool,
    /// Rows and columns change places, after the other two. For square images.
    is_transposed: bool,
}

impl View {
    /// The views of a setting; the image as it is comes first.
    pub fn of(setting: TestTimeAugmentation) -> Vec<Self> {
        let (mirrored, upside_down, transposed): (&[bool], &[bool], &[bool]) = match setting {
            TestTimeAugmentation::None => (&[false], &[false], &[false]),
            TestTimeAugmentation::Flip => (&[false, true], &[false], &[false]),
            TestTimeAugmentation::Flips => (&[false, true], &[false, true], &[false]),
            TestTimeAugmentation::Dihedral => (&[false, true], &[false, true], &[false, true]),
        };
        let mut views = Vec::new();
        for &is_transposed in transposed {
            for &is_upside_down in upside_down {
                views.extend(mirrored.iter().map(|&is_mirrored| Self {
                    is_mirrored,
                    is_upside_down,
                    is_transposed,
                }));
            }
        }
        views
    }

    /// Whether it is the image as it is.
    pub fn is_identity(self) -> bool {
        !(self.is_mirrored || self.is_upside_down || self.is_transposed)
    }

    /// Writes the view of `images` (`[n, channels, height, width]`, given as `[height, width]`) to
    /// `seen`, which is as long. An image that is not square is not transposed.
    pub fn apply(self, images: &[f32], [height, width]: [usize; 2], seen: &mut [f32]) {
        let area = (height * width).max(1);
        let planes = images.chunks_exact(area).zip(seen.chunks_exact_mut(area));
        for (plane, seen) in planes {
            self.apply_to_plane(plane, [height, width], seen);
        }
    }

    /// The view of an image, as [`Self::apply`] has it.
    pub fn of_image(self, image: &RgbImage) -> RgbImage {
        let (width, height) = (image.width as usize, image.height as usize);
        let mut seen = image.clone();
        let rows = seen.pixels.chunks_exact_mut(3 * width.max(1));
        for (row, seen) in rows.enumerate() {
            for (column, seen) in seen.chunks_exact_mut(3).enumerate() {
                let [y, x] = self.place_of([row, column], [height, width]);
                let from = 3 * (y * width + x);
                seen.copy_from_slice(&image.pixels[from..from + 3]);
            }
        }
        seen
    }

    /// Row and column of the image that the view shows at a row and column.
    fn place_of(self, [row, column]: [usize; 2], [height, width]: [usize; 2]) -> [usize; 2] {
        let (mut y, mut x) = if self.is_transposed && height == width {
            (column, row)
        } else {
            (row, column)
        };
        if self.is_upside_down {
            y = height - 1 - y;
        }
        if self.is_mirrored {
            x = width - 1 - x;
        }
        [y, x]
    }

    fn apply_to_plane(self, plane: &[f32], [height, width]: [usize; 2], seen: &mut [f32]) {
        for (row, seen) in seen.chunks_exact_mut(width.max(1)).enumerate() {
            for (column, seen) in seen.iter_mut().enumerate() {
                let [y, x] = self.place_of([row, column], [height, width]);
                *seen = plane[y * width + x];
            }
        }
    }
}

/// Logits `[n, classes]` whose softmax is the mean of that of each view's logits: the logarithms
/// of the mean probabilities. A single view's are answered as they are.
pub fn mean_of_views(mut views: Vec<Vec<f32>>, classes: usize) -> Vec<f32> {
    if views.len() <= 1 {
        return views.pop().unwrap_or_default();
    }
    let mut mean = vec![0.0; views[0].len()];
    for logits in &views {
        let rows = logits.chunks_exact(classes.max(1));
        for (mean, row) in mean.chunks_exact_mut(classes.max(1)).zip(rows) {
            add_probabilities(row, mean);
        }
    }
    let count = views.len() as f64;
    mean.iter()
        .map(|sum: &f64| (sum / count).max(f64::from(f32::MIN_POSITIVE)).ln() as f32)
        .collect()
}

/// Logits `[n, classes]` whose sigmoid is the mean of that of each view's logits: where each class
/// is there or not by itself. A single view's are answered as they are.
pub fn mean_of_independent_views(mut views: Vec<Vec<f32>>) -> Vec<f32> {
    if views.len() <= 1 {
        return views.pop().unwrap_or_default();
    }
    let count = views.len() as f64;
    (0..views[0].len())
        .map(|place| {
            // Both sides are summed, so that a probability near 1 keeps its digits.
            let sum = |sign: f64| -> f64 {
                let sigmoid = |logit: f32| 1.0 / (1.0 + (-sign * f64::from(logit)).exp());
                views.iter().map(|view| sigmoid(view[place])).sum()
            };
            let least = f64::from(f32::MIN_POSITIVE);
            let [there, not_there] = [1.0, -1.0].map(|sign| (sum(sign) / count).max(least));
            (there / not_there).ln() as f32
        })
        .collect()
}

fn add_probabilities(logits: &[f32], sums: &mut [f64]) {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: &f32| f64::from(logit - largest).exp();
    let total: f64 = logits.iter().map(exponential).sum();
    for (sum, logit) in sums.iter_mut().zip(logits) {
        *sum += exponential(logit) / total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(view: View) -> Vec<f32> {
        let image: Vec<f32> = (0..9_u8).map(f32::from).collect();
        let mut seen = vec![0.0; 9];
        view.apply(&image, [3, 3], &mut seen);
        seen
    }

    #[test]
    fn the_eight_views_of_a_square_all_differ_and_the_first_is_the_image() {
        let views = View::of(TestTimeAugmentation::Dihedral);
        let seen: Vec<Vec<f32>> = views.iter().map(|view| seen(*view)).collect();
        assert!(views[0].is_identity());
        assert_eq!(seen[0], (0..9_u8).map(f32::from).collect::<Vec<_>>());
        assert_eq!(seen[1], [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0]);
        for (index, view) in seen.iter().enumerate() {
            assert!(!seen[..index].contains(view), "{index}");
        }
        assert_eq!(seen.len(), 8);
        assert_eq!(View::of(TestTimeAugmentation::Flips).len(), 4);
        assert_eq!(View::of(TestTimeAugmentation::None).len(), 1);
    }

    #[test]
    fn every_plane_of_a_batch_is_seen_alike_and_an_oblong_is_not_transposed() {
        let image: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let mut mirrored = vec![0.0; 12];
        View::of(TestTimeAugmentation::Flip)[1].apply(&image, [2, 3], &mut mirrored);
        assert_eq!(
            mirrored,
            [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0, 11.0, 10.0, 9.0]
        );
        let mut oblong = vec![0.0; 12];
        View::of(TestTimeAugmentation::Dihedral)[4].apply(&image, [2, 3], &mut oblong);
        assert_eq!(oblong, image);
    }

    #[test]
    fn an_image_is_seen_as_its_planes_are() {
        let pixels: Vec<u8> = (0..27).collect();
        let image = RgbImage::from_pixels(3, 3, pixels).unwrap();
        for view in View::of(TestTimeAugmentation::Dihedral) {
            let places = seen(view);
            let shown = view.of_image(&image);
            let reds = shown.pixels.iter().step_by(3).map(|red| f32::from(*red));
            assert!(reds.eq(places.iter().map(|place| 3.0 * place)), "{view:?}");
        }
    }

    #[test]
    fn the_sigmoid_of_the_mean_is_the_mean_of_the_sigmoids() {
        let views = vec![vec![0.0, 40.0, -90.0], vec![2.0, 40.0, -300.0]];
        let mean = mean_of_independent_views(views);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let expected = f64::midpoint(sigmoid(0.0), sigmoid(2.0));
        assert!((sigmoid(mean[0].into()) - expected).abs() < 1e-7);
        assert!((mean[1] - 40.0).abs() < 1e-4, "{mean:?}");
        assert!(mean[2] < -80.0 && mean[2].is_finite());
        assert_eq!(mean_of_independent_views(vec![vec![1.0]]), [1.0]);
    }

    #[test]
    fn the_softmax_of_the_mean_is_the_mean_of_the_softmaxes() {
        let views = vec![vec![0.0, 0.0, 3.0, -1.0], vec![2.0, 0.0, -200.0, 200.0]];
        let softmax = |row: &[f32]| {
            let mut probabilities = vec![0.0; row.len()];
            add_probabilities(row, &mut probabilities);
            probabilities
        };
        let mean = mean_of_views(views.clone(), 2);
        for row in 0..2 {
            let range = row * 2..row * 2 + 2;
            let [first, second] = [&views[0], &views[1]].map(|view| softmax(&view[range.clone()]));
            for (class, found) in softmax(&mean[range]).iter().enumerate() {
                let expected = f64::midpoint(first[class], second[class]);
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
        assert_eq!(mean_of_views(vec![vec![1.0, 2.0]], 2), [1.0, 2.0]);
    }
}
