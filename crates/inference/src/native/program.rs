//! A network planned for one batch size: steps over buffers in one piece of memory.

use std::sync::Arc;
use std::time::Duration;

use ferrotype_kernels::aligned::Aligned;
use ferrotype_kernels::convolution::prepared::{
    Following, Geometry, Images, Prepared, View, ViewMut,
};
use ferrotype_kernels::finish::{Function, Order};
use ferrotype_kernels::product::{Destination, Matrix, MatrixMut, Threads, multiply};
use ferrotype_kernels::strided::{self, Axis, Operation, PairAxis};
use ferrotype_kernels::team::Team;
use ferrotype_kernels::windows::{self, Pool, Reduction, Sample, Taps};

use super::refusal::Refusal;
use super::tensor::MOST_NUMBERS;
use crate::runtime::StepCost;

/// Where a step's numbers come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The network's input.
    Input,
    Buffer(usize),
    Constant(Arc<[f32]>),
}

/// A piece of a copy.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Which of the step's inputs.
    pub(crate) input: usize,
    pub(crate) axes: Vec<Axis>,
    pub(crate) source_start: usize,
    pub(crate) target_start: usize,
}

/// What a step does.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Convolution {
        prepared: Arc<Prepared>,
        geometry: Geometry,
        /// Whether the input is `[batch, channels, height, width]`.
        planes: bool,
        function: Function,
        /// How the second input is added, if there is one.
        order: Option<Order>,
    },
    Pool {
        pool: Pool,
        geometry: Geometry,
        kernel: [usize; 2],
        channels: usize,
    },
    Reduce(Reduction, [usize; 3]),
    Function(Function),
    Combine(Operation, Vec<PairAxis>),
    /// Copies of parts, over a value where they leave places.
    Copy {
        fill: Option<f32>,
        pieces: Vec<Piece>,
    },
    Softmax {
        logarithm: bool,
        sizes: [usize; 3],
    },
    Resize {
        input: [usize; 2],
        channels: usize,
        samples: [Vec<Sample>; 2],
    },
    /// One axis of `[outer, len, inner]` mixed to another length.
    Resample {
        taps: Taps,
        sizes: [usize; 3],
    },
    /// Elements of the first input, or of the second behind it.
    Take(Arc<[u32]>),
    LayerNorm {
        epsilon: f32,
    },
    /// Products of `[rows, inner]` and `[inner, columns]` matrices; where each pair begins.
    Product {
        sizes: [usize; 3],
        starts: Vec<[usize; 2]>,
    },
}

/// A piece of work.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) inputs: Vec<Source>,
    /// The buffer that is written.
    pub(crate) output: usize,
    /// The node, for reports.
    pub(crate) name: String,
}

impl Step {
    /// How it is computed and on what, for reports.
    fn describe(&self) -> String {
        match &self.kind {
            Kind::Convolution {
                prepared,
                geometry,
                function,
                order,
                ..
            } => format!(
                "{:?} {}->{} {:?}->{:?} /{:?} {function:?}{}",
                prepared.method(),
                prepared.in_channels(),
                prepared.out_channels(),
                geometry.input,
                geometry.output,
                geometry.stride,
                if order.is_some() { " +" } else { "" }
            ),
            Kind::Pool { geometry, .. } => format!("{:?}->{:?}", geometry.input, geometry.output),
            Kind::Reduce(_, sizes) => format!("{sizes:?}"),
            Kind::Combine(_, axes) => {
                format!("{:?}", axes.iter().map(|a| a.len).collect::<Vec<_>>())
            }
            Kind::Copy { pieces, .. } => format!("copy of {}", pieces.len()),
            _ => String::new(),
        }
    }
}

impl Step {
    /// Floating-point operations of a convolution or product by its definition, a multiply-add as
    /// two; none of anything else.
    fn flops(&self) -> u64 {
        let multiply_adds = match &self.kind {
            Kind::Convolution {
                prepared, geometry, ..
            } => {
                let [height, width] = geometry.output;
                geometry.batch * height * width * prepared.multiply_adds_per_pixel()
            }
            Kind::Product { sizes, starts } => sizes.iter().product::<usize>() * starts.len(),
            _ => 0,
        };
        2 * multiply_adds as u64
    }
}

/// A buffer's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    len: usize,
}

/// Steps with their memory.
#[derive(Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
    places: Vec<Place>,
    memory: usize,
    /// The network's outputs.
    outputs: Vec<Source>,
}

impl Program {
    /// Plans the memory of steps over buffers of these lengths.
    pub(crate) fn new(
        steps: Vec<Step>,
        lengths: &[usize],
        outputs: Vec<Source>,
    ) -> Result<Self, Refusal> {
        let (places, memory) = placed(&steps, lengths, &outputs);
        if memory > MOST_NUMBERS {
            return Err(Refusal::unsupported(format!(
                "it needs `{memory}` numbers of memory, the limit is `{MOST_NUMBERS}`"
            )));
        }
        Ok(Self {
            steps,
            places,
            memory,
            outputs,
        })
    }

    /// Numbers that live at a time.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// The steps with their names, for reports.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What a step is and costs, for reports.
    pub(crate) fn cost(&self, step: &Step, input_len: usize, duration: Duration) -> StepCost {
        let count = |source: &Source| match source {
            Source::Input => input_len,
            Source::Buffer(buffer) => self.buffer_len(*buffer),
            Source::Constant(values) => values.len(),
        };
        let read: usize = step.inputs.iter().map(count).sum();
        let weights = match &step.kind {
            Kind::Convolution { prepared, .. } => prepared.memory(),
            _ => 0,
        };
        let numbers = read + self.buffer_len(step.output);
        StepCost {
            name: step.name.trim_end().to_string(),
            method: step.describe(),
            duration,
            flops: step.flops(),
            bytes: (numbers * size_of::<f32>() + weights) as u64,
        }
    }

    /// Numbers of a buffer.
    pub(crate) fn buffer_len(&self, buffer: usize) -> usize {
        self.places[buffer].len
    }

    /// Whether the program answers with a buffer.
    pub(crate) fn answers_with(&self, buffer: usize) -> bool {
        let is_it = |source: &Source| matches!(source, Source::Buffer(own) if *own == buffer);
        self.outputs.iter().any(is_it)
    }

    /// The first `count` steps, which answer with the buffer that the last of them writes.
    pub(crate) fn head(&self, count: usize) -> Result<Self, Refusal> {
        let steps = self.steps[..count].to_vec();
        let outputs = steps.last().map(|step| Source::Buffer(step.output));
        Self::new(steps, &self.lengths(), outputs.into_iter().collect())
    }

    /// The steps behind the first `count`, of which they need the last one's buffer only: it is the
    /// input.
    pub(crate) fn tail(&self, count: usize) -> Result<Self, Refusal> {
        let boundary = self.steps[count - 1].output;
        let moved = |source: &Source| match source {
            Source::Buffer(buffer) if *buffer == boundary => Source::Input,
            other => other.clone(),
        };
        let steps = self.steps[count..].iter().map(|step| Step {
            inputs: step.inputs.iter().map(moved).collect(),
            ..step.clone()
        });
        let outputs = self.outputs.iter().map(moved).collect();
        Self::new(steps.collect(), &self.lengths(), outputs)
    }

    fn lengths(&self) -> Vec<usize> {
        self.places.iter().map(|place| place.len).collect()
    }

    /// Runs all steps in `arena`, which grows as need be; tells how long each step took, by its number.
    pub(crate) fn run(
        &self,
        team: &Team,
        input: &[f32],
        arena: &mut Aligned,
        mut tell: impl FnMut(usize, Duration),
    ) {
        if arena.len() < self.memory {
            *arena = Aligned::zeros(self.memory);
        }
        for (number, step) in self.steps.iter().enumerate() {
            let started = std::time::Instant::now();
            self.step(step, team, input, arena);
            tell(number, started.elapsed());
        }
    }

    /// What the program answers with, once it has run.
    pub(crate) fn outputs<'a>(
        &'a self,
        input: &'a [f32],
        arena: &'a Aligned,
    ) -> impl Iterator<Item = &'a [f32]> {
        self.outputs.iter().map(move |source| match source {
            Source::Input => input,
            Source::Constant(values) => values,
            Source::Buffer(buffer) => &arena[self.range(*buffer)],
        })
    }

    fn range(&self, buffer: usize) -> std::ops::Range<usize> {
        let place = self.places[buffer];
        place.start..place.start + place.len
    }

    /// Lends a step its inputs and its output.
    fn step(&self, step: &Step, team: &Team, input: &[f32], arena: &mut Aligned) {
        // The output's place cuts the memory in two; inputs lie on either side, never over it.
        let output = self.range(step.output);
        let (before, rest) = arena.split_at_mut(output.start);
        let (target, after) = rest.split_at_mut(output.len());
        let lender = Lender {
            program: self,
            input,
            before,
            after,
            after_start: output.end,
        };
        match &step.inputs[..] {
            [one] => step.kind.run(team, &[lender.lend(one)], target),
            [one, two] => {
                let inputs = [lender.lend(one), lender.lend(two)];
                step.kind.run(team, &inputs, target);
            }
            many => {
                let inputs: Vec<&[f32]> = many.iter().map(|one| lender.lend(one)).collect();
                step.kind.run(team, &inputs, target);
            }
        }
    }
}

/// The memory around a step's output, and the network's input.
struct Lender<'a> {
    program: &'a Program,
    input: &'a [f32],
    before: &'a [f32],
    after: &'a [f32],
    /// Where `after` begins in the memory.
    after_start: usize,
}

impl<'a> Lender<'a> {
    fn lend(&self, source: &'a Source) -> &'a [f32] {
        match source {
            Source::Input => self.input,
            Source::Constant(values) => values,
            Source::Buffer(buffer) => {
                let range = self.program.range(*buffer);
                if range.end <= self.before.len() {
                    &self.before[range]
                } else {
                    &self.after[range.start - self.after_start..range.end - self.after_start]
                }
            }
        }
    }
}

impl Kind {
    /// About how many multiplications it takes to write `len` numbers.
    pub(crate) fn work(&self, len: usize) -> u64 {
        let each = match self {
            // Weights that are read for each pixel.
            Self::Convolution { prepared, .. } => {
                let weights = prepared.memory() / size_of::<f32>();
                weights / prepared.out_channels().max(1)
            }
            Self::Pool { kernel, .. } => kernel[0].saturating_mul(kernel[1]),
            Self::Reduce(_, [_, len, _]) => *len,
            Self::Resample { taps, .. } => taps.count,
            Self::Product {
                sizes: [_, inner, _],
                ..
            } => *inner,
            _ => 1,
        };
        (len as u64).saturating_mul(each.max(1) as u64)
    }

    pub(crate) fn run(&self, team: &Team, inputs: &[&[f32]], target: &mut [f32]) {
        match self {
            Self::Convolution {
                prepared,
                geometry,
                planes,
                function,
                order,
            } => {
                let outputs = prepared.out_channels();
                let shortcut = order.map(|order| {
                    let view = View {
                        values: inputs[1],
                        pixel_stride: outputs,
                    };
                    (view, order)
                });
                let images = match planes {
                    true => Images::Planes(inputs[0]),
                    false => Images::Pixels(View {
                        values: inputs[0],
                        pixel_stride: prepared.in_channels(),
                    }),
                };
                let following = Following {
                    function: *function,
                    shortcut,
                };
                let output = ViewMut {
                    values: target,
                    pixel_stride: outputs,
                };
                prepared.run(team, geometry, images, following, output);
            }
            Self::Pool {
                pool,
                geometry,
                kernel,
                channels,
            } => windows::pool(team, *pool, geometry, *kernel, *channels, inputs[0], target),
            Self::Reduce(reduction, sizes) => {
                windows::reduce(team, *reduction, *sizes, inputs[0], target);
            }
            Self::Function(function) => apply(team, *function, inputs[0], target),
            Self::Combine(operation, axes) => {
                strided::combine(team, *operation, axes, inputs[0], inputs[1], target);
            }
            Self::Copy { fill, pieces } => {
                if let Some(fill) = fill {
                    target.fill(*fill);
                }
                for piece in pieces {
                    let source = inputs[piece.input];
                    let (from, to) = (piece.source_start, piece.target_start);
                    strided::copy(&piece.axes, source, from, target, to);
                }
            }
            Self::Softmax { logarithm, sizes } => {
                windows::softmax(team, *logarithm, *sizes, inputs[0], target);
            }
            Self::Resize {
                input,
                channels,
                samples: [rows, columns],
            } => windows::resize(team, *input, *channels, [rows, columns], inputs[0], target),
            Self::Resample { taps, sizes } => {
                windows::resample(team, taps, *sizes, inputs[0], target);
            }
            Self::Take(places) => {
                let second = inputs.get(1).copied().unwrap_or_default();
                strided::take(team, places, [inputs[0], second], target);
            }
            Self::LayerNorm { epsilon } => {
                let shift = inputs.get(2).copied().unwrap_or_default();
                windows::layer_norm(team, *epsilon, [inputs[1], shift], inputs[0], target);
            }
            Self::Product {
                sizes: [rows, inner, columns],
                starts,
            } => {
                let size = (rows * columns).max(1);
                windows::for_each_part(team, size, target, |index, target| {
                    let [left, right] = starts[index];
                    multiply(
                        MatrixMut::new(target, *rows, *columns),
                        Destination::Replace,
                        Matrix::new(&inputs[0][left..][..rows * inner], *rows, *inner),
                        Matrix::new(&inputs[1][right..][..inner * columns], *inner, *columns),
                        Threads::One,
                    );
                });
            }
        }
    }
}

/// Numbers that one thread takes at a time.
const FUNCTION_PIECE: usize = 16 * 1024;

fn apply(team: &Team, function: Function, source: &[f32], target: &mut [f32]) {
    windows::for_each_part(team, FUNCTION_PIECE, target, |index, target| {
        let start = index * FUNCTION_PIECE;
        target.copy_from_slice(&source[start..][..target.len()]);
        function.apply(target);
    });
}

/// Finds each buffer a place that no other one has while it lives: the largest first, each at the
/// lowest place that is free.
fn placed(steps: &[Step], lengths: &[usize], outputs: &[Source]) -> (Vec<Place>, usize) {
    let mut lives: Vec<Option<[usize; 2]>> = vec![None; lengths.len()];
    let mut touch = |buffer: usize, at: usize| {
        let life = lives[buffer].get_or_insert([at, at]);
        life[1] = life[1].max(at);
    };
    for (at, step) in steps.iter().enumerate() {
        touch(step.output, at);
        for source in &step.inputs {
            if let Source::Buffer(buffer) = source {
                touch(*buffer, at);
            }
        }
    }
    for source in outputs {
        if let Source::Buffer(buffer) = source {
            touch(*buffer, steps.len());
        }
    }
    let mut order: Vec<usize> = (0..lengths.len()).filter(|b| lives[*b].is_some()).collect();
    order.sort_by_key(|buffer| std::cmp::Reverse(lengths[*buffer]));
    let mut places = vec![Place { start: 0, len: 0 }; lengths.len()];
    let mut done: Vec<usize> = Vec::with_capacity(order.len());
    let mut memory = 0;
    for buffer in order {
        let Some([begin, end]) = lives[buffer] else {
            continue;
        };
        let mut taken: Vec<Place> = done
            .iter()
            .filter(|other| lives[**other].is_some_and(|[b, e]| b <= end && begin <= e))
            .map(|other| places[*other])
            .collect();
        taken.sort_by_key(|place| place.start);
        let mut start = 0_usize;
        for place in taken {
            if start + lengths[buffer] <= place.start {
                break;
            }
            start = start.max((place.start + place.len).next_multiple_of(16));
        }
        places[buffer] = Place {
            start,
            len: lengths[buffer],
        };
        memory = memory.max(start.saturating_add(lengths[buffer]));
        done.push(buffer);
    }
    (places, memory)
}
