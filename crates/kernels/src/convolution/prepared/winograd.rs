//! Winograd's F(4×4, 3×3) with weights that were transformed once (see `convolution::winograd`).

use std::cell::RefCell;
use std::ops::Range;

use super::direct::part_of;
use super::pieces::{Block, FirstError};
use super::{Following, Geometry, Pieces, Prepared, View, ViewMut, Weights};
use crate::aligned::Aligned;
use crate::convolution::shared_output::SharedOutput;
use crate::convolution::tile::{Finish, PANEL, Products, Run, correlate};
use crate::convolution::transforms::{
    Inputs, Places, TileFinish, apply, apply_outputs, in_positions,
};
use crate::convolution::winograd::{INPUTS, OUTPUTS, POSITIONS, position_len, transform_weights};
use crate::scratch::with_scratch;
use crate::team::Team;

/// Numbers of transformed inputs and outputs that are worked on at a time.
const NUMBERS_AT_ONCE: usize = 384 * 1024;

/// Parts of the panels for each thread, where the work is shared out so.
const PARTS_A_THREAD: usize = 2;

/// Whether a convolution can be computed so, and is faster for it.
pub(super) fn pays(weights: &Weights<'_>, geometry: &Geometry) -> bool {
    let is_plain = weights.kernel == [3, 3]
        && geometry.stride == [1, 1]
        && geometry.dilation == [1, 1]
        && weights.groups == 1
        && weights.in_channels.is_multiple_of(16)
        && weights.out_channels.is_multiple_of(16);
    if !is_plain {
        return false;
    }
    let tiles = Tiles::of(geometry).count() as f64;
    let (inputs, outputs) = (weights.in_channels as f64, weights.out_channels as f64);
    let pixels = (geometry.batch * geometry.out_pixels()) as f64;
    // In multiplications. A transformed number costs as much as several, and so does a weight, which
    // comes from the memory.
    let direct = pixels * 9.0 * inputs * outputs;
    let products = tiles * 36.0 * inputs * outputs;
    let transforms = 36.0 * (8.0 * tiles * (inputs + outputs) + 4.0 * inputs * outputs);
    products + transforms < 0.9 * direct
}

/// `[positions][panels][in_channels][PANEL]`
pub(super) fn pack<E: Send>(
    weights: &Weights<'_>,
    pieces: &Pieces<'_, E>,
    team: &Team,
) -> Result<Aligned, E> {
    let (inputs, outputs) = (weights.in_channels, weights.out_channels);
    assert_eq!(weights.kernel, [3, 3], "Winograd's windows");
    assert_eq!(weights.groups, 1, "Winograd's groups");
    assert_eq!((inputs % 16, outputs % 16), (0, 0), "Winograd's channels");
    let count = outputs.div_ceil(PANEL);
    let stride = position_len(count * inputs, PANEL);
    let mut packed = Aligned::zeros(POSITIONS * stride);
    // SAFETY: each panel's transform goes to places of its own, and `packed` is used again when all
    // are done.
    #[allow(unsafe_code)]
    let shared = unsafe { SharedOutput::new(&mut packed) };
    let failure = FirstError::default();
    team.each(count, |index| {
        let pack = |block: &Block<'_>| {
            with_scratch(9 * block.channels() * PANEL, |panel| {
                block.pack_alone(panel);
                let first = (index * inputs + block.first_channel()) * PANEL;
                transform_weights(panel, block.channels(), shared, first, stride);
            });
        };
        failure.unless_failed(|| pieces.each_block(weights, index, pack));
    });
    failure.into_result()?;
    Ok(packed)
}

/// The tiles that cover the outputs.
#[derive(Debug, Clone, Copy)]
struct Tiles {
    geometry: Geometry,
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

impl Tiles {
    fn of(geometry: &Geometry) -> Self {
        Self {
            geometry: *geometry,
            rows: geometry.output[0].div_ceil(OUTPUTS),
            columns: geometry.output[1].div_ceil(OUTPUTS),
        }
    }

    fn count(&self) -> usize {
        self.geometry.batch * self.rows * self.columns
    }

    fn get(&self, index: usize) -> Tile {
        let (row, column) = (index / self.columns, index % self.columns);
        Tile {
            image: row / self.rows,
            y: row % self.rows * OUTPUTS,
            x: column * OUTPUTS,
        }
    }

    /// Where the tile's inputs begin; none in the padding.
    fn inputs(&self, tile: Tile, stride: usize) -> Places<INPUTS> {
        let shape = &self.geometry;
        let within = |axis: usize, start: usize, step: usize| {
            (start + step)
                .checked_sub(shape.padding[axis])
                .filter(|position| *position < shape.input[axis])
        };
        let rows: [_; INPUTS] = std::array::from_fn(|step| within(0, tile.y, step));
        let columns: [_; INPUTS] = std::array::from_fn(|step| within(1, tile.x, step));
        rows.map(|row| {
            columns.map(|column| {
                let pixel = (tile.image * shape.input[0] + row?) * shape.input[1] + column?;
                Some(pixel * stride)
            })
        })
    }

    /// Where channel `first` of the tile's outputs lies; none beyond the edge.
    fn outputs(&self, tile: Tile, stride: usize, first: usize) -> Places<OUTPUTS> {
        let [height, width] = self.geometry.output;
        std::array::from_fn(|row| {
            std::array::from_fn(|column| {
                let (y, x) = (tile.y + row, tile.x + column);
                let pixel = (tile.image * height + y) * width + x;
                (y < height && x < width).then_some(pixel * stride + first)
            })
        })
    }
}

pub(super) fn run(
    prepared: &Prepared,
    team: &Team,
    geometry: &Geometry,
    input: View<'_>,
    following: Following<'_>,
    output: ViewMut<'_>,
) {
    assert_eq!(geometry.stride, [1, 1], "Winograd's stride");
    assert_eq!(geometry.dilation, [1, 1], "Winograd's dilation");
    let output_stride = output.pixel_stride;
    // SAFETY: the tiles' outputs do not overlap, and the output is used for nothing else.
    #[allow(unsafe_code)]
    let output = unsafe { SharedOutput::new(output.values) };
    let task = Task {
        prepared,
        tiles: Tiles::of(geometry),
        input,
        following,
        output,
        output_stride,
    };
    let split = task.split(team.threads());
    team.each(split.blocks * split.parts, |piece| {
        // Consecutive pieces share panels, which are what costs memory where there are several parts.
        let (part, block) = (piece / split.blocks, piece % split.blocks);
        task.block(
            part_of(task.tiles.count(), block, split.blocks),
            part_of(task.panels(), part, split.parts),
        );
    });
}

/// In how many pieces the work is done.
struct Split {
    /// Blocks of tiles.
    blocks: usize,
    /// Parts of the panels; each transforms the inputs anew.
    parts: usize,
}

struct Task<'a> {
    prepared: &'a Prepared,
    tiles: Tiles,
    input: View<'a>,
    following: Following<'a>,
    output: SharedOutput,
    output_stride: usize,
}

/// Where the tiles of a block begin in the transformed space.
#[derive(Default)]
struct Lists {
    pixels: Vec<isize>,
    places: Vec<usize>,
}

thread_local! {
    static LISTS: RefCell<Lists> = RefCell::new(Lists::default());
}

impl Task<'_> {
    /// Tiles that are worked on at a time: a multiple of what fits the registers.
    fn at_once(&self) -> usize {
        let numbers = POSITIONS * (self.prepared.in_channels + self.prepared.out_channels);
        (NUMBERS_AT_ONCE / numbers / 12 * 12).clamp(12, 96)
    }

    fn split(&self, threads: usize) -> Split {
        let count = self.tiles.count();
        let blocks = count.div_ceil(self.at_once());
        if threads == 1 {
            return Split { blocks, parts: 1 };
        }
        // Where weights are many and tiles few, each thread reads a part of the weights.
        if self.prepared.out_channels > 4 * count && self.panels() >= threads {
            let parts = threads * (self.panels() / threads).min(PARTS_A_THREAD);
            return Split { blocks, parts };
        }
        let blocks = blocks.next_multiple_of(threads).min(count);
        Split { blocks, parts: 1 }
    }

    /// The outputs of some tiles and panels, on one thread.
    fn block(&self, tiles: Range<usize>, panels: Range<usize>) {
        let count = tiles.len();
        let first = panels.start * PANEL;
        let channels = first..(panels.end * PANEL).min(self.prepared.out_channels);
        let input_stride = position_len(count, self.prepared.in_channels);
        let sum_stride = position_len(count, channels.len());
        with_scratch(POSITIONS * input_stride, |inputs| {
            with_scratch(POSITIONS * sum_stride, |sums| {
                // SAFETY: only this thread writes, and each is read when all of it is written.
                #[allow(unsafe_code)]
                let shared = unsafe { SharedOutput::new(inputs) };
                for (row, index) in tiles.clone().enumerate() {
                    self.transform_input(index, row, input_stride, shared);
                }
                // SAFETY: as above.
                #[allow(unsafe_code)]
                let shared = unsafe { SharedOutput::new(sums) };
                for position in 0..POSITIONS {
                    let inputs = &inputs[position * input_stride..];
                    let first = position * sum_stride;
                    self.multiply(position, panels.clone(), count, inputs, shared, first);
                }
                for (row, index) in tiles.enumerate() {
                    self.transform_output(index, row, channels.clone(), sum_stride, sums);
                }
            });
        });
    }

    fn panels(&self) -> usize {
        self.prepared.out_channels.div_ceil(PANEL)
    }

    /// Writes the transform of a tile's inputs as row `row`.
    fn transform_input(&self, index: usize, row: usize, stride: usize, target: SharedOutput) {
        let channels = self.prepared.in_channels;
        let from = self
            .tiles
            .inputs(self.tiles.get(index), self.input.pixel_stride);
        let to = in_positions(row * channels, stride);
        apply::<Inputs, INPUTS, INPUTS>(self.input.values, &from, target, &to, channels, None);
    }

    /// Writes some channels of a tile's outputs from row `row` of their sums.
    fn transform_output(
        &self,
        index: usize,
        row: usize,
        channels: Range<usize>,
        stride: usize,
        sums: &[f32],
    ) {
        let tile = self.tiles.get(index);
        let from = in_positions(row * channels.len(), stride);
        let to = self.tiles.outputs(tile, self.output_stride, channels.start);
        let shortcut = self.following.shortcut.map(|(view, order)| {
            let places = self.tiles.outputs(tile, view.pixel_stride, channels.start);
            (view.values, places, order)
        });
        let bias = &self.prepared.bias;
        let finish = TileFinish {
            bias: match bias.is_empty() {
                true => bias,
                false => &bias[channels.clone()],
            },
            function: self.following.function,
            shortcut,
        };
        apply_outputs(sums, &from, self.output, &to, channels.len(), &finish);
    }

    /// The products of a position: the rows of `inputs` by `panels`, to `sums` from `first` on.
    fn multiply(
        &self,
        position: usize,
        panels: Range<usize>,
        count: usize,
        inputs: &[f32],
        sums: SharedOutput,
        first: usize,
    ) {
        let (ins, outs) = (self.prepared.in_channels, self.prepared.out_channels);
        let first_channel = panels.start * PANEL;
        let row_len = (panels.end * PANEL).min(outs) - first_channel;
        let weight_stride = position_len(self.panels() * ins, PANEL);
        let weights = &self.prepared.weights[position * weight_stride..];
        let run = Run {
            input: 0,
            weight: 0,
            len: ins,
        };
        LISTS.with_borrow_mut(|lists| {
            lists.pixels.clear();
            lists
                .pixels
                .extend((0..count).map(|row| (row * ins) as isize));
            lists.places.clear();
            lists
                .places
                .extend((0..count).map(|row| first + row * row_len));
            for panel in panels {
                correlate(
                    &Products {
                        input: &inputs[..count * ins],
                        pixels: &lists.pixels,
                        runs: &[run],
                        panel: &weights[panel * ins * PANEL..][..ins * PANEL],
                        bias: None,
                        channels: (outs - panel * PANEL).min(PANEL),
                        places: &lists.places,
                        first_channel: panel * PANEL - first_channel,
                        finish: Finish::default(),
                    },
                    sums,
                );
            }
        });
    }
}
