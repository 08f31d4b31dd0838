//! Computes nodes whose inputs are known while loading: mostly the arithmetic of shapes.

use std::cmp::Ordering;
use std::sync::Arc;

use ferrotype_kernels::strided::Operation;

use super::graph::{Attributes, Node};
use super::refusal::Refusal;
use super::tensor::{Constant, Numbers, elements};

/// Numbers that a computed constant may have; larger ones are not made.
const MOST_FOLDED: usize = 1 << 24;

/// The output of a node of constant inputs; none where the operator is not computed so.
pub(crate) fn fold(
    node: &Node,
    inputs: &[Option<Arc<Constant>>],
) -> Result<Option<Constant>, Refusal> {
    let mut attributes = Attributes::of(node);
    let get = |place: usize| {
        let input = inputs.get(place).and_then(Option::as_ref);
        input.ok_or_else(|| Refusal::malformed("an input is missing"))
    };
    let folded = match &node.operator[..] {
        "Identity" => get(0)?.as_ref().clone(),
        "Cast" => {
            attributes.integer("saturate", 1)?;
            attributes.text("round_mode", "up")?;
            cast(get(0)?, attributes.integer("to", 0)?)?
        }
        "CastLike" => match get(1)?.numbers {
            Numbers::Floats(_) | Numbers::Stored(_) => cast(get(0)?, 1)?,
            Numbers::Whole(_) => return Err(Refusal::unsupported("to whole numbers")),
        },
        "Add" => combined(get(0)?, get(1)?, Operation::Add)?,
        "Sub" => combined(get(0)?, get(1)?, Operation::Subtract)?,
        "Mul" => combined(get(0)?, get(1)?, Operation::Multiply)?,
        "Div" => combined(get(0)?, get(1)?, Operation::Divide)?,
        "Mod" if is_whole(get(0)?) => {
            if attributes.integer("fmod", 0)? != 0 {
                return Err(Refusal::unsupported("`fmod`"));
            }
            whole_pairs(get(0)?, get(1)?, modulo)?
        }
        "Max" | "Min" if inputs.len() == 2 && is_whole(get(0)?) => {
            let is_most = node.operator == "Max";
            whole_pairs(get(0)?, get(1)?, |l, r| {
                Some(if is_most { l.max(r) } else { l.min(r) })
            })?
        }
        "Neg" if is_whole(get(0)?) => each_whole(get(0)?, i64::checked_neg)?,
        "Abs" if is_whole(get(0)?) => each_whole(get(0)?, i64::checked_abs)?,
        "Sign" if is_whole(get(0)?) => each_whole(get(0)?, |x| Some(x.signum()))?,
        "Not" => each_whole(get(0)?, |x| Some(i64::from(x == 0)))?,
        "And" => whole_pairs(get(0)?, get(1)?, |l, r| Some(i64::from(l != 0 && r != 0)))?,
        "Or" => whole_pairs(get(0)?, get(1)?, |l, r| Some(i64::from(l != 0 || r != 0)))?,
        "Floor" => each_float(get(0)?, f32::floor)?,
        "Ceil" => each_float(get(0)?, f32::ceil)?,
        "Sqrt" => each_float(get(0)?, f32::sqrt)?,
        "ConstantOfShape" => {
            let shape = sizes(get(0)?)?;
            let count = bounded(&shape)?;
            match attributes.tensor("value")? {
                None => Constant::floats(shape, vec![0.0; count]),
                Some(value) => match &value.numbers {
                    Numbers::Floats(v) if v.len() == 1 => {
                        Constant::floats(shape, vec![v[0]; count])
                    }
                    Numbers::Whole(v) if v.len() == 1 => Constant::whole(shape, vec![v[0]; count]),
                    _ => return Err(Refusal::malformed("`value` is not one number")),
                },
            }
        }
        "Range" => range_of([get(0)?, get(1)?, get(2)?])?,
        "CumSum" => {
            for option in ["exclusive", "reverse"] {
                if attributes.integer(option, 0)? != 0 {
                    return Err(Refusal::unsupported(format!("`{option}`")));
                }
            }
            cumulated(get(0)?, get(1)?)?
        }
        "Where" => chosen(get(0)?, get(1)?, get(2)?)?,
        "Equal" => compared(get(0)?, get(1)?, |order| order == Some(Ordering::Equal))?,
        "Less" => compared(get(0)?, get(1)?, |order| order == Some(Ordering::Less))?,
        "Greater" => compared(get(0)?, get(1)?, |order| order == Some(Ordering::Greater))?,
        "LessOrEqual" => compared(get(0)?, get(1)?, |order| order.is_some_and(Ordering::is_le))?,
        "GreaterOrEqual" => compared(get(0)?, get(1)?, |order| order.is_some_and(Ordering::is_ge))?,
        "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" if is_whole(get(0)?) => {
            let keeps = attributes.integer("keepdims", 1)? != 0;
            let axes = attributes.integers("axes")?;
            let all = get(0)?;
            let axes = match inputs.get(1).and_then(Option::as_ref) {
                Some(axes) => Some(axes.as_whole()?),
                None => axes,
            };
            if all.shape.len() != 1 || !axes.is_none_or(|axes| matches!(axes, [0 | -1])) {
                return Err(Refusal::unsupported("whole numbers of several axes"));
            }
            let shape = if keeps { vec![1] } else { Vec::new() };
            Constant::whole(shape, vec![reduced_whole(&node.operator, all.as_whole()?)?])
        }
        _ => return Ok(None),
    };
    attributes.finish()?;
    Ok(Some(folded))
}

/// A list of sizes.
pub(crate) fn sizes(constant: &Constant) -> Result<Vec<usize>, Refusal> {
    let positive = |size: &i64| {
        usize::try_from(*size).map_err(|_| Refusal::malformed(format!("a size of `{size}`")))
    };
    constant.as_whole()?.iter().map(positive).collect()
}

fn bounded(shape: &[usize]) -> Result<usize, Refusal> {
    let count = elements(shape)?;
    match count <= MOST_FOLDED {
        true => Ok(count),
        false => Err(Refusal::unsupported(
            "a computed constant that is too large",
        )),
    }
}

fn is_whole(constant: &Constant) -> bool {
    matches!(constant.numbers, Numbers::Whole(_))
}

/// The same numbers as elements of another type, as ONNX numbers them.
pub(crate) fn cast(constant: &Constant, to: i64) -> Result<Constant, Refusal> {
    let shape = constant.shape.clone();
    Ok(match (&constant.numbers, to) {
        (Numbers::Floats(_), 1) | (Numbers::Whole(_), 7) => constant.clone(),
        (Numbers::Floats(values), 6 | 7) => {
            Constant::whole(shape, values.iter().map(|x| *x as i64).collect::<Vec<_>>())
        }
        (Numbers::Floats(values), 9) => {
            let truth = values.iter().map(|x| i64::from(*x != 0.0));
            Constant::whole(shape, truth.collect::<Vec<_>>())
        }
        (Numbers::Whole(values), 6) => {
            let wrapped = values.iter().map(|x| i64::from(*x as i32));
            Constant::whole(shape, wrapped.collect::<Vec<_>>())
        }
        (Numbers::Whole(values), 9) => {
            let truth = values.iter().map(|x| i64::from(*x != 0));
            Constant::whole(shape, truth.collect::<Vec<_>>())
        }
        (Numbers::Whole(values), 1) => {
            Constant::floats(shape, values.iter().map(|x| *x as f32).collect::<Vec<_>>())
        }
        _ => return Err(Refusal::unsupported(format!("to elements of type {to}"))),
    })
}

fn each_whole(
    constant: &Constant,
    function: impl Fn(i64) -> Option<i64>,
) -> Result<Constant, Refusal> {
    let values: Option<Vec<i64>> = constant.as_whole()?.iter().map(|x| function(*x)).collect();
    Ok(Constant::whole(
        constant.shape.clone(),
        values.ok_or_else(overflow)?,
    ))
}

fn overflow() -> Refusal {
    Refusal::malformed("whole numbers overflow")
}

/// The remainder with the divisor's sign.
fn modulo(left: i64, right: i64) -> Option<i64> {
    let rest = left.checked_rem(right)?;
    Some(if rest != 0 && (rest < 0) != (right < 0) {
        rest + right
    } else {
        rest
    })
}

fn reduced_whole(operator: &str, values: &[i64]) -> Result<i64, Refusal> {
    let mut values = values.iter().copied();
    let reduced = match operator {
        "ReduceProd" => values.try_fold(1_i64, i64::checked_mul),
        "ReduceSum" => values.try_fold(0_i64, i64::checked_add),
        "ReduceMax" => values.max(),
        _ => values.min(),
    };
    reduced.ok_or_else(overflow)
}

fn compared(
    left: &Constant,
    right: &Constant,
    holds: impl Fn(Option<Ordering>) -> bool,
) -> Result<Constant, Refusal> {
    pairs(left, right, |shape, pairs| {
        let truth: Vec<i64> = match (&left.numbers, &right.numbers) {
            (Numbers::Whole(l), Numbers::Whole(r)) => pairs
                .map(|(a, b)| i64::from(holds(Some(l[a].cmp(&r[b])))))
                .collect(),
            (Numbers::Floats(l), Numbers::Floats(r)) => pairs
                .map(|(a, b)| i64::from(holds(l[a].partial_cmp(&r[b]))))
                .collect(),
            _ => return Err(Refusal::malformed("floats and whole numbers together")),
        };
        Ok(Constant::whole(shape, truth))
    })
}

fn whole_pairs(
    left: &Constant,
    right: &Constant,
    operation: impl Fn(i64, i64) -> Option<i64>,
) -> Result<Constant, Refusal> {
    let (l, r) = (left.as_whole()?, right.as_whole()?);
    pairs(left, right, |shape, pairs| {
        let values: Option<Vec<i64>> = pairs.map(|(a, b)| operation(l[a], r[b])).collect();
        Ok(Constant::whole(shape, values.ok_or_else(overflow)?))
    })
}

/// The sums of each element and all before it along an axis.
fn cumulated(input: &Constant, axis: &Constant) -> Result<Constant, Refusal> {
    let wrong = || Refusal::malformed("an axis that is not there");
    let rank = input.shape.len();
    let axis = match axis.as_whole()? {
        [axis] if *axis < 0 => usize::try_from(*axis + rank as i64),
        [axis] => usize::try_from(*axis),
        _ => return Err(wrong()),
    };
    let axis = axis.ok().filter(|axis| *axis < rank).ok_or_else(wrong)?;
    let inner: usize = input.shape[axis + 1..].iter().product();
    let is_first = |at: usize| (at / inner).is_multiple_of(input.shape[axis]);
    let shape = input.shape.clone();
    Ok(match &input.numbers {
        Numbers::Floats(values) => {
            let mut sums = values.to_vec();
            for at in (0..sums.len()).filter(|at| !is_first(*at)) {
                sums[at] += sums[at - inner];
            }
            Constant::floats(shape, sums)
        }
        Numbers::Whole(values) => {
            let mut sums = values.to_vec();
            for at in (0..sums.len()).filter(|at| !is_first(*at)) {
                sums[at] = sums[at]
                    .checked_add(sums[at - inner])
                    .ok_or_else(overflow)?;
            }
            Constant::whole(shape, sums)
        }
        Numbers::Stored(_) => return Err(input.as_floats().err().unwrap_or_else(wrong)),
    })
}

/// The elements of `left` where `condition` holds, else those of `right`.
fn chosen(condition: &Constant, left: &Constant, right: &Constant) -> Result<Constant, Refusal> {
    let shape = broadcast(&condition.shape, &broadcast(&left.shape, &right.shape)?)?;
    let count = bounded(&shape)?;
    let truth = condition.as_whole()?;
    let holds = |at: usize| truth[place_in(&condition.shape, &shape, at)] != 0;
    let place = |at: usize| match holds(at) {
        true => (true, place_in(&left.shape, &shape, at)),
        false => (false, place_in(&right.shape, &shape, at)),
    };
    match (&left.numbers, &right.numbers) {
        (Numbers::Whole(l), Numbers::Whole(r)) => {
            let values = (0..count).map(|at| match place(at) {
                (true, place) => l[place],
                (false, place) => r[place],
            });
            Ok(Constant::whole(shape.clone(), values.collect::<Vec<_>>()))
        }
        (Numbers::Floats(l), Numbers::Floats(r)) => {
            let values = (0..count).map(|at| match place(at) {
                (true, place) => l[place],
                (false, place) => r[place],
            });
            Ok(Constant::floats(shape.clone(), values.collect::<Vec<_>>()))
        }
        _ => Err(Refusal::malformed("floats and whole numbers together")),
    }
}

fn each_float(constant: &Constant, function: impl Fn(f32) -> f32) -> Result<Constant, Refusal> {
    let values = constant.as_floats()?.iter().map(|x| function(*x));
    let values: Vec<f32> = values.collect();
    Ok(Constant::floats(constant.shape.clone(), values))
}

fn range_of(bounds: [&Constant; 3]) -> Result<Constant, Refusal> {
    let too_large = || Refusal::unsupported("a computed constant that is too large");
    if bounds.iter().all(|bound| is_whole(bound)) {
        let [start, end, step] = bounds.map(|bound| match bound.as_whole()? {
            [value] => Ok(*value),
            _ => Err(Refusal::malformed("a bound is not one number")),
        });
        return range(start?, end?, step?);
    }
    let [start, end, step] = bounds.map(|bound| bound.as_float().map(f64::from));
    let (start, end, step) = (start?, end?, step?);
    let count = ((end - start) / step).ceil().max(0.0);
    if !(count.is_finite() && step.is_finite() && step != 0.0) || count > MOST_FOLDED as f64 {
        return Err(too_large());
    }
    let values = (0..count as usize).map(|index| (start + index as f64 * step) as f32);
    let values: Vec<f32> = values.collect();
    Ok(Constant::floats(vec![values.len()], values))
}

fn range(start: i64, end: i64, step: i64) -> Result<Constant, Refusal> {
    let mut values = Vec::new();
    let mut value = start;
    if step == 0 {
        return Err(Refusal::malformed("a step of zero"));
    }
    while (step > 0 && value < end) || (step < 0 && value > end) {
        if values.len() >= MOST_FOLDED {
            return Err(Refusal::unsupported(
                "a computed constant that is too large",
            ));
        }
        values.push(value);
        value = value.saturating_add(step);
    }
    Ok(Constant::whole(vec![values.len()], values))
}

/// The shape of an operation on two arrays of which axes of one element are repeated.
pub(crate) fn broadcast(left: &[usize], right: &[usize]) -> Result<Vec<usize>, Refusal> {
    let rank = left.len().max(right.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (size(left, axis), size(right, axis)) {
            (l, r) if l == r => Ok(l),
            (1, r) => Ok(r),
            (l, 1) => Ok(l),
            _ => Err(Refusal::malformed(format!(
                "shapes {left:?} and {right:?} do not fit"
            ))),
        })
        .collect()
}

/// Where the element `at` of an array of `shape` is in one of `own` sizes whose axes of one element are
/// repeated.
pub(crate) fn place_in(own: &[usize], shape: &[usize], mut at: usize) -> usize {
    let (mut place, mut stride) = (0, 1);
    for (axis, size) in shape.iter().enumerate().rev() {
        let index = at % size;
        at /= size;
        if let Some(axis) = (axis + own.len()).checked_sub(shape.len()) {
            if own[axis] > 1 {
                place += index * stride;
            }
            stride *= own[axis];
        }
    }
    place
}

/// Calls `work` with the common shape and the places of the pairs.
fn pairs(
    left: &Constant,
    right: &Constant,
    work: impl FnOnce(Vec<usize>, &mut dyn Iterator<Item = (usize, usize)>) -> Result<Constant, Refusal>,
) -> Result<Constant, Refusal> {
    let shape = broadcast(&left.shape, &right.shape)?;
    let count = bounded(&shape)?;
    let mut pairs = (0..count).map(|at| {
        let place = |of: &[usize]| place_in(of, &shape, at);
        (place(&left.shape), place(&right.shape))
    });
    work(shape.clone(), &mut pairs)
}

fn combined(left: &Constant, right: &Constant, operation: Operation) -> Result<Constant, Refusal> {
    pairs(left, right, |shape, pairs| {
        match (&left.numbers, &right.numbers) {
            (Numbers::Floats(l), Numbers::Floats(r)) => {
                let values = pairs.map(|(a, b)| operation.value(l[a], r[b]));
                Ok(Constant::floats(shape, values.collect::<Vec<_>>()))
            }
            (Numbers::Whole(l), Numbers::Whole(r)) => {
                let value = |(a, b): (usize, usize)| {
                    let (l, r) = (l[a], r[b]);
                    match operation {
                        Operation::Add => l.checked_add(r),
                        Operation::Subtract => l.checked_sub(r),
                        Operation::Multiply => l.checked_mul(r),
                        Operation::Divide => l.checked_div(r),
                        _ => None,
                    }
                };
                let values: Option<Vec<i64>> = pairs.map(value).collect();
                Ok(Constant::whole(shape, values.ok_or_else(overflow)?))
            }
            _ => Err(Refusal::malformed("floats and whole numbers together")),
        }
    })
}
