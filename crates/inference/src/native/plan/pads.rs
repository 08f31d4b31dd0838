//! Operators that repeat elements, add some around them, or move them between channels and pixels.

use ferrotype_kernels::strided::Axis;

use super::moves::Move;
use super::{Kind, Layout, Piece, Planner, axis_of, order, strides};
use crate::native::fold::{broadcast, sizes};
use crate::native::refusal::Refusal;
use crate::native::tensor::elements;

/// Elements along an axis of a padded value: where they go and where they come from.
#[derive(Debug, Clone, Copy)]
struct Segment {
    len: usize,
    target: usize,
    source: usize,
    /// From an element to the next in the source.
    step: isize,
}

impl Planner<'_> {
    pub(super) fn expand(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let input = self.moved(0)?;
        let wanted = sizes(self.constant(1)?.as_ref())?;
        let shape = broadcast(&input.shape, &wanted)?;
        let own = input.strides();
        let missing = shape.len() - own.len();
        let from: Vec<usize> = (0..shape.len())
            .map(|axis| match axis.checked_sub(missing) {
                Some(axis) if input.shape[axis] > 1 => own[axis],
                _ => 0,
            })
            .collect();
        let output = self.output()?;
        self.carry_out_one(output, input, shape, &from)
    }

    pub(super) fn tile(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let input = self.moved(0)?;
        let counts = sizes(self.constant(1)?.as_ref())?;
        let rank = input.shape.len();
        if counts.len() != rank {
            return Err(Refusal::malformed("other than one number for an axis"));
        }
        let shape: Vec<usize> = (0..rank)
            .map(|axis| input.shape[axis].saturating_mul(counts[axis]))
            .collect();
        elements(&shape)?;
        let (from, to) = (input.strides(), strides(&shape, input.layout));
        let axes = order(rank, input.layout).into_iter().flat_map(|axis| {
            let len = input.shape[axis];
            let copies = Axis {
                len: counts[axis],
                source: 0,
                target: len * to[axis],
            };
            let own = Axis {
                len,
                source: from[axis] as isize,
                target: to[axis],
            };
            [copies, own]
        });
        let piece = Piece {
            input: 0,
            axes: axes.collect(),
            source_start: 0,
            target_start: 0,
        };
        let output = self.output()?;
        let layout = input.layout;
        self.carry_out(
            output,
            Move {
                sources: vec![input],
                pieces: vec![piece],
                shape,
                layout,
                fill: None,
            },
        )
    }

    pub(super) fn pad(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let mode = attributes.text("mode", "constant")?;
        let input = self.moved(0)?;
        let rank = input.shape.len();
        let mut chosen: Vec<usize> = (0..rank).collect();
        let (given, fill) = if self.network.opset < 11 {
            let pads = attributes.integers("pads")?.unwrap_or_default().to_vec();
            (pads, attributes.float("value", 0.0)?)
        } else {
            let fill = match self.optional_constant(2)? {
                None => 0.0,
                Some(fill) => fill.as_float()?,
            };
            if let Some(axes) = self.optional_constant(3)? {
                let axes = axes.as_whole()?.iter();
                chosen = axes
                    .map(|axis| axis_of(*axis, rank))
                    .collect::<Result<_, _>>()?;
            }
            (self.constant(1)?.as_whole()?.to_vec(), fill)
        };
        attributes.finish()?;
        let mut sorted = chosen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if given.len() != 2 * chosen.len() || sorted.len() != chosen.len() {
            return Err(Refusal::malformed(format!(
                "pads {given:?} of `{rank}` axes"
            )));
        }
        let mut pads = vec![[0, 0]; rank];
        for (index, axis) in chosen.iter().enumerate() {
            pads[*axis] = [given[index], given[index + chosen.len()]];
        }
        let mut shape = Vec::new();
        let mut segments = Vec::new();
        for (len, pads) in input.shape.iter().zip(pads) {
            let (padded, of_axis) = padded(mode, *len, pads)?;
            shape.push(padded);
            segments.push(of_axis);
        }
        elements(&shape)?;
        let layout = input.layout;
        let (from, to) = (input.strides(), strides(&shape, layout));
        let order = order(rank, layout);
        let pieces = combinations(&segments).into_iter().map(|part| Piece {
            input: 0,
            axes: order
                .iter()
                .map(|axis| Axis {
                    len: part[*axis].len,
                    source: part[*axis].step * from[*axis] as isize,
                    target: to[*axis],
                })
                .collect(),
            source_start: (0..rank).map(|axis| part[axis].source * from[axis]).sum(),
            target_start: (0..rank).map(|axis| part[axis].target * to[axis]).sum(),
        });
        let pieces = pieces.collect();
        let output = self.output()?;
        self.carry_out(
            output,
            Move {
                sources: vec![input],
                pieces,
                shape,
                layout,
                fill: (mode == "constant").then_some(fill),
            },
        )
    }

    /// Blocks of pixels become channels, or channels blocks of pixels.
    pub(super) fn exchange_depth(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let block = attributes.integer("blocksize", 0)?;
        let is_spreading = self.node.operator == "DepthToSpace";
        let mode = match is_spreading {
            true => attributes.text("mode", "DCR")?,
            false => "DCR",
        };
        attributes.finish()?;
        let input = self.tensor(0)?;
        let [batch, channels, height, width] = input.shape[..] else {
            return Err(Refusal::malformed("an input with other than four axes"));
        };
        let block = usize::try_from(block)
            .ok()
            .filter(|block| (1..=1 << 10).contains(block))
            .ok_or_else(|| Refusal::malformed(format!("`blocksize` of `{block}`")))?;
        let square = block * block;
        let divides = match is_spreading {
            true => channels.is_multiple_of(square),
            false => height.is_multiple_of(block) && width.is_multiple_of(block),
        };
        if !divides {
            return Err(Refusal::malformed(format!(
                "blocks of `{block}` in {:?}",
                input.shape
            )));
        }
        let shape = match is_spreading {
            true => [batch, channels / square, height * block, width * block],
            false => [batch, channels * square, height / block, width / block],
        };
        // The side with few channels and many pixels, and the one with many channels.
        let (from, to) = (input.strides(), strides(&shape, input.layout));
        let (few, many, pixels) = match is_spreading {
            true => (&to, &from, [height, width, shape[1]]),
            false => (&from, &to, [shape[2], shape[3], channels]),
        };
        // How far apart in the channels blocks' rows, columns and their own channels are.
        let apart = match mode {
            "DCR" => [block * pixels[2], pixels[2], 1],
            "CRD" => [block, 1, square],
            _ => return Err(Refusal::unsupported(format!("`mode` of `{mode}`"))),
        };
        let pair = |few: usize, many: usize, len: usize| {
            let (source, target) = match is_spreading {
                true => (many, few),
                false => (few, many),
            };
            Axis {
                len,
                source: source as isize,
                target,
            }
        };
        let image = pair(few[0], many[0], batch);
        let row = pair(few[2] * block, many[2], pixels[0]);
        let column = pair(few[3] * block, many[3], pixels[1]);
        let within = [
            pair(few[2], many[1] * apart[0], block),
            pair(few[3], many[1] * apart[1], block),
        ];
        let channel = pair(few[1], many[1] * apart[2], pixels[2]);
        let axes = match input.layout {
            Layout::Plain => vec![image, channel, row, within[0], column, within[1]],
            Layout::ChannelsLast => vec![image, row, within[0], column, within[1], channel],
        };
        let piece = Piece {
            input: 0,
            axes,
            source_start: 0,
            target_start: 0,
        };
        let kind = Kind::Copy {
            fill: None,
            pieces: vec![piece],
        };
        let tensor = self.step(kind, vec![input.source], &shape, input.layout)?;
        let output = self.output()?;
        self.tell(output, tensor)
    }
}

/// The padded length of an axis, and what its elements are.
fn padded(mode: &str, len: usize, pads: [i64; 2]) -> Result<(usize, Vec<Segment>), Refusal> {
    // Elements are left out where a number is negative.
    let [before, after] = pads.map(|pad| usize::try_from(pad).unwrap_or(0));
    let [cut_before, cut_after] =
        pads.map(|pad| usize::try_from(pad.saturating_neg()).unwrap_or(0));
    let kept = len
        .checked_sub(cut_before)
        .and_then(|rest| rest.checked_sub(cut_after))
        .ok_or_else(|| Refusal::malformed("more elements are cut off than there are"))?;
    let padded = kept.saturating_add(before).saturating_add(after);
    let mut segments = vec![Segment {
        len: kept,
        target: before,
        source: cut_before,
        step: 1,
    }];
    let most = match mode {
        "constant" => return Ok((padded, segments)),
        "edge" => usize::MAX,
        "reflect" => kept.saturating_sub(1),
        "wrap" => kept,
        _ => return Err(Refusal::unsupported(format!("`mode` of `{mode}`"))),
    };
    if before.max(after) > most || kept == 0 {
        return Err(Refusal::unsupported("more padding than there are elements"));
    }
    let last = cut_before + kept - 1;
    let (first_source, last_source, step) = match mode {
        "edge" => (cut_before, last, 0),
        "reflect" => (cut_before + before, last.saturating_sub(1), -1),
        _ => (cut_before + kept - before, cut_before, 1),
    };
    segments.push(Segment {
        len: before,
        target: 0,
        source: first_source,
        step,
    });
    segments.push(Segment {
        len: after,
        target: before + kept,
        source: last_source,
        step,
    });
    segments.retain(|segment| segment.len > 0);
    Ok((padded, segments))
}

/// One segment of each axis, in all ways.
fn combinations(segments: &[Vec<Segment>]) -> Vec<Vec<Segment>> {
    let mut all = vec![Vec::new()];
    for choices in segments {
        all = all
            .iter()
            .flat_map(|part| {
                choices
                    .iter()
                    .map(move |choice| [&part[..], &[*choice]].concat())
            })
            .collect();
    }
    all
}
