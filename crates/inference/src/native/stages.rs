//! In which order a batch goes through a network: layer by layer, or some images at a time through the
//! first layers.
//!
//! A first layer's numbers for one image fill a core's cache, and those of eight are fetched from the
//! memory by the next layer; the weights of the last layers are so many that all images should meet
//! them at once. Which is faster is measured in the first runs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ferrotype_kernels::aligned::Aligned;
use ferrotype_kernels::convolution::prepared::Geometry;
use ferrotype_kernels::team::Team;

use super::program::{Kind, Piece, Program, Source, Step};
use super::refusal::Refusal;
use crate::runtime::StepCost;

/// Numbers that a core's second-level cache has room for.
const NEAR_NUMBERS: usize = 256 * 1024;

/// Numbers that the third-level cache has room for.
const FAR_NUMBERS: usize = 4 * 1024 * 1024;

/// How often a way is tried before it is judged.
const TRIES: usize = 3;

/// Memory of a run.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    arena: Aligned,
    /// What the first layers have written for all images.
    boundary: Aligned,
}

/// The ways in which a batch of a size can be run, all of which give the same numbers.
#[derive(Debug)]
pub(crate) struct Schedule {
    whole: Program,
    /// Some images at a time first, if there may be something in it.
    staged: Option<Staged>,
    trials: Mutex<Trials>,
}

/// How long either way took, the whole one first, and which is faster once that is known.
#[derive(Debug, Default)]
struct Trials {
    times: [Vec<Duration>; 2],
    is_staged: Option<bool>,
}

/// A network in two parts: the first is run on some images at a time.
#[derive(Debug)]
struct Staged {
    /// The first layers, and on how many images they work; run one after the other.
    heads: Vec<(usize, Program)>,
    /// How often the first of `heads` is run; the second is for the images that are left.
    repeats: usize,
    tail: Program,
    /// Numbers of an image's input and between the two parts.
    lengths: [usize; 2],
}

impl Schedule {
    /// The ways to run `batch` images; `plan` gives the program for a number of images.
    pub(crate) fn new(
        batch: usize,
        threads: usize,
        image_len: usize,
        plan: impl Fn(usize) -> Result<Program, Refusal>,
    ) -> Result<Self, Refusal> {
        let whole = plan(batch)?;
        // A network that does not take fewer images is run as a whole.
        let staged = match batch > threads {
            true => Staged::new(&whole, [batch, threads], image_len, &plan).unwrap_or_default(),
            false => None,
        };
        Ok(Self {
            whole,
            staged,
            trials: Mutex::default(),
        })
    }

    /// Runs a batch and gives `take` each of the answers in turn.
    pub(crate) fn run(
        &self,
        team: &Team,
        input: &[f32],
        memory: &mut Memory,
        take: impl FnMut(&[f32]),
    ) {
        let staged = self.way();
        let started = Instant::now();
        match &self.staged {
            Some(parts) if staged => parts.run(team, input, memory, take),
            _ => {
                self.whole.run(team, input, &mut memory.arena, |_, _| ());
                self.whole.outputs(input, &memory.arena).for_each(take);
            }
        }
        self.remember(staged, started.elapsed());
    }

    /// What each step of the whole network costs in the way that is used.
    pub(crate) fn profile(&self, team: &Team, input: &[f32], memory: &mut Memory) -> Vec<StepCost> {
        let mut times = vec![Duration::ZERO; self.whole.steps().len()];
        let tell = |step: usize, time: Duration| times[step] += time;
        match &self.staged {
            Some(parts) if self.way() => parts.run_and_tell(team, input, memory, tell),
            _ => self.whole.run(team, input, &mut memory.arena, tell),
        }
        let steps = self.whole.steps().iter().zip(times);
        steps
            .map(|(step, time)| self.whole.cost(step, input.len(), time))
            .collect()
    }

    /// Whether this run is a staged one.
    fn way(&self) -> bool {
        let trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
        let is_untried = trials.times[1].len() < trials.times[0].len();
        self.staged.is_some() && trials.is_staged.unwrap_or(is_untried)
    }

    fn remember(&self, staged: bool, time: Duration) {
        let mut trials = self.trials.lock().unwrap_or_else(PoisonError::into_inner);
        if trials.is_staged.is_some() || self.staged.is_none() {
            return;
        }
        trials.times[usize::from(staged)].push(time);
        if trials.times.iter().all(|times| times.len() >= TRIES) {
            // The least time is the one that others have disturbed least.
            let [whole, parts] = [0, 1].map(|way| trials.times[way].iter().min());
            trials.is_staged = Some(parts < whole);
        }
    }
}

impl Staged {
    /// The network in two parts, where a cut is possible and likely to pay.
    fn new(
        whole: &Program,
        [batch, at_once]: [usize; 2],
        image_len: usize,
        plan: impl Fn(usize) -> Result<Program, Refusal>,
    ) -> Result<Option<Self>, Refusal> {
        let small = plan(at_once)?;
        let Some(cut) = best_cut(whole, &small, [batch, at_once]) else {
            return Ok(None);
        };
        let mut heads = vec![(at_once, small.head(cut)?)];
        let left = batch % at_once;
        if left > 0 {
            let rest = plan(left)?;
            if !is_same_work(&rest, &small, cut, [left, at_once]) {
                return Ok(None);
            }
            heads.push((left, rest.head(cut)?));
        }
        let boundary = whole.steps()[cut - 1].output;
        Ok(Some(Self {
            heads,
            repeats: batch / at_once,
            tail: whole.tail(cut)?,
            lengths: [image_len, whole.buffer_len(boundary) / batch],
        }))
    }

    fn run(&self, team: &Team, input: &[f32], memory: &mut Memory, take: impl FnMut(&[f32])) {
        self.run_and_tell(team, input, memory, |_, _| ());
        let (arena, boundary) = (&memory.arena, &memory.boundary[..]);
        self.tail.outputs(boundary, arena).for_each(take);
    }

    fn run_and_tell(
        &self,
        team: &Team,
        input: &[f32],
        memory: &mut Memory,
        mut tell: impl FnMut(usize, Duration),
    ) {
        let [image_len, boundary_len] = self.lengths;
        let batch = input.len() / image_len;
        if memory.boundary.len() != batch * boundary_len {
            memory.boundary = Aligned::zeros(batch * boundary_len);
        }
        let (mut input, mut boundary) = (input, &mut memory.boundary[..]);
        let [repeated, rest] = [self.heads.first(), self.heads.get(1)];
        let repeated = std::iter::repeat_n(repeated, self.repeats);
        for (images, head) in repeated.chain([rest]).flatten() {
            let (own, others) = input.split_at(images * image_len);
            let (target, behind) = boundary.split_at_mut(images * boundary_len);
            head.run(team, own, &mut memory.arena, &mut tell);
            for output in head.outputs(own, &memory.arena) {
                target.copy_from_slice(output);
            }
            (input, boundary) = (others, behind);
        }
        let first = self.heads[0].1.steps().len();
        self.tail
            .run(team, &memory.boundary, &mut memory.arena, |step, time| {
                tell(first + step, time)
            });
    }
}

/// After which step the images should meet, if anywhere: where the memory traffic saved is largest.
fn best_cut(whole: &Program, small: &Program, sizes: [usize; 2]) -> Option<usize> {
    let [batch, at_once] = sizes;
    let rounds = batch as f64 / at_once as f64;
    let (mut saved, mut best) = (0.0, (0.0, None));
    for (index, (step, one)) in whole.steps().iter().zip(small.steps()).enumerate() {
        if !step_scales(whole, small, index, sizes) {
            break;
        }
        let far = traffic(whole, step, at_once) - rounds * traffic(small, one, at_once);
        saved += far - (rounds - 1.0) * weights_of(step) as f64;
        if saved > best.0 && is_boundary(whole, index) {
            best = (saved, Some(index + 1));
        }
    }
    best.1
}

/// Whether two programs do the same in their first `count` steps, for as many times more images as
/// `sizes` says.
fn is_same_work(whole: &Program, small: &Program, count: usize, sizes: [usize; 2]) -> bool {
    whole.steps().len() == small.steps().len()
        && (0..count).all(|index| step_scales(whole, small, index, sizes))
}

/// Numbers that a step fetches or brings away from further than its threads' caches, those from the
/// memory fourfold.
fn traffic(program: &Program, step: &Step, threads: usize) -> f64 {
    let length = |source: &Source| match source {
        Source::Buffer(buffer) => program.buffer_len(*buffer),
        _ => 0,
    };
    let inputs: usize = step.inputs.iter().map(length).sum();
    let numbers = inputs + program.buffer_len(step.output);
    match numbers {
        near if near <= NEAR_NUMBERS * threads => 0.0,
        far if far <= FAR_NUMBERS => far as f64,
        beyond => 4.0 * beyond as f64,
    }
}

fn weights_of(step: &Step) -> usize {
    match &step.kind {
        Kind::Convolution { prepared, .. } => prepared.memory() / size_of::<f32>(),
        _ => 0,
    }
}

/// Whether what follows step `index` needs nothing from before but what this step wrote, which is a
/// block for each image.
fn is_boundary(program: &Program, index: usize) -> bool {
    let step = &program.steps()[index];
    if !matches!(step.kind, Kind::Convolution { .. } | Kind::Pool { .. }) {
        return false;
    }
    let earlier: Vec<usize> = program.steps()[..index].iter().map(|s| s.output).collect();
    let is_earlier = |source: &Source| match source {
        Source::Input => true,
        Source::Buffer(buffer) => *buffer != step.output && earlier.contains(buffer),
        Source::Constant(_) => false,
    };
    let later = &program.steps()[index + 1..];
    !later.is_empty()
        && !later.iter().flat_map(|step| &step.inputs).any(is_earlier)
        && !earlier.iter().any(|buffer| program.answers_with(*buffer))
}

/// Whether step `index` of `whole` does for `sizes[0]` images what that of `small` does for `sizes[1]`,
/// each image by itself.
fn step_scales(whole: &Program, small: &Program, index: usize, sizes: [usize; 2]) -> bool {
    let (Some(step), Some(one)) = (whole.steps().get(index), small.steps().get(index)) else {
        return false;
    };
    let buffer_scales =
        |buffer: usize| scales(whole.buffer_len(buffer), small.buffer_len(buffer), sizes);
    let same = |pair: (&Source, &Source)| match pair {
        (Source::Input, Source::Input) => true,
        (Source::Buffer(a), Source::Buffer(b)) => a == b && buffer_scales(*a),
        (Source::Constant(a), Source::Constant(b)) => a == b,
        _ => false,
    };
    step.output == one.output
        && buffer_scales(step.output)
        && step.inputs.len() == one.inputs.len()
        && step.inputs.iter().zip(&one.inputs).all(same)
        && kind_scales(&step.kind, &one.kind, sizes)
}

fn scales(large: usize, small: usize, [batch, at_once]: [usize; 2]) -> bool {
    large * at_once == small * batch
}

fn kind_scales(large: &Kind, small: &Kind, sizes: [usize; 2]) -> bool {
    let geometry_scales = |a: &Geometry, b: &Geometry| {
        scales(a.batch, b.batch, sizes)
            && Geometry {
                batch: b.batch,
                ..*a
            } == *b
    };
    match (large, small) {
        (
            Kind::Convolution {
                prepared,
                geometry,
                planes,
                function,
                order,
            },
            Kind::Convolution {
                prepared: own,
                geometry: own_geometry,
                planes: own_planes,
                function: own_function,
                order: own_order,
            },
        ) => {
            std::sync::Arc::ptr_eq(prepared, own)
                && geometry_scales(geometry, own_geometry)
                && (planes, function, order) == (own_planes, own_function, own_order)
        }
        (
            Kind::Pool {
                pool,
                geometry,
                kernel,
                channels,
            },
            Kind::Pool {
                pool: own_pool,
                geometry: own_geometry,
                kernel: own_kernel,
                channels: own_channels,
            },
        ) => {
            geometry_scales(geometry, own_geometry)
                && (pool, kernel, channels) == (own_pool, own_kernel, own_channels)
        }
        (Kind::Reduce(a, [outer, len, inner]), Kind::Reduce(b, [own, own_len, own_inner])) => {
            a == b && scales(*outer, *own, sizes) && (len, inner) == (own_len, own_inner)
        }
        (Kind::Function(a), Kind::Function(b)) => a == b,
        (Kind::Combine(a, axes), Kind::Combine(b, own)) => {
            let len = |axis: &ferrotype_kernels::strided::PairAxis| axis.len;
            let rest = |axis: &ferrotype_kernels::strided::PairAxis| (axis.left, axis.right);
            a == b && axes_scale(axes, own, len, rest, sizes)
        }
        (
            Kind::Copy { fill, pieces },
            Kind::Copy {
                fill: own_fill,
                pieces: own,
            },
        ) => {
            fill == own_fill
                && pieces.len() == own.len()
                && pieces
                    .iter()
                    .zip(own)
                    .all(|(a, b)| piece_scales(a, b, sizes))
        }
        (
            Kind::Softmax {
                logarithm,
                sizes: [outer, len, inner],
            },
            Kind::Softmax {
                logarithm: own_logarithm,
                sizes: [own, own_len, own_inner],
            },
        ) => {
            scales(*outer, *own, sizes)
                && (logarithm, len, inner) == (own_logarithm, own_len, own_inner)
        }
        (
            Kind::Resize {
                input,
                channels,
                samples,
            },
            Kind::Resize {
                input: own_input,
                channels: own_channels,
                samples: own_samples,
            },
        ) => (input, channels, samples) == (own_input, own_channels, own_samples),
        _ => false,
    }
}

fn piece_scales(a: &Piece, b: &Piece, sizes: [usize; 2]) -> bool {
    let len = |axis: &ferrotype_kernels::strided::Axis| axis.len;
    let rest = |axis: &ferrotype_kernels::strided::Axis| (axis.source, axis.target);
    (a.input, a.source_start, a.target_start) == (b.input, b.source_start, b.target_start)
        && axes_scale(&a.axes, &b.axes, len, rest, sizes)
}

/// Whether axes are the same but for the outermost one, which is as many times longer; it may be
/// missing where it has one element.
///
/// Then images lie one behind the other: did they lie between each other, the distances along the other
/// axes would depend on their number.
fn axes_scale<A, R: PartialEq>(
    large: &[A],
    small: &[A],
    len: impl Fn(&A) -> usize,
    rest: impl Fn(&A) -> R,
    sizes: [usize; 2],
) -> bool {
    let same = |a: &[A], b: &[A]| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| len(a) == len(b) && rest(a) == rest(b))
    };
    match (large, small) {
        ([first, large @ ..], [own, small @ ..])
            if scales(len(first), len(own), sizes) && same(large, small) =>
        {
            len(own) == 1 || rest(first) == rest(own)
        }
        ([first, large @ ..], small) => scales(len(first), 1, sizes) && same(large, small),
        ([], _) => false,
    }
}
