//! Each activation as a type of its own, so that the loops it is fused into are compiled for it.

use crate::math::{normal_cumulative, normal_density, sigmoid};

/// A function of one number, and its slope.
pub(crate) trait Function: Copy + Sync {
    /// The function at `x`.
    fn value(self, x: f32) -> f32;

    /// The derivative at `x`.
    fn slope(self, x: f32) -> f32;

    /// The derivative where the function's value is `y`, for those that
    /// [`Activation::reads_output`](super::Activation::reads_output).
    fn slope_at_value(self, y: f32) -> f32 {
        self.slope(y)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Function for Identity {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn slope(self, _: f32) -> f32 {
        1.0
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relu;

impl Function for Relu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        // Written so that a NaN stays one.
        if x < 0.0 { 0.0 } else { x }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        if x > 0.0 { 1.0 } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Relu6;

impl Function for Relu6 {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x.clamp(0.0, 6.0)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Silu;

impl Function for Silu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * sigmoid(x)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let s = sigmoid(x);
        s * (1.0 + x * (1.0 - s))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl Function for HardSwish {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        if x <= -3.0 {
            0.0
        } else if x < 3.0 {
            x * (1.0 / 3.0) + 0.5
        } else {
            1.0
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;

impl Function for Sigmoid {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        sigmoid(x)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        self.slope_at_value(sigmoid(x))
    }

    #[inline(always)]
    fn slope_at_value(self, y: f32) -> f32 {
        y * (1.0 - y)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct HardSigmoid;

impl Function for HardSigmoid {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        if x > -3.0 && x < 3.0 { 1.0 / 6.0 } else { 0.0 }
    }

    #[inline(always)]
    fn slope_at_value(self, y: f32) -> f32 {
        if y > 0.0 && y < 1.0 { 1.0 / 6.0 } else { 0.0 }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Function for Gelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x * normal_cumulative(x)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        normal_cumulative(x) + x * normal_density(x)
    }
}

/// Evaluates an expression with a variable bound to the [`Function`] of an
/// `Option<Activation>`, compiled for each.
macro_rules! with_function {
    ($activation:expr, $function:ident => $body:expr) => {{
        use $crate::activation::{Activation, function};
        match $activation {
            None => {
                let $function = function::Identity;
                $body
            }
            Some(Activation::Relu) => {
                let $function = function::Relu;
                $body
            }
            Some(Activation::Relu6) => {
                let $function = function::Relu6;
                $body
            }
            Some(Activation::Silu) => {
                let $function = function::Silu;
                $body
            }
            Some(Activation::HardSwish) => {
                let $function = function::HardSwish;
                $body
            }
            Some(Activation::Sigmoid) => {
                let $function = function::Sigmoid;
                $body
            }
            Some(Activation::HardSigmoid) => {
                let $function = function::HardSigmoid;
                $body
            }
            Some(Activation::Gelu) => {
                let $function = function::Gelu;
                $body
            }
        }
    }};
}

pub(crate) use with_function;
