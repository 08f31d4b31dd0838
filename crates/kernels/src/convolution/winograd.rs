//! Convolution with 3×3 kernels by Winograd's minimal filtering, F(4×4, 3×3) (Lavin & Gray 2015,
//! arXiv:1509.09308): a quarter of the multiplications of the definition.
//!
//! A tile of 4×4 outputs sees 6×6 inputs. Both inputs and weights are carried into a space of 36
//! positions, where convolution is a product for each position; the products over all channels
//! are ordinary matrix products. The weights' gradient is the same with other roles, F(3×3, 4×4).
//!
//! The interpolation points are 0, ±1, ±2 and infinity. In f32 the result's error is a few times
//! that of the direct sum (tests hold it to 1e-5 of the largest number).

use std::ops::Range;

use rayon::prelude::*;

use super::correlation::Correlation;
use super::outer_products::{OuterProducts, Span, add_outer_products};
use super::packing::Panels;
use super::shared_output::SharedOutput;
use super::tile::{Finish, PANEL, Products, Run, correlate};
use super::transforms::{
    Gradients, Inputs, Outputs, Places, WeightGradients, Weights, apply, in_positions,
};
use crate::scratch::with_scratch;

/// Outputs of a tile along each axis.
pub(super) const OUTPUTS: usize = 4;

/// Inputs of a tile along each axis.
pub(super) const INPUTS: usize = 6;

/// Positions of the transformed space.
pub(super) const POSITIONS: usize = INPUTS * INPUTS;

/// Between the positions' numbers, so that they do not all fall on the same lines of a cache.
const GAP: usize = 16;

/// Numbers of transformed inputs and outputs that are worked on at a time.
const NUMBERS_AT_ONCE: usize = 160 * 1024;

/// Partial sums of transformed weight gradients may have so many numbers together.
const MOST_PARTIAL_NUMBERS: usize = 3 * 1024 * 1024;

/// Pieces of the tiles with a sum of their own.
const PIECES: usize = 4;

/// Tiles whose transforms are kept at a time when sums are not split.
const TILES_IN_CHUNK: usize = 256;

/// Whether a correlation can be computed so, and is faster for it.
///
/// Weights are transformed anew each time, which only pays when there are enough tiles.
pub(super) fn pays(shape: &Correlation) -> bool {
    let is_plain = shape.kernel == [3, 3]
        && shape.stride == [1, 1]
        && shape.dilation == [1, 1]
        && shape.groups == 1
        && shape.spread == shape.grid
        && shape.in_channels.is_multiple_of(16)
        && shape.out_channels.is_multiple_of(16);
    if !is_plain {
        return false;
    }
    let tiles = Tiles::of(shape).count() as f64;
    let (inputs, outputs) = (shape.in_channels as f64, shape.out_channels as f64);
    let pixels = (shape.images * shape.grid[0] * shape.grid[1]) as f64;
    // In multiplications. A transformed number costs as much as several; a transformed weight,
    // which goes to memory and comes from there, as many more.
    let direct = pixels * 9.0 * inputs * outputs * shape.inside_share();
    let products = tiles * 36.0 * inputs * outputs;
    let transforms = 36.0 * (8.0 * tiles * (inputs + outputs) + 60.0 * inputs * outputs);
    products + transforms < 0.85 * direct
}

/// Numbers of scratch memory that transformed weights or their gradients take; none where it does
/// not pay.
pub(super) fn workspace_len(shape: &Correlation) -> usize {
    if !pays(shape) {
        return 0;
    }
    let panels = shape.out_channels.div_ceil(PANEL);
    let numbers = POSITIONS * position_len(panels * shape.in_channels, PANEL);
    if PIECES * numbers <= MOST_PARTIAL_NUMBERS {
        return PIECES * numbers;
    }
    let tiles = Tiles::of(shape).count().min(TILES_IN_CHUNK);
    let channels = [shape.in_channels, shape.out_channels];
    let pixels = channels.map(|channels| POSITIONS * position_len(tiles, channels));
    numbers + pixels.iter().sum::<usize>()
}

/// The tiles that cover the outputs of a correlation.
#[derive(Debug, Clone, Copy)]
struct Tiles<'a> {
    shape: &'a Correlation,
    rows: usize,
    columns: usize,
}

/// One of them: an image and the first output's row and column.
#[derive(Debug, Clone, Copy)]
struct Tile {
    image: usize,
    y: usize,
    x: usize,
}

impl<'a> Tiles<'a> {
    fn of(shape: &'a Correlation) -> Self {
        Self {
            shape,
            rows: shape.grid[0].div_ceil(OUTPUTS),
            columns: shape.grid[1].div_ceil(OUTPUTS),
        }
    }

    fn count(&self) -> usize {
        self.shape.images * self.rows * self.columns
    }

    fn get(&self, index: usize) -> Tile {
        let (row, column) = (index / self.columns, index % self.columns);
        Tile {
            image: row / self.rows,
            y: row % self.rows * OUTPUTS,
            x: column * OUTPUTS,
        }
    }

    /// Where the tile's inputs begin in the input; none in the padding.
    fn inputs(&self, tile: Tile) -> Places<INPUTS> {
        let shape = self.shape;
        let within = |axis: usize, start: usize, step: usize| {
            usize::try_from((start + step) as isize + shape.origin[axis])
                .ok()
                .filter(|position| *position < shape.input[axis])
        };
        let rows: [_; INPUTS] = std::array::from_fn(|step| within(0, tile.y, step));
        let columns: [_; INPUTS] = std::array::from_fn(|step| within(1, tile.x, step));
        rows.map(|row| {
            columns.map(|column| {
                let pixel = (tile.image * shape.input[0] + row?) * shape.input[1] + column?;
                Some(pixel * shape.in_channels)
            })
        })
    }

    /// Where the tile's outputs begin in the output; none beyond its edge.
    fn outputs(&self, tile: Tile) -> Places<OUTPUTS> {
        let shape = self.shape;
        std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let (y, x) = (tile.y + row, tile.x + column);
                (y < shape.grid[0] && x < shape.grid[1]).then(|| shape.place(tile.image, y, x))
            })
        })
    }

    /// Tiles that are worked on at a time: a multiple of what fits the registers.
    fn at_once(&self) -> usize {
        let numbers = POSITIONS * (self.shape.in_channels + self.shape.out_channels);
        (NUMBERS_AT_ONCE / numbers / 12 * 12).clamp(12, 96)
    }

    /// Writes the transform of a tile's inputs as row `row` of `count` rows.
    fn transform_input(
        &self,
        input: &[f32],
        index: usize,
        row: usize,
        count: usize,
        target: SharedOutput,
    ) {
        let channels = self.shape.in_channels;
        let from = self.inputs(self.get(index));
        let to = in_positions(row * channels, position_len(count, channels));
        apply::<Inputs, INPUTS, INPUTS>(input, &from, target, &to, channels, None);
    }

    fn blocks(&self) -> Vec<Range<usize>> {
        let count = self.count();
        let blocks = count.div_ceil(self.at_once()).max(1);
        (0..blocks)
            .map(|block| count * block / blocks..count * (block + 1) / blocks)
            .collect()
    }
}

/// Numbers between two positions of `rows` rows of `row_len` numbers.
pub(super) fn position_len(rows: usize, row_len: usize) -> usize {
    rows * row_len + GAP
}

/// Writes the correlation of `input` with `weights`, plus `bias`, to `output`.
pub(super) fn run(
    shape: &Correlation,
    input: &[f32],
    weights: &Panels<'_>,
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let panels = shape.out_channels.div_ceil(PANEL);
    let stride = position_len(panels * shape.in_channels, PANEL);
    let tiles = Tiles::of(shape);
    with_scratch(POSITIONS * stride, |transformed| {
        // SAFETY: each panel's transform goes to places of its own, and `transformed` is read only
        // when all are done.
        #[allow(unsafe_code)]
        let shared = unsafe { SharedOutput::new(transformed) };
        (0..panels).into_par_iter().for_each(|panel| {
            let first = panel * shape.in_channels * PANEL;
            transform_weights(
                weights.panel(0, panel),
                shape.in_channels,
                shared,
                first,
                stride,
            );
        });
        // SAFETY: the tiles' outputs do not overlap, and `output` is used for nothing else.
        #[allow(unsafe_code)]
        let output = unsafe { SharedOutput::new(output) };
        let task = Forward {
            tiles,
            input,
            weights: transformed,
            weight_stride: stride,
            bias,
            output,
        };
        task.tiles
            .blocks()
            .into_par_iter()
            .for_each(|block| task.block(block));
    });
}

/// Rows of transformed weights that are gathered before they are written to their positions, so
/// that each position is written to in longer pieces.
const WEIGHT_ROWS: usize = 4;

/// Writes the transform of a panel (`[3, 3, inputs][PANEL]`) to its place in each position.
pub(super) fn transform_weights(
    source: &[f32],
    inputs: usize,
    target: SharedOutput,
    first: usize,
    stride: usize,
) {
    let mut gathered = [0.0; POSITIONS * WEIGHT_ROWS * PANEL];
    for start in (0..inputs).step_by(WEIGHT_ROWS) {
        let rows = WEIGHT_ROWS.min(inputs - start);
        // SAFETY: only this thread writes, and `gathered` is read when the rows are transformed.
        #[allow(unsafe_code)]
        let shared = unsafe { SharedOutput::new(&mut gathered) };
        for row in 0..rows {
            let from = in_positions((start + row) * PANEL, inputs * PANEL);
            let to = in_positions(row * PANEL, WEIGHT_ROWS * PANEL);
            apply::<Weights, 3, INPUTS>(source, &from, shared, &to, PANEL, None);
        }
        for (position, rows_of) in gathered.chunks_exact(WEIGHT_ROWS * PANEL).enumerate() {
            let place = position * stride + first + start * PANEL;
            target.copy(place, &rows_of[..rows * PANEL]);
        }
    }
}

struct Forward<'a> {
    tiles: Tiles<'a>,
    input: &'a [f32],
    /// `[positions][panels][in_channels][PANEL]`
    weights: &'a [f32],
    weight_stride: usize,
    bias: Option<&'a [f32]>,
    output: SharedOutput,
}

impl Forward<'_> {
    fn block(&self, block: Range<usize>) {
        let shape = self.tiles.shape;
        let count = block.len();
        let input_stride = position_len(count, shape.in_channels);
        let output_stride = position_len(count, shape.out_channels);
        with_scratch(POSITIONS * input_stride, |inputs| {
            with_scratch(POSITIONS * output_stride, |sums| {
                // SAFETY: only this thread writes, and `inputs` is read when all tiles are transformed.
                #[allow(unsafe_code)]
                let shared = unsafe { SharedOutput::new(inputs) };
                for (row, index) in block.clone().enumerate() {
                    self.tiles
                        .transform_input(self.input, index, row, count, shared);
                }
                self.multiply(count, inputs, sums);
                for (row, index) in block.enumerate() {
                    let from = in_positions(row * shape.out_channels, output_stride);
                    let to = self.tiles.outputs(self.tiles.get(index));
                    let channels = shape.out_channels;
                    apply::<Outputs, INPUTS, OUTPUTS>(
                        sums,
                        &from,
                        self.output,
                        &to,
                        channels,
                        self.bias,
                    );
                }
            });
        });
    }

    fn multiply(&self, count: usize, inputs: &[f32], sums: &mut [f32]) {
        let shape = self.tiles.shape;
        let input_stride = position_len(count, shape.in_channels);
        let output_stride = position_len(count, shape.out_channels);
        let pixels: Vec<isize> = (0..count)
            .map(|row| (row * shape.in_channels) as isize)
            .collect();
        let places: Vec<usize> = (0..count).map(|row| row * shape.out_channels).collect();
        let panel_len = shape.in_channels * PANEL;
        let run = Run {
            input: 0,
            weight: 0,
            len: shape.in_channels,
        };
        for position in 0..POSITIONS {
            let target = &mut sums[position * output_stride..][..output_stride];
            // SAFETY: only this thread writes, and `target` is borrowed anew for each position.
            #[allow(unsafe_code)]
            let target = unsafe { SharedOutput::new(target) };
            let input = &inputs[position * input_stride..][..input_stride];
            let weights = &self.weights[position * self.weight_stride..];
            for (panel, first) in (0..shape.out_channels).step_by(PANEL).enumerate() {
                correlate(
                    &Products {
                        input,
                        pixels: &pixels,
                        runs: &[run],
                        panel: &weights[panel * panel_len..][..panel_len],
                        bias: None,
                        channels: (shape.out_channels - first).min(PANEL),
                        places: &places,
                        first_channel: first,
                        finish: Finish::default(),
                    },
                    target,
                );
            }
        }
    }
}

/// `panels ← gradient by the weights`, in panels of outputs.
pub(super) fn weight_gradient(
    shape: &Correlation,
    input: &[f32],
    gradient: &[f32],
    panels: &mut [f32],
) {
    let task = WeightGradient {
        tiles: Tiles::of(shape),
        input,
        gradient,
    };
    let numbers = POSITIONS * task.position_stride();
    if PIECES * numbers <= MOST_PARTIAL_NUMBERS {
        with_scratch(PIECES * numbers, |partial| {
            task.by_piece(partial);
            let (total, others) = partial.split_at_mut(numbers);
            for other in others.chunks_exact(numbers) {
                crate::activation::add(total, other);
            }
            task.transform_back(total, panels);
        });
    } else {
        with_scratch(numbers, |sums| {
            task.by_position(sums);
            task.transform_back(sums, panels);
        });
    }
}

struct WeightGradient<'a> {
    tiles: Tiles<'a>,
    input: &'a [f32],
    gradient: &'a [f32],
}

impl WeightGradient<'_> {
    fn panels(&self) -> usize {
        self.tiles.shape.out_channels.div_ceil(PANEL)
    }

    /// Numbers of a position's sums, `[panels][in_channels][PANEL]`.
    fn position_stride(&self) -> usize {
        position_len(self.panels() * self.tiles.shape.in_channels, PANEL)
    }

    /// Sums over a part of the tiles each.
    fn by_piece(&self, partial: &mut [f32]) {
        let blocks = self.tiles.blocks();
        let stride = self.position_stride();
        partial
            .par_chunks_exact_mut(POSITIONS * stride)
            .enumerate()
            .for_each(|(piece, sums)| {
                sums.fill(0.0);
                let part = blocks.len() * piece / PIECES..blocks.len() * (piece + 1) / PIECES;
                for block in &blocks[part] {
                    self.with_transforms(block.clone(), |inputs, gradients| {
                        for (position, sums) in sums.chunks_exact_mut(stride).enumerate() {
                            self.add_products(position, block.len(), inputs, gradients, sums);
                        }
                    });
                }
            });
    }

    /// Sums over all tiles, position by position.
    fn by_position(&self, sums: &mut [f32]) {
        let shape = self.tiles.shape;
        let stride = self.position_stride();
        sums.fill(0.0);
        for first in (0..self.tiles.count()).step_by(TILES_IN_CHUNK) {
            let chunk = first..self.tiles.count().min(first + TILES_IN_CHUNK);
            let count = chunk.len();
            let inputs_len = POSITIONS * position_len(count, shape.in_channels);
            let gradients_len = POSITIONS * position_len(count, shape.out_channels);
            with_scratch(inputs_len, |inputs| {
                with_scratch(gradients_len, |gradients| {
                    // SAFETY: each tile's transform goes to rows of its own, and both are read only when
                    // all are done.
                    #[allow(unsafe_code)]
                    let shared =
                        unsafe { [SharedOutput::new(inputs), SharedOutput::new(gradients)] };
                    (0..count).into_par_iter().for_each(|row| {
                        let index = first + row;
                        self.tiles
                            .transform_input(self.input, index, row, count, shared[0]);
                        self.transform_gradient(index, row, count, shared[1]);
                    });
                    sums.par_chunks_exact_mut(stride)
                        .enumerate()
                        .for_each(|(position, sums)| {
                            self.add_products(position, count, inputs, gradients, sums);
                        });
                });
            });
        }
    }

    /// Writes the transform of a tile's gradients as row `row` of `count` rows.
    fn transform_gradient(&self, index: usize, row: usize, count: usize, target: SharedOutput) {
        let channels = self.tiles.shape.out_channels;
        let from = self.tiles.outputs(self.tiles.get(index));
        let to = in_positions(row * channels, position_len(count, channels));
        apply::<Gradients, OUTPUTS, INPUTS>(self.gradient, &from, target, &to, channels, None);
    }

    fn with_transforms(&self, block: Range<usize>, work: impl FnOnce(&[f32], &[f32])) {
        let shape = self.tiles.shape;
        let count = block.len();
        with_scratch(
            POSITIONS * position_len(count, shape.in_channels),
            |inputs| {
                with_scratch(
                    POSITIONS * position_len(count, shape.out_channels),
                    |gradients| {
                        // SAFETY: each tile's transform goes to rows of its own, and both are read only when
                        // all are done.
                        #[allow(unsafe_code)]
                        let shared =
                            unsafe { [SharedOutput::new(inputs), SharedOutput::new(gradients)] };
                        for (row, index) in block.enumerate() {
                            self.tiles
                                .transform_input(self.input, index, row, count, shared[0]);
                            self.transform_gradient(index, row, count, shared[1]);
                        }
                        work(inputs, gradients);
                    },
                );
            },
        );
    }

    /// Adds the products of a position over `count` tiles.
    fn add_products(
        &self,
        position: usize,
        count: usize,
        inputs: &[f32],
        gradients: &[f32],
        sums: &mut [f32],
    ) {
        let shape = self.tiles.shape;
        let input_stride = position_len(count, shape.in_channels);
        let gradient_stride = position_len(count, shape.out_channels);
        let targets = sums.chunks_exact_mut(shape.in_channels * PANEL);
        for (first, target) in (0..shape.out_channels).step_by(PANEL).zip(targets) {
            add_outer_products(
                &OuterProducts {
                    input: &inputs[position * input_stride..][..input_stride],
                    input_step: shape.in_channels,
                    gradient: &gradients[position * gradient_stride..][..gradient_stride],
                    gradient_step: shape.out_channels,
                    spans: &[Span {
                        input: 0,
                        gradient: first,
                        pixels: count,
                    }],
                    channels: (shape.out_channels - first).min(PANEL),
                },
                target,
            );
        }
    }

    fn transform_back(&self, sums: &[f32], panels: &mut [f32]) {
        let shape = self.tiles.shape;
        let inputs = shape.in_channels;
        let stride = self.position_stride();
        panels
            .par_chunks_exact_mut(shape.inner_len() * PANEL)
            .enumerate()
            .for_each(|(panel, target)| {
                let first = panel * inputs * PANEL;
                // SAFETY: only this thread writes to its panel, which is used for nothing else meanwhile.
                #[allow(unsafe_code)]
                let shared = unsafe { SharedOutput::new(target) };
                for row in 0..inputs {
                    let from = in_positions(first + row * PANEL, stride);
                    let to = in_positions(row * PANEL, inputs * PANEL);
                    apply::<WeightGradients, INPUTS, 3>(sums, &from, shared, &to, PANEL, None);
                }
            });
    }
}
