//! Sums of products, directly on the pixels.

use std::cell::RefCell;
use std::ops::Range;

use super::pieces::FirstError;
use super::{Following, Geometry, Images, Pieces, Prepared, ViewMut, WeightOrder, Weights};
use crate::aligned::Aligned;
use crate::convolution::shared_output::SharedOutput;
use crate::convolution::tile::{Finish, PANEL, Products, Run, Shortcut, correlate};
use crate::scratch::with_scratch;
use crate::team::Team;
use crate::vectorized;
use crate::windows::for_each_part;

/// Output pixels that are worked on at a time, at most.
const MOST_PIXELS: usize = 384;

/// Output pixels that are worked on at a time, at least.
const LEAST_PIXELS: usize = 48;

/// Pieces for each thread, so that they end at about the same time.
const PIECES_A_THREAD: usize = 4;

/// Parts of the panels for each thread, where the weights are shared out: each copies what it sees.
const PARTS_A_THREAD: usize = 2;

/// Numbers of padded input that are worked on at a time; they stay in the second-level cache.
const PADDED_NUMBERS: usize = 96 * 1024;

/// `[groups][panels][taps, inputs][PANEL]`
pub(super) fn pack<E: Send>(
    weights: &Weights<'_>,
    pieces: &Pieces<'_, E>,
    team: &Team,
) -> Result<Aligned, E> {
    let (inputs, outputs) = (weights.group_inputs(), weights.group_outputs());
    let panel_len = inputs * weights.taps() * PANEL;
    let panels = outputs.div_ceil(PANEL);
    let mut packed = Aligned::zeros(weights.groups * panels * panel_len);
    match pieces.order {
        WeightOrder::InputsFirst => pieces.pack_rows(inputs, outputs, team, &mut packed)?,
        WeightOrder::OutputsFirst => {
            let failure = FirstError::default();
            for_each_part(team, panel_len, &mut packed, |index, panel| {
                failure
                    .unless_failed(|| pieces.each_block(weights, index, |block| block.pack(panel)));
            });
            failure.into_result()?;
        }
    }
    Ok(packed)
}

pub(super) fn run(
    prepared: &Prepared,
    team: &Team,
    geometry: &Geometry,
    input: Images<'_>,
    following: Following<'_>,
    output: ViewMut<'_>,
) {
    let geometry = match input {
        Images::Pixels(_) => joined(prepared, geometry),
        Images::Planes(_) => *geometry,
    };
    let task = Task {
        prepared,
        geometry,
        input,
        following,
        output_stride: output.pixel_stride,
        // SAFETY: each pixel's channels of a panel are written by the thread of its piece alone, and
        // the output is used for nothing else.
        #[allow(unsafe_code)]
        output: unsafe { SharedOutput::new(output.values) },
        is_inside: geometry.is_inside(prepared.kernel),
    };
    let split = task.split(team.threads());
    let bands = geometry.batch * split.bands;
    team.each(bands * split.parts, |piece| {
        let (panels, piece) = match split.panels_first {
            true => (piece / bands, piece % bands),
            false => (piece % split.parts, piece / split.parts),
        };
        let (band, image) = (piece % split.bands, piece / split.bands);
        let rows = part_of(geometry.output[0], band, split.bands);
        let panels = part_of(task.panels(), panels, split.parts);
        if !rows.is_empty() && !panels.is_empty() {
            task.piece(image, rows, panels);
        }
    });
}

/// Part number `index` of `0..count` in `parts` of about equal size.
pub(super) fn part_of(count: usize, index: usize, parts: usize) -> Range<usize> {
    count * index / parts..count * (index + 1) / parts
}

/// The same with all images as one column of pixels, if windows are single pixels side by side: then
/// pieces of the work need not end with a row.
fn joined(prepared: &Prepared, geometry: &Geometry) -> Geometry {
    let is_pointwise = prepared.kernel == [1, 1]
        && geometry.stride == [1, 1]
        && geometry.padding == [0, 0]
        && geometry.input == geometry.output;
    if !is_pointwise {
        return *geometry;
    }
    let column = [geometry.batch * geometry.out_pixels(), 1];
    Geometry {
        batch: 1,
        input: column,
        output: column,
        ..*geometry
    }
}

/// In how many pieces an image is worked on.
struct Split {
    /// Bands of rows.
    bands: usize,
    /// Parts of the panels.
    parts: usize,
    /// Whether consecutive pieces share panels rather than pixels.
    panels_first: bool,
}

struct Task<'a> {
    prepared: &'a Prepared,
    geometry: Geometry,
    input: Images<'a>,
    following: Following<'a>,
    output: SharedOutput,
    output_stride: usize,
    is_inside: bool,
}

/// The inputs of a band: the image itself or a padded copy of a part.
#[derive(Clone, Copy)]
struct Source<'a> {
    values: &'a [f32],
    row_len: usize,
    pixel_stride: usize,
    /// Where the first window begins.
    start: usize,
}

/// Lists of a piece that a thread keeps.
#[derive(Default)]
struct Lists {
    pixels: Vec<isize>,
    places: Vec<usize>,
    shortcut: Vec<usize>,
    runs: Vec<Run>,
}

thread_local! {
    static LISTS: RefCell<Lists> = RefCell::new(Lists::default());
}

impl Task<'_> {
    fn group_inputs(&self) -> usize {
        self.prepared.in_channels / self.prepared.groups
    }

    fn group_outputs(&self) -> usize {
        self.prepared.out_channels / self.prepared.groups
    }

    fn panels_in_group(&self) -> usize {
        self.group_outputs().div_ceil(PANEL)
    }

    fn panels(&self) -> usize {
        self.prepared.groups * self.panels_in_group()
    }

    fn split(&self, threads: usize) -> Split {
        let shape = &self.geometry;
        let [rows, columns] = shape.output;
        let row_len = (columns * shape.stride[1] + self.prepared.kernel[1])
            * self.prepared.in_channels
            * shape.stride[0];
        let rows_in_cache = (PADDED_NUMBERS / row_len.max(1)).clamp(1, rows);
        let pixels = shape.batch * shape.out_pixels();
        let most = match threads {
            1 => MOST_PIXELS,
            _ => (pixels / (threads * PIECES_A_THREAD)).clamp(LEAST_PIXELS, MOST_PIXELS),
        };
        let rows_at_once = most.div_ceil(columns).min(rows_in_cache);
        let bands = rows.div_ceil(rows_at_once.max(1));
        // As many for each thread.
        let bands = match shape.batch.is_multiple_of(threads) {
            true => bands,
            false => bands.next_multiple_of(threads).min(rows),
        };
        // Where weights are many and pixels few, each thread reads a part of the weights.
        let inputs = self.group_inputs() * self.prepared.kernel[0] * self.prepared.kernel[1];
        let weights = inputs * self.prepared.out_channels;
        let panels = self.panels();
        let by_panels = threads > 1
            && pixels <= MOST_PIXELS
            && panels >= 2 * threads
            && weights > pixels * self.prepared.in_channels;
        if by_panels {
            return Split {
                bands: rows.div_ceil(rows_in_cache),
                parts: threads * (panels / threads).min(PARTS_A_THREAD),
                panels_first: true,
            };
        }
        let parts = match shape.batch * bands {
            few if few < 2 * threads => (2 * threads).div_ceil(few).min(panels),
            _ => 1,
        };
        Split {
            bands,
            parts,
            panels_first: false,
        }
    }

    fn piece(&self, image: usize, rows: Range<usize>, panels: Range<usize>) {
        self.with_band(image, rows.clone(), |source| {
            LISTS.with_borrow_mut(|lists| {
                self.list_pixels(image, rows, source, lists);
                let mut group = usize::MAX;
                for panel in panels {
                    if panel / self.panels_in_group() != group {
                        group = panel / self.panels_in_group();
                        self.list_runs(group, source, &mut lists.runs);
                    }
                    self.panel(group, panel % self.panels_in_group(), source, lists);
                }
            });
        });
    }

    fn list_pixels(&self, image: usize, rows: Range<usize>, source: Source<'_>, lists: &mut Lists) {
        let shape = &self.geometry;
        lists.pixels.clear();
        lists.places.clear();
        lists.shortcut.clear();
        let first = image * shape.out_pixels() + rows.start * shape.output[1];
        for row in 0..rows.len() {
            let start = source.start + row * shape.stride[0] * source.row_len;
            let step = shape.stride[1] * source.pixel_stride;
            lists
                .pixels
                .extend((0..shape.output[1]).map(|x| (start + x * step) as isize));
        }
        let count = lists.pixels.len();
        let stride = self.output_stride;
        lists
            .places
            .extend((first..first + count).map(|pixel| pixel * stride));
        if let Some((shortcut, _)) = self.following.shortcut {
            let stride = shortcut.pixel_stride;
            lists
                .shortcut
                .extend((first..first + count).map(|pixel| pixel * stride));
        }
    }

    fn list_runs(&self, group: usize, source: Source<'_>, runs: &mut Vec<Run>) {
        runs.clear();
        let len = self.group_inputs();
        let [height, width] = self.prepared.kernel;
        for tap in 0..height * width {
            let (y, x) = (tap / width, tap % width);
            let row = y * self.geometry.dilation[0] * source.row_len;
            let column = x * self.geometry.dilation[1] * source.pixel_stride;
            let run = Run {
                input: (row + column + group * len) as isize,
                weight: tap * len,
                len,
            };
            match runs.last_mut() {
                Some(last) if last.input + last.len as isize == run.input => last.len += len,
                _ => runs.push(run),
            }
        }
    }

    fn panel(&self, group: usize, panel: usize, source: Source<'_>, lists: &Lists) {
        let outputs = self.group_outputs();
        let first = group * outputs + panel * PANEL;
        let channels = (outputs - panel * PANEL).min(PANEL);
        let bias = self.prepared.bias_of(first, channels);
        let inner = self.group_inputs() * self.prepared.kernel[0] * self.prepared.kernel[1];
        let index = group * self.panels_in_group() + panel;
        let shortcut = self.following.shortcut.map(|(view, order)| Shortcut {
            values: view.values,
            places: &lists.shortcut,
            order,
        });
        correlate(
            &Products {
                input: source.values,
                pixels: &lists.pixels,
                runs: &lists.runs,
                panel: &self.prepared.weights[index * inner * PANEL..][..inner * PANEL],
                bias: bias.as_ref().map(<[f32; PANEL]>::as_slice),
                channels,
                places: &lists.places,
                first_channel: first,
                finish: Finish {
                    function: self.following.function,
                    shortcut,
                },
            },
            self.output,
        );
    }

    /// Calls `work` with the inputs that the windows of `rows` see, padded with zeros if need be.
    fn with_band(&self, image: usize, rows: Range<usize>, work: impl FnOnce(Source<'_>)) {
        let shape = &self.geometry;
        if let Images::Pixels(view) = self.input
            && self.is_inside
        {
            let row_len = shape.input[1] * view.pixel_stride;
            return work(Source {
                values: &view.values[image * shape.in_pixels() * view.pixel_stride..],
                row_len,
                pixel_stride: view.pixel_stride,
                start: rows.start * shape.stride[0] * row_len,
            });
        }
        let reach = |axis: usize| (self.prepared.kernel[axis] - 1) * shape.dilation[axis] + 1;
        let columns = (shape.output[1] - 1) * shape.stride[1] + reach(1);
        let height = (rows.len() - 1) * shape.stride[0] + reach(0);
        let channels = self.prepared.in_channels;
        let row_len = columns * channels;
        with_scratch(row_len * height, |padded| {
            for (row, target) in padded.chunks_exact_mut(row_len).enumerate() {
                let y = (rows.start * shape.stride[0] + row).checked_sub(shape.padding[0]);
                match y.filter(|y| *y < shape.input[0]) {
                    Some(y) => self.pad_row(image, y, target),
                    None => target.fill(0.0),
                }
            }
            work(Source {
                values: padded,
                row_len,
                pixel_stride: channels,
                start: 0,
            });
        });
    }

    /// Copies row `y` of an image with zeros before and after it.
    fn pad_row(&self, image: usize, y: usize, target: &mut [f32]) {
        let shape = &self.geometry;
        let channels = self.prepared.in_channels;
        let before = (shape.padding[1] * channels).min(target.len());
        let (zeros, target) = target.split_at_mut(before);
        zeros.fill(0.0);
        let pixels = shape.input[1].min(target.len() / channels);
        let (target, zeros) = target.split_at_mut(pixels * channels);
        zeros.fill(0.0);
        match self.input {
            Images::Pixels(view) => {
                let stride = view.pixel_stride;
                let first = (image * shape.in_pixels() + y * shape.input[1]) * stride;
                let row = &view.values[first..];
                if stride == channels {
                    target.copy_from_slice(&row[..target.len()]);
                } else {
                    for (target, pixel) in target.chunks_exact_mut(channels).zip(row.chunks(stride))
                    {
                        target.copy_from_slice(&pixel[..channels]);
                    }
                }
            }
            Images::Planes(values) => {
                let plane = |channel: usize| {
                    let rows = (image * channels + channel) * shape.input[0] + y;
                    &values[rows * shape.input[1]..][..pixels]
                };
                match channels {
                    3 => interleave([plane(0), plane(1), plane(2)], target),
                    _ => (0..channels).for_each(|channel| {
                        let pixels = target.chunks_exact_mut(channels).zip(plane(channel));
                        pixels.for_each(|(pixel, value)| pixel[channel] = *value);
                    }),
                }
            }
        }
    }
}

vectorized! {
    /// Puts three channels side by side.
    fn interleave(planes: [&[f32]; 3], target: &mut [f32]) {
        let [a, b, c] = planes;
        let pixels = target.as_chunks_mut::<3>().0.iter_mut();
        for (pixel, ((a, b), c)) in pixels.zip(a.iter().zip(b).zip(c)) {
            *pixel = [*a, *b, *c];
        }
    }
}
