//! Changes that need no tuning, in torchvision's spaces.

use ferrotype_core::config::augment::{
    BorderMode, Color, EqualizeMode, Interpolation, RandAugment, TrivialAugment,
};

use super::Draw;
use super::places::around_center;
use crate::augment::color::Tables;
use crate::augment::geometry::{Border, Geometry, Matrix};
use crate::augment::operation::Operation;
use crate::random;

/// The changes of both spaces, each as likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

const CHANGES: [Change; 14] = [
    Change::Identity,
    Change::ShearX,
    Change::ShearY,
    Change::TranslateX,
    Change::TranslateY,
    Change::Rotate,
    Change::Brightness,
    Change::Color,
    Change::Contrast,
    Change::Sharpness,
    Change::Posterize,
    Change::Solarize,
    Change::AutoContrast,
    Change::Equalize,
];

/// What the strongest change is.
struct Space {
    shear: f64,
    /// In pixels.
    translate: [f64; 2],
    degrees: f64,
    factor: f64,
    posterize_bits: f64,
}

/// How moved pixels are found.
#[derive(Clone, Copy)]
struct Look {
    interpolation: Interpolation,
    fill: Color,
}

impl Draw<'_> {
    pub(super) fn rand_augment(&mut self, own: &RandAugment) {
        let look = Look {
            interpolation: own.interpolation,
            fill: own.fill,
        };
        let last = own.num_magnitude_bins.saturating_sub(1).max(1);
        let strength = f64::from(own.magnitude.min(last)) / f64::from(last);
        for _ in 0..own.num_ops {
            let space = Space {
                shear: 0.3,
                translate: [self.width(), self.height()].map(|side| 150.0 / 331.0 * side),
                degrees: 30.0,
                factor: 0.9,
                posterize_bits: 4.0,
            };
            let change = self.any_change();
            self.automatic(change, &space, strength, look);
        }
    }

    pub(super) fn trivial_augment(&mut self, own: &TrivialAugment) {
        let look = Look {
            interpolation: own.interpolation,
            fill: own.fill,
        };
        let space = Space {
            shear: 0.99,
            translate: [32.0; 2],
            degrees: 135.0,
            factor: 0.99,
            posterize_bits: 6.0,
        };
        let bins = own.num_magnitude_bins.max(2);
        let bin = random::below(self.rng, bins.into());
        let change = self.any_change();
        self.automatic(change, &space, bin as f64 / f64::from(bins - 1), look);
    }

    fn any_change(&mut self) -> Change {
        CHANGES[random::below(self.rng, CHANGES.len() as u64) as usize]
    }

    /// One change of a strength from 0 to 1, in either direction where it has two.
    fn automatic(&mut self, change: Change, space: &Space, strength: f64, look: Look) {
        let sign = if random::chance(self.rng, 0.5) {
            -1.0
        } else {
            1.0
        };
        let signed = sign * strength;
        match change {
            Change::Identity => {}
            Change::ShearX
            | Change::ShearY
            | Change::TranslateX
            | Change::TranslateY
            | Change::Rotate => {
                let matrix = self.automatic_matrix(change, space, signed);
                self.look(matrix, look);
            }
            Change::Brightness => self.brightness(1.0 + signed * space.factor),
            Change::Color => self.saturation(1.0 + signed * space.factor),
            Change::Contrast => self.contrast(1.0 + signed * space.factor),
            Change::Sharpness => {
                self.push(Operation::Sharpness((1.0 + signed * space.factor) as f32));
            }
            Change::Posterize => {
                let bits = (8.0 - strength * space.posterize_bits).round_ties_even();
                self.tables(Tables::posterize(bits as u32));
            }
            Change::Solarize => self.tables(Tables::solarize((255.0 * (1.0 - strength)) as f32)),
            Change::AutoContrast => self.push(Operation::Stretch),
            Change::Equalize => self.push(Operation::Equalize(EqualizeMode::Pil)),
        }
    }

    /// torchvision's `affine` and `rotate`: shears from the top left, turns around the centre.
    fn automatic_matrix(&self, change: Change, space: &Space, signed: f64) -> Matrix {
        match change {
            Change::ShearX => Matrix::affine([[1.0, -signed * space.shear, 0.0], [0.0, 1.0, 0.0]]),
            Change::ShearY => Matrix::affine([[1.0, 0.0, 0.0], [-signed * space.shear, 1.0, 0.0]]),
            Change::TranslateX => Matrix::shift((signed * space.translate[0]).trunc(), 0.0),
            Change::TranslateY => Matrix::shift(0.0, (signed * space.translate[1]).trunc()),
            _ => {
                let size = [self.width(), self.height()];
                around_center(size, [1.0; 2], signed * space.degrees, [0.0; 2], [0.0; 2])
            }
        }
    }

    fn look(&mut self, matrix: Matrix, look: Look) {
        let [width, height] = self.size;
        if matrix == Matrix::IDENTITY {
            return;
        }
        self.geometry(Geometry {
            matrix,
            width,
            height,
            border: Border {
                mode: BorderMode::Constant,
                fill: look.fill,
            },
            interpolation: look.interpolation,
        });
    }
}
