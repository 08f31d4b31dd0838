//! Which buffers a pass over the graph takes, from when to when: what is overwritten in place,
//! what the backward pass keeps.

use super::placement::Lifetime;
use crate::executor::plan::{Group, Kind, Mode, Plan, Value};

/// Number of a buffer of floats.
pub(super) type Buffer = usize;

/// Number of a buffer of bytes.
pub(super) type Bytes = usize;

/// Where the gradient of a group's input goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InputGradient {
    /// Where the group writes it.
    pub(super) buffer: Buffer,
    /// How it comes together with what other readers of the same value gave.
    pub(super) sum: Sum,
}

/// How the gradients of a value that several groups read come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// It is the first.
    First,
    /// The group itself adds to what is in its buffer.
    InPlace,
    /// It is added to this buffer afterwards.
    Into(Buffer),
}

/// A group's buffers.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupBuffers {
    pub(super) inputs: Vec<Buffer>,
    pub(super) output: Buffer,
    /// The winners of a pooling, the mask of a dropout.
    pub(super) bytes: Option<Bytes>,
    /// The gradient of the output; none when nobody gave one, or nobody wants it.
    pub(super) gradient: Option<Buffer>,
    /// By input; none for those that need no gradient.
    pub(super) input_gradients: Vec<Option<InputGradient>>,
    /// What a normalisation turns into its input's gradient: the input itself, or a copy of it
    /// where others still read that.
    pub(super) values: Option<Buffer>,
}

/// The buffers of a pass.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) image: Buffer,
    pub(super) logits: Buffer,
    pub(super) logits_gradient: Option<Buffer>,
    /// By group.
    pub(super) groups: Vec<GroupBuffers>,
    pub(super) floats: Vec<Lifetime>,
    pub(super) bytes: Vec<Lifetime>,
}

/// Plans the buffers of a pass of `batch` images over `groups`.
pub(super) fn schedule(plan: &Plan, groups: &[Group], batch: usize, mode: Mode) -> Schedule {
    let mut scheduler = Scheduler::new(plan, groups, batch, mode);
    for index in 0..groups.len() {
        scheduler.forward(index);
    }
    let logits = scheduler.buffer_of(output_value(groups));
    let logits_gradient = (mode == Mode::Training).then(|| scheduler.backward(logits));
    Schedule {
        image: scheduler.image,
        logits,
        logits_gradient,
        groups: scheduler.buffers,
        floats: scheduler.floats,
        bytes: scheduler.bytes,
    }
}

/// The logits: what the last layer gives or passes on.
fn output_value(groups: &[Group]) -> Value {
    let last_layer = |group: &Group| group.layers.iter().max().copied();
    (0..groups.len())
        .max_by_key(|index| last_layer(&groups[*index]))
        .map_or(Value::Image, Value::Group)
}

struct Scheduler<'a> {
    groups: &'a [Group],
    batch: usize,
    mode: Mode,
    image: Buffer,
    /// How often the image is read, and what each group gives.
    image_readers: usize,
    readers: Vec<usize>,
    buffers: Vec<GroupBuffers>,
    gradients: Vec<Option<Buffer>>,
    floats: Vec<Lifetime>,
    bytes: Vec<Lifetime>,
}

impl<'a> Scheduler<'a> {
    fn new(plan: &Plan, groups: &'a [Group], batch: usize, mode: Mode) -> Self {
        let mut readers = vec![0; groups.len()];
        let mut image_readers = 0;
        for group in groups {
            for value in &group.inputs {
                match value {
                    Value::Image => image_readers += 1,
                    Value::Group(index) => readers[*index] += 1,
                }
            }
        }
        if let Value::Group(index) = output_value(groups) {
            readers[index] += 1;
        }
        let mut scheduler = Self {
            groups,
            batch,
            mode,
            image: 0,
            image_readers,
            readers,
            buffers: Vec::with_capacity(groups.len()),
            gradients: vec![None; groups.len()],
            floats: Vec::new(),
            bytes: Vec::new(),
        };
        scheduler.image = scheduler.float_buffer(batch * plan.input.len(), 0);
        scheduler
    }

    /// When group `index` is computed.
    fn forward_time(&self, index: usize) -> usize {
        index + 1
    }

    /// When the loss is computed.
    fn loss_time(&self) -> usize {
        self.groups.len() + 1
    }

    /// When group `index` is computed backwards.
    fn backward_time(&self, index: usize) -> usize {
        self.loss_time() + self.groups.len() - index
    }

    fn float_buffer(&mut self, len: usize, time: usize) -> Buffer {
        self.floats.push(Lifetime {
            len,
            first: time,
            last: time,
        });
        self.floats.len() - 1
    }

    fn byte_buffer(&mut self, len: usize, time: usize) -> Bytes {
        self.bytes.push(Lifetime {
            len,
            first: time,
            last: time,
        });
        self.bytes.len() - 1
    }

    fn touch(&mut self, buffer: Buffer, time: usize) {
        let lifetime = &mut self.floats[buffer];
        lifetime.last = lifetime.last.max(time);
    }

    fn buffer_of(&self, value: Value) -> Buffer {
        match value {
            Value::Image => self.image,
            Value::Group(index) => self.buffers[index].output,
        }
    }

    fn reader_count(&self, value: Value) -> usize {
        match value {
            Value::Image => self.image_readers,
            Value::Group(index) => self.readers[index],
        }
    }

    fn forward(&mut self, index: usize) {
        let groups = self.groups;
        let group = &groups[index];
        let time = self.forward_time(index);
        let inputs: Vec<Buffer> = group.inputs.iter().map(|v| self.buffer_of(*v)).collect();
        let output_len = self.batch * group.output.len();
        let output = if group.is_deferred || self.may_overwrite(group) {
            inputs[0]
        } else {
            self.float_buffer(output_len, time)
        };
        for buffer in inputs.iter().chain([&output]) {
            self.touch(*buffer, time);
        }
        let bytes = bytes_len(group.kind, output_len).map(|len| self.byte_buffer(len, time));
        self.buffers.push(GroupBuffers {
            inputs,
            output,
            bytes,
            ..GroupBuffers::default()
        });
    }

    /// Whether the group may write its output over its first input.
    fn may_overwrite(&self, group: &Group) -> bool {
        let is_elementwise = match group.kind {
            Kind::Activation(activation) => {
                self.mode == Mode::Evaluation || !group.needs_gradient || activation.reads_output()
            }
            Kind::Dropout | Kind::StochasticDepth | Kind::PositionEmbedding | Kind::Add => true,
            _ => false,
        };
        is_elementwise && self.is_read_once(group.inputs[0])
    }

    /// Whether a value is read by one group only, and not by the backward pass of the group that
    /// gave it.
    fn is_read_once(&self, value: Value) -> bool {
        let is_kept = match value {
            Value::Image => false,
            Value::Group(index) => {
                let group = &self.groups[index];
                self.mode == Mode::Training && group.needs_gradient && reads_output(group.kind)
            }
        };
        self.reader_count(value) == 1 && !is_kept
    }

    /// The backward pass, whose gradient of the logits is answered.
    fn backward(&mut self, logits: Buffer) -> Buffer {
        let time = self.loss_time();
        self.touch(logits, time);
        let len = self.floats[logits].len;
        let gradient = self.float_buffer(len, time);
        if let Value::Group(index) = output_value(self.groups) {
            self.gradients[index] = Some(gradient);
        }
        for index in (0..self.groups.len()).rev() {
            if self.groups[index].needs_gradient
                && let Some(gradient) = self.gradients[index]
            {
                self.backward_group(index, gradient);
            }
        }
        gradient
    }

    fn backward_group(&mut self, index: usize, gradient: Buffer) {
        let groups = self.groups;
        let group = &groups[index];
        let time = self.backward_time(index);
        self.touch(gradient, time);
        self.keep_what_it_reads(index, time);
        self.buffers[index].gradient = Some(gradient);
        if is_normalization(group.kind) {
            self.buffers[index].values = Some(self.normalization_values(group, index, time));
        }
        let input_gradients = (0..group.inputs.len())
            .map(|input| self.input_gradient(index, input, gradient, time))
            .collect();
        self.buffers[index].input_gradients = input_gradients;
    }

    fn keep_what_it_reads(&mut self, index: usize, time: usize) {
        let group = &self.groups[index];
        let buffers = self.buffers[index].clone();
        if reads_output(group.kind) {
            self.touch(buffers.output, time);
        }
        for (input, buffer) in buffers.inputs.iter().enumerate() {
            if reads_input(group, input) {
                self.touch(*buffer, time);
            }
        }
        if let Some(bytes) = buffers.bytes {
            self.bytes[bytes].last = time;
        }
    }

    fn normalization_values(&mut self, group: &Group, index: usize, time: usize) -> Buffer {
        let input = self.buffers[index].inputs[0];
        if self.is_read_once(group.inputs[0]) {
            return input;
        }
        self.float_buffer(self.floats[input].len, time)
    }

    fn input_gradient(
        &mut self,
        index: usize,
        input: usize,
        gradient: Buffer,
        time: usize,
    ) -> Option<InputGradient> {
        let group = &self.groups[index];
        let Value::Group(source) = group.inputs[input] else {
            return None;
        };
        if !self.groups[source].needs_gradient {
            return None;
        }
        let so_far = self.gradients[source];
        if let Some(buffer) = so_far {
            self.touch(buffer, time);
        }
        let is_last = input + 1 == group.inputs.len();
        let buffer = match (place_of_gradient(group.kind, input), so_far) {
            (Place::Output, _) => gradient,
            // The same gradient goes to every summand; the last may have the buffer itself.
            (Place::Shared, Some(_)) => gradient,
            (Place::Shared, None) if is_last => gradient,
            (Place::Values, _) => self.buffers[index].values.unwrap_or(gradient),
            (Place::Added, Some(buffer)) => {
                return Some(InputGradient {
                    buffer,
                    sum: Sum::InPlace,
                });
            }
            _ => self.float_buffer(self.batch * group.input_extents[input].len(), time),
        };
        if so_far.is_none() {
            self.gradients[source] = Some(buffer);
        }
        Some(InputGradient {
            buffer,
            sum: so_far.map_or(Sum::First, Sum::Into),
        })
    }
}

/// Where the gradient of an input is made.
enum Place {
    /// In the buffer of the output's gradient.
    Output,
    /// It is the output's gradient, for several inputs.
    Shared,
    /// In the buffer of the input itself.
    Values,
    /// In a buffer of its own.
    Own,
    /// In a buffer of its own, or added to the gradient that is there.
    Added,
}

fn place_of_gradient(kind: Kind, input: usize) -> Place {
    match kind {
        Kind::Normalization { .. } if input == 1 => Place::Output,
        Kind::Normalization { .. } | Kind::PooledNormalization { .. } => Place::Values,
        Kind::Activation(_)
        | Kind::LayerNorm
        | Kind::LayerScale
        | Kind::Dropout
        | Kind::StochasticDepth
        | Kind::PositionEmbedding => Place::Output,
        Kind::Multiply | Kind::Gate if input == 0 => Place::Output,
        Kind::Add => Place::Shared,
        Kind::Linear | Kind::GlobalPooling => Place::Added,
        _ => Place::Own,
    }
}

fn is_normalization(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Normalization { .. } | Kind::PooledNormalization { .. }
    )
}

/// Whether a group's backward pass reads its output.
pub(super) fn reads_output(kind: Kind) -> bool {
    match kind {
        Kind::Normalization {
            shortcut,
            activation,
        } => shortcut && activation.is_some(),
        Kind::Activation(activation) => activation.reads_output(),
        Kind::WideMaxPooling => true,
        _ => false,
    }
}

/// Whether a group's backward pass reads an input.
fn reads_input(group: &Group, input: usize) -> bool {
    match group.kind {
        Kind::Convolution | Kind::Linear => group.is_fitted,
        Kind::Normalization { .. } => input == 0,
        Kind::Activation(activation) => !activation.reads_output(),
        Kind::PooledNormalization { .. }
        | Kind::WideMaxPooling
        | Kind::LayerNorm
        | Kind::LayerScale
        | Kind::Multiply
        | Kind::Gate
        | Kind::Attention => true,
        _ => false,
    }
}

/// How many bytes a group keeps, besides floats.
fn bytes_len(kind: Kind, output_len: usize) -> Option<usize> {
    match kind {
        Kind::PooledNormalization { .. } | Kind::MaxPooling { .. } | Kind::WideMaxPooling => {
            Some(output_len)
        }
        Kind::Dropout => Some(ferrotype_kernels::dropout::mask_len(output_len)),
        _ => None,
    }
}
