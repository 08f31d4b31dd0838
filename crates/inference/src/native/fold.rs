//! Computes nodes whose inputs are known while loading: mostly the arithmetic of shapes.

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
        "Cast" => cast(get(0)?, attributes.integer("to", 0)?)?,
        "Add" => combined(get(0)?, get(1)?, Operation::Add)?,
        "Sub" => combined(get(0)?, get(1)?, Operation::Subtract)?,
        "Mul" => combined(get(0)?, get(1)?, Operation::Multiply)?,
        "Div" => combined(get(0)?, get(1)?, Operation::Divide)?,
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
        "Range" => {
            let [start, end, step] = [0, 1, 2].map(|place| {
                get(place).and_then(|constant| match constant.as_whole()? {
                    [value] => Ok(*value),
                    _ => Err(Refusal::malformed("a bound is not one number")),
                })
            });
            range(start?, end?, step?)?
        }
        "Where" => {
            let condition = get(0)?.as_whole()?;
            let (left, right) = (get(1)?, get(2)?);
            if get(0)?.shape != left.shape || left.shape != right.shape {
                return Err(Refusal::unsupported("shapes that differ"));
            }
            let choose = condition
                .iter()
                .zip(left.as_whole()?.iter().zip(right.as_whole()?));
            let chosen = choose.map(|(c, (l, r))| if *c != 0 { *l } else { *r });
            Constant::whole(left.shape.clone(), chosen.collect::<Vec<_>>())
        }
        "Equal" => {
            let (left, right) = (get(0)?, get(1)?);
            pairs(left, right, |shape, pairs| {
                let (l, r) = (left.as_whole()?, right.as_whole()?);
                let equal = pairs.map(|(a, b)| i64::from(l[a] == r[b]));
                Ok(Constant::whole(shape, equal.collect::<Vec<_>>()))
            })?
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

fn cast(constant: &Constant, to: i64) -> Result<Constant, Refusal> {
    let shape = constant.shape.clone();
    Ok(match (&constant.numbers, to) {
        (Numbers::Floats(_), 1) | (Numbers::Whole(_), 7) => constant.clone(),
        (Numbers::Floats(values), 6 | 7) => {
            Constant::whole(shape, values.iter().map(|x| *x as i64).collect::<Vec<_>>())
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

fn each_float(constant: &Constant, function: impl Fn(f32) -> f32) -> Result<Constant, Refusal> {
    let values = constant.as_floats()?.iter().map(|x| function(*x));
    let values: Vec<f32> = values.collect();
    Ok(Constant::floats(constant.shape.clone(), values))
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

/// Calls `work` with the common shape and the places of the pairs.
fn pairs(
    left: &Constant,
    right: &Constant,
    work: impl FnOnce(Vec<usize>, &mut dyn Iterator<Item = (usize, usize)>) -> Result<Constant, Refusal>,
) -> Result<Constant, Refusal> {
    let shape = broadcast(&left.shape, &right.shape)?;
    let count = bounded(&shape)?;
    let place = |of: &[usize], mut at: usize| {
        let (mut place, mut stride) = (0, 1);
        for (axis, size) in shape.iter().enumerate().rev() {
            let index = at % size;
            at /= size;
            if let Some(own) = (axis + of.len()).checked_sub(shape.len()) {
                if of[own] > 1 {
                    place += index * stride;
                }
                stride *= of[own];
            }
        }
        place
    };
    let mut pairs = (0..count).map(|at| (place(&left.shape, at), place(&right.shape, at)));
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
                let values = values.ok_or_else(|| Refusal::malformed("whole numbers overflow"))?;
                Ok(Constant::whole(shape, values))
            }
            _ => Err(Refusal::malformed("floats and whole numbers together")),
        }
    })
}
