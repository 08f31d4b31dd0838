//! Products of two values whose axes have letters.

use super::{Planner, Tensor};
use crate::native::refusal::Refusal;
use crate::native::tensor::elements;

impl Planner<'_> {
    /// Two values, each letter once in each: those of both and the output are of their own, those of
    /// both but not of the output are summed over.
    pub(super) fn einsum(&mut self) -> Result<(), Refusal> {
        let mut attributes = self.attributes();
        let equation = attributes.text("equation", "")?.replace(' ', "");
        attributes.finish()?;
        let unsupported = || Refusal::unsupported(format!("`equation` of `{equation}`"));
        let (inputs, result) = equation.split_once("->").ok_or_else(unsupported)?;
        let (left, right) = inputs.split_once(',').ok_or_else(unsupported)?;
        let labels = [left, right, result].map(|text| text.chars().collect::<Vec<char>>());
        let is_plain = |labels: &Vec<char>| {
            let mut sorted = labels.clone();
            sorted.sort_unstable();
            sorted.dedup();
            sorted.len() == labels.len() && labels.iter().all(char::is_ascii_alphabetic)
        };
        if !labels.iter().all(is_plain) || self.node.inputs.len() != 2 {
            return Err(unsupported());
        }
        let [left, right, result] = labels;
        let tensors = [self.tensor(0)?, self.tensor(1)?];
        if [tensors[0].shape.len(), tensors[1].shape.len()] != [left.len(), right.len()] {
            return Err(Refusal::malformed("other than one letter for an axis"));
        }
        let pick = |of: &[char], wanted: &dyn Fn(char) -> bool| -> Vec<char> {
            of.iter().copied().filter(|label| wanted(*label)).collect()
        };
        let both = pick(&left, &|l| right.contains(&l) && result.contains(&l));
        let summed = pick(&left, &|l| right.contains(&l) && !result.contains(&l));
        let rows = pick(&left, &|l| !right.contains(&l));
        let columns = pick(&right, &|l| !left.contains(&l));
        let out = [&both[..], &rows, &columns].concat();
        let is_whole = out.len() == result.len() && out.iter().all(|l| result.contains(l));
        if !is_whole {
            return Err(unsupported());
        }
        let size = |label: &char| {
            let of = |labels: &[char], tensor: &Tensor| {
                let axis = labels.iter().position(|other| other == label);
                axis.map(|axis| tensor.shape[axis])
            };
            match (of(&left, &tensors[0]), of(&right, &tensors[1])) {
                (Some(l), Some(r)) if l != r => {
                    Err(Refusal::malformed(format!("sizes of `{label}`")))
                }
                (Some(size), _) | (None, Some(size)) => Ok(size),
                (None, None) => Err(unsupported()),
            }
        };
        let product = |labels: &[char]| -> Result<usize, Refusal> {
            elements(&labels.iter().map(size).collect::<Result<Vec<_>, _>>()?)
        };
        let sizes = [
            product(&both)?,
            product(&rows)?,
            product(&summed)?,
            product(&columns)?,
        ];
        let shape = out.iter().map(size).collect::<Result<Vec<_>, _>>()?;
        let mut arrange = |tensor: &Tensor, own: &[char], order: Vec<char>, shape: [usize; 3]| {
            let permuted = self.permuted(tensor, &places(own, &order)?)?;
            self.viewed(&permuted, shape.to_vec())
        };
        let left = arrange(
            &tensors[0],
            &left,
            [&both[..], &rows, &summed].concat(),
            [sizes[0], sizes[1], sizes[2]],
        )?;
        let right = arrange(
            &tensors[1],
            &right,
            [&both[..], &summed, &columns].concat(),
            [sizes[0], sizes[2], sizes[3]],
        )?;
        let sums = self.product_of(&left, &right)?;
        let sums = self.viewed(&sums, shape)?;
        let sums = self.permuted(&sums, &places(&out, &result)?)?;
        let output = self.output()?;
        self.tell(output, sums)
    }
}

/// Where the letters of `order` are among `own`.
fn places(own: &[char], order: &[char]) -> Result<Vec<usize>, Refusal> {
    let place = |label: &char| own.iter().position(|other| other == label);
    let places: Option<Vec<usize>> = order.iter().map(place).collect();
    places.ok_or_else(|| Refusal::malformed("a letter that is not there"))
}
