//! Functions of one number and operations on two.

use ferrotype_kernels::finish::{Function, Uncommon};
use ferrotype_kernels::strided::Operation;

use super::{Known, Layout, Planner, Tensor, parts};
use crate::native::fold::{broadcast, cast};
use crate::native::refusal::Refusal;
use crate::native::tensor::Numbers;

impl Planner<'_> {
    /// A function of one number; refuses operators that nobody knows.
    pub(super) fn function(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let function = match &self.node.operator[..] {
            "Relu" => Function::RELU,
            "LeakyRelu" => Function::LeakyRelu {
                slope: attributes.float("alpha", 0.01)?,
            },
            "HardSigmoid" => Function::HardSigmoid {
                alpha: attributes.float("alpha", 0.2)?,
                beta: attributes.float("beta", 0.5)?,
            },
            "HardSwish" => Function::HardSwish,
            "Sigmoid" => Function::Sigmoid,
            "Silu" => Function::Silu,
            "Mish" => Function::Mish,
            "Gelu" => match attributes.text("approximate", "none")? {
                "none" => Function::Gelu,
                "tanh" => Function::GeluTanh,
                other => return Err(Refusal::unsupported(format!("`approximate` of `{other}`"))),
            },
            "Tanh" => Function::Tanh,
            "Exp" => Function::Exp,
            "Erf" => Function::Erf,
            "Sqrt" => Function::Sqrt,
            "Reciprocal" => Function::Reciprocal,
            "Neg" => Function::Negative,
            "Abs" => Function::Absolute,
            "Elu" => Function::Elu {
                alpha: attributes.float("alpha", 1.0)?,
            },
            "Softplus" => Function::Softplus,
            "Log" => Function::Uncommon(Uncommon::Log),
            "Floor" => Function::Uncommon(Uncommon::Floor),
            "Ceil" => Function::Uncommon(Uncommon::Ceil),
            "Round" => Function::Uncommon(Uncommon::Round),
            "Sign" => Function::Uncommon(Uncommon::Sign),
            "Sin" => Function::Uncommon(Uncommon::Sin),
            "Cos" => Function::Uncommon(Uncommon::Cos),
            "Softsign" => Function::Uncommon(Uncommon::Softsign),
            "Selu" => Function::Uncommon(Uncommon::Selu {
                alpha: attributes.float("alpha", 1.673_263_2)?,
                gamma: attributes.float("gamma", 1.050_701)?,
            }),
            "Celu" => Function::Uncommon(Uncommon::Celu {
                alpha: attributes.float("alpha", 1.0)?,
            }),
            "ThresholdedRelu" => Function::Uncommon(Uncommon::ThresholdedRelu {
                alpha: attributes.float("alpha", 1.0)?,
            }),
            "Shrink" => Function::Uncommon(Uncommon::Shrink {
                lambda: attributes.float("lambd", 0.5)?,
                bias: attributes.float("bias", 0.0)?,
            }),
            "Swish" => Function::Uncommon(Uncommon::Swish {
                alpha: attributes.float("alpha", 1.0)?,
            }),
            _ => return Err(Refusal::unsupported("the native runtime does not have it")),
        };
        attributes.finish()?;
        self.apply(function)
    }

    fn apply(&mut self, function: Function) -> Result<(), Refusal> {
        let output = self.output()?;
        let fused = match self.node.inputs.first().copied().flatten() {
            Some(id) => self.fuse_function(id, function),
            None => None,
        };
        if let Some(tensor) = fused {
            return self.tell(output, tensor);
        }
        let input = self.tensor(0)?;
        let tensor = self.function_of(input, function)?;
        self.tell(output, tensor)
    }

    /// Limits that are constants make a function, others are maxima and minima.
    pub(super) fn clip(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let (mut low, mut high) = (f32::NEG_INFINITY, f32::INFINITY);
        if self.network.opset < 11 {
            low = attributes.float("min", low)?;
            high = attributes.float("max", high)?;
            attributes.finish()?;
            return self.apply(Function::Clip { low, high });
        }
        attributes.finish()?;
        let is_computed = |limit: &Option<Known>| matches!(limit, Some(Known::Computed(_)));
        if !is_computed(&self.optional(1)?) && !is_computed(&self.optional(2)?) {
            for (place, limit) in [(1, &mut low), (2, &mut high)] {
                if let Some(constant) = self.optional_constant(place)? {
                    *limit = constant.as_float()?;
                }
            }
            return self.apply(Function::Clip { low, high });
        }
        let mut clipped = self.tensor(0)?;
        for (place, operation) in [(1, Operation::Maximum), (2, Operation::Minimum)] {
            if self.optional(place)?.is_some() {
                let limit = self.tensor(place)?;
                if limit.len() != 1 {
                    return Err(Refusal::malformed("a limit of several numbers"));
                }
                let limit = Tensor {
                    shape: Vec::new(),
                    layout: Layout::Plain,
                    ..limit
                };
                clipped = self.pair_of(operation, clipped, limit)?;
            }
        }
        let output = self.output()?;
        self.tell(output, clipped)
    }

    /// `max(x, 0) + slope · min(x, 0)`
    pub(super) fn parametric_relu(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        if let Some(Known::Constant(slope)) = self.optional(1)?
            && let Ok(slope) = slope.as_float()
        {
            return self.apply(Function::LeakyRelu { slope });
        }
        let (input, slope) = (self.tensor(0)?, self.tensor(1)?);
        if broadcast(&input.shape, &slope.shape)? != input.shape {
            return Err(Refusal::malformed("more slopes than numbers"));
        }
        let above = self.function_of(input.clone(), Function::RELU)?;
        let below = Function::Clip {
            low: f32::NEG_INFINITY,
            high: 0.0,
        };
        let below = self.function_of(input, below)?;
        let below = self.pair_of(Operation::Multiply, below, slope)?;
        let sum = self.pair_of(Operation::Add, above, below)?;
        let output = self.output()?;
        self.tell(output, sum)
    }

    /// An operation over any number of values.
    pub(super) fn combine_all(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let (operation, is_mean) = match &self.node.operator[..] {
            "Max" => (Operation::Maximum, false),
            "Min" => (Operation::Minimum, false),
            "Sum" => (Operation::Add, false),
            _ => (Operation::Add, true),
        };
        let count = self.node.inputs.len();
        let mut all = self.tensor(0)?;
        for place in 1..count {
            let next = self.tensor(place)?;
            all = self.pair_of(operation, all, next)?;
        }
        if is_mean {
            let share = parts::number(1.0 / count as f32);
            all = self.pair_of(Operation::Multiply, all, share)?;
        }
        let output = self.output()?;
        self.tell(output, all)
    }

    /// Common powers without the function.
    fn power(&mut self, base: Tensor, exponent: f32) -> Result<Option<Tensor>, Refusal> {
        Ok(Some(if exponent == 2.0 {
            self.pair_of(Operation::Multiply, base.clone(), base)?
        } else if exponent == 0.5 {
            self.function_of(base, Function::Sqrt)?
        } else if exponent == -1.0 {
            self.function_of(base, Function::Reciprocal)?
        } else {
            return Ok(None);
        }))
    }

    pub(super) fn combine(&mut self) -> Result<(), Refusal> {
        self.attributes().finish()?;
        let operation = match &self.node.operator[..] {
            "Add" => Operation::Add,
            "Sub" => Operation::Subtract,
            "Mul" => Operation::Multiply,
            "Div" => Operation::Divide,
            _ => Operation::Power,
        };
        let [Some(left_id), Some(right_id)] = self.node.inputs[..] else {
            return Err(Refusal::unsupported("other than two inputs"));
        };
        let output = self.output()?;
        if operation == Operation::Add {
            // The later convolution: what it adds is there already.
            let later = |id| self.convolutions.get(&id).copied().unwrap_or_default();
            let (first, second) = match later(left_id) >= later(right_id) {
                true => (left_id, right_id),
                false => (right_id, left_id),
            };
            let fused = self.fuse_shortcut(first, second);
            if let Some(tensor) = fused.or_else(|| self.fuse_shortcut(second, first)) {
                return self.tell(output, tensor);
            }
        }
        if operation == Operation::Power
            && let Some(Known::Constant(exponent)) = self.optional(1)?
            && exponent.shape.iter().all(|size| *size == 1)
            && exponent.shape.len() <= self.tensor(0)?.shape.len()
        {
            let exponent = match &exponent.numbers {
                Numbers::Floats(values) => values.first().copied(),
                Numbers::Whole(values) => values.first().map(|value| *value as f32),
                Numbers::Stored(_) => exponent.as_floats()?.first().copied(),
            };
            let (base, exponent) = (self.tensor(0)?, exponent.unwrap_or_default());
            let power = match self.power(base.clone(), exponent)? {
                Some(power) => power,
                None => self.pair_of(operation, base, parts::number(exponent))?,
            };
            return self.tell(output, power);
        }
        let (left, right) = (self.tensor(0)?, self.tensor(1)?);
        let tensor = self.pair_of(operation, left, right)?;
        self.tell(output, tensor)
    }

    pub(super) fn pass_on(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        match &self.node.operator[..] {
            "CastLike" => {
                attributes.integer("saturate", 1)?;
                attributes.text("round_mode", "up")?;
                let like = self.optional(1)?;
                let is_float = match &like {
                    Some(Known::Computed(_)) => true,
                    Some(Known::Constant(like)) => like.as_floats().is_ok(),
                    None => false,
                };
                if !is_float {
                    return Err(Refusal::unsupported("to whole numbers"));
                }
                if let Some(Known::Constant(constant)) = self.optional(0)? {
                    attributes.finish()?;
                    return self.tell_constant(cast(&constant, 1)?);
                }
            }
            "Cast" => {
                attributes.integer("saturate", 1)?;
                attributes.text("round_mode", "up")?;
                if attributes.integer("to", 0)? != 1 {
                    return Err(Refusal::unsupported("to other than 32-bit floats"));
                }
            }
            "Dropout" => {
                attributes.float("ratio", 0.5)?;
                attributes.integer("seed", 0)?;
                if let Some(training) = self.optional_constant(2)?
                    && training.as_whole()? != [0]
                {
                    return Err(Refusal::unsupported("training"));
                }
            }
            _ => {}
        }
        attributes.finish()?;
        let outputs = &self.node.outputs;
        let Some(Some(output)) = outputs.first().copied() else {
            return Err(Refusal::malformed("no output"));
        };
        if outputs
            .iter()
            .skip(1)
            .flatten()
            .any(|mask| self.uses[*mask] > 0)
        {
            return Err(Refusal::unsupported("a mask that is read"));
        }
        match self.optional(0)? {
            Some(Known::Constant(constant)) => {
                self.known.insert(output, Known::Constant(constant));
                Ok(())
            }
            _ => {
                let input = self.tensor(0)?;
                self.tell(output, input)
            }
        }
    }
}
