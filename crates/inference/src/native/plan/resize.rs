//! Resizing: where each element of an axis comes from, and the steps.

use ferrotype_kernels::windows::{Sample, Taps};

use super::windows::MOST_SIDE;
use super::{Kind, Layout, Planner, Tensor, axis_of};
use crate::native::fold::sizes;
use crate::native::refusal::Refusal;

/// How elements between those of the input are found.
#[derive(Debug, Clone, Copy)]
struct Manner<'a> {
    mode: &'a str,
    coordinates: &'a str,
    nearest: &'a str,
    cubic: f64,
    /// Whether places outside the input count nothing, rather than as its edge.
    excludes_outside: bool,
    /// Whether a smaller output takes the mean of what it leaves out.
    antialias: bool,
}

impl Manner<'_> {
    /// Refuses what is not known, whether it would matter or not.
    fn check(&self) -> Result<(), Refusal> {
        let known = [
            ("mode", self.mode, &["nearest", "linear", "cubic"][..]),
            (
                "coordinate_transformation_mode",
                self.coordinates,
                &[
                    "half_pixel",
                    "half_pixel_symmetric",
                    "pytorch_half_pixel",
                    "asymmetric",
                    "align_corners",
                ],
            ),
            (
                "nearest_mode",
                self.nearest,
                &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"],
            ),
        ];
        match known
            .iter()
            .find(|(_, value, known)| !known.contains(value))
        {
            None => Ok(()),
            Some((name, value, _)) => Err(Refusal::unsupported(format!("`{name}` of `{value}`"))),
        }
    }
}

/// One axis of a resized value.
struct Resized {
    input: usize,
    output: usize,
    scale: f64,
}

impl Planner<'_> {
    pub(super) fn resize(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let is_upsample = self.node.operator == "Upsample";
        let mut manner = Manner {
            mode: attributes.text("mode", "nearest")?,
            coordinates: "asymmetric",
            nearest: "floor",
            cubic: -0.75,
            excludes_outside: false,
            antialias: false,
        };
        let (mut axes, mut policy) = (None, "stretch");
        if !is_upsample && self.network.opset < 11 {
            return Err(Refusal::unsupported("`Resize` as before opset 11"));
        }
        if is_upsample && self.network.opset < 9 {
            return Err(Refusal::unsupported("`Upsample` as before opset 9"));
        }
        if !is_upsample {
            manner.coordinates = attributes.text("coordinate_transformation_mode", "half_pixel")?;
            manner.nearest = attributes.text("nearest_mode", "round_prefer_floor")?;
            manner.cubic = f64::from(attributes.float("cubic_coeff_a", -0.75)?);
            attributes.float("extrapolation_value", 0.0)?;
            manner.antialias = attributes.integer("antialias", 0)? != 0;
            manner.excludes_outside = attributes.integer("exclude_outside", 0)? != 0;
            axes = attributes.integers("axes")?;
            policy = attributes.text("keep_aspect_ratio_policy", "stretch")?;
        }
        attributes.finish()?;
        manner.check()?;
        let input = self.tensor(0)?;
        let rank = input.shape.len();
        let axes = match axes {
            None => (0..rank).collect(),
            Some(axes) => {
                let axes = axes.iter().map(|axis| axis_of(*axis, rank));
                axes.collect::<Result<Vec<_>, _>>()?
            }
        };
        let lengths: Vec<usize> = axes.iter().map(|axis| input.shape[*axis]).collect();
        let resized = self.resized(&lengths, is_upsample, policy)?;
        let mut all = Vec::new();
        for (axis, resized) in axes.iter().zip(resized) {
            if resized.output == resized.input && resized.scale == 1.0 {
                continue;
            }
            if all.iter().any(|(other, _)| other == axis) {
                return Err(Refusal::malformed("an axis twice"));
            }
            // The filter of a much smaller output is as wide as what it leaves out.
            self.spent.constant(4 * resized.input.max(resized.output))?;
            let taps = resized.taps(&manner)?;
            self.spent.constant(taps.places.len())?;
            all.push((*axis, taps));
        }
        let mut tensor = input;
        if let Some(samples) = image_samples(&tensor, &all) {
            let image = self.image(&tensor)?;
            let sides = [image.shape[2], image.shape[3]];
            let channels = image.shape[1];
            let shape = [image.shape[0], channels, samples[0].len(), samples[1].len()];
            let kind = Kind::Resize {
                input: sides,
                channels,
                samples,
            };
            tensor = self.step(kind, vec![image.source], &shape, Layout::ChannelsLast)?;
        } else {
            for (axis, taps) in all {
                tensor = self.resampled(tensor, axis, taps)?;
            }
        }
        let value = self.output()?;
        self.tell(value, tensor)
    }

    fn resampled(&mut self, tensor: Tensor, axis: usize, taps: Taps) -> Result<Tensor, Refusal> {
        let order = tensor.order();
        let place = order.iter().position(|own| *own == axis).unwrap_or(axis);
        let product = |axes: &[usize]| axes.iter().map(|axis| tensor.shape[*axis]).product();
        let sizes = [
            product(&order[..place]),
            tensor.shape[axis],
            product(&order[place + 1..]),
        ];
        let mut shape = tensor.shape.clone();
        shape[axis] = taps.outputs();
        let kind = Kind::Resample { taps, sizes };
        self.step(kind, vec![tensor.source], &shape, tensor.layout)
    }

    /// What becomes of axes of these lengths.
    fn resized(
        &self,
        lengths: &[usize],
        is_upsample: bool,
        policy: &str,
    ) -> Result<Vec<Resized>, Refusal> {
        let given = |place: usize| {
            let constant = self.optional_constant(place)?;
            Ok::<_, Refusal>(constant.filter(|constant| !constant.shape.contains(&0)))
        };
        let (scales, wanted) = match is_upsample {
            true => (given(1)?, None),
            false => (given(2)?, given(3)?),
        };
        let wrong = || Refusal::malformed("other than one number for an axis");
        let checked = |resized: Vec<Resized>| {
            let fits = |axis: &Resized| {
                let is_possible = |side: usize| (1..=MOST_SIDE).contains(&side);
                is_possible(axis.output) && is_possible(axis.input)
            };
            match resized.iter().all(fits) {
                true => Ok(resized),
                false => Err(Refusal::malformed("an impossible size")),
            }
        };
        if let Some(wanted) = wanted {
            let wanted = sizes(&wanted)?;
            if wanted.len() != lengths.len() {
                return Err(wrong());
            }
            let ratio = |(output, input): (&usize, &usize)| *output as f64 / *input as f64;
            let ratios = wanted.iter().zip(lengths).map(ratio);
            let common = match policy {
                "stretch" => None,
                "not_larger" => Some(ratios.fold(f64::INFINITY, f64::min)),
                "not_smaller" => Some(ratios.fold(0.0, f64::max)),
                _ => {
                    let reason = format!("`keep_aspect_ratio_policy` of `{policy}`");
                    return Err(Refusal::unsupported(reason));
                }
            };
            let each = wanted.iter().zip(lengths).map(|(output, input)| Resized {
                input: *input,
                output: match common {
                    None => *output,
                    Some(scale) => (scale * *input as f64 + 0.5).floor() as usize,
                },
                scale: common.unwrap_or_else(|| ratio((output, input))),
            });
            return checked(each.collect());
        }
        let scales = scales.ok_or_else(|| Refusal::malformed("neither sizes nor scales"))?;
        let scales = scales.as_floats()?;
        if scales.len() != lengths.len() || scales.iter().any(|x| !(*x > 0.0 && x.is_finite())) {
            return Err(wrong());
        }
        let each = scales.iter().zip(lengths).map(|(scale, input)| Resized {
            input: *input,
            output: (*input as f64 * f64::from(*scale)).floor() as usize,
            scale: f64::from(*scale),
        });
        checked(each.collect())
    }
}

/// The samples of an image's rows and columns, where each output pixel mixes at most two along an axis.
fn image_samples(tensor: &Tensor, all: &[(usize, Taps)]) -> Option<[Vec<Sample>; 2]> {
    let fits = tensor.shape.len() == 4
        && !all.is_empty()
        && all.iter().all(|(axis, taps)| *axis >= 2 && taps.count <= 2);
    fits.then(|| {
        [2, 3].map(|axis| match all.iter().find(|(other, _)| *other == axis) {
            None => (0..tensor.shape[axis])
                .map(|place| Sample {
                    low: place,
                    high: place,
                    share: 0.0,
                })
                .collect(),
            Some((_, taps)) => (0..taps.outputs())
                .map(|index| {
                    let at = index * taps.count..(index + 1) * taps.count;
                    let (places, factors) = (&taps.places[at.clone()], &taps.factors[at]);
                    let last = taps.count - 1;
                    Sample {
                        low: places[0] as usize,
                        high: places[last] as usize,
                        share: if last == 0 { 0.0 } else { factors[last] },
                    }
                })
                .collect(),
        })
    })
}

impl Resized {
    /// What each element is mixed from.
    fn taps(&self, manner: &Manner<'_>) -> Result<Taps, Refusal> {
        let size = self.input as f64 * self.scale;
        if manner.coordinates == "align_corners" && (size - size.round()).abs() > 1e-4 {
            // Which corners these are, implementations do not agree.
            return Err(Refusal::unsupported(
                "`align_corners` of a size with a fraction",
            ));
        }
        let mut taps = Taps {
            count: 0,
            places: Vec::new(),
            factors: Vec::new(),
        };
        let last = self.input as i64 - 1;
        for index in 0..self.output {
            let at = self.origin(index as f64, manner)?;
            let (first, mut factors) = self.factors(at, manner)?;
            let places = (0..factors.len() as i64).map(|tap| first.saturating_add(tap));
            if manner.excludes_outside && manner.mode != "nearest" {
                for (factor, place) in factors.iter_mut().zip(places.clone()) {
                    *factor *= f64::from(u8::from((0..=last).contains(&place)));
                }
                let sum: f64 = factors.iter().sum();
                factors.iter_mut().for_each(|factor| *factor /= sum);
            }
            taps.count = factors.len();
            taps.places
                .extend(places.map(|place| place.clamp(0, last) as u32));
            taps.factors
                .extend(factors.iter().map(|factor| *factor as f32));
        }
        Ok(taps)
    }

    /// Where an element of the output lies in the input. The nearest one is found in the precision of
    /// ONNX Runtime: at borders between two it would be the other one with more digits.
    fn origin(&self, x: f64, manner: &Manner<'_>) -> Result<f64, Refusal> {
        let rounded = |value: f64| match manner.mode {
            "nearest" => f64::from(value as f32),
            _ => value,
        };
        let (input, output, scale) = (self.input as f64, self.output as f64, rounded(self.scale));
        let half_pixel = || rounded(rounded((x + 0.5) / scale) - 0.5);
        Ok(match manner.coordinates {
            "half_pixel" => half_pixel(),
            "half_pixel_symmetric" => {
                let adjustment = output / (scale * input);
                input / 2.0 * (1.0 - adjustment) + half_pixel()
            }
            "pytorch_half_pixel" if self.output > 1 => half_pixel(),
            "pytorch_half_pixel" => 0.0,
            "asymmetric" => rounded(x / scale),
            "align_corners" if self.output > 1 => {
                rounded(rounded(x * (input - 1.0)) / (output - 1.0))
            }
            "align_corners" => 0.0,
            other => {
                return Err(Refusal::unsupported(format!(
                    "`coordinate_transformation_mode` of `{other}`"
                )));
            }
        })
    }

    /// The first element that one at `at` is mixed from, and the factors of it and those behind.
    fn factors(&self, at: f64, manner: &Manner<'_>) -> Result<(i64, Vec<f64>), Refusal> {
        let scale = match manner.antialias {
            true => self.scale.min(1.0),
            false => 1.0,
        };
        let floor = at.floor();
        let fraction = at - floor;
        let reach = match manner.mode {
            "nearest" => {
                let whole = match manner.nearest {
                    "round_prefer_floor" => (at - 0.5).ceil(),
                    "round_prefer_ceil" => (at + 0.5).floor(),
                    "floor" => at.floor(),
                    "ceil" => at.ceil(),
                    other => {
                        return Err(Refusal::unsupported(format!("`nearest_mode` of `{other}`")));
                    }
                };
                return Ok((whole as i64, vec![1.0]));
            }
            "linear" => 1.0,
            "cubic" => 2.0,
            other => return Err(Refusal::unsupported(format!("`mode` of `{other}`"))),
        };
        let begin = (-reach / scale).floor() as i64 + 1;
        let distances = (begin..2 - begin).map(|place| scale * (place as f64 - fraction).abs());
        let a = manner.cubic;
        let mut factors: Vec<f64> = distances
            .map(|x| match manner.mode {
                "linear" => (1.0 - x).max(0.0),
                _ if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
                _ if x < 2.0 => ((x - 5.0) * x + 8.0) * x * a - 4.0 * a,
                _ => 0.0,
            })
            .collect();
        if manner.antialias {
            let sum: f64 = factors.iter().sum();
            factors.iter_mut().for_each(|factor| *factor /= sum);
        }
        Ok((floor as i64 + begin, factors))
    }
}
