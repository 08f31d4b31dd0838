//! Augmentations with fixed parameters, against Albumentations' and torchvision's
//! (`tools/golden_augment.py`).

use ferrotype_core::config::augment::{BorderMode, EqualizeMode, Interpolation};
use ferrotype_vision::RgbImage;
use ferrotype_vision::augment::{
    Border, BoxRules, Displacement, Geometry, Hole, HoleFill, Kernel, LabelledBox, Matrix,
    Operation, Pixelwise, Tables, apply_all, gaussian, motion,
};

use crate::{difference, image, rows, size};

const SIZE: [u32; 2] = [33, 24];
const FILL: [u8; 3] = [10, 200, 90];

/// The image that the script makes.
fn picture() -> RgbImage {
    let mut image = RgbImage::filled(SIZE[0], SIZE[1], [0; 3]);
    for y in 0..SIZE[1] as i32 {
        for x in 0..SIZE[0] as i32 {
            let color = [0, 1, 2].map(|c| {
                let wave = x * (9 + 4 * c) + y * (13 - 5 * c) + (x * y / 4) * (c + 1);
                let wave = wave % 510;
                (if wave < 256 { wave } else { 510 - wave }) as u8
            });
            image.set_pixel(x as u32, y as u32, color);
        }
    }
    image
}

fn moved(matrix: Matrix, mode: BorderMode, interpolation: Interpolation) -> Operation {
    Operation::Geometry(Geometry {
        matrix,
        width: SIZE[0],
        height: SIZE[1],
        border: Border { mode, fill: FILL },
        interpolation,
    })
}

/// Albumentations' order: scale, rotate, shear, translate, around the centre.
fn around_center(degrees: f64, scale: [f64; 2], shear: [f64; 2], shift: [f64; 2]) -> Matrix {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let [x, y] = [f64::from(SIZE[0]) / 2.0, f64::from(SIZE[1]) / 2.0];
    let [shear_x, shear_y] = shear.map(|degrees| degrees.to_radians().tan());
    Matrix::shift(-x, -y)
        .then(&Matrix::scale(scale[0], scale[1]))
        .then(&Matrix::affine([[cos, sin, 0.0], [-sin, cos, 0.0]]))
        .then(&Matrix::affine([[1.0, shear_x, 0.0], [shear_y, 1.0, 0.0]]))
        .then(&Matrix::shift(x + shift[0], y + shift[1]))
}

fn rotated(degrees: f64, mode: BorderMode) -> Operation {
    let matrix = around_center(degrees, [1.0; 2], [0.0; 2], [0.0; 2]);
    moved(matrix, mode, Interpolation::Linear)
}

fn sheared() -> Operation {
    let matrix = around_center(30.0, [0.8, 1.2], [10.0, -5.0], [4.0, -3.0]);
    moved(matrix, BorderMode::Constant, Interpolation::Linear)
}

/// The matrix is OpenCV's for the image; for boxes Albumentations takes it as it stands.
fn perspective() -> [[f64; 3]; 3] {
    [[1.1, 0.08, -3.0], [-0.05, 1.2, 1.5], [0.002, -0.001, 1.0]]
}

fn black(matrix: Matrix) -> Operation {
    Operation::Geometry(Geometry {
        matrix,
        width: SIZE[0],
        height: SIZE[1],
        border: Border {
            mode: BorderMode::Constant,
            fill: [0; 3],
        },
        interpolation: Interpolation::Nearest,
    })
}

fn displaced(at: impl Fn(f32, f32) -> (f32, f32), mode: BorderMode) -> Operation {
    let positions = (0..SIZE[1]).flat_map(|y| (0..SIZE[0]).map(move |x| (x as f32, y as f32)));
    let (columns, rows) = positions.map(|(x, y)| at(x, y)).unzip();
    Operation::Displacement(Displacement {
        columns,
        rows,
        border: Border { mode, fill: FILL },
        interpolation: Interpolation::Linear,
    })
}

fn waves() -> Operation {
    let at = |x: f32, y: f32| {
        let column = x + 3.0 * (x * y % 7.0) / 7.0 - 1.5;
        (column, y + 2.0 * ((x + 2.0 * y) % 5.0) / 5.0 - 1.0)
    };
    displaced(at, BorderMode::Reflect101)
}

fn lens() -> Operation {
    let [w, h] = SIZE.map(|side| side as f32);
    let at = |x: f32, y: f32| {
        let (x, y) = ((x - (w - 1.0) / 2.0) / w, (y - (h - 1.0) / 2.0) / h);
        let squared = x * x + y * y;
        let factor = 1.0 + 0.3 * squared + 0.3 * squared * squared;
        (x * factor * w + w / 2.0, y * factor * h + h / 2.0)
    };
    displaced(at, BorderMode::Constant)
}

fn pixelwise(change: Pixelwise) -> Vec<Operation> {
    vec![Operation::Pixelwise(change)]
}

fn tables(tables: Tables) -> Vec<Operation> {
    pixelwise(Pixelwise::Tables(tables))
}

fn darker() -> Vec<Operation> {
    tables(Tables::of(|value| (value / 2.0).floor() + 30.0))
}

fn cut() -> Vec<Operation> {
    vec![
        Operation::Geometry(Geometry {
            width: 22,
            height: 12,
            ..Geometry::rigid(Matrix::shift(-3.0, -5.0), 22, 12)
        }),
        Operation::Geometry(Geometry::rigid(
            Matrix::scale(30.0 / 22.0, 28.0 / 12.0),
            30,
            28,
        )),
    ]
}

/// The operations of a golden row, and the largest difference that rounding explains.
fn operations(name: &str) -> (Vec<Operation>, u8) {
    use BorderMode::{Constant, Reflect, Reflect101, Replicate, Wrap};
    let turn = |quarters| vec![Operation::Geometry(Geometry::quarter_turns(SIZE, quarters))];
    match name {
        "horizontal_flip" => (
            vec![Operation::Geometry(Geometry::horizontal_flip(SIZE))],
            0,
        ),
        "vertical_flip" => (vec![Operation::Geometry(Geometry::vertical_flip(SIZE))], 0),
        "transpose" => (vec![Operation::Geometry(Geometry::transpose(SIZE))], 0),
        "rot90_1" => (turn(1), 0),
        "rot90_2" => (turn(2), 0),
        "rot90_3" => (turn(3), 0),
        "rotate_constant" => (vec![rotated(20.0, Constant)], 1),
        "rotate_replicate" => (vec![rotated(-75.0, Replicate)], 1),
        "rotate_reflect" => (vec![rotated(45.0, Reflect)], 1),
        "rotate_reflect_101" => (vec![rotated(45.0, Reflect101)], 1),
        "rotate_wrap" => (vec![rotated(200.0, Wrap)], 1),
        "affine" => (vec![sheared()], 1),
        "perspective" => {
            let matrix = Matrix::from_opencv(perspective());
            (vec![moved(matrix, Constant, Interpolation::Linear)], 1)
        }
        // OpenCV's resizing has 11 bits a direction and rounds between them.
        "resized_crop" => (cut(), 2),
        "resized_crop_antialias" => {
            let (part, size) = ([3, 2, 30, 22], [13, 9]);
            (vec![Operation::ResizedCrop { part, size }], 1)
        }
        "pad_reflect_101" => {
            let matrix = Matrix::shift(-3.0, 3.0);
            (vec![moved(matrix, Reflect101, Interpolation::Linear)], 0)
        }
        "displacement" => (vec![waves()], 1),
        "optical_distortion" => (vec![lens()], 1),
        name => colors(name),
    }
}

fn colors(name: &str) -> (Vec<Operation>, u8) {
    let smooth = |sigma| vec![Operation::Smooth(gaussian(sigma, 0))];
    match name {
        "brightness_contrast" => (tables(Tables::linear(1.3, -20.0)), 0),
        "hue_saturation_value" => {
            let shifts = [12.0, -25.0, 30.0];
            (pixelwise(Pixelwise::HueSaturationValue(shifts)), 1)
        }
        "hue_saturation_value_back" => {
            let shifts = [-35.5, 20.25, -10.0];
            (pixelwise(Pixelwise::HueSaturationValue(shifts)), 1)
        }
        "rgb_shift" => (tables(Tables::shift([10.7, -20.2, 5.0])), 0),
        "gamma" => (tables(Tables::gamma(1.4)), 0),
        "to_gray" => (pixelwise(Pixelwise::Gray), 0),
        // OpenCV's filters on bytes have weights of 8 bits.
        "gaussian_blur" => (smooth(1.2), 2),
        "gaussian_blur_wide" => (smooth(3.0), 2),
        "motion_blur" => (vec![Operation::Convolve(motion(7, 30.0, 0.3, [0.0; 2]))], 1),
        "motion_blur_back" => (
            vec![Operation::Convolve(motion(5, 110.0, -0.6, [0.0; 2]))],
            1,
        ),
        "median_3" => (vec![Operation::Median(3)], 0),
        "median_5" => (vec![Operation::Median(5)], 0),
        "median_7" => (vec![Operation::Median(7)], 0),
        "equalize_cv" => (vec![Operation::Equalize(EqualizeMode::Cv)], 0),
        "equalize_pil" | "tv_equalize" => (vec![Operation::Equalize(EqualizeMode::Pil)], 0),
        "posterize" => (tables(Tables::posterize(3)), 0),
        "solarize" => (tables(Tables::solarize(127.5)), 0),
        "invert" => (tables(Tables::invert()), 0),
        "sharpen" => {
            let mut weights = vec![-0.4; 9];
            weights[4] = 0.6 + 0.4 * 8.8;
            (vec![Operation::Convolve(Kernel { side: 3, weights })], 1)
        }
        "auto_contrast" => {
            // Albumentations leaves 255 out of its histograms.
            ([darker(), vec![Operation::AutoContrast(0.0)]].concat(), 0)
        }
        "auto_contrast_cutoff" => ([darker(), vec![Operation::AutoContrast(5.0)]].concat(), 0),
        // The way back from lightness is in real numbers, OpenCV's in whole ones.
        "clahe" | "clahe_even" => {
            let (clip_limit, tiles) = if name == "clahe" {
                (2.0, [4, 4])
            } else {
                (3.5, [4, 2])
            };
            (vec![Operation::Clahe { clip_limit, tiles }], 2)
        }
        // libjpeg-turbo's whole numbers give other roundings; its loss is five to nine levels in the
        // mean, this differs from it by one.
        "jpeg_90" => (vec![Operation::Compress(90)], 12),
        "jpeg_40" => (vec![Operation::Compress(40)], 12),
        name => torchvision(name),
    }
}

fn torchvision(name: &str) -> (Vec<Operation>, u8) {
    let [w, h] = SIZE.map(f64::from);
    match name {
        "grid_distortion" => (vec![grid()], 1),
        "downscale" => {
            let interpolation = Interpolation::Nearest;
            let scale = 0.4;
            (
                vec![Operation::Downscale {
                    scale,
                    interpolation,
                }],
                0,
            )
        }
        "tv_brightness" => (tables(Tables::linear(1.3, 0.0)), 0),
        "tv_contrast" => (vec![Operation::Contrast(0.6)], 0),
        "tv_saturation" => (pixelwise(Pixelwise::Saturation(1.4)), 1),
        "tv_hue" => (pixelwise(Pixelwise::Hue(0.2)), 1),
        "tv_hue_back" => (pixelwise(Pixelwise::Hue(-0.37)), 1),
        "tv_sharper" => (vec![Operation::Sharpness(1.7)], 1),
        "tv_smoother" => (vec![Operation::Sharpness(0.3)], 1),
        "tv_autocontrast" => (vec![Operation::Stretch], 0),
        "tv_posterize" => (tables(Tables::posterize(2)), 0),
        "tv_solarize" => (tables(Tables::solarize(102.0)), 0),
        "tv_shear_x" => (
            vec![black(Matrix::affine([[1.0, -0.31, 0.0], [0.0, 1.0, 0.0]]))],
            0,
        ),
        "tv_shear_y" => (
            vec![black(Matrix::affine([[1.0, 0.0, 0.0], [0.517, 1.0, 0.0]]))],
            0,
        ),
        "tv_translate" => (vec![black(Matrix::shift(-7.0, 0.0))], 0),
        "tv_rotate" => {
            let (sin, cos) = 33.3_f64.to_radians().sin_cos();
            let matrix = Matrix::shift(-w / 2.0, -h / 2.0)
                .then(&Matrix::affine([[cos, sin, 0.0], [-sin, cos, 0.0]]))
                .then(&Matrix::shift(w / 2.0, h / 2.0));
            (vec![black(matrix)], 0)
        }
        name => panic!("no operation is known for `{name}`"),
    }
}

/// Four cells of these widths, each at an even pace.
fn grid() -> Operation {
    let line = |side: usize, stretches: [f64; 5]| -> Vec<f32> {
        let step = side / 4;
        let mut widths = stretches;
        widths[4] *= (side.min(5 * step) - 4 * step) as f64 / step as f64;
        let scale = side as f64 / step as f64 / widths.iter().sum::<f64>();
        let mut from = 0.0;
        let mut line = vec![0.0; side];
        for (cell, width) in widths.iter().enumerate() {
            let range = cell * step..((cell + 1) * step).min(side);
            let to = from + step as f64 * width * scale;
            let gaps = range.len().saturating_sub(1).max(1) as f64;
            for (index, at) in range.enumerate() {
                line[at] = (from + (to - from) * index as f64 / gaps) as f32;
            }
            from = to;
        }
        line
    };
    let columns = line(SIZE[0] as usize, [0.8, 1.2, 1.1, 0.7, 1.25]);
    let rows = line(SIZE[1] as usize, [1.2, 0.75, 1.1, 0.9, 1.05]);
    displaced(
        |x, y| (columns[x as usize], rows[y as usize]),
        BorderMode::Constant,
    )
}

#[test]
fn images_change_as_albumentations_and_torchvision_change_them() {
    let mut wrong = Vec::new();
    for row in rows("augment.tsv") {
        let [name, target, pixels] = row.as_slice() else {
            panic!("{row:?}");
        };
        let expected = image(size(target), pixels);
        let (operations, most) = operations(name);
        let mut found = picture();
        apply_all(
            &operations,
            &mut found,
            &mut Vec::new(),
            &BoxRules::default(),
        );
        if (found.width, found.height) != (expected.width, expected.height) {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
            continue;
        }
        let (mean, largest) = difference(&found.pixels, &expected.pixels);
        if largest > most || mean > if name.starts_with("jpeg") { 1.2 } else { 0.6 } {
            wrong.push(format!(
                "{name}: mean {mean:.3}, largest {largest}, expected {most}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn boxes_go_where_albumentations_has_them() {
    const RULES: BoxRules = BoxRules {
        min_area: 9.0,
        min_visibility: 0.3,
        min_width: 1.0,
        min_height: 1.0,
    };
    let boxed = |[x_min, y_min, x_max, y_max]: [f64; 4], label| LabelledBox {
        x_min,
        y_min,
        x_max,
        y_max,
        label,
    };
    let mut wrong = Vec::new();
    for row in rows("augment_boxes.tsv") {
        let [name, expected] = row.as_slice() else {
            panic!("{row:?}");
        };
        let operations = match name.as_str() {
            "perspective" => {
                vec![moved(
                    Matrix(perspective()),
                    BorderMode::Constant,
                    Interpolation::Linear,
                )]
            }
            "coarse_dropout" => {
                let hole = |[x_min, y_min, x_max, y_max]: [u32; 4]| Hole {
                    x_min,
                    y_min,
                    x_max,
                    y_max,
                };
                let holes = vec![hole([0, 0, 12, 20]), hole([21, 8, 33, 18])];
                let fill = HoleFill::Color([0; 3]);
                vec![Operation::Erase { holes, fill }]
            }
            name => operations(name).0,
        };
        let mut found = vec![
            boxed([3.0, 4.0, 15.0, 12.0], 0),
            boxed([18.5, 10.25, 31.0, 23.0], 1),
            boxed([0.0, 0.0, 33.0, 24.0], 2),
            boxed([27.0, 1.0, 32.5, 6.0], 3),
        ];
        apply_all(&operations, &mut picture(), &mut found, &RULES);
        let mut expected: Vec<LabelledBox> = expected
            .split(';')
            .map(|row| {
                let numbers: Vec<f64> = row
                    .split(',')
                    .map(|number| number.parse().unwrap())
                    .collect();
                boxed(numbers[..4].try_into().unwrap(), numbers[4] as u32)
            })
            .collect();
        for boxes in [&mut found, &mut expected] {
            boxes.sort_by(|a, b| (a.label, a.x_min).partial_cmp(&(b.label, b.x_min)).unwrap());
        }
        // Boxes by masks are whole pixels, and Albumentations' first rounding is another.
        let slack = match name.as_str() {
            "displacement" | "optical_distortion" => 1.0,
            "coarse_dropout" => 0.5,
            _ => 1e-3,
        };
        let near = |a: f64, b: f64| (a - b).abs() <= slack;
        let same = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(a, b)| {
                a.label == b.label
                    && near(a.x_min, b.x_min)
                    && near(a.y_min, b.y_min)
                    && near(a.x_max, b.x_max)
                    && near(a.y_max, b.y_max)
            });
        if !same {
            wrong.push(format!("{name}: {found:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
