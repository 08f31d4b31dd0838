//! Changes of plane coordinates.

/// A projective change of coordinates, by rows. Coordinates are continuous: the image's first pixel
/// covers `0..1`, so its centre is at one half.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix(pub [[f64; 3]; 3]);

/// Half a pixel: from OpenCV's coordinates, where a pixel's centre is whole, to continuous ones.
const HALF: f64 = 0.5;

impl Matrix {
    /// Changes nothing.
    pub const IDENTITY: Self = Self::affine([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);

    /// An affine change: the two upper rows.
    pub const fn affine([first, second]: [[f64; 3]; 2]) -> Self {
        Self([first, second, [0.0, 0.0, 1.0]])
    }

    /// Moves right and down.
    pub const fn shift(x: f64, y: f64) -> Self {
        Self::affine([[1.0, 0.0, x], [0.0, 1.0, y]])
    }

    /// Stretches from the top left.
    pub const fn scale(x: f64, y: f64) -> Self {
        Self::affine([[x, 0.0, 0.0], [0.0, y, 0.0]])
    }

    /// A matrix as OpenCV's functions take it, with whole numbers at the pixels' centres.
    #[must_use]
    pub fn from_opencv(rows: [[f64; 3]; 3]) -> Self {
        Self::shift(-HALF, -HALF)
            .then(&Self(rows))
            .then(&Self::shift(HALF, HALF))
    }

    /// First this change, then another.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let entry = |row: usize, column: usize| -> f64 {
            (0..3).map(|k| next.0[row][k] * self.0[k][column]).sum()
        };
        Self(std::array::from_fn(|row| {
            std::array::from_fn(|column| entry(row, column))
        }))
    }

    /// Where a point goes.
    pub fn apply(&self, x: f64, y: f64) -> (f64, f64) {
        let [across, down, weight] = self.homogeneous(x, y);
        // A point at infinity goes far away rather than nowhere.
        let weight = if weight.abs() < f64::EPSILON {
            f64::EPSILON.copysign(weight)
        } else {
            weight
        };
        (across / weight, down / weight)
    }

    /// Where a point goes, in homogeneous coordinates.
    pub(super) fn homogeneous(&self, x: f64, y: f64) -> [f64; 3] {
        self.0.map(|[a, b, c]| a * x + b * y + c)
    }

    /// The change back; none for one that flattens the plane.
    pub fn inverse(&self) -> Option<Self> {
        let m = &self.0;
        let minor = |row: usize, column: usize| {
            let [r0, r1] = [(row + 1) % 3, (row + 2) % 3];
            let [c0, c1] = [(column + 1) % 3, (column + 2) % 3];
            m[r0][c0] * m[r1][c1] - m[r0][c1] * m[r1][c0]
        };
        let determinant: f64 = (0..3).map(|column| m[0][column] * minor(0, column)).sum();
        if determinant.abs() < 1e-12 || !determinant.is_finite() {
            return None;
        }
        Some(Self(std::array::from_fn(|row| {
            std::array::from_fn(|column| minor(column, row) / determinant)
        })))
    }

    /// Whether lines stay parallel.
    pub(super) fn is_affine(&self) -> bool {
        self.0[2][0] == 0.0 && self.0[2][1] == 0.0 && self.0[2][2] == 1.0
    }

    /// Whether pixels go onto pixels: a flip, a quarter turn, a shift by whole pixels.
    pub(super) fn is_rigid(&self) -> bool {
        let [[a, b, c], [d, e, f], _] = self.0;
        let is_unit = |x: f64| x.abs() == 1.0;
        let is_straight = is_unit(a) && b == 0.0 && d == 0.0 && is_unit(e);
        let is_turned = a == 0.0 && is_unit(b) && is_unit(d) && e == 0.0;
        self.is_affine() && (is_straight || is_turned) && c.fract() == 0.0 && f.fract() == 0.0
    }

    /// The projective change that takes four points to four others.
    pub fn between(from: [(f64, f64); 4], to: [(f64, f64); 4]) -> Option<Self> {
        let mut equations = [[0.0; 9]; 8];
        for (index, (&(x, y), &(u, v))) in from.iter().zip(&to).enumerate() {
            equations[2 * index] = [x, y, 1.0, 0.0, 0.0, 0.0, -x * u, -y * u, u];
            equations[2 * index + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -x * v, -y * v, v];
        }
        let solution = solve(equations)?;
        let [a, b, c, d, e, f, g, h] = solution;
        Some(Self([[a, b, c], [d, e, f], [g, h, 1.0]]))
    }
}

/// Gaussian elimination with the largest pivot of each column.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let largest =
            (column..8).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
        rows.swap(column, largest);
        let pivot = rows[column];
        if pivot[column].abs() < 1e-12 {
            return None;
        }
        for (index, row) in rows.iter_mut().enumerate() {
            if index != column {
                let factor = row[column] / pivot[column];
                for (entry, pivot) in row.iter_mut().zip(&pivot) {
                    *entry -= factor * pivot;
                }
            }
        }
    }
    Some(std::array::from_fn(|index| {
        rows[index][8] / rows[index][index]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inverse_undoes_a_change() {
        let matrix = Matrix([[2.0, 1.0, 3.0], [0.5, -1.0, 2.0], [0.001, 0.002, 1.0]]);
        let back = matrix.then(&matrix.inverse().unwrap());
        let (x, y) = back.apply(12.5, -3.0);
        assert!((x - 12.5).abs() < 1e-9 && (y + 3.0).abs() < 1e-9, "{x} {y}");
        assert_eq!(Matrix::scale(0.0, 1.0).inverse(), None);
    }

    #[test]
    fn four_points_fix_a_projective_change() {
        let from = [(0.0, 0.0), (10.0, 1.0), (9.0, 12.0), (-1.0, 8.0)];
        let to = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0), (0.0, 5.0)];
        let matrix = Matrix::between(from, to).unwrap();
        for ((x, y), (u, v)) in from.into_iter().zip(to) {
            let (a, b) = matrix.apply(x, y);
            assert!((a - u).abs() < 1e-9 && (b - v).abs() < 1e-9);
        }
        assert_eq!(Matrix::between([(0.0, 0.0); 4], to), None);
    }

    #[test]
    fn flips_turns_and_whole_shifts_are_rigid() {
        assert!(Matrix::affine([[-1.0, 0.0, 7.0], [0.0, 1.0, -2.0]]).is_rigid());
        assert!(Matrix::affine([[0.0, 1.0, 0.0], [-1.0, 0.0, 9.0]]).is_rigid());
        assert!(!Matrix::shift(0.5, 0.0).is_rigid());
        assert!(!Matrix::scale(2.0, 1.0).is_rigid());
    }
}
