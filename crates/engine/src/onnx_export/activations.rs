//! Element-wise functions.

use ferrotype_core::graph::Op;

use super::build::{Builder, cannot_write};
use super::nodes::{float, initializer};
use crate::error::EngineError;

impl Builder<'_> {
    /// Adds an element-wise function.
    ///
    /// # Errors
    /// The operation is none.
    pub(super) fn activation(
        &mut self,
        name: &str,
        op: &Op,
        input: &str,
        output: &str,
    ) -> Result<(), EngineError> {
        let (operator, inputs, attributes) = match op {
            Op::Relu {} => ("Relu", vec![input.to_string()], vec![]),
            Op::Sigmoid {} => ("Sigmoid", vec![input.to_string()], vec![]),
            Op::HardSwish {} => ("HardSwish", vec![input.to_string()], vec![]),
            Op::HardSigmoid {} => {
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                ("HardSigmoid", vec![input.to_string()], attributes)
            }
            Op::Relu6 {} => {
                let bounds = [self.number("zero", 0.0), self.number("six", 6.0)];
                let inputs = std::iter::once(input.to_string()).chain(bounds);
                ("Clip", inputs.collect(), vec![])
            }
            Op::Silu {} => {
                let sigmoid = self.step(name, "sigmoid", "Sigmoid", &[input], vec![]);
                ("Mul", vec![input.to_string(), sigmoid], vec![])
            }
            Op::Gelu {} => ("Mul", self.gelu_factors(name, input), vec![]),
            op => return Err(cannot_write(name, op.name())),
        };
        self.push(name, operator, inputs, output, attributes);
        Ok(())
    }

    /// `x · (1 + erf(x / √2))` and one half: the order of operations by which the runtimes know the
    /// function and compute it in one pass.
    fn gelu_factors(&mut self, name: &str, input: &str) -> Vec<String> {
        let root = self.number("square_root_of_two", std::f32::consts::SQRT_2);
        let (one, half) = (self.number("one", 1.0), self.number("half", 0.5));
        let scaled = self.step(name, "scaled", "Div", &[input, &root], vec![]);
        let erf = self.step(name, "erf", "Erf", &[&scaled], vec![]);
        let raised = self.step(name, "raised", "Add", &[&erf, &one], vec![]);
        let product = self.step(name, "product", "Mul", &[input, &raised], vec![]);
        vec![product, half]
    }

    /// One number that layers share. Its name begins as no value's does.
    pub(super) fn number(&mut self, name: &str, value: f32) -> String {
        self.add_constant(initializer(&format!("//{name}"), &[], &[value]))
    }
}
